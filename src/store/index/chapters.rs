//! Chapters in the making and on disk: rows gather in memory, are closed, written, and entered as records.

use super::{Index, StreamIndex, StreamName};
use crate::{
    base::UnixMicros,
    format::{
        chapter::{CHAPTER_LEN_MAX, CHAPTER_SPAN_MAX},
        description::RunDescription,
        index::{ChapterRecord, Record, STREAMS_MAX, StreamRecord},
        place::Generation,
        row::{BlockRow, ChapterRow, RunId},
    },
    media::{GapCause, StreamId},
};
use bytes::Bytes;
use std::{
    collections::{BTreeSet, HashSet},
    sync::Arc,
};

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
}

impl OpenChapter {
    fn new(run: IndexRun, row: BlockRow) -> Self {
        let packed_len = packed_len(&row);
        Self {
            run,
            rows: vec![row],
            end_cause: None,
            packed_len,
        }
    }

    /// Whether `row` goes into this chapter.
    fn takes(&self, run: RunId, row: &BlockRow) -> bool {
        self.end_cause.is_none()
            && self.run.id == run
            && self
                .rows
                .last()
                .is_some_and(|last| last.number.checked_add(1) == Some(row.number))
            && self.packed_len + packed_len(row) <= CHAPTER_LEN_MAX
            && self
                .rows
                .first()
                .is_some_and(|first| row.end.since(first.first) <= CHAPTER_SPAN_MAX)
    }

    /// Lowest generation among its blocks.
    pub fn oldest(&self) -> Generation {
        self.rows
            .iter()
            .map(|row| row.place.generation)
            .min()
            .unwrap_or_default()
    }

    /// Earliest presentation time.
    pub fn first(&self) -> UnixMicros {
        self.rows
            .iter()
            .map(|row| row.first)
            .min()
            .unwrap_or_default()
    }

    /// End of the latest frame.
    pub fn end(&self) -> UnixMicros {
        self.rows
            .iter()
            .map(|row| row.end)
            .max()
            .unwrap_or_default()
    }
}

fn packed_len(row: &BlockRow) -> usize {
    row.table.len() + 40
}

impl Index {
    /// Enters a stream, or its new name.
    fn stream_mut(&mut self, id: StreamId, packed: &[u8]) -> &mut StreamIndex {
        let known = self
            .streams
            .get(&id)
            .map(|stream| (stream.number, stream.name.clone()));
        let name = match (RunDescription::decode(packed), &known) {
            (Ok(run), _) => StreamName {
                camera: run.camera,
                name: run.name,
                kind: run.stream,
            },
            (Err(_), Some((_, name))) => name.clone(),
            (Err(_), None) => StreamName {
                camera: id.to_string(),
                name: String::new(),
                kind: String::new(),
            },
        };
        if known.as_ref().map(|(_, name)| name) != Some(&name) {
            let number = match known {
                Some((number, _)) => number,
                None => self.free_stream_number(),
            };
            if number < STREAMS_MAX {
                let record = StreamRecord::new(id.0, &name.camera, &name.name, &name.kind);
                let range = self.layout.stream(number);
                record.store(
                    &self.volume,
                    number,
                    &[],
                    &mut self.memory.bytes_mut()[range],
                );
            }
            let fresh = StreamIndex::new(number, name.clone());
            self.numbers.insert(number, id);
            self.streams.entry(id).or_insert(fresh).name = name;
        }
        self.streams.get_mut(&id).expect("entered above")
    }

    /// The lowest free number; `STREAMS_MAX` when all are taken by streams that still have recordings: such a stream is listed
    /// from memory only and found again by a rebuild.
    fn free_stream_number(&mut self) -> u32 {
        let used: BTreeSet<u32> = self.streams.values().map(|stream| stream.number).collect();
        if let Some(number) = (0..STREAMS_MAX).find(|number| !used.contains(number)) {
            return number;
        }
        let idle = |stream: &StreamIndex| {
            stream.chapters.is_empty() && stream.closing.is_empty() && stream.open.is_none()
        };
        let gone = self
            .streams
            .iter()
            .find(|(_, stream)| idle(stream))
            .map(|(id, stream)| (*id, stream.number));
        match gone {
            Some((id, number)) => {
                self.streams.remove(&id);
                self.numbers.remove(&number);
                number
            }
            None => STREAMS_MAX,
        }
    }

    /// Adds the row of a written block. A chapter that is full, or that the row does not continue, is closed.
    pub fn add_block(&mut self, run: &IndexRun, row: BlockRow) {
        let stream = self.stream_mut(run.id.stream, &run.packed);
        match &mut stream.open {
            Some(open) if open.takes(run.id, &row) => {
                open.packed_len += packed_len(&row);
                open.rows.push(row);
            }
            open => {
                let full = open.replace(OpenChapter::new(run.clone(), row));
                stream.closing.extend(full.map(Arc::new));
            }
        }
    }

    /// Closes the run's unfinished chapter with the cause of the run's end.
    pub fn end_run(&mut self, run: RunId, cause: GapCause) {
        let Some(stream) = self.streams.get_mut(&run.stream) else {
            return;
        };
        if let Some(mut open) = stream.open.take_if(|open| open.run.id == run) {
            open.end_cause = Some(cause);
            stream.closing.push(Arc::new(open));
        }
    }

    /// The chapters that are to be written, oldest first per stream.
    pub fn closing(&self) -> Vec<Arc<OpenChapter>> {
        self.streams
            .values()
            .flat_map(|stream| stream.closing.iter().cloned())
            .collect()
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
        if number == STREAMS_MAX {
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
        let key = |index: &Self, position: u32| {
            index
                .chapter(position)
                .map(|record| (record.run.get(), record.number.get()))
        };
        let new = key(self, position);
        let at = self.streams[&run.id.stream]
            .chapters
            .partition_point(|other| key(self, *other) < new);
        let duplicate = self.streams[&run.id.stream]
            .chapters
            .get(at)
            .copied()
            .filter(|other| key(self, *other) == new);
        let stream = self.streams.get_mut(&run.id.stream).expect("entered above");
        match duplicate {
            // The same blocks listed twice (written again after a failed sync): the newer copy is kept.
            Some(other) => {
                stream.chapters[at] = position;
                if let Some(record) = self.chapter(other) {
                    self.count_chapter(Generation(record.generation.get()), -1);
                }
                self.free_position(other);
            }
            None => stream.chapters.insert(at, position),
        }
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
            let stale = |open: &mut OpenChapter| open.oldest() < generation || open.first() < time;
            stream
                .closing
                .extend(stream.open.take_if(stale).map(Arc::new));
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
        let rows = |open: &OpenChapter| open.rows.iter().map(|row| row.place.generation).min();
        let closing = self
            .streams
            .values()
            .flat_map(|stream| &stream.closing)
            .filter_map(|open| rows(open));
        let open = self
            .streams
            .values()
            .filter_map(|stream| stream.open.as_ref())
            .filter_map(rows);
        closing.chain(open).min()
    }

    /// Number of chapter records in use and in all.
    pub fn usage(&self) -> (u32, u32) {
        (self.capacity - self.free.len() as u32, self.capacity)
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
                    closing
                        .rows
                        .retain(|row| !lost.contains(&(run, row.number)));
                    closing.end_cause = None;
                }
            }
            stream.closing.retain(|closing| !closing.rows.is_empty());
            if let Some(open) = &mut stream.open {
                let run = open.run.id;
                open.rows.retain(|row| !lost.contains(&(run, row.number)));
                open.packed_len = open.rows.iter().map(packed_len).sum();
            }
            stream.open.take_if(|open| open.rows.is_empty());
        }
    }
}
