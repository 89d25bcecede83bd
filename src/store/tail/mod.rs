//! The tail: the newest frames of one stream in memory, already cut into the blocks they will be on disk.
//!
//! Ingest pushes frames; the volume's writer takes blocks that are due and says when they are durable; until then the tail keeps
//! them, so that a block whose segment or volume fails is written again elsewhere, the same frames under the same run and number
//! (design laws L5, L6). A block is cut at a key frame when it can be, at the commit interval, or at `block_len_max`.
//!
//! Bounds (L8): a stream holds at most `waiting_max` bytes that no writer has taken, and all tails together the bytes of
//! their shared `TailBudget`. Past it, whole groups of pictures of the stream that is behind are shed: its run ends with cause
//! `overload`, and a new run starts at a key frame once there is room.
//!
//! Readers may look (`follow`): the newest frames are played and watched from here before they are on disk. They never hold up a
//! frame: what becomes durable leaves, but for the little that is kept for those who follow.

mod block;
mod follow;
mod state;

pub use block::{Run, TailBlock};
pub use follow::Followed;
pub use state::BLOCK_FRAMES_MAX;

use crate::{
    base::{Micros, UnixMicros},
    format::description::RunDescription,
    media::{Frame, FrameKind, GapCause, StreamId},
};
use state::{State, is_video};
use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering},
};
use tokio::sync::watch;

/// What a block costs besides its frames, run description included, where volumes are small.
const BLOCK_COST: usize = 8 << 10;

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
    /// Told of each frame, for those who follow.
    newest: watch::Sender<u64>,
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
            newest: watch::Sender::new(0),
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
        self.announce(state.sequence);
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

    /// Tells that the oldest `count` taken blocks are durable: they leave memory, unless somebody follows.
    pub fn durable(&self, count: usize) {
        let mut state = self.lock();
        assert!(count <= state.taken, "only what was taken becomes durable");
        let followed = self.is_followed();
        for block in state.blocks.drain(..count).collect::<Vec<_>>() {
            self.budget
                .held
                .fetch_sub(block.bytes as u64, Ordering::Relaxed);
            state.counters.held -= block.bytes as u64;
            state.counters.durable = state.counters.durable.max(Some(block.end));
            state.kept.push_back(block);
        }
        state.let_go(followed);
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
