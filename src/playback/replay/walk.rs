//! Through the blocks of a stream, forwards or backwards, window by window: a month is never listed at once.
//!
//! What is listed of a window are pieces, whose rows are read one piece (ten minutes at most) at a time. Blocks come in the order of their
//! run and number, or the other way round, each once, although a block on its way to a volume is listed in two places and a piece reaches
//! into two windows. Where the clock was set back, runs lie side by side in time: then each window gives its part of either.

use super::{Direction, RecordingsNow};
use crate::{
    base::{Micros, TimeRange, UnixMicros},
    media::{FrameEntry, FrameKind, StreamId, TrackId},
    playback::groups::main_track,
    store::{
        RunDescription,
        recordings::{ListedPiece, RecordedBlock, RecordedPiece, Recordings},
        tail::{Run, Tail},
    },
};
use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    sync::Arc,
};

/// What is listed at once: some twenty chapters.
const WINDOW: Micros = Micros::from_secs(4 * 3600);
/// Where nothing is recorded, windows grow by this factor.
const WINDOW_GROWTH: i64 = 8;

/// A run whose frames are given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlayedRun {
    /// When it began, which is its identity within the stream.
    pub started: UnixMicros,
    /// Its description.
    pub description: RunDescription,
    /// The track that sets the measure: the pictures, else the first.
    pub main: TrackId,
}

impl PlayedRun {
    fn new(started: UnixMicros, description: RunDescription) -> Self {
        Self {
            started,
            main: main_track(&description.tracks),
            description,
        }
    }

    /// A run in memory.
    pub(super) fn of_tail(run: &Run) -> Self {
        Self::new(run.id.run, run.description.clone())
    }

    /// Whether decoding of the main track can start at a frame.
    pub(super) fn is_entry(&self, frame: &FrameEntry) -> bool {
        frame.track == self.main && frame.kind == FrameKind::Key && frame.size > 0
    }
}

/// A block on the way.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) block: RecordedBlock,
    pub(super) run: Arc<PlayedRun>,
}

impl Step {
    /// Run and number.
    pub(super) fn key(&self) -> (UnixMicros, u32) {
        (self.run.started, self.block.number())
    }
}

/// The way.
pub(super) struct Walk {
    now: RecordingsNow,
    stream: StreamId,
    direction: Direction,
    /// What is walked through.
    range: TimeRange,
    /// Up to here, in the direction of the walk, all is listed.
    edge: UnixMicros,
    done: bool,
    pieces: VecDeque<ListedPiece>,
    steps: VecDeque<Step>,
    /// Per run of the last windows: forwards the number behind the last block given, backwards that of the last.
    passed: BTreeMap<UnixMicros, u32>,
    /// Runs before this one lie behind a forward walk.
    first_run: UnixMicros,
    run: Option<Arc<PlayedRun>>,
    tail: Option<Arc<Tail>>,
}

impl fmt::Debug for Walk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Walk")
            .field("stream", &self.stream)
            .field("direction", &self.direction)
            .field("edge", &self.edge)
            .finish_non_exhaustive()
    }
}

impl Walk {
    /// Through all blocks of `stream` that touch `range`.
    pub(super) fn new(
        now: RecordingsNow,
        stream: StreamId,
        direction: Direction,
        range: TimeRange,
    ) -> Self {
        let edge = match direction {
            Direction::Forward => range.start,
            Direction::Reverse => range.end,
        };
        Self {
            now,
            stream,
            direction,
            range,
            edge,
            done: false,
            pieces: VecDeque::new(),
            steps: VecDeque::new(),
            passed: BTreeMap::new(),
            first_run: UnixMicros::MIN,
            run: None,
            tail: None,
        }
    }

    /// Looks again, forwards from `from`, and there from block `number` of `run` on (any, when `None`).
    pub(super) fn again(&mut self, from: UnixMicros, run: UnixMicros, number: Option<u32>) {
        self.edge = from;
        self.done = false;
        self.pieces.clear();
        self.steps.clear();
        self.first_run = run;
        self.passed.clear();
        self.passed.extend(number.map(|number| (run, number)));
    }

    /// The stream.
    pub(super) fn stream(&self) -> StreamId {
        self.stream
    }

    /// The tail of the stream as it was when blocks were listed last.
    pub(super) fn tail(&self) -> Option<&Arc<Tail>> {
        self.tail.as_ref()
    }

    /// What is recorded now.
    pub(super) fn recordings(&self) -> Recordings {
        (self.now)()
    }

    /// Finds the next `count` blocks, fewer at the end. Nothing is lost when it is not waited for to the end.
    pub(super) async fn fill(&mut self, count: usize) {
        while self.steps.len() < count {
            let Some(piece) = self.pieces.front() else {
                if self.done {
                    return;
                }
                self.list();
                continue;
            };
            let read = piece.clone().read().await;
            // Who looks for one picture in an hour goes through many chapters: others have their turn between two.
            tokio::task::yield_now().await;
            self.pieces.pop_front();
            match read {
                Ok(Some(piece)) => self.add(piece),
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(stream = %self.stream, %error, "a replay goes on behind a chapter that cannot be read");
                }
            }
        }
    }

    /// The next block, if `fill` found it.
    pub(super) fn front(&self) -> Option<&Step> {
        self.steps.front()
    }

    /// Goes on.
    pub(super) fn pop(&mut self) -> Option<Step> {
        self.steps.pop_front()
    }

    /// Lists the pieces of the next window in which there are any.
    fn list(&mut self) {
        let recordings = (self.now)();
        self.tail = recordings.tail(self.stream).map(Arc::clone);
        let bounds = recordings.bounds(self.stream);
        let beyond = match self.direction {
            Direction::Forward => self.edge >= self.range.end,
            Direction::Reverse => self.edge <= self.range.start,
        };
        let Some((first, last)) = bounds.filter(|_| !beyond) else {
            self.done = true;
            return;
        };
        let mut window = WINDOW;
        while !self.done {
            let range = self.next_window(window, first, last);
            let mut listed = recordings.listed(self.stream, range);
            window = Micros(window.0.saturating_mul(WINDOW_GROWTH));
            if listed.is_empty() {
                continue;
            }
            let runs: Vec<UnixMicros> = listed.iter().map(|piece| piece.stretch.run).collect();
            self.passed
                .retain(|run, _| runs.binary_search(run).is_ok() || *run == self.first_run);
            if self.direction == Direction::Reverse {
                listed.reverse();
            }
            self.pieces = listed.into();
            return;
        }
    }

    /// The window behind the edge, which it moves. What is recorded lies between `first` and `last`.
    fn next_window(&mut self, window: Micros, first: UnixMicros, last: UnixMicros) -> TimeRange {
        match self.direction {
            Direction::Forward => {
                let start = self.edge;
                let end = start.max(first) + window;
                self.done = end > last || end >= self.range.end;
                // The newest frames come while this is looked at.
                self.edge = if self.done { self.range.end } else { end };
                TimeRange {
                    start,
                    end: self.edge,
                }
            }
            Direction::Reverse => {
                let end = self.edge;
                let start = end.min(last) - window;
                self.done = start <= first || start <= self.range.start;
                self.edge = if self.done { self.range.start } else { start };
                TimeRange {
                    start: self.edge,
                    end,
                }
            }
        }
    }

    fn add(&mut self, piece: RecordedPiece) {
        let Some(run) = self.run_of(&piece) else {
            return;
        };
        match self.direction {
            Direction::Forward => piece
                .blocks
                .into_iter()
                .for_each(|block| self.add_forward(&run, block)),
            Direction::Reverse => piece
                .blocks
                .into_iter()
                .rev()
                .for_each(|block| self.add_reverse(&run, block)),
        }
    }

    fn add_forward(&mut self, run: &Arc<PlayedRun>, block: RecordedBlock) {
        let number = block.number();
        let behind = self.passed.get(&run.started).copied();
        if run.started < self.first_run || block.end() <= self.range.start && behind.is_none() {
            return;
        }
        if behind.is_some_and(|behind| number < behind) {
            // What was unfinished in memory may be whole on a volume by now.
            let last = self.steps.back_mut();
            let grown = last.filter(|step| {
                step.key() == (run.started, number) && step.block.sequence_end().is_some()
            });
            if let Some(step) = grown.filter(|_| block.sequence_end().is_none()) {
                step.block = block;
            }
            return;
        }
        self.passed.insert(run.started, number.saturating_add(1));
        let run = Arc::clone(run);
        self.steps.push_back(Step { block, run });
    }

    fn add_reverse(&mut self, run: &Arc<PlayedRun>, block: RecordedBlock) {
        let number = block.number();
        let before = self.passed.get(&run.started).copied();
        if before.is_some_and(|before| number >= before) {
            return;
        }
        self.passed.insert(run.started, number);
        let run = Arc::clone(run);
        self.steps.push_back(Step { block, run });
    }

    fn run_of(&mut self, piece: &RecordedPiece) -> Option<Arc<PlayedRun>> {
        let started = piece.stretch.run;
        if let Some(run) = self.run.as_ref().filter(|run| run.started == started) {
            return Some(Arc::clone(run));
        }
        let description = RunDescription::decode(&piece.description).ok()?;
        let run = Arc::new(PlayedRun::new(started, description));
        self.run = Some(Arc::clone(&run));
        Some(run)
    }
}
