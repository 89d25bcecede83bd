//! The writer of one volume: takes due blocks from the tails, makes batches of them, writes them one behind the other, and syncs in
//! groups. A state machine driven by `tick`, without threads or waiting of its own, so that the simulation drives the very same code.
//!
//! Keeps the order of `docs/format.md` §2: W2 a segment's header is durable before its first batch; W3 batches advance the log at
//! once and take effect in order; W4 syncs cover drained groups; W5 a chapter lists completed blocks only; W6 a directory
//! seals the segment; W8 a failed write or sync ends the segment, and what was not durable is written again.

use crate::{
    base::Micros,
    disk::{Completion, FileId, Operation, Request, Slot},
    format::{
        PAGE,
        chapter::CHAPTER_SPAN_MAX,
        directory::{DirectoryTrailer, directory_len},
        place::{Generation, SegmentNumber},
        row::RunId,
        segment::{HEADER_LEN, SegmentEnd, SegmentHeader},
    },
    store::{
        batch::{Gathering, PlannedBatch, Position, Room},
        index::IndexRun,
        ring::{Ring, SegmentLife},
        tail::Tail,
        volume::VolumeShared,
    },
};
use std::{
    collections::{HashMap, HashSet, VecDeque},
    io,
    sync::{Arc, mpsc},
};

/// A batch is written at the latest when its oldest frame has waited so much of the commit interval: the rest is for the write.
const COMMIT_SHARE: (i64, i64) = (9, 10);
/// Blocks that have waited so much of it go along: fewer, larger writes.
const JOIN_SHARE: (i64, i64) = (2, 3);
/// Unfinished chapters reach back at most about so many segments: a restart reads their directories.
const REPLAY_SEGMENTS_MAX: usize = 64;
/// Segments that may fail one after the other, without a sync in between, until the volume counts as failed.
const FAILURES_MAX: u32 = 3;

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

/// The segment being filled.
#[derive(Debug)]
pub(crate) struct OpenSegment {
    pub(crate) number: SegmentNumber,
    pub(crate) generation: Generation,
    pub(crate) log_end: u64,
    /// Number of the next batch.
    pub(crate) next_batch: u32,
    /// Batches known to be durable.
    pub(crate) synced: u32,
    /// The packed items of all batches: the directory to be.
    pub(crate) items: Vec<u8>,
    /// Runs whose description is among the items.
    pub(crate) described: HashSet<RunId>,
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
    previous: (Generation, SegmentNumber, SegmentEnd),
    in_flight: VecDeque<InFlight>,
    /// A header, directory or sync is in flight.
    stepping: Option<Micros>,
    step_error: Option<io::Error>,
    seal_pieces: VecDeque<(u64, Vec<u8>)>,
    unsynced: Vec<Unsynced>,
    unsynced_bytes: u64,
    unsynced_chapters: Vec<(IndexRun, crate::format::row::ChapterRow)>,
    /// Chapters in flight or written, by run and first block: not to be written a second time.
    chapters_taken: HashSet<(RunId, u32)>,
    last_sync: Micros,
    failures: u32,
    next_tail: usize,
    done: (mpsc::Sender<Done>, mpsc::Receiver<Done>),
    on_seal: Box<dyn FnMut(Generation) + Send>,
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
    /// A writer that goes on in `segment` (from recovery) or takes the next one. `on_seal` is called with the generation below which
    /// the index is complete (W7).
    pub(crate) fn new(
        shared: Arc<VolumeShared>,
        options: WriterOptions,
        ring: Ring,
        segment: Option<OpenSegment>,
        on_seal: Box<dyn FnMut(Generation) + Send>,
    ) -> Self {
        let previous = segment
            .as_ref()
            .map_or((Generation::NONE, 0, SegmentEnd::Unknown), |segment| {
                (segment.generation, segment.number, SegmentEnd::Unknown)
            });
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
            on_seal,
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
                return;
            }
        }
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
                index.end_run(run.id, cause);
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
                (self.on_seal)(Generation(sealed.generation.0 + 1));
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

    fn done_callback(
        &self,
        wrap: impl FnOnce(Completion) -> Done + Send + 'static,
    ) -> Box<dyn FnOnce(Completion) + Send> {
        let (sender, waker) = (self.done.0.clone(), self.waker.clone());
        Box::new(move |completion| {
            let _ = sender.send(wrap(completion));
            if let Some(thread) = waker {
                thread.unpark();
            }
        })
    }

    /// W2: takes the segment in its oldest life and writes its header.
    fn take_segment(&mut self, now: Micros) -> bool {
        let Some(slot) = self.shared.disk.slab().take() else {
            return false;
        };
        let Some(number) = self.ring.next(None) else {
            self.fail("no segment is left that can be written");
            return true;
        };
        if let Err(error) = self.shared.files.segment(number) {
            tracing::error!(volume = %self.shared.name, segment = number, %error, "a segment cannot be opened and is left out of the ring; check the disk");
            self.ring.quarantine(number);
            self.shared.index_mut().give_up(&[number]);
            self.shared.metrics.failures.inc();
            self.failures += 1;
            if self.failures >= FAILURES_MAX {
                self.fail("segment after segment cannot be opened");
            }
            return true;
        }
        let generation = self.ring.take(number);
        let taken_us = self.shared.clock.now().0;
        self.shared.index_mut().set_life(
            number,
            SegmentLife {
                generation,
                quarantined: false,
            },
            taken_us,
        );
        let header = SegmentHeader {
            segment: number,
            generation,
            previous: (self.previous.0, self.previous.1),
            previous_end: self.previous.2,
            ring: true,
            taken_us,
        };
        self.segment = Some(OpenSegment {
            number,
            generation,
            log_end: HEADER_LEN,
            next_batch: 0,
            synced: 0,
            items: Vec::new(),
            described: HashSet::new(),
        });
        self.phase = Phase::Header;
        let page = header.encode(&self.shared.superblock.volume);
        self.write_page(slot, 0, &page, number, now);
        self.shared.metrics.segments_taken.inc();
        true
    }

    fn write_page(
        &mut self,
        mut slot: Slot,
        offset: u64,
        bytes: &[u8],
        segment: SegmentNumber,
        now: Micros,
    ) {
        slot[..bytes.len()].copy_from_slice(bytes);
        self.shared.metrics.written_bytes.inc_by(bytes.len() as u64);
        self.shared.metrics.writes.inc();
        self.step(
            Operation::Write {
                offset,
                slot,
                len: bytes.len(),
            },
            segment,
            now,
        );
    }

    fn sync(&mut self, phase: Phase, now: Micros) -> bool {
        let number = self.segment.as_ref().expect("a segment is open").number;
        self.phase = phase;
        self.step(Operation::Sync, number, now);
        true
    }

    /// Writes the next batch, or turns to a sync or the seal.
    fn log(&mut self, now: Micros, flush: bool) -> bool {
        let unsynced = !self.unsynced.is_empty() || !self.unsynced_chapters.is_empty();
        let due = now >= self.last_sync + self.options.sync_interval || self.window_is_used_up();
        if unsynced && (due || flush && self.in_flight.is_empty() && !self.something_waits()) {
            self.phase = Phase::DrainToSync;
            return true;
        }
        if self.in_flight.len() >= self.options.depth {
            return false;
        }
        let Some(slot) = self.shared.disk.slab().take() else {
            return false;
        };
        let gathering = self.gather(now, flush, slot.len());
        if gathering.is_empty() {
            return self.phase != Phase::Log;
        }
        let segment = self.segment.as_mut().expect("a segment is open");
        let position = Position {
            volume: self.shared.superblock.volume,
            session: self.shared.superblock.session,
            segment: segment.number,
            generation: segment.generation,
            offset: segment.log_end,
            number: segment.next_batch,
            synced: segment.synced,
        };
        let batch = gathering.place(&position);
        for planned in &batch.chapters {
            self.chapters_taken
                .insert((planned.chapter.run.id, planned.row.number));
        }
        segment.described.extend(batch.described.iter().copied());
        segment.log_end += u64::from(batch.len);
        segment.next_batch += 1;
        self.submit(batch, position, slot, now);
        true
    }

    fn submit(&mut self, batch: PlannedBatch, position: Position, mut slot: Slot, now: Micros) {
        let len = batch.len as usize;
        let mut entry = InFlight {
            number: position.number,
            batch,
            submitted: now,
            result: None,
        };
        if len == 0 {
            entry.result = Some(Ok(()));
            self.in_flight.push_back(entry);
            return;
        }
        let items = entry
            .batch
            .fill(&position, self.shared.clock.now(), &mut slot);
        if let Some(segment) = &mut self.segment {
            segment.items.extend_from_slice(&items);
        }
        self.shared.metrics.writes.inc();
        self.shared.metrics.written_bytes.inc_by(len as u64);
        self.in_flight.push_back(entry);
        let number = position.number;
        let done = self.done_callback(move |completion| Done::Batch(number, completion));
        let operation = Operation::Write {
            offset: position.offset,
            slot,
            len,
        };
        self.shared.disk.submit(Request {
            file: self.file(position.segment),
            operation,
            done,
        });
    }

    /// Whether the next batch might lie further behind the last sync than recovery searches.
    fn window_is_used_up(&self) -> bool {
        let superblock = &self.shared.superblock;
        let in_flight: u64 = self
            .in_flight
            .iter()
            .map(|entry| u64::from(entry.batch.len))
            .sum();
        let next = self.unsynced_bytes + in_flight + 2 * u64::from(superblock.batch_len_max);
        next > superblock.window_len
    }

    fn something_waits(&self) -> bool {
        let chapters = self.shared.index().closing().len();
        self.shared
            .tails()
            .iter()
            .any(|tail| tail.oldest_waiting().is_some())
            || chapters > self.unsynced_chapters.len()
    }

    /// Gathers what is due. When the segment has no room for any of it, turns to the seal.
    fn gather(&mut self, now: Micros, flush: bool, slot_len: usize) -> Gathering {
        let segment = self.segment.as_ref().expect("a segment is open");
        let room = Room {
            batch: slot_len.min(self.shared.superblock.batch_len_max as usize),
            segment: self.shared.superblock.segment_len - segment.log_end,
            items: segment.items.len(),
        };
        let mut gathering = Gathering::new(room);
        let share = |(part, whole): (i64, i64)| {
            Micros(now.0 - self.options.commit_interval.0 * part / whole)
        };
        let tails = self.shared.tails();
        let due = tails.iter().any(|tail| {
            tail.oldest_waiting()
                .is_some_and(|oldest| oldest <= share(COMMIT_SHARE))
        });
        let waiting: usize = tails.iter().map(|tail| tail.waiting()).sum();
        let (cut_before, due_before) = if flush {
            (now, now)
        } else if due {
            (share(JOIN_SHARE), share(JOIN_SHARE))
        } else if waiting >= room.batch {
            (Micros(i64::MIN), now)
        } else {
            (Micros(i64::MIN), Micros(i64::MIN))
        };
        // What does not fit an empty segment fits none.
        let alone = segment.log_end == HEADER_LEN;
        let mut too_long = Vec::new();
        let chapters = self.shared.index().closing();
        let fresh = chapters.iter().filter(|chapter| {
            !self
                .chapters_taken
                .contains(&(chapter.run.id, chapter.rows[0].number))
        });
        for chapter in fresh {
            if !gathering.add_chapter(chapter, &segment.described) {
                too_long.extend((alone && gathering.is_empty()).then(|| Arc::clone(chapter)));
                break;
            }
        }
        let count = tails.len();
        let mut next = self.next_tail;
        for step in 0..count {
            let at = (self.next_tail + step) % count;
            let tail = &tails[at];
            let mut full = false;
            tail.take(cut_before, due_before, &mut |block| {
                let taken = gathering.add_block(tail, block, &segment.described);
                if !taken && alone && gathering.is_empty() {
                    self.shared.give_up(block);
                    gathering.give_up_block(tail, block);
                    return true;
                }
                full |= !taken;
                taken
            });
            if full {
                next = at;
                break;
            }
            next = at + 1;
        }
        drop(tails);
        self.next_tail = next;
        for chapter in &too_long {
            self.shared.index_mut().drop_chapter(chapter);
        }
        if gathering.is_empty() && gathering.refused() && !alone {
            self.phase = Phase::DrainToSeal;
        }
        gathering
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

    /// Has chapters written that hold up the start of the replay.
    fn close_stale(&mut self) {
        let mut generations: Vec<Generation> = self
            .ring
            .lives()
            .iter()
            .map(|life| life.generation)
            .collect();
        generations.sort_unstable_by(|a, b| b.cmp(a));
        let oldest = generations
            .get(REPLAY_SEGMENTS_MAX)
            .copied()
            .unwrap_or_default();
        self.shared
            .index_mut()
            .close_stale(oldest, self.shared.clock.now() - CHAPTER_SPAN_MAX);
    }

    /// W6: the directory, then its trailer in the last page.
    fn seal(&mut self) -> bool {
        let segment = self.segment.as_ref().expect("a segment is open");
        let items_len = segment.items.len() as u64;
        let segment_len = self.shared.superblock.segment_len;
        let items_offset = segment_len - directory_len(items_len);
        assert!(
            items_offset >= segment.log_end,
            "W6: room was kept for the directory"
        );
        let trailer = DirectoryTrailer {
            segment: segment.number,
            generation: segment.generation,
            session: self.shared.superblock.session,
            items_offset,
            log_end: segment.log_end,
            items_len: items_len as u32,
            items_crc: crate::format::checksum(&[&segment.items]),
            batch_count: segment.next_batch,
            sealed_us: self.shared.clock.now().0,
        };
        let mut bytes = segment.items.clone();
        bytes.resize((directory_len(items_len) - PAGE) as usize, 0);
        bytes.extend_from_slice(&trailer.encode(&self.shared.superblock.volume));
        let piece = self.shared.disk.slab().slot_len();
        self.seal_pieces = bytes
            .chunks(piece)
            .enumerate()
            .map(|(index, chunk)| (items_offset + (index * piece) as u64, chunk.to_vec()))
            .collect();
        self.phase = Phase::Seal;
        true
    }

    fn write_directory(&mut self, now: Micros) -> bool {
        if self.seal_pieces.is_empty() {
            return self.sync(Phase::SealSync, now);
        }
        let Some(slot) = self.shared.disk.slab().take() else {
            return false;
        };
        let Some((offset, bytes)) = self.seal_pieces.pop_front() else {
            return false;
        };
        let number = self
            .segment
            .as_ref()
            .expect("a segment is being sealed")
            .number;
        self.write_page(slot, offset, &bytes, number, now);
        true
    }

    /// W8: the segment is left as it is.
    fn abandon(&mut self, error: &io::Error, action: &'static str, now: Micros) {
        let number = self.segment.as_ref().map(|segment| segment.number);
        tracing::error!(
            volume = %self.shared.name,
            segment = number,
            %error,
            "{action} failed: the segment is quarantined and what was not durable is written again elsewhere; check the disk"
        );
        self.shared.metrics.failures.inc();
        self.failures += 1;
        self.last_sync = now;
        self.phase = Phase::Abandon;
    }

    fn leave_segment(&mut self) -> bool {
        if self.in_flight.iter().any(|entry| entry.result.is_none()) {
            return false;
        }
        let mut tails: HashMap<*const Tail, Arc<Tail>> = HashMap::new();
        let mut lost = HashSet::new();
        for unsynced in self.unsynced.drain(..) {
            lost.extend(unsynced.blocks);
            tails.insert(Arc::as_ptr(&unsynced.tail), unsynced.tail);
        }
        for planned in self
            .in_flight
            .drain(..)
            .flat_map(|entry| entry.batch.blocks)
        {
            tails.insert(Arc::as_ptr(&planned.tail), planned.tail);
        }
        self.unsynced_chapters.clear();
        self.chapters_taken.clear();
        self.seal_pieces.clear();
        self.unsynced_bytes = 0;
        let mut index = self.shared.index_mut();
        index.drop_blocks(&lost);
        if let Some(segment) = self.segment.take() {
            self.ring.quarantine(segment.number);
            let life = self.ring.life(segment.number);
            index.set_life(segment.number, life, self.shared.clock.now().0);
            index.life_is_durable(segment.number);
            self.previous = (segment.generation, segment.number, SegmentEnd::Abandoned);
        }
        drop(index);
        for tail in tails.values() {
            tail.rollback();
        }
        self.phase = Phase::Take;
        if self.failures >= FAILURES_MAX {
            self.fail("segment after segment could not be written");
        }
        true
    }

    fn fail(&mut self, why: &str) {
        tracing::error!(volume = %self.shared.name, "the volume failed: {why}; its streams go on on another volume of the pool, replace the disk");
        self.phase = Phase::Failed;
        self.shared.fail();
    }
}
