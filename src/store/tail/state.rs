//! How frames become blocks: where a block is cut, and where a run begins and ends.

use super::{
    TailCounters,
    block::{Run, TailBlock},
};
use crate::{
    base::{Micros, UnixMicros},
    format::{description::RunDescription, row::RunId},
    media::{Codec, Frame, FrameKind, GapCause, StreamId, TrackId},
};
use std::{collections::VecDeque, sync::Arc};

/// Most frames in one block: bounds its head.
pub const BLOCK_FRAMES_MAX: usize = 2048;
/// A frame's duration when nothing is known of the next.
const INTERVAL_DEFAULT: Micros = Micros::from_millis(40);
/// A block is cut before its presentation times pass this span: chapters count on it.
const BLOCK_SPAN_MAX: Micros = Micros::from_secs(60);
/// What a frame costs in a block and its row besides its bytes: a checksum, and twice the widest line of a frame table.
const FRAME_COST: usize = 4 + 2 * (5 + 1 + 10);
/// The longest duration a last frame is credited with.
const INTERVAL_MAX: Micros = Micros::from_secs(10);
/// How long durable blocks are kept for those who follow: a block may be durable within milliseconds of its last frame.
const KEPT_SPAN_MAX: Micros = Micros::from_secs(2);
/// Most bytes of them.
const KEPT_LEN_MAX: usize = 4 << 20;

/// The frames of a tail and what becomes of them.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) run: Option<Arc<Run>>,
    pub(super) next_number: u32,
    pub(super) last_start: Option<UnixMicros>,
    pub(super) open: Option<OpenBlock>,
    /// Cut blocks, oldest first: the first `taken` are with the writer, the rest wait.
    pub(super) blocks: VecDeque<Arc<TailBlock>>,
    pub(super) taken: usize,
    /// Durable blocks that those who follow may not have seen yet, oldest first.
    pub(super) kept: VecDeque<Arc<TailBlock>>,
    pub(super) waiting: usize,
    pub(super) shedding: bool,
    pub(super) interval: Option<Micros>,
    pub(super) counters: TailCounters,
    /// Frames taken in so far: the number of the next one.
    pub(super) sequence: u64,
}

#[derive(Clone, Debug)]
pub(super) struct OpenBlock {
    pub(super) frames: Vec<Frame>,
    pub(super) bytes: usize,
    /// Bytes on disk, at the most.
    pub(super) cost: usize,
    pub(super) arrived: Micros,
    /// Earliest presentation time.
    pub(super) first: UnixMicros,
}

pub(super) fn is_video(run: &Run, track: TrackId) -> bool {
    run.description
        .tracks
        .tracks
        .get(usize::from(track.0))
        .is_some_and(|track| track.codec.is_video())
}

impl State {
    pub(super) fn has_video(&self) -> bool {
        self.run.as_ref().is_some_and(|run| {
            run.description
                .tracks
                .tracks
                .iter()
                .any(|track| Codec::is_video(track.codec))
        })
    }

    pub(super) fn begin(&mut self, stream: StreamId, mut description: RunDescription) {
        assert!(self.open.is_none(), "the run before was cut");
        if self.last_start == Some(description.started) {
            description.started = description.started + Micros(1);
        }
        self.last_start = Some(description.started);
        self.counters.runs[description.start_cause as usize] += 1;
        let packed = description.encode().into();
        self.run = Some(Arc::new(Run {
            id: RunId {
                stream,
                run: description.started,
            },
            description,
            packed,
        }));
        self.next_number = 0;
        self.interval = None;
        self.shedding = false;
    }

    pub(super) fn end(&mut self, cause: GapCause) {
        self.cut(Some(cause));
        self.run = None;
        self.shedding = false;
    }

    pub(super) fn end_keeping_description(&mut self, cause: GapCause) {
        let run = self.run.clone();
        self.end(cause);
        self.run = run;
        self.shedding = true;
    }

    pub(super) fn push(&mut self, frame: Frame, len: usize, now: Micros, block_len_max: usize) {
        let key = frame.kind == FrameKind::Key
            && self
                .run
                .as_ref()
                .is_some_and(|run| is_video(run, frame.track));
        let cut = self.open.as_ref().is_some_and(|open| {
            key || frame.time.since(open.frames[0].time).0.abs() > BLOCK_SPAN_MAX.0
                || open.cost + len + FRAME_COST > block_len_max
                || open.frames.len() >= BLOCK_FRAMES_MAX
        });
        if cut {
            self.cut(None);
        }
        self.sequence += 1;
        self.counters.frames += 1;
        self.counters.bytes += len as u64;
        self.counters.newest = self.counters.newest.max(Some(frame.time));
        self.waiting += len;
        let open = self.open.get_or_insert_with(|| OpenBlock {
            frames: Vec::new(),
            bytes: 0,
            cost: 0,
            arrived: now,
            first: frame.time,
        });
        open.cost += len + FRAME_COST;
        open.first = open.first.min(frame.time);
        open.bytes += len;
        open.frames.push(frame);
    }

    /// Makes a block of the frames so far. With `ends`, the run ends with it: an empty block where there are no frames.
    pub(super) fn cut(&mut self, ends: Option<GapCause>) {
        let Some(run) = self.run.clone() else { return };
        let open = match (self.open.take(), ends) {
            (Some(open), _) => open,
            // Nothing to write, but the end must be told: by the last block still waiting, else by an empty one.
            (None, Some(_)) if self.next_number > 0 && !self.shedding => OpenBlock {
                frames: Vec::new(),
                bytes: 0,
                cost: 0,
                arrived: Micros::ZERO,
                first: UnixMicros::MAX,
            },
            (None, _) => return,
        };
        let block = self.block(run, open, ends);
        self.interval = self.interval_after(&block.frames);
        self.next_number += 1;
        self.blocks.push_back(Arc::new(block));
    }

    /// Lets go of durable blocks that are too old or too much; of all when nobody follows.
    pub(super) fn let_go(&mut self, followed: bool) {
        let newest = self.counters.newest.unwrap_or_default();
        let mut bytes: usize = self.kept.iter().map(|block| block.bytes).sum();
        while let Some(block) = self.kept.front() {
            let old = newest.since(block.end) > KEPT_SPAN_MAX;
            if followed && !old && bytes <= KEPT_LEN_MAX {
                break;
            }
            bytes -= block.bytes;
            self.kept.pop_front();
        }
    }

    /// The block that `open` is, were it cut now.
    fn block(&self, run: Arc<Run>, open: OpenBlock, ends: Option<GapCause>) -> TailBlock {
        let (first, end) = self.span(&open.frames);
        TailBlock {
            run,
            number: self.next_number,
            sequence: self.sequence - open.frames.len() as u64,
            frames: open.frames,
            bytes: open.bytes,
            arrived: open.arrived,
            first,
            end,
            ends,
        }
    }

    /// The frames that make no block yet, as the block they would be now.
    pub(super) fn unfinished(&self) -> Option<TailBlock> {
        let (run, open) = (self.run.clone()?, self.open.clone()?);
        Some(self.block(run, open, None))
    }

    /// Earliest presentation time and end of the latest frame. A frame lasts as long as the one before it of the main track.
    fn span(&self, frames: &[Frame]) -> (UnixMicros, UnixMicros) {
        let times = || frames.iter().map(|frame| frame.time);
        let (Some(first), Some(last)) = (times().min(), times().max()) else {
            let end = self
                .blocks
                .back()
                .map_or(self.last_start.unwrap_or_default(), |block| block.end);
            return (end, end);
        };
        let main = main_times(frames).last().copied().unwrap_or(last);
        let end = main + self.interval_after(frames).unwrap_or(INTERVAL_DEFAULT);
        (first, end.max(last + Micros(1)))
    }

    /// How long a frame of the main track lasts, going by the last two of `frames`; else by what was known before.
    fn interval_after(&self, frames: &[Frame]) -> Option<Micros> {
        match main_times(frames).as_slice() {
            [.., before, last] => Some(last.since(*before).max(Micros(1)).min(INTERVAL_MAX)),
            _ => self.interval,
        }
    }
}

/// Presentation times of the main track, rising.
fn main_times(frames: &[Frame]) -> Vec<UnixMicros> {
    let main = frames.iter().map(|frame| frame.track).min();
    let mut times: Vec<UnixMicros> = frames
        .iter()
        .filter(|frame| Some(frame.track) == main)
        .map(|frame| frame.time)
        .collect();
    times.sort_unstable();
    times
}
