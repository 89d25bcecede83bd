//! Live streams as packets: one feed per stream, however many watch.
//!
//! A feed follows the tail of its stream, makes packets of what came on a beat, and puts them into its `Ring`. It begins with the first
//! viewer and ends a little after the last. Its tracks keep their SSRC, sequence numbers and clock as long as it lives, through
//! interruptions of the camera too; only when the camera sends what the session descriptions do not tell (another codec, a further track),
//! it ends, and its viewers are sent away to ask again.

use super::{
    conversation::TrackStart,
    metrics::Metrics,
    response::{Refusal, Status},
    ring::{Entry, Position, RING_LEN_MAX, RING_LEN_SCARCE, Ring, Taken},
};
use crate::{
    base::UnixMicros,
    media::{
        Frame, FrameKind, RtpClock, StreamId, TrackId, TrackSet,
        packetise::{Packetiser, PacketiserOptions, PayloadFormat, Timing},
    },
    playback::{
        groups::main_track,
        live::{LiveEvent, LiveFrames},
    },
    store::{recordings::Recordings, tail::Tail},
};
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{sync::watch, time};

/// Frames wait so long at most for others that go with them.
const BEAT: Duration = Duration::from_millis(20);
/// A feed lives so long without viewers.
const LINGER: Duration = Duration::from_secs(10);
/// Most bytes of all feeds before each keeps little.
const FEEDS_LEN_MAX: usize = 512 << 20;
/// Packets of 16 bytes are made of 15 bytes of frames, at worst: what is more than fits the ring is not read.
const FRAMED: usize = 16;
const FRAMES: usize = 15;
/// Most time of sound in one piece.
const SOUND_PIECE: crate::base::Micros = crate::base::Micros::from_millis(200);

/// All feeds.
#[derive(Debug)]
pub(super) struct Feeds {
    all: Mutex<HashMap<StreamId, Arc<Feed>>>,
    packet_len_max: usize,
    metrics: Arc<Metrics>,
    /// Bytes of all rings.
    bytes: AtomicUsize,
}

/// A stream as packets.
#[derive(Debug)]
pub(super) struct Feed {
    state: Mutex<State>,
    grown: watch::Sender<u64>,
    viewers: AtomicUsize,
}

#[derive(Debug, Default)]
struct State {
    ring: Ring,
    tracks: Vec<Option<FeedTrack>>,
}

/// What is told of a track before its packets.
#[derive(Clone, Debug)]
struct FeedTrack {
    format: PayloadFormat,
    clock: RtpClock,
    next_sequence: u16,
}

/// Somebody who watches.
#[derive(Debug)]
pub(super) struct Viewer {
    feed: Arc<Feed>,
    grown: watch::Receiver<u64>,
    position: Position,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Feeds {
    /// Most bytes of a packet.
    pub(super) fn packet_len_max(&self) -> usize {
        self.packet_len_max
    }

    pub(super) fn new(packet_len_max: usize, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self {
            all: Mutex::default(),
            packet_len_max,
            metrics,
            bytes: AtomicUsize::new(0),
        })
    }

    /// Watches `stream`, whose feed begins when nobody does yet: one for all who come, however slowly it begins.
    ///
    /// # Errors
    /// When it is not recorded.
    pub(super) fn watch(
        self: &Arc<Self>,
        recordings: Recordings,
        stream: StreamId,
    ) -> Result<Viewer, Refusal> {
        let mut all = lock(&self.all);
        if let Some(feed) = all.get(&stream).filter(|feed| !feed.is_closed()) {
            return Ok(Viewer::new(Arc::clone(feed)));
        }
        let tail = recordings.tail(stream).map(Arc::clone);
        let tail = tail.ok_or_else(|| {
            let why = "the stream is not being recorded; enable the camera";
            Refusal::new(Status::NotFound, why)
        })?;
        let feed = Arc::new(Feed::new());
        all.insert(stream, Arc::clone(&feed));
        self.metrics.feeds.inc();
        let viewer = Viewer::new(Arc::clone(&feed));
        tokio::spawn(Arc::clone(self).run(recordings, tail, feed));
        Ok(viewer)
    }

    async fn run(self: Arc<Self>, recordings: Recordings, tail: Arc<Tail>, feed: Arc<Feed>) {
        let stream = tail.stream();
        let len_max = self.ring_len_max() / FRAMED * FRAMES;
        let mut live = LiveFrames::join(&recordings, tail, len_max).await;
        drop(recordings);
        let mut maker = Maker {
            feeds: Arc::clone(&self),
            tracks: Vec::new(),
            set: TrackSet::default(),
        };
        let mut idle = Duration::ZERO;
        let mut held = 0;
        loop {
            match time::timeout(LINGER / 4, live.next()).await {
                Ok(event) => {
                    if !maker.apply(&feed, event) {
                        break;
                    }
                    held = self.account(held, feed.bytes());
                    if live.is_behind() {
                        // Others have their turn.
                        tokio::task::yield_now().await;
                        continue;
                    }
                    time::sleep(BEAT).await;
                    idle += BEAT;
                }
                Err(_) => idle += LINGER / 4,
            }
            if feed.viewers.load(Ordering::Acquire) > 0 {
                idle = Duration::ZERO;
            } else if idle >= LINGER && self.forget(stream, &feed) {
                break;
            }
        }
        lock(&feed.state).ring.close();
        feed.grown.send_modify(|count| *count += 1);
        self.account(held, 0);
        self.metrics.feeds.dec();
        let mut all = lock(&self.all);
        if all
            .get(&stream)
            .is_some_and(|known| Arc::ptr_eq(known, &feed))
        {
            all.remove(&stream);
        }
    }

    /// Takes the feed out unless somebody has come meanwhile.
    fn forget(&self, stream: StreamId, feed: &Arc<Feed>) -> bool {
        let mut all = lock(&self.all);
        let unwatched = feed.viewers.load(Ordering::Acquire) == 0;
        if unwatched
            && all
                .get(&stream)
                .is_some_and(|known| Arc::ptr_eq(known, feed))
        {
            all.remove(&stream);
        }
        unwatched
    }

    /// Books the bytes of a ring.
    fn account(&self, before: usize, now: usize) -> usize {
        self.bytes.fetch_add(now, Ordering::Relaxed);
        let all = self
            .bytes
            .fetch_sub(before, Ordering::Relaxed)
            .saturating_sub(before);
        self.metrics.feed_bytes.set(all as i64);
        now
    }

    fn ring_len_max(&self) -> usize {
        let scarce = self.bytes.load(Ordering::Relaxed) > FEEDS_LEN_MAX;
        if scarce {
            RING_LEN_SCARCE
        } else {
            RING_LEN_MAX
        }
    }
}

impl Feed {
    fn new() -> Self {
        Self {
            state: Mutex::default(),
            grown: watch::Sender::new(0),
            viewers: AtomicUsize::new(0),
        }
    }

    fn is_closed(&self) -> bool {
        lock(&self.state).ring.is_closed()
    }

    fn bytes(&self) -> usize {
        lock(&self.state).ring.bytes()
    }
}

impl Viewer {
    fn new(feed: Arc<Feed>) -> Self {
        feed.viewers.fetch_add(1, Ordering::AcqRel);
        let position = lock(&feed.state).ring.newest();
        Self {
            grown: feed.grown.subscribe(),
            feed,
            position,
        }
    }

    /// Goes to the newest key frame, and tells where the tracks of `wanted` begin there. Nothing is told when the next key frame must be
    /// waited for: nobody knows what comes before it.
    pub(super) fn begin(&mut self, wanted: &[u8]) -> Vec<TrackStart> {
        let state = lock(&self.feed.state);
        self.position = state.ring.newest();
        let first = state.ring.from(self.position).next();
        first.map_or_else(Vec::new, |entry| {
            starts(&state, self.position, wanted, entry.time)
        })
    }

    /// Whether watching can begin at once.
    pub(super) fn is_ready(&self) -> bool {
        let state = lock(&self.feed.state);
        state.ring.is_closed() || state.ring.from(state.ring.newest()).next().is_some()
    }

    /// The format and the clock of a track.
    pub(super) fn track(&self, track: u8) -> Option<(PayloadFormat, RtpClock)> {
        let state = lock(&self.feed.state);
        let known = state.tracks.get(usize::from(track))?.as_ref()?;
        Some((known.format.clone(), known.clock))
    }

    /// What came since; nothing when the feed is at its end.
    pub(super) fn take(&mut self, len_max: usize) -> Taken {
        // Seen before it is looked: what comes meanwhile is told again.
        self.grown.mark_unchanged();
        lock(&self.feed.state)
            .ring
            .take(&mut self.position, len_max)
    }

    /// Waits until more has come; false at the end of the feed.
    pub(super) async fn grown(&mut self) -> bool {
        !self.feed.is_closed() && self.grown.changed().await.is_ok()
    }
}

impl Drop for Viewer {
    fn drop(&mut self) {
        self.feed.viewers.fetch_sub(1, Ordering::AcqRel);
    }
}

fn starts(
    state: &State,
    position: Position,
    wanted: &[u8],
    instant: UnixMicros,
) -> Vec<TrackStart> {
    let start = |track: &u8| {
        let known = state.tracks.get(usize::from(*track))?.as_ref()?;
        let first = state
            .ring
            .from(position)
            .find(|entry| entry.track == *track);
        Some(TrackStart {
            track: *track,
            sequence: first.map_or(known.next_sequence, |entry| entry.packets.first_sequence()),
            timestamp: known.clock.timestamp(instant),
        })
    };
    wanted.iter().filter_map(start).collect()
}

/// Makes packets.
struct Maker {
    feeds: Arc<Feeds>,
    tracks: Vec<Option<Packetiser>>,
    set: TrackSet,
}

impl Maker {
    /// Adds what `event` brings; false when the feed cannot go on.
    fn apply(&mut self, feed: &Feed, event: LiveEvent) -> bool {
        match event {
            LiveEvent::Run(run) => self.begin_run(feed, &run.description.tracks),
            LiveEvent::Frames(frames) => {
                self.push_all(feed, frames);
                feed.grown.send_modify(|count| *count += 1);
                true
            }
            LiveEvent::Missed { frames } => {
                self.feeds.metrics.skipped_frames.inc_by(frames);
                self.restart();
                true
            }
            LiveEvent::Ended => false,
        }
    }

    fn restart(&mut self) {
        self.tracks
            .iter_mut()
            .flatten()
            .for_each(Packetiser::restart);
    }

    fn begin_run(&mut self, feed: &Feed, set: &TrackSet) -> bool {
        if self.tracks.is_empty() {
            let tracks = set.tracks.iter().enumerate().take(usize::from(u8::MAX) / 2);
            self.tracks = tracks
                .map(|(number, track)| {
                    let random = uuid::Uuid::new_v4().as_u128();
                    let options = PacketiserOptions {
                        ssrc: random as u32,
                        first_sequence: (random >> 32) as u16,
                        timestamp_offset: (random >> 80) as u32,
                        channel: 2 * number as u8,
                        packet_len_max: self.feeds.packet_len_max,
                    };
                    Packetiser::new(TrackId(number as u8), track, options).ok()
                })
                .collect();
        } else {
            if set.tracks.len() != self.tracks.len() {
                return false;
            }
            for (packetiser, track) in self.tracks.iter_mut().zip(&set.tracks) {
                if packetiser
                    .as_mut()
                    .is_some_and(|packetiser| packetiser.set_track(track).is_err())
                {
                    return false;
                }
            }
        }
        self.set = set.clone();
        let known = |packetiser: &Packetiser| FeedTrack {
            format: packetiser.format().clone(),
            clock: packetiser.clock(),
            next_sequence: packetiser.next_sequence(),
        };
        lock(&feed.state).tracks = self
            .tracks
            .iter()
            .map(|track| track.as_ref().map(known))
            .collect();
        true
    }

    /// Pictures one by one; sound that came with them in pieces, because packets of AAC hold several frames.
    fn push_all(&mut self, feed: &Feed, frames: Vec<Frame>) {
        let main = main_track(&self.set);
        let mut sound: Vec<Vec<Frame>> = vec![Vec::new(); self.tracks.len()];
        for frame in frames {
            let number = usize::from(frame.track.0);
            let Some(piece) = sound.get_mut(number) else {
                continue;
            };
            let is_video = self
                .set
                .tracks
                .get(number)
                .is_some_and(|track| track.codec.is_video());
            if is_video {
                if frame.track == main && frame.kind == FrameKind::Key {
                    sound
                        .iter_mut()
                        .for_each(|piece| self.push(feed, std::mem::take(piece)));
                }
                self.push(feed, vec![frame]);
                continue;
            }
            let span = piece.first().map(|first| frame.time.since(first.time));
            if span.is_some_and(|span| span >= SOUND_PIECE) || self.set.tracks.get(number).is_none()
            {
                self.push(feed, std::mem::take(piece));
            }
            if let Some(piece) = sound.get_mut(number) {
                piece.push(frame);
            }
        }
        sound.into_iter().for_each(|piece| self.push(feed, piece));
    }

    fn push(&mut self, feed: &Feed, frames: Vec<Frame>) {
        let Some(first) = frames.first() else { return };
        let (track, time) = (first.track, first.time);
        let key = track == main_track(&self.set) && first.kind == FrameKind::Key;
        let Some(Some(packetiser)) = self.tracks.get_mut(usize::from(track.0)) else {
            return;
        };
        let made = match &frames[..] {
            [frame] => packetiser.push(frame, Timing::live(frame)),
            frames => packetiser.push_all(frames),
        };
        let Ok(packets) = made else {
            if frames.len() == 1 {
                self.feeds.metrics.unsendable.inc();
            } else {
                // One of them cannot be sent: the others can, each by itself.
                let each = frames.into_iter();
                each.for_each(|frame| self.push(feed, vec![frame]));
            }
            return;
        };
        let next_sequence = packetiser.next_sequence();
        let entry = Entry {
            track: track.0,
            packets,
            key,
            time,
            frames: frames.len() as u64,
        };
        let mut state = lock(&feed.state);
        if let Some(Some(known)) = state.tracks.get_mut(usize::from(track.0)) {
            known.next_sequence = next_sequence;
        }
        state.ring.push(entry, self.feeds.ring_len_max());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::{AudioParameters, Codec, Track};

    #[test]
    fn of_sound_that_cannot_be_sent_only_that_is_left_out() {
        let metrics = Arc::new(Metrics::new());
        let mut maker = Maker {
            feeds: Feeds::new(1_372, Arc::clone(&metrics)),
            tracks: Vec::new(),
            set: TrackSet::default(),
        };
        let sound = Track {
            codec: Codec::Aac,
            clock_rate: 48_000,
            video: None,
            audio: Some(AudioParameters {
                sample_rate: 48_000,
                channels: 1,
                config: vec![0x11, 0x88].into(),
            }),
            encoding: String::new(),
        };
        let feed = Feed::new();
        let set = TrackSet {
            tracks: vec![sound],
        };
        assert!(maker.begin_run(&feed, &set));
        let lens = [100, 0, 200, 9_000, 300];
        let frames = lens.iter().enumerate().map(|(number, len)| Frame {
            track: TrackId(0),
            kind: FrameKind::Key,
            time: UnixMicros(number as i64 * 21_333),
            data: bytes::Bytes::from(vec![1; *len]).into(),
        });
        maker.push(&feed, frames.collect());
        let state = lock(&feed.state);
        let entries = state.ring.from(Position::default());
        let sent: Vec<usize> = entries.map(|entry| entry.packets.payload_len()).collect();
        assert_eq!(sent, [104, 204, 304]);
        assert_eq!(metrics.unsendable.get(), 2);
    }
}
