//! Filling the log: what is due goes into a batch, and the batch to the disk (W3).

use super::{COMMIT_SHARE, Done, InFlight, JOIN_SHARE, Phase, Writer};
use crate::{
    base::Micros,
    disk::{Operation, Request, Slot},
    store::batch::{Gathering, PlannedBatch, Position, Room},
};

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

    pub(super) fn submit(
        &mut self,
        batch: PlannedBatch,
        position: Position,
        mut slot: Slot,
        now: Micros,
    ) {
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
    pub(super) fn window_is_used_up(&self) -> bool {
        let superblock = &self.shared.superblock;
        let in_flight: u64 = self
            .in_flight
            .iter()
            .map(|entry| u64::from(entry.batch.len))
            .sum();
        let next = self.unsynced_bytes + in_flight + 2 * u64::from(superblock.batch_len_max);
        next > superblock.window_len
    }

    pub(super) fn something_waits(&self) -> bool {
        let chapters = self.shared.index().closing().len();
        self.shared
            .tails()
            .iter()
            .any(|tail| tail.oldest_waiting().is_some())
            || chapters > self.unsynced_chapters.len()
    }

    /// Gathers what is due. When the segment has no room for any of it, turns to the seal.
    pub(super) fn gather(&mut self, now: Micros, flush: bool, slot_len: usize) -> Gathering {
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
        let chapters = self.shared.index().closing();
        let fresh = chapters.iter().filter(|chapter| {
            !self
                .chapters_taken
                .contains(&(chapter.run.id, chapter.rows[0].number))
        });
        for chapter in fresh {
            if !gathering.add_chapter(chapter, &segment.described) {
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
        if gathering.is_empty() && gathering.refused() {
            self.phase = Phase::DrainToSeal;
        }
        gathering
    }
}
