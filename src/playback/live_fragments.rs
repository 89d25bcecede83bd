//! Live video for browsers: the frames of a run as fragments, each sent as it comes. Written by the same hand as the parts of HLS, so both
//! fit together on one player; only the decode times of a run that is joined in the middle begin at the frame it is joined at.

use super::{
    fragment::FragmentBuilder,
    fragment_tracks::{DecodeClock, FragmentTracks, Receiver},
};
use crate::{
    base::{Micros, UnixMicros},
    media::{Frame, FrameKind},
    store::tail::Run,
};
use bytes::{Bytes, BytesMut};

/// Most frames that wait behind a picture: about six seconds of sound.
const WAITING_MAX: usize = 256;

/// One run on its way to a viewer.
#[derive(Debug)]
pub struct LiveFragments {
    tracks: FragmentTracks,
    start: UnixMicros,
    clock: Option<DecodeClock>,
    /// Whether leading pictures refer to what was not sent: until the second key frame.
    orphans: bool,
    /// Frames not sent yet, pictures with their decode times.
    waiting: Vec<(Frame, Option<Micros>)>,
    sequence: u32,
}

impl LiveFragments {
    /// For what follows of `run`; `None` when it has nothing that a browser plays.
    pub fn of(run: &Run) -> Option<Self> {
        let start = run.id.run;
        Some(Self {
            tracks: FragmentTracks::new(&run.description.tracks, start, Receiver::Player)?,
            start,
            clock: None,
            orphans: false,
            waiting: Vec::new(),
            sequence: 0,
        })
    }

    /// When the run began.
    pub fn start(&self) -> UnixMicros {
        self.start
    }

    /// Where that is on the clock of the fragments.
    pub fn media_start(&self) -> Micros {
        self.tracks.media_time(self.start)
    }

    /// Codecs and, with pictures, their size.
    pub fn tracks(&self) -> &FragmentTracks {
        &self.tracks
    }

    /// What goes before the fragments.
    pub fn init(&self) -> Bytes {
        self.tracks.init().into()
    }

    /// Frames were left out: what follows begins at a key frame, and its decode times with it.
    pub fn skip(&mut self) {
        self.clock = None;
        self.waiting.clear();
    }

    /// The next fragment; `None` when nothing of `frames` can be sent yet. The newest picture waits for the one behind it, which tells how
    /// long it is shown: browsers drop pictures up to the next key frame where one does not reach the other.
    pub fn fragment(&mut self, frames: Vec<Frame>) -> Option<Bytes> {
        for frame in frames {
            self.take(frame);
        }
        let last = self
            .waiting
            .iter()
            .rposition(|(_, decode)| decode.is_some());
        let (ready, next) = match last {
            Some(last) if self.waiting.len() - last <= WAITING_MAX => {
                (last, self.waiting.get(last).and_then(|(_, decode)| *decode))
            }
            None if self.pictures() && self.waiting.len() <= WAITING_MAX => (0, None),
            _ => (self.waiting.len(), None),
        };
        let ready: Vec<_> = self.waiting.drain(..ready).collect();
        self.write(&ready, next)
    }

    /// What still waits: the run has ended.
    pub fn rest(&mut self) -> Option<Bytes> {
        let rest = std::mem::take(&mut self.waiting);
        self.write(&rest, None)
    }

    fn pictures(&self) -> bool {
        self.tracks.size().is_some()
    }

    /// Gives a frame its decode time; leaves out what browsers cannot decode or do not play.
    fn take(&mut self, frame: Frame) {
        if frame.data.is_empty() || !self.tracks.holds(frame.track) {
            return;
        }
        let mut decode = None;
        if self.pictures() && frame.track == self.tracks.main() {
            if frame.kind == FrameKind::Key {
                self.orphans = self.clock.is_none();
                self.clock
                    .get_or_insert_with(|| self.tracks.decode_clock(frame.time));
            }
            let Some(clock) = &mut self.clock else {
                return;
            };
            decode = Some(clock.next(self.tracks.media_time(frame.time)));
            if self.orphans && frame.kind == FrameKind::Leading {
                return;
            }
        }
        self.waiting.push((frame, decode));
    }

    fn write(&mut self, frames: &[(Frame, Option<Micros>)], next: Option<Micros>) -> Option<Bytes> {
        let mut builder = FragmentBuilder::new(&self.tracks);
        builder.start_chunk();
        for (ordinal, (frame, decode)) in (0..).zip(frames) {
            builder.push(ordinal, &frame.entry(), *decode);
        }
        if builder.is_empty() {
            return None;
        }
        self.sequence += 1;
        let fragment = builder.finish(self.sequence, next);
        let len = fragment.head.len() + usize::try_from(fragment.body_len).ok()?;
        let mut bytes = BytesMut::with_capacity(len);
        bytes.extend_from_slice(&fragment.head);
        for chosen in fragment.chunks.iter().flatten() {
            let (frame, _) = frames.get(chosen.ordinal as usize)?;
            let parts = frame.data.parts().iter();
            parts.for_each(|part| bytes.extend_from_slice(part));
        }
        Some(bytes.freeze())
    }
}
