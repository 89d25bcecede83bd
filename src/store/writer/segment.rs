//! The life of a segment in the writer: taken with its header (W2), sealed with its directory (W6), or left after a failure (W8).

use super::{Phase, Writer};
use crate::{
    base::Micros,
    disk::{Operation, Slot},
    format::{
        PAGE,
        chapter::CHAPTER_SPAN_MAX,
        directory::{DirectoryTrailer, directory_len},
        place::{Generation, SegmentNumber},
        row::RunId,
        segment::{HEADER_LEN, SegmentEnd, SegmentHeader},
    },
    store::{ring::SegmentLife, tail::Tail},
};
use std::{
    collections::{HashMap, HashSet},
    io,
    sync::Arc,
};

/// Unfinished chapters reach back at most about so many segments: a restart reads their directories.
const REPLAY_SEGMENTS_MAX: usize = 64;
/// Segments that may fail one after the other, without a sync in between, until the volume counts as failed.
const FAILURES_MAX: u32 = 3;

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

/// The segment that was filled before, and how it was left: for the next one's header.
pub(crate) type PreviousSegment = (Generation, SegmentNumber, SegmentEnd);

impl Writer {
    /// W2: takes the segment in its oldest life and writes its header.
    pub(super) fn take_segment(&mut self, now: Micros) -> bool {
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

    /// Has chapters written that hold up the start of the replay.
    pub(super) fn close_stale(&mut self) {
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
    pub(super) fn seal(&mut self) -> bool {
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

    pub(super) fn write_directory(&mut self, now: Micros) -> bool {
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
    pub(super) fn abandon(&mut self, error: &io::Error, action: &'static str, now: Micros) {
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

    pub(super) fn leave_segment(&mut self) -> bool {
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
