//! Replay: the frames of a stream from an instant on, forwards or backwards, all or some of them, across gaps and on into live video.
//!
//! What RTSP sends on `PLAY` is found here, and nothing of RTSP: a `Replay` is asked for what comes next and keeps only a block or two
//! in memory. Reading order: `choice` decides from frame tables which frames are given; `walk` goes through the blocks of a stream window
//! by window; `forward`, with what it has `held` back, and `reverse` make reads of them, `follow` takes from the tail what is not on disk.
//!
//! Rules (ONVIF Streaming Specification, "Replay"):
//! - forwards it starts at the key frame at or before the start; in a gap, at the next section; backwards at the group of pictures that
//!   holds the start, in a gap at the last one before it;
//! - backwards, groups of pictures come newest first, the frames of each in the order in which they are decoded; there is no sound;
//! - a section is a run, or what is left of one between losses. The last frame of each track in it is marked, and the first behind a
//!   jump; backwards, each group follows a jump;
//! - pictures that refer to what is not given (`FrameKind::Leading` where decoding starts) are left out.
//!
//! The ring may overtake the reader: it goes on at the oldest frames that are left, behind a jump. Memory: `1 + READ_AHEAD` blocks, the
//! frame tables of about one chapter, and in reverse those of one group of pictures, at most `GROUP_BLOCKS_MAX` blocks of it at a time.

mod choice;
mod follow;
mod forward;
mod held;
mod reverse;
mod walk;

pub use reverse::GROUP_BLOCKS_MAX;
pub use walk::PlayedRun;

use super::plan::PlanError;
use crate::{
    base::{Micros, TimeRange, UnixMicros},
    media::{Frame, FrameEntry, StreamId},
    store::{
        reader::{BlockBytes, ReadError},
        recordings::{RecordedBlock, Recordings},
    },
};
use choice::Pick;
use follow::{Follow, Followed};
use forward::Forward;
use reverse::Reverse;
use std::{collections::VecDeque, fmt, sync::Arc};
use tokio::task::JoinHandle;

/// Blocks read ahead of the one that is given: more would let one client fill the disk's queue (L4).
pub const READ_AHEAD: usize = 1;

/// Gives what is recorded as it is now: volumes may come and streams may stop while a client replays.
pub type RecordingsNow = Arc<dyn Fn() -> Recordings + Send + Sync>;

/// Which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// As it was recorded.
    Forward,
    /// From the newest group of pictures to the oldest.
    Reverse,
}

/// Which frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameChoice {
    /// All that can be decoded.
    All,
    /// Without the pictures that no other refers to.
    Predicted,
    /// Key frames of the main track alone, of which two are at least `interval` apart.
    Intra {
        /// On the recorder's clock.
        interval: Micros,
    },
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplayRequest {
    /// Which stream.
    pub stream: StreamId,
    /// Where to begin.
    pub start: UnixMicros,
    /// Where to end: forwards the first instant that is not wanted, and without it live video follows; backwards the earliest that is
    /// wanted.
    pub end: Option<UnixMicros>,
    /// Which way.
    pub direction: Direction,
    /// Which frames.
    pub frames: FrameChoice,
}

impl ReplayRequest {
    /// The range it covers, whichever way it goes.
    pub fn range(&self) -> TimeRange {
        let (from, to) = match self.direction {
            Direction::Forward => (self.start, self.end.unwrap_or(UnixMicros::MAX)),
            Direction::Reverse => (self.end.unwrap_or(UnixMicros::MIN), self.start),
        };
        TimeRange {
            start: from,
            end: to.max(from + Micros(1)),
        }
    }
}

/// How a frame stands to its neighbours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// Decoding can start here.
    pub clean_point: bool,
    /// It does not continue what was given before.
    pub discontinuity: bool,
    /// The last of its track before a gap or before the end of the recording. What ends while it is watched live is known too late to
    /// say so.
    pub end_of_section: bool,
    /// The last of its track in this replay, where that was known when it was given.
    pub terminal: bool,
}

/// A frame and its marks.
#[derive(Clone, Debug)]
pub struct ReplayFrame {
    /// The frame, as recorded.
    pub frame: Frame,
    /// How it stands to its neighbours.
    pub marks: Marks,
}

/// What comes next.
#[derive(Clone, Debug)]
pub enum ReplayEvent {
    /// What is true of the frames that follow.
    Run(Arc<PlayedRun>),
    /// Frames in the order in which they are sent.
    Frames(Vec<ReplayFrame>),
    /// The recording was followed to its newest frame: what comes now is live.
    Live,
    /// There is no more.
    Ended,
}

/// A block of which some frames are given.
#[derive(Clone, Debug)]
struct Planned {
    run: Arc<PlayedRun>,
    block: RecordedBlock,
    picks: Vec<Pick>,
    /// Those with one number are lost together.
    group: u64,
}

/// What a course has next.
#[derive(Debug)]
enum Next {
    Block(Planned),
    /// Nothing now: more is recorded at the tail.
    Tail(Follow),
    Ended,
}

#[derive(Debug)]
enum Course {
    Forward(Box<Forward>),
    Reverse(Box<Reverse>),
}

/// A block that is being read.
#[derive(Debug)]
struct Reading {
    planned: Planned,
    read: JoinHandle<Result<BlockBytes, ReadError>>,
}

/// A stream on its way to a client.
pub struct Replay {
    request: ReplayRequest,
    course: Course,
    reading: VecDeque<Reading>,
    /// What comes when all that was planned is given.
    then: Option<Next>,
    run: Option<Arc<PlayedRun>>,
    events: VecDeque<ReplayEvent>,
}

impl fmt::Debug for Replay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replay")
            .field("request", &self.request)
            .finish_non_exhaustive()
    }
}

impl Replay {
    /// Finds where to begin; reads tables, and ahead.
    ///
    /// # Errors
    /// When nothing is recorded that was asked for, or a chapter cannot be read.
    pub async fn open(now: RecordingsNow, request: ReplayRequest) -> Result<Self, PlanError> {
        let course = match request.direction {
            Direction::Forward => Course::Forward(Box::new(Forward::new(now, &request).await?)),
            Direction::Reverse => Course::Reverse(Box::new(Reverse::new(now, &request))),
        };
        let mut replay = Self {
            request,
            course,
            reading: VecDeque::new(),
            then: None,
            run: None,
            events: VecDeque::new(),
        };
        replay.read_ahead().await;
        if replay.reading.is_empty() && matches!(replay.then, Some(Next::Ended)) {
            let range = request.range();
            return Err(PlanError::Empty { range });
        }
        Ok(replay)
    }

    /// The time of the first frame that will be given; `None` when it is still to be recorded.
    pub fn first(&self) -> Option<UnixMicros> {
        let picks = self.reading.front().map(|reading| &reading.planned.picks);
        picks.and_then(|picks| picks.first()).map(|pick| pick.time)
    }

    /// The run of the first frame that will be given.
    pub fn first_run(&self) -> Option<&Arc<PlayedRun>> {
        self.reading.front().map(|reading| &reading.planned.run)
    }

    /// What comes next; waits for it. Nothing is lost when it is not waited for to the end.
    pub async fn next(&mut self) -> ReplayEvent {
        loop {
            if let Some(event) = self.events.pop_front() {
                return event;
            }
            self.read_ahead().await;
            if let Some(reading) = self.reading.front_mut() {
                let read = (&mut reading.read).await;
                self.give(read.ok());
                continue;
            }
            match &mut self.then {
                Some(Next::Tail(follow)) => {
                    let followed = follow.next().await;
                    self.take(followed);
                }
                _ => return ReplayEvent::Ended,
            }
        }
    }

    /// Plans and starts reads.
    async fn read_ahead(&mut self) {
        while self.then.is_none() && self.reading.len() <= READ_AHEAD {
            let next = match &mut self.course {
                Course::Forward(forward) => forward.next().await,
                Course::Reverse(reverse) => reverse.next().await,
            };
            match next {
                Next::Block(planned) => {
                    let block = planned.block.clone();
                    // In a task of its own: while the client is slow, a read that is done must not hold a place in the disk's queue.
                    let read = tokio::spawn(async move { block.read().await });
                    self.reading.push_back(Reading { planned, read });
                }
                then => self.then = Some(then),
            }
        }
    }

    /// Gives what was read of the first block.
    fn give(&mut self, read: Option<Result<BlockBytes, ReadError>>) {
        let Some(Reading { planned, .. }) = self.reading.pop_front() else {
            return;
        };
        match read {
            Some(Ok(bytes)) => {
                self.announce(&planned.run);
                let frames = planned.picks.iter().map(|pick| {
                    let entry = bytes.frames.get(pick.ordinal);
                    entry.map(|entry| ReplayFrame {
                        frame: frame(entry, &bytes, pick.ordinal),
                        marks: pick.marks,
                    })
                });
                let frames: Vec<ReplayFrame> = frames.flatten().collect();
                self.events.push_back(ReplayEvent::Frames(frames));
            }
            lost => {
                if let Some(Err(error)) = lost.filter(|lost| !is_overwritten(lost)) {
                    tracing::warn!(stream = %self.request.stream, %error, "a replay goes on behind a block that cannot be read");
                }
                self.lose(&planned);
            }
        }
    }

    /// A block is lost: what depends on it is not given.
    fn lose(&mut self, lost: &Planned) {
        match &mut self.course {
            Course::Forward(forward) => {
                self.reading.clear();
                self.then = None;
                forward.lose(lost);
            }
            Course::Reverse(reverse) => {
                let same = |reading: &Reading| reading.planned.group == lost.group;
                self.reading.retain(|reading| !same(reading));
                reverse.lose(lost);
            }
        }
    }

    fn announce(&mut self, run: &Arc<PlayedRun>) {
        let known = self.run.as_ref();
        if known.is_none_or(|known| known.started != run.started) {
            self.run = Some(Arc::clone(run));
            self.events.push_back(ReplayEvent::Run(Arc::clone(run)));
        }
    }

    /// Takes what came at the tail.
    fn take(&mut self, followed: Followed) {
        let (Course::Forward(forward), then) = (&mut self.course, &mut self.then) else {
            return;
        };
        match followed {
            Followed::Began => self.events.push_back(ReplayEvent::Live),
            Followed::Frames(frames) => {
                let mut given = Vec::new();
                for (run, frames) in frames {
                    given.push(forward.take_live(&run, frames));
                }
                for (run, frames) in given.into_iter().filter(|(_, frames)| !frames.is_empty()) {
                    self.announce(&run);
                    self.events.push_back(ReplayEvent::Frames(frames));
                }
            }
            // Also when the stream is given up: it may be recorded anew.
            Followed::Behind | Followed::Ended => {
                *then = None;
                forward.resume();
            }
        }
    }
}

fn frame(entry: &FrameEntry, bytes: &BlockBytes, ordinal: usize) -> Frame {
    Frame {
        track: entry.track,
        kind: entry.kind,
        time: entry.time,
        data: bytes.frame(ordinal).into(),
    }
}

/// Whether the ring took it, which is nobody's fault.
fn is_overwritten(read: &Result<BlockBytes, ReadError>) -> bool {
    matches!(read, Err(error) if error.is_overwritten())
}

#[cfg(test)]
mod tests;
