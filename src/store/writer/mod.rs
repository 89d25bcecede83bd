//! The writer of one volume: takes due blocks from the tails, makes batches of them, writes them one behind the other, and syncs in
//! groups. A state machine driven by `tick`, without threads or waiting of its own, so that the simulation drives the very same code.
//!
//! Keeps the order of `docs/format.md` §2: W2 a segment's header is durable before its first batch; W3 batches advance the log at
//! once and take effect in order; W4 syncs cover drained groups; W5 a chapter lists completed blocks only; W6 a directory
//! seals the segment; W8 a failed write or sync ends the segment, and what was not durable is written again.

mod log;
mod segment;

use crate::{
    base::Micros,
    disk::{Completion, FileId, Operation, Request},
    format::{
        place::{Generation, SegmentNumber},
        row::{ChapterRow, RunId},
        segment::SegmentEnd,
    },
    store::{batch::PlannedBatch, index::IndexRun, ring::Ring, tail::Tail, volume::VolumeShared},
};
use std::{
    collections::{HashSet, VecDeque},
    io,
    sync::{Arc, mpsc},
};

pub(crate) use segment::{OpenSegment, PreviousSegment};

/// When data go to disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WriterOptions {
    /// A frame is handed to the disk at the latest so long after it came.
    pub commit_interval: Micros,
    /// Written data are made durable about this often.
    pub sync_interval: Micros,
    /// Batches in flight at once.
    pub depth: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// A segment is to be taken.
    Take,
    /// Its header is being written, then synced.
    Header,
    HeaderSync,
    /// Batches are written.
    Log,
    /// Batches in flight complete, then follows a sync or the seal.
    DrainToSync,
    DrainToSeal,
    /// A sync is in flight; after it the log goes on, or the segment is sealed.
    Sync,
    SyncToSeal,
    /// The directory is being written, then synced.
    Seal,
    SealSync,
    /// Requests in flight complete, then the segment is left.
    Abandon,
    /// The volume failed: nothing is written any more.
    Failed,
}

#[derive(Debug)]
struct InFlight {
    number: u32,
    batch: PlannedBatch,
    submitted: Micros,
    result: Option<io::Result<()>>,
}

#[derive(Debug)]
enum Done {
    Batch(u32, Completion),
    Step(Completion),
}

/// Blocks of one tail that are written and not durable.
#[derive(Debug)]
struct Unsynced {
    tail: Arc<Tail>,
    blocks: Vec<(RunId, u32)>,
    count: usize,
}

/// The writer of one volume.
pub struct Writer {
    shared: Arc<VolumeShared>,
    options: WriterOptions,
    ring: Ring,
    phase: Phase,
    segment: Option<OpenSegment>,
    previous: PreviousSegment,
    in_flight: VecDeque<InFlight>,
    /// A header, directory or sync is in flight.
    stepping: Option<Micros>,
    step_error: Option<io::Error>,
    seal_pieces: VecDeque<(u64, Vec<u8>)>,
    unsynced: Vec<Unsynced>,
    unsynced_bytes: u64,
    unsynced_chapters: Vec<(IndexRun, ChapterRow)>,
    /// Chapters in flight or written, by run and first block: not to be written a second time.
    chapters_taken: HashSet<(RunId, u32)>,
    last_sync: Micros,
    failures: u32,
    next_tail: usize,
    done: (mpsc::Sender<Done>, mpsc::Receiver<Done>),
    on_covered: Box<dyn FnMut(Generation) + Send>,
    /// The segment and the batches in it when a stop last had nothing left to do.
    rested: Option<(Generation, u32)>,
    waker: Option<std::thread::Thread>,
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer")
            .field("phase", &self.phase)
            .field("segment", &self.segment)
            .finish_non_exhaustive()
    }
}

impl Writer {
    /// A writer that goes on in `segment` (from recovery) or takes the next one after `previous`. `on_covered` is called with the
    /// generation below which the index is complete (W7), at each seal and when a stop has nothing left to do.
    pub(crate) fn new(
        shared: Arc<VolumeShared>,
        options: WriterOptions,
        ring: Ring,
        segment: Option<OpenSegment>,
        previous: PreviousSegment,
        on_covered: Box<dyn FnMut(Generation) + Send>,
    ) -> Self {
        let phase = if segment.is_some() {
            Phase::Log
        } else {
            Phase::Take
        };
        Self {
            shared,
            options,
            ring,
            phase,
            segment,
            previous,
            in_flight: VecDeque::new(),
            stepping: None,
            step_error: None,
            seal_pieces: VecDeque::new(),
            unsynced: Vec::new(),
            unsynced_bytes: 0,
            unsynced_chapters: Vec::new(),
            chapters_taken: HashSet::new(),
            last_sync: Micros::ZERO,
            failures: 0,
            next_tail: 0,
            done: mpsc::channel(),
            on_covered,
            rested: None,
            waker: None,
        }
    }

    /// Has completions wake `thread`, which parks between ticks.
    pub(crate) fn wake(&mut self, thread: std::thread::Thread) {
        self.waker = Some(thread);
    }

    /// Whether the volume failed.
    pub fn has_failed(&self) -> bool {
        self.phase == Phase::Failed
    }

    /// Whether all that was taken is durable and nothing is in flight.
    pub fn is_idle(&self) -> bool {
        matches!(self.phase, Phase::Log | Phase::Take | Phase::Failed)
            && self.in_flight.is_empty()
            && self.unsynced.is_empty()
            && self.unsynced_chapters.is_empty()
            && self.stepping.is_none()
    }

    /// Does all that can be done at monotonic time `now` without waiting. With `flush`, frames and syncs do not wait for
    /// their intervals.
    pub fn tick(&mut self, now: Micros, flush: bool) {
        loop {
            while let Ok(done) = self.done.1.try_recv() {
                self.complete(done, now);
            }
            self.retire(now);
            if !self.advance(now, flush) {
                break;
            }
        }
        let waiting: usize = self.shared.tails().iter().map(|tail| tail.waiting()).sum();
        self.shared.metrics.waiting_bytes.set(waiting as i64);
    }

    fn complete(&mut self, done: Done, now: Micros) {
        match done {
            Done::Batch(number, completion) => {
                let entry = self
                    .in_flight
                    .iter_mut()
                    .find(|entry| entry.number == number);
                let entry = entry.expect("D1: a batch completes once");
                self.shared
                    .metrics
                    .write_seconds
                    .observe(now.0.saturating_sub(entry.submitted.0) as f64 / 1e6);
                entry.result = Some(completion.result);
            }
            Done::Step(completion) => {
                let since = self.stepping.take().expect("D1: a step completes once");
                if completion.slot.is_none() {
                    self.shared
                        .metrics
                        .sync_seconds
                        .observe(now.0.saturating_sub(since.0) as f64 / 1e6);
                    self.shared.metrics.syncs.inc();
                }
                self.step_error = completion.result.err();
            }
        }
    }

    /// Lets completed batches take effect in the order of the log (W3).
    fn retire(&mut self, now: Micros) {
        while self.phase != Phase::Abandon
            && self
                .in_flight
                .front()
                .is_some_and(|entry| entry.result.is_some())
        {
            let Some(entry) = self.in_flight.pop_front() else {
                return;
            };
            match entry.result {
                Some(Ok(())) => self.take_effect(entry.batch),
                result => {
                    let error = result
                        .and_then(Result::err)
                        .unwrap_or_else(|| io::Error::other("no result"));
                    self.in_flight.push_front(InFlight {
                        result: Some(Ok(())),
                        ..entry
                    });
                    self.abandon(&error, "write", now);
                }
            }
        }
    }

    fn take_effect(&mut self, batch: PlannedBatch) {
        self.unsynced_bytes += u64::from(batch.len);
        self.shared.metrics.media_bytes.inc_by(batch.media_bytes());
        let mut index = self.shared.index_mut();
        for planned in batch.blocks {
            let run = &planned.block.run;
            if let Some(row) = planned.row {
                let run = IndexRun {
                    id: run.id,
                    start_cause: run.description.start_cause,
                    packed: run.packed.clone(),
                };
                index.add_block(&run, row);
            }
            if let Some(cause) = planned.block.ends {
                index.end_run(run.id, Some(cause));
            }
            let identity = (run.id, planned.block.number);
            match self
                .unsynced
                .iter_mut()
                .find(|unsynced| Arc::ptr_eq(&unsynced.tail, &planned.tail))
            {
                Some(unsynced) => {
                    unsynced.blocks.push(identity);
                    unsynced.count += 1;
                }
                None => self.unsynced.push(Unsynced {
                    tail: planned.tail,
                    blocks: vec![identity],
                    count: 1,
                }),
            }
        }
        self.unsynced_chapters.extend(
            batch
                .chapters
                .into_iter()
                .map(|planned| (planned.chapter.run.clone(), planned.row)),
        );
    }

    /// One step onwards; whether there was one.
    fn advance(&mut self, now: Micros, flush: bool) -> bool {
        if self.stepping.is_some() {
            return false;
        }
        if let Some(error) = self.step_error.take() {
            let action = if matches!(
                self.phase,
                Phase::HeaderSync | Phase::Sync | Phase::SyncToSeal | Phase::SealSync
            ) {
                "sync"
            } else {
                "write"
            };
            self.abandon(&error, action, now);
            return true;
        }
        match self.phase {
            Phase::Take => self.take_segment(now),
            Phase::Header => self.sync(Phase::HeaderSync, now),
            Phase::HeaderSync => {
                let number = self.segment.as_ref().expect("a segment was taken").number;
                self.shared.index_mut().life_is_durable(number);
                self.phase = Phase::Log;
                true
            }
            Phase::Log => self.log(now, flush),
            Phase::DrainToSync => self.in_flight.is_empty() && self.sync(Phase::Sync, now),
            Phase::Sync => {
                self.durable(now);
                self.phase = Phase::Log;
                true
            }
            Phase::DrainToSeal => self.in_flight.is_empty() && self.sync(Phase::SyncToSeal, now),
            Phase::SyncToSeal => {
                self.durable(now);
                self.seal()
            }
            Phase::Seal => self.write_directory(now),
            Phase::SealSync => {
                let sealed = self.segment.take().expect("a segment was sealed");
                self.previous = (sealed.generation, sealed.number, SegmentEnd::Sealed);
                self.close_stale();
                (self.on_covered)(Generation(sealed.generation.0 + 1));
                self.phase = Phase::Take;
                true
            }
            Phase::Abandon => self.leave_segment(),
            Phase::Failed => false,
        }
    }

    fn file(&self, segment: SegmentNumber) -> FileId {
        self.shared
            .files
            .segment(segment)
            .expect("a segment's file is opened when it is taken")
    }

    fn step(&mut self, operation: Operation, segment: SegmentNumber, now: Micros) {
        assert!(self.stepping.is_none(), "one step at a time");
        self.stepping = Some(now);
        let done = self.done_callback(Done::Step);
        self.shared.disk.submit(Request {
            file: self.file(segment),
            operation,
            done,
        });
    }

    /// What a request handed to the disk does when it is done. It is in the disk's queue from now on.
    fn done_callback(
        &self,
        wrap: impl FnOnce(Completion) -> Done + Send + 'static,
    ) -> Box<dyn FnOnce(Completion) + Send> {
        let (sender, waker) = (self.done.0.clone(), self.waker.clone());
        let queue = self.shared.metrics.disk_requests.clone();
        queue.inc();
        Box::new(move |completion| {
            queue.dec();
            let _ = sender.send(wrap(completion));
            if let Some(thread) = waker {
                thread.unpark();
            }
        })
    }

    fn sync(&mut self, phase: Phase, now: Micros) -> bool {
        let number = self.segment.as_ref().expect("a segment is open").number;
        self.phase = phase;
        self.step(Operation::Sync, number, now);
        true
    }

    /// W4: everything written is durable: chapters enter the index, tails drop their frames.
    fn durable(&mut self, now: Micros) {
        self.last_sync = now;
        self.failures = 0;
        self.unsynced_bytes = 0;
        if let Some(segment) = &mut self.segment {
            segment.synced = segment.next_batch;
        }
        {
            let mut index = self.shared.index_mut();
            for (run, row) in self.unsynced_chapters.drain(..) {
                index.add_chapter(&run, &row);
                self.chapters_taken.remove(&(run.id, row.number));
            }
        }
        for unsynced in self.unsynced.drain(..) {
            unsynced.tail.durable(unsynced.count);
        }
    }
}
