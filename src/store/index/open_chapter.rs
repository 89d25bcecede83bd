//! A chapter that is not on disk yet: its rows, in memory.

use crate::{
    base::UnixMicros,
    format::{
        chapter::CHAPTER_SPAN_MAX,
        place::Generation,
        row::{BlockRow, RunId},
    },
    media::GapCause,
};
use bytes::Bytes;

/// A run as the index knows it: identity and packed description.
#[derive(Clone, Debug)]
pub struct IndexRun {
    /// Which run of which stream.
    pub id: RunId,
    /// Why there was a gap before it.
    pub start_cause: GapCause,
    /// Its packed description.
    pub packed: Bytes,
}

/// Rows of blocks that no chapter on disk lists yet.
#[derive(Clone, Debug)]
pub struct OpenChapter {
    /// The run.
    pub run: IndexRun,
    /// Blocks with consecutive numbers.
    pub rows: Vec<BlockRow>,
    /// Why the run ended with the last row.
    pub end_cause: Option<GapCause>,
    packed_len: usize,
    first: UnixMicros,
    end: UnixMicros,
    oldest: Generation,
}

impl OpenChapter {
    pub(super) fn new(run: IndexRun, row: BlockRow) -> Self {
        let mut open = Self::of_no_rows(run);
        open.push(row);
        open
    }

    fn of_no_rows(run: IndexRun) -> Self {
        Self {
            run,
            rows: Vec::new(),
            end_cause: None,
            packed_len: 0,
            first: UnixMicros::MAX,
            end: UnixMicros::MIN,
            oldest: Generation(u64::MAX),
        }
    }

    /// Whether `row` goes into this chapter, which may have `len_max` bytes.
    pub(super) fn takes(&self, run: RunId, row: &BlockRow, len_max: usize) -> bool {
        self.end_cause.is_none()
            && self.run.id == run
            && self
                .rows
                .last()
                .is_some_and(|last| last.number.checked_add(1) == Some(row.number))
            && self.packed_len + packed_len(row) <= len_max
            && self.end.max(row.end).since(self.first.min(row.first)) <= CHAPTER_SPAN_MAX
    }

    pub(super) fn push(&mut self, row: BlockRow) {
        self.packed_len += packed_len(&row);
        self.first = self.first.min(row.first);
        self.end = self.end.max(row.end);
        self.oldest = self.oldest.min(row.place.generation);
        self.rows.push(row);
    }

    /// Leaves out the rows that are not to be kept. Without a row nothing is left of it.
    pub(super) fn retain(&mut self, keep: impl FnMut(&BlockRow) -> bool) {
        self.rows.retain(keep);
        let mut left = Self {
            end_cause: self.end_cause,
            ..Self::of_no_rows(self.run.clone())
        };
        self.rows.drain(..).for_each(|row| left.push(row));
        *self = left;
    }

    /// Lowest generation among its blocks.
    pub fn oldest(&self) -> Generation {
        self.oldest
    }

    /// Earliest presentation time.
    pub fn first(&self) -> UnixMicros {
        self.first
    }

    /// End of the latest frame.
    pub fn end(&self) -> UnixMicros {
        self.end
    }
}

fn packed_len(row: &BlockRow) -> usize {
    row.table.len() + 40
}
