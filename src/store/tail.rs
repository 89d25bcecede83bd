//! The tail: the newest frames of one stream in memory, already cut into the blocks they will be on disk.
//!
//! Ingest pushes frames; the volume's writer takes blocks that are due and says when they are durable; until then the tail keeps
//! them, so that a block whose segment or volume fails is written again elsewhere, the same frames under the same run and number
//! (design laws L5, L6). A block is cut at a key frame when it can be, at the commit interval, or at `block_len_max`.
//!
//! Bounds (L8): a stream holds at most `waiting_max` bytes that no writer has taken, and all tails together the bytes of
//! their shared `TailBudget`. Past it, whole groups of pictures of the stream that is behind are shed: its run ends with cause
//! `overload`, and a new run starts at a key frame once there is room.

use crate::{
    base::{Micros, UnixMicros},
    format::{description::RunDescription, row::RunId},
    media::{Codec, Frame, FrameKind, GapCause, StreamId, TrackId},
};
use bytes::Bytes;
use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

/// Most frames in one block: bounds its head.
pub const BLOCK_FRAMES_MAX: usize = 2048;
/// A frame's duration when nothing is known of the next.
const INTERVAL_DEFAULT: Micros = Micros::from_millis(40);
/// A block is cut before its presentation times pass this span: chapters count on it.
const BLOCK_SPAN_MAX: Micros = Micros::from_secs(60);
/// What a frame costs in a block and its row besides its bytes: a checksum, and twice the widest line of a frame table.
const FRAME_COST: usize = 4 + 2 * (5 + 1 + 10);
/// What a block costs besides its frames, run description included, where volumes are small.
const BLOCK_COST: usize = 8 << 10;
/// The longest duration a last frame is credited with.
const INTERVAL_MAX: Micros = Micros::from_secs(10);

/// What is true of one run and goes into each of its blocks.
#[derive(Debug)]
pub struct Run {
    /// Which run of which stream.
    pub id: RunId,
    /// For people and players.
    pub description: RunDescription,
    /// The description as it is on disk.
    pub packed: Bytes,
}

/// Frames of one run that make one block on disk. Immutable once cut.
#[derive(Debug)]
pub struct TailBlock {
    /// The run.
    pub run: Arc<Run>,
    /// Number within the run.
    pub number: u32,
    /// The frames in order of arrival.
    pub frames: Vec<Frame>,
    /// Bytes of the frames.
    pub bytes: usize,
    /// When the first frame arrived, monotonic.
    pub arrived: Micros,
    /// Earliest presentation time.
    pub first: UnixMicros,
    /// End of the latest frame.
    pub end: UnixMicros,
    /// Why the run ends with this block.
    pub ends: Option<GapCause>,
}

/// The memory all tails of a store share.
#[derive(Debug)]
pub struct TailBudget {
    held: AtomicU64,
    limit: u64,
}

impl TailBudget {
    /// A budget of `limit` bytes.
    pub fn new(limit: u64) -> Arc<Self> {
        Arc::new(Self {
            held: AtomicU64::new(0),
            limit,
        })
    }

    /// Bytes held by all tails.
    pub fn held(&self) -> u64 {
        self.held.load(Ordering::Relaxed)
    }
}

/// What one stream may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TailLimits {
    /// Bytes that no writer has taken.
    pub waiting_max: usize,
    /// A block is cut before its frames pass so many bytes (a single larger frame makes a block of its own).
    pub block_len_max: usize,
    /// The longest frame: one must fit a batch with its head.
    pub frame_len_max: usize,
}

impl TailLimits {
    /// These limits, or lower ones where batches are at most `batch_len_max` long: a block fits a batch in each volume of its pool.
    #[must_use]
    pub fn within(self, batch_len_max: u32) -> Self {
        let longest = (batch_len_max as usize).saturating_sub(BLOCK_COST);
        Self {
            block_len_max: self.block_len_max.min(longest),
            frame_len_max: self.frame_len_max.min(longest),
            ..self
        }
    }
}

/// What became of a pushed frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// It will be written.
    Kept,
    /// It was shed: the writer is behind.
    Shed,
    /// It was refused: longer than `frame_len_max`, or no run was begun.
    Refused,
}

/// What a stream has done since it began, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TailCounters {
    /// Frames kept.
    pub frames: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Frames shed.
    pub shed: u64,
    /// Presentation time of the newest frame.
    pub newest: Option<UnixMicros>,
    /// Up to this time the recording survives a power cut: the durable watermark. No frame in memory is earlier.
    pub durable: Option<UnixMicros>,
    /// Bytes in memory.
    pub held: u64,
    /// Runs begun, by number of the cause before them.
    pub runs: [u64; 11],
}

/// The newest frames of one stream.
#[derive(Debug)]
pub struct Tail {
    stream: StreamId,
    budget: Arc<TailBudget>,
    limits: TailLimits,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    run: Option<Arc<Run>>,
    next_number: u32,
    last_start: Option<UnixMicros>,
    open: Option<OpenBlock>,
    /// Cut blocks, oldest first: the first `taken` are with the writer, the rest wait.
    blocks: VecDeque<Arc<TailBlock>>,
    taken: usize,
    waiting: usize,
    shedding: bool,
    interval: Option<Micros>,
    counters: TailCounters,
}

#[derive(Debug)]
struct OpenBlock {
    frames: Vec<Frame>,
    bytes: usize,
    /// Bytes on disk, at the most.
    cost: usize,
    arrived: Micros,
    /// Earliest presentation time.
    first: UnixMicros,
}

impl Tail {
    /// The tail of `stream`.
    pub fn new(stream: StreamId, budget: Arc<TailBudget>, limits: TailLimits) -> Arc<Self> {
        assert!(
            limits.waiting_max >= 2 * limits.frame_len_max,
            "a group of pictures must fit"
        );
        Arc::new(Self {
            stream,
            budget,
            limits,
            state: Mutex::new(State::default()),
        })
    }

    /// The stream.
    pub fn stream(&self) -> StreamId {
        self.stream
    }

    /// Begins a run; one that goes on is ended with the cause in `description`. The run's identity is `description.started`,
    /// moved on by a microsecond where a run of this stream already began then (after a step of the clock).
    pub fn begin(&self, description: RunDescription) {
        let mut state = self.lock();
        let cause = description.start_cause;
        state.end(cause);
        state.begin(self.stream, description);
    }

    /// Ends the run, if one goes on.
    pub fn end(&self, cause: GapCause) {
        self.lock().end(cause);
    }

    /// Takes in a frame that arrived at monotonic time `now`.
    pub fn push(&self, frame: Frame, now: Micros) -> Pushed {
        let mut state = self.lock();
        let len = frame.data.len();
        if state.run.is_none() || len > self.limits.frame_len_max {
            return Pushed::Refused;
        }
        if self.must_shed(&mut state, &frame, len) {
            state.counters.shed += 1;
            return Pushed::Shed;
        }
        state.push(frame, len, now, self.limits.block_len_max);
        self.budget.held.fetch_add(len as u64, Ordering::Relaxed);
        state.counters.held += len as u64;
        Pushed::Kept
    }

    /// Whether `frame` must be shed; starts and ends shedding.
    fn must_shed(&self, state: &mut State, frame: &Frame, len: usize) -> bool {
        let crowded = self.budget.held() + len as u64 > self.budget.limit
            && state.waiting > self.limits.waiting_max / 8;
        if !state.shedding && (state.waiting + len > self.limits.waiting_max || crowded) {
            state.end_keeping_description(GapCause::Overload);
        }
        let video = state
            .run
            .as_ref()
            .is_some_and(|run| is_video(run, frame.track));
        if state.shedding && frame.kind == FrameKind::Key && (video || !state.has_video()) {
            let room = state.waiting <= self.limits.waiting_max / 2
                && self.budget.held() + len as u64 <= self.budget.limit;
            if room && let Some(run) = state.run.take() {
                let description = RunDescription {
                    start_cause: GapCause::Overload,
                    started: frame.time,
                    ..run.description.clone()
                };
                state.begin(self.stream, description);
            }
        }
        state.shedding
    }

    /// Takes waiting blocks, oldest first, as many as `accept` says yes to. They stay in the tail until `durable`.
    ///
    /// `cut_before`: the frames of an unfinished block are cut into one when the first of them arrived at or before it.
    /// `due_before`: blocks whose first frame arrived later are left alone.
    pub fn take(
        &self,
        cut_before: Micros,
        due_before: Micros,
        accept: &mut dyn FnMut(&Arc<TailBlock>) -> bool,
    ) -> usize {
        let mut state = self.lock();
        if state
            .open
            .as_ref()
            .is_some_and(|open| open.arrived <= cut_before)
        {
            state.cut(None);
        }
        let before = state.taken;
        while let Some(block) = state.blocks.get(state.taken) {
            let len = block.bytes;
            if block.arrived > due_before || !accept(block) {
                break;
            }
            state.taken += 1;
            state.waiting -= len;
        }
        state.taken - before
    }

    /// When the oldest frame that no writer has taken arrived.
    pub fn oldest_waiting(&self) -> Option<Micros> {
        let state = self.lock();
        let block = state.blocks.get(state.taken).map(|block| block.arrived);
        block.or_else(|| state.open.as_ref().map(|open| open.arrived))
    }

    /// Bytes of finished blocks that no writer has taken.
    pub fn waiting(&self) -> usize {
        let state = self.lock();
        state
            .blocks
            .iter()
            .skip(state.taken)
            .map(|block| block.bytes)
            .sum()
    }

    /// Tells that the oldest `count` taken blocks are durable: they leave memory.
    pub fn durable(&self, count: usize) {
        let mut state = self.lock();
        assert!(count <= state.taken, "only what was taken becomes durable");
        for block in state.blocks.drain(..count).collect::<Vec<_>>() {
            self.budget
                .held
                .fetch_sub(block.bytes as u64, Ordering::Relaxed);
            state.counters.held -= block.bytes as u64;
            state.counters.durable = state.counters.durable.max(Some(block.end));
        }
        state.taken -= count;
    }

    /// Tells that what was taken and is not durable was not written after all: it waits again.
    pub fn rollback(&self) {
        let mut state = self.lock();
        let again: usize = state
            .blocks
            .iter()
            .take(state.taken)
            .map(|block| block.bytes)
            .sum();
        state.waiting += again;
        state.taken = 0;
    }

    /// What the stream has done.
    pub fn counters(&self) -> TailCounters {
        let state = self.lock();
        // Pictures are cut into blocks in decode order, and sound lies beside them: a later block may begin before an earlier one ends.
        let waiting = state.blocks.iter().map(|block| block.first);
        let earliest = waiting
            .chain(state.open.as_ref().map(|open| open.first))
            .min();
        let durable = state.counters.durable;
        TailCounters {
            durable: durable.map(|time| earliest.map_or(time, |earliest| time.min(earliest))),
            ..state.counters
        }
    }

    /// Whether nothing is left to be written or made durable.
    pub fn is_drained(&self) -> bool {
        let state = self.lock();
        state.blocks.is_empty() && state.open.is_none()
    }

    /// The run that goes on.
    pub fn run(&self) -> Option<Arc<Run>> {
        self.lock().run.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_video(run: &Run, track: TrackId) -> bool {
    run.description
        .tracks
        .tracks
        .get(usize::from(track.0))
        .is_some_and(|track| track.codec.is_video())
}

impl State {
    fn has_video(&self) -> bool {
        self.run.as_ref().is_some_and(|run| {
            run.description
                .tracks
                .tracks
                .iter()
                .any(|track| Codec::is_video(track.codec))
        })
    }

    fn begin(&mut self, stream: StreamId, mut description: RunDescription) {
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

    fn end(&mut self, cause: GapCause) {
        self.cut(Some(cause));
        self.run = None;
        self.shedding = false;
    }

    fn end_keeping_description(&mut self, cause: GapCause) {
        let run = self.run.clone();
        self.end(cause);
        self.run = run;
        self.shedding = true;
    }

    fn push(&mut self, frame: Frame, len: usize, now: Micros, block_len_max: usize) {
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
    fn cut(&mut self, ends: Option<GapCause>) {
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
        let (first, end) = self.span(&open.frames);
        let block = TailBlock {
            run,
            number: self.next_number,
            frames: open.frames,
            bytes: open.bytes,
            arrived: open.arrived,
            first,
            end,
            ends,
        };
        self.next_number += 1;
        self.blocks.push_back(Arc::new(block));
    }

    /// Earliest presentation time and end of the latest frame. A frame lasts as long as the one before it of the main track.
    fn span(&mut self, frames: &[Frame]) -> (UnixMicros, UnixMicros) {
        let Some(main) = frames.iter().map(|frame| frame.track).min() else {
            let end = self
                .blocks
                .back()
                .map_or(self.last_start.unwrap_or_default(), |block| block.end);
            return (end, end);
        };
        let mut times: Vec<UnixMicros> = frames
            .iter()
            .filter(|frame| frame.track == main)
            .map(|frame| frame.time)
            .collect();
        times.sort_unstable();
        if let [.., before, last] = times.as_slice() {
            self.interval = Some(last.since(*before).max(Micros(1)).min(INTERVAL_MAX));
        }
        let first = frames
            .iter()
            .map(|frame| frame.time)
            .min()
            .unwrap_or_default();
        let last = frames
            .iter()
            .map(|frame| frame.time)
            .max()
            .unwrap_or_default();
        let end = times.last().copied().unwrap_or(last) + self.interval.unwrap_or(INTERVAL_DEFAULT);
        (first, end.max(last + Micros(1)))
    }
}
