//! From blocks to chapters: rows gather in memory until a chapter is full, and leave it when the chapter is on disk and its record in the
//! mapped file (I3, I4).

use super::{Index, IndexRun, OpenChapter, chapter_list::PieceKey, streams::StreamIndex};
use crate::{
    base::UnixMicros,
    format::{
        index::{ChapterRecord, Record, STREAMS_MAX},
        place::Generation,
        row::{BlockRow, ChapterRow, RunId},
    },
    media::{GapCause, StreamId},
};
use std::{collections::HashSet, sync::Arc};

impl Index {
    /// Adds the row of a written block. A chapter that is full, or that the row does not continue, is closed.
    pub fn add_block(&mut self, run: &IndexRun, row: BlockRow) {
        let len_max = self.chapter_len_max;
        let stream = self.stream_mut(run.id.stream, &run.packed);
        match &mut stream.open {
            // Readers may hold it as it was.
            Some(open) if open.takes(run.id, &row, len_max) => Arc::make_mut(open).push(row),
            open => {
                let full = open.replace(Arc::new(OpenChapter::new(run.clone(), row)));
                stream.closing.extend(full);
            }
        }
    }

    /// Closes the run's unfinished chapter, with the cause of the run's end if it is the last.
    pub fn end_run(&mut self, run: RunId, cause: Option<GapCause>) {
        let Some(stream) = self.streams.get_mut(&run.stream) else {
            return;
        };
        if let Some(mut open) = stream.open.take_if(|open| open.run.id == run) {
            Arc::make_mut(&mut open).end_cause = cause;
            stream.closing.push(open);
        }
    }

    /// The chapters that are to be written, oldest first per stream.
    pub fn closing(&self) -> Vec<Arc<OpenChapter>> {
        self.streams
            .values()
            .flat_map(|stream| stream.closing.iter().cloned())
            .collect()
    }

    /// Forgets a chapter that no batch of this volume can hold: its blocks are listed again by a rebuild.
    pub(crate) fn drop_chapter(&mut self, chapter: &Arc<OpenChapter>) {
        if let Some(stream) = self.streams.get_mut(&chapter.run.id.stream) {
            stream.closing.retain(|other| !Arc::ptr_eq(other, chapter));
        }
    }

    /// Enters a chapter that is on disk; the rows it lists leave memory.
    pub fn add_chapter(&mut self, run: &IndexRun, row: &ChapterRow) {
        let volume = self.volume;
        let stream = self.stream_mut(run.id.stream, &run.packed);
        stream.closing.retain(|closing| {
            !(closing.run.id == run.id
                && closing
                    .rows
                    .first()
                    .is_some_and(|first| first.number == row.number))
        });
        let number = stream.number;
        // A rebuild also meets segments that were given up and that the ring has passed (I2).
        let is_live = self.is_live(row.place.segment, row.place.generation);
        if number == STREAMS_MAX || !is_live {
            return;
        }
        let record = ChapterRecord::new(
            number,
            (
                row.start_cause as u8,
                row.end_cause.map_or(0, |cause| cause as u8),
            ),
            run.id.run.0,
            row.first.0,
            u32::try_from(row.end.since(row.first).0)
                .expect("a chapter spans minutes: tails cut blocks by time"),
            row.number,
            row.count,
            row.place.len,
            row.place.generation,
            row.oldest,
            u32::try_from(row.place.offset / 16).expect("segments are shorter than 64 GiB"),
        );
        let Some(position) = self.take_position() else {
            return;
        };
        let range = self.layout.chapter(position);
        record.store(
            &volume,
            position,
            &run.id.stream.0,
            &mut self.memory.bytes_mut()[range],
        );
        self.count_chapter(row.place.generation, 1);
        // The same blocks listed twice (written again after a failed sync): the newer copy is kept.
        if let Some(other) = self.list_chapter(run.id.stream, position) {
            if let Some(record) = self.chapter(other) {
                self.count_chapter(Generation(record.generation.get()), -1);
            }
            self.free_position(other);
        }
    }

    /// Enters the record at `position` into its stream's list; gives the position of the one it replaces.
    fn list_chapter(&mut self, id: StreamId, position: u32) -> Option<u32> {
        let entry = self.entry(position)?;
        let mut chapters = std::mem::take(&mut self.streams.get_mut(&id)?.chapters);
        let replaced = chapters.insert(position, entry, &|at| self.entry(at));
        self.streams.get_mut(&id)?.chapters = chapters;
        replaced
    }

    /// First number and count of each chapter of `run` that is entered.
    pub(crate) fn chapters_of(&self, run: RunId) -> Vec<(u32, u32)> {
        let Some(stream) = self.streams.get(&run.stream) else {
            return Vec::new();
        };
        let first = PieceKey {
            run: run.run,
            number: 0,
        };
        let read = |at| self.entry(at);
        stream
            .chapters
            .from(first, &read)
            .map_while(|position| self.chapter(position))
            .take_while(|record| record.run.get() == run.run.0)
            .map(|record| (record.number.get(), record.count.get()))
            .collect()
    }

    /// Counts a chapter record in or out of its segment (the record says how many there must be).
    fn count_chapter(&mut self, generation: Generation, change: i32) {
        if let Some(number) = self.segment_of(generation) {
            let count = &mut self.chapter_counts[number as usize];
            *count = count.saturating_add_signed(change);
            self.store_life(number);
        }
    }

    /// Closes unfinished chapters whose first block lies in a generation below `generation` or began before `time`: so that a restart
    /// replays a bounded piece of the log (L11), however seldom a stream sends.
    pub fn close_stale(&mut self, generation: Generation, time: UnixMicros) {
        for stream in self.streams.values_mut() {
            let stale =
                |open: &mut Arc<OpenChapter>| open.oldest() < generation || open.first() < time;
            stream.closing.extend(stream.open.take_if(stale));
        }
    }

    /// A free position, lengthening the file when there is none. `None` when it cannot be: the chapter is on disk all the same, and a
    /// rebuild finds it.
    fn take_position(&mut self) -> Option<u32> {
        if self.free.is_empty() {
            let grown = self.capacity.saturating_mul(2).max(1024);
            if let Err(error) = self.memory.grow(self.layout.len(grown)) {
                tracing::error!(%error, "the index cannot grow; new chapters are listed only after a rebuild: make room on the volume's file system");
                return None;
            }
            let capacity = self.layout.chapters(self.memory.bytes().len());
            self.free.extend(self.capacity..capacity);
            self.capacity = capacity;
        }
        self.free.pop_first()
    }

    /// The runs whose rows are unfinished: after a restart they are closed.
    pub fn unfinished(&self) -> Vec<RunId> {
        self.streams
            .values()
            .filter_map(|stream| stream.open.as_ref())
            .map(|open| open.run.id)
            .collect()
    }

    /// The lowest generation that rows in memory lie in: recovery must replay from there.
    pub fn oldest_unlisted(&self) -> Option<Generation> {
        let unlisted = self.streams.values().flat_map(StreamIndex::unlisted);
        unlisted.map(|open| open.oldest()).min()
    }

    /// Drops blocks from memory: what was written is not durable and is written again elsewhere (W8).
    pub fn drop_blocks(&mut self, lost: &HashSet<(RunId, u32)>) {
        for stream in self.streams.values_mut() {
            for closing in &mut stream.closing {
                let run = closing.run.id;
                if closing
                    .rows
                    .iter()
                    .any(|row| lost.contains(&(run, row.number)))
                {
                    let closing = Arc::make_mut(closing);
                    closing.retain(|row| !lost.contains(&(run, row.number)));
                    closing.end_cause = None;
                }
            }
            stream.closing.retain(|closing| !closing.rows.is_empty());
            if let Some(open) = &mut stream.open {
                let run = open.run.id;
                if open
                    .rows
                    .iter()
                    .any(|row| lost.contains(&(run, row.number)))
                {
                    Arc::make_mut(open).retain(|row| !lost.contains(&(run, row.number)));
                }
            }
            stream.open.take_if(|open| open.rows.is_empty());
        }
    }
}
