//! What the writer puts into the log, and when: blocks that are due go together with those that soon will be, finished chapters
//! before them; a sync when its time has come or the window is used up.

use super::{Done, InFlight, Phase, Writer};
use crate::{
    base::Micros,
    disk::{Operation, Request, Slot},
    format::segment::HEADER_LEN,
    store::batch::{Gathering, PlannedBatch, Position, Room},
};
use std::sync::Arc;

/// A batch is written at the latest when its oldest frame has waited so much of the commit interval: the rest is for the write.
const COMMIT_SHARE: (i64, i64) = (9, 10);
/// Blocks that have waited so much of it go along: fewer, larger writes.
const JOIN_SHARE: (i64, i64) = (2, 3);

impl Writer {
    /// Writes the next batch, or turns to a sync or the seal.
    pub(super) fn log(&mut self, now: Micros, flush: bool) -> bool {
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
            if flush {
                self.rest();
            }
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

    /// W7 at a clean stop: all is durable, and every chapter below the open segment is in the index. The next start reads that one only.
    fn rest(&mut self) {
        let Some(segment) = &self.segment else { return };
        let now = (segment.generation, segment.next_batch);
        if self.is_idle() && self.rested != Some(now) {
            self.rested = Some(now);
            (self.on_covered)(now.0);
        }
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
}
