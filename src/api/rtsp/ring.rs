//! The packets of a live stream for all who watch it: the newest groups of pictures, packetised once.
//!
//! The ring keeps whole groups: the one being sent and those before it that are younger than `KEPT`, so that a viewer may be that far
//! behind. Whoever is further behind goes on at the newest key frame, and what he missed is counted. It knows no viewers: each
//! brings his own `Position`.

use crate::{
    base::{Micros, UnixMicros},
    media::packetise::Packets,
};
use std::collections::VecDeque;

/// How far back whole groups of pictures are kept behind the newest.
const KEPT: Micros = Micros::from_secs(2);
/// Most bytes of a stream. A group that is longer loses its beginning: who comes then, waits for the next key frame.
pub(super) const RING_LEN_MAX: usize = 32 << 20;
/// Bytes of a stream that all together leave to each when `FEEDS_LEN_MAX` is passed.
pub(super) const RING_LEN_SCARCE: usize = 2 << 20;

/// The packets of one access unit, or of sound that goes together.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// The track.
    pub(super) track: u8,
    /// Its packets.
    pub(super) packets: Packets,
    /// Whether watching can begin here.
    pub(super) key: bool,
    /// When it is shown.
    pub(super) time: UnixMicros,
    /// How many frames.
    pub(super) frames: u64,
}

/// Where a viewer is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Position {
    /// Number of the next entry.
    next: u64,
    /// Frames in all entries before it.
    frames: u64,
    /// It may only go on at a key frame.
    needs_key: bool,
}

/// What a viewer gets.
#[derive(Debug, Default)]
pub(super) struct Taken {
    /// What follows, in order.
    pub(super) entries: Vec<Entry>,
    /// Frames left out before them, because the viewer was too slow.
    pub(super) skipped: u64,
}

/// The ring.
#[derive(Debug, Default)]
pub(super) struct Ring {
    entries: VecDeque<Entry>,
    /// Number of the first entry, and frames before it.
    first: Position,
    /// Frames before the end.
    frames: u64,
    /// Numbers and times of the key frames in it.
    keys: VecDeque<(u64, UnixMicros)>,
    bytes: usize,
    ended: bool,
}

impl Ring {
    /// Adds an entry, and lets go of what is too old or more than `len_max` bytes.
    pub(super) fn push(&mut self, entry: Entry, len_max: usize) {
        if entry.key {
            self.keys.push_back((self.end(), entry.time));
        }
        self.bytes += entry.packets.framed().len();
        self.frames += entry.frames;
        let newest = entry.time;
        self.entries.push_back(entry);
        while let Some(&(second, time)) = self.keys.get(1) {
            if newest.since(time) < KEPT && self.bytes <= len_max {
                break;
            }
            self.drop_before(second);
        }
        while self.bytes > len_max && self.entries.len() > 1 {
            self.drop_before(self.first.next + 1);
        }
    }

    fn drop_before(&mut self, number: u64) {
        while self.first.next < number {
            let Some(entry) = self.entries.pop_front() else {
                break;
            };
            self.bytes -= entry.packets.framed().len();
            self.first.frames += entry.frames;
            self.first.next += 1;
        }
        while self
            .keys
            .front()
            .is_some_and(|(key, _)| *key < self.first.next)
        {
            self.keys.pop_front();
        }
    }

    /// Nothing will come any more.
    pub(super) fn close(&mut self) {
        self.ended = true;
    }

    /// Whether nothing will come any more.
    pub(super) fn is_closed(&self) -> bool {
        self.ended
    }

    /// Bytes held.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    fn end(&self) -> u64 {
        self.first.next + self.entries.len() as u64
    }

    /// Where somebody begins who comes now: at the newest key frame, or at the next one.
    pub(super) fn newest(&self) -> Position {
        let key = self.keys.back().map(|(number, _)| *number);
        let next = key.unwrap_or(self.end());
        Position {
            next,
            frames: self.frames_before(next),
            needs_key: key.is_none(),
        }
    }

    fn frames_before(&self, number: u64) -> u64 {
        let behind = self
            .entries
            .iter()
            .rev()
            .take((self.end() - number) as usize);
        self.frames - behind.map(|entry| entry.frames).sum::<u64>()
    }

    /// The entries from a position on, without moving it.
    pub(super) fn from(&self, position: Position) -> impl Iterator<Item = &Entry> {
        let skip = position.next.saturating_sub(self.first.next) as usize;
        self.entries.range(skip.min(self.entries.len())..)
    }

    /// What follows `position`, at most about `len_max` bytes but at least one entry; moves it on.
    pub(super) fn take(&self, position: &mut Position, len_max: usize) -> Taken {
        let mut taken = Taken::default();
        if position.next < self.first.next {
            let newest = self.newest();
            taken.skipped = newest.frames - position.frames;
            *position = newest;
        }
        let mut len = 0;
        for entry in self.from(*position) {
            if len > 0 && len + entry.packets.framed().len() > len_max {
                break;
            }
            position.next += 1;
            position.frames += entry.frames;
            position.needs_key &= !entry.key;
            if !position.needs_key {
                len += entry.packets.framed().len();
                taken.entries.push(entry.clone());
            }
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::{
        Codec, Frame, FrameKind, Track, TrackId, VideoParameters,
        packetise::{Packetiser, PacketiserOptions, Timing},
    };

    /// Pictures of 25 a second with a key frame each second, `size` bytes each, as a camera sends them.
    struct Camera {
        packetiser: Packetiser,
        number: i64,
        size: usize,
    }

    impl Camera {
        fn new(size: usize) -> Self {
            let track = Track {
                codec: Codec::H264,
                clock_rate: 90_000,
                video: Some(VideoParameters::default()),
                audio: None,
                encoding: String::new(),
            };
            let options = PacketiserOptions {
                ssrc: 1,
                first_sequence: 0,
                timestamp_offset: 0,
                channel: 0,
                packet_len_max: 1_400,
            };
            Self {
                packetiser: Packetiser::new(TrackId(0), &track, options).expect("a packetiser"),
                number: 0,
                size,
            }
        }

        fn send(&mut self, ring: &mut Ring, count: usize) {
            for _ in 0..count {
                let key = self.number % 25 == 0;
                let mut data = (self.size as u32).to_be_bytes().to_vec();
                data.resize(4 + self.size, if key { 0x65 } else { 0x41 });
                let frame = Frame {
                    track: TrackId(0),
                    kind: if key {
                        FrameKind::Key
                    } else {
                        FrameKind::Reference
                    },
                    time: UnixMicros(self.number * 40_000),
                    data: bytes::Bytes::from(data).into(),
                };
                let packets = self
                    .packetiser
                    .push(&frame, Timing::live(&frame))
                    .expect("packets");
                ring.push(
                    Entry {
                        track: 0,
                        packets,
                        key,
                        time: frame.time,
                        frames: 1,
                    },
                    RING_LEN_MAX,
                );
                self.number += 1;
            }
        }
    }

    fn numbers(taken: &Taken) -> Vec<i64> {
        taken
            .entries
            .iter()
            .map(|entry| entry.time.0 / 40_000)
            .collect()
    }

    #[test]
    fn who_comes_begins_at_the_newest_key_frame_and_misses_nothing_while_he_keeps_up() {
        let (mut ring, mut camera) = (Ring::default(), Camera::new(3_000));
        camera.send(&mut ring, 60);
        let mut position = ring.newest();
        let first = ring.take(&mut position, usize::MAX);
        assert_eq!(numbers(&first), (50..60).collect::<Vec<_>>());
        for _ in 0..100 {
            camera.send(&mut ring, 7);
            let taken = ring.take(&mut position, usize::MAX);
            assert_eq!((numbers(&taken).len(), taken.skipped), (7, 0));
        }
        assert!(ring.take(&mut position, usize::MAX).entries.is_empty());
        assert!(
            ring.bytes() < 110 * 3_100,
            "about three seconds are kept: {}",
            ring.bytes()
        );
    }

    #[test]
    fn a_slow_viewer_goes_on_at_the_newest_key_frame_and_every_frame_is_counted() {
        let (mut ring, mut camera) = (Ring::default(), Camera::new(3_000));
        camera.send(&mut ring, 30);
        let mut position = ring.newest();
        let mut seen = numbers(&ring.take(&mut position, 5_000));
        assert_eq!(seen, [25], "at least one, at most about so many bytes");
        camera.send(&mut ring, 300);
        let taken = ring.take(&mut position, usize::MAX);
        seen.extend(numbers(&taken));
        assert_eq!(seen[1], 325);
        assert_eq!(taken.skipped, 325 - 26);
        assert_eq!(seen.len() as u64 + taken.skipped, 330 - 25);
    }

    #[test]
    fn a_group_past_the_limit_loses_its_beginning_and_newcomers_wait() {
        let (mut ring, mut camera) = (Ring::default(), Camera::new(2 << 20));
        camera.send(&mut ring, 24);
        assert!(ring.bytes() <= RING_LEN_MAX);
        let mut position = ring.newest();
        assert!(ring.take(&mut position, usize::MAX).entries.is_empty());
        camera.send(&mut ring, 3);
        assert_eq!(numbers(&ring.take(&mut position, usize::MAX)), [25, 26]);
        let mut before = Ring::default().newest();
        let mut fresh = Ring::default();
        Camera::new(100).send(&mut fresh, 2);
        assert_eq!(
            numbers(&fresh.take(&mut before, usize::MAX)),
            [0, 1],
            "who was there before the first frame gets it"
        );
    }
}
