//! The index of one volume: per stream its chapters in time order, per segment its life. Readers and the writer share it.
//!
//! Closed chapters are 64-byte records of a mapped file (`format::index`); the newest, unfinished chapters are rows in
//! memory, rebuilt from directories and batch fronts after a crash. Whatever points into a former life of a segment is dead and is
//! never listed: liveness is one comparison of generations.
//!
//! Keeps: I1 a stream's pieces are listed in the order of (run, block number); I2 nothing dead is listed; I3 a chapter has no holes in
//! its block numbers; I4 memory is bounded by streams × 64 KiB for unfinished chapters plus 4 bytes per closed one.

use crate::{
    base::{UnixMicros, time::TimeRange},
    format::{
        chapter::{CHAPTER_LEN_MAX, CHAPTER_SPAN_MAX},
        description::RunDescription,
        index::{
            ChapterRecord, Checkpoint, IndexLayout, Record, STREAMS_MAX, SegmentRecord,
            StreamRecord,
        },
        place::{Generation, Place, SegmentNumber},
        row::{BlockRow, ChapterRow, RunId},
        superblock::{Superblock, VolumeId},
    },
    media::{GapCause, StreamId},
    store::ring::SegmentLife,
};
use bytes::Bytes;
use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
};

/// Makes the changes of an index durable; fails when the file cannot be written.
pub type Flusher = Box<dyn Fn() -> std::io::Result<()> + Send>;

/// The memory an index lives in: a mapped file, or plain memory where there is no file (simulation).
pub trait IndexMemory: Send + Sync {
    /// The bytes.
    fn bytes(&self) -> &[u8];

    /// The bytes, to be changed.
    fn bytes_mut(&mut self) -> &mut [u8];

    /// What makes all changes durable.
    fn flusher(&self) -> Flusher;

    /// Lengthens the memory to `len` bytes; the new ones are zero.
    ///
    /// # Errors
    /// When there is no space.
    fn grow(&mut self, len: usize) -> std::io::Result<()>;
}

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

    /// Whether `row` goes into this chapter, which may have `len_max` bytes.
    fn takes(&self, run: RunId, row: &BlockRow, len_max: usize) -> bool {
        self.end_cause.is_none()
            && self.run.id == run
            && self
                .rows
                .last()
                .is_some_and(|last| last.number.checked_add(1) == Some(row.number))
            && self.packed_len + packed_len(row) <= len_max
            && self.end().max(row.end).since(self.first().min(row.first)) <= CHAPTER_SPAN_MAX
    }

    fn retain(&mut self, keep: impl FnMut(&BlockRow) -> bool) {
        self.rows.retain(keep);
        self.packed_len = self.rows.iter().map(packed_len).sum();
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

/// A piece of a run as listed: either a chapter on disk or rows in memory.
#[derive(Clone, Debug)]
pub struct Piece {
    /// The run.
    pub run: UnixMicros,
    /// Number of the first block.
    pub number: u32,
    /// How many blocks.
    pub count: u32,
    /// Earliest presentation time.
    pub first: UnixMicros,
    /// End of the latest frame.
    pub end: UnixMicros,
    /// Why there was a gap before the run.
    pub start_cause: GapCause,
    /// Why the run ended with this piece.
    pub end_cause: Option<GapCause>,
    /// Whether the ring has taken some of its first blocks: `first` and `number` are then too early.
    pub clipped: bool,
    /// Where the rows are.
    pub source: PieceSource,
}

/// Where a piece's rows are.
#[derive(Clone, Debug)]
pub enum PieceSource {
    /// In the chapter at this place.
    Chapter(Place),
    /// In memory.
    Rows(Arc<OpenChapter>),
}

/// Whose stream it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamName {
    /// The camera's id.
    pub camera: String,
    /// Its name for people.
    pub name: String,
    /// `main` or `sub`.
    pub kind: String,
}

#[derive(Debug)]
struct StreamIndex {
    number: u32,
    name: StreamName,
    /// Positions of chapter records, in order of (run, number).
    chapters: Vec<u32>,
    /// Full chapters that are not on disk yet, oldest first.
    closing: Vec<Arc<OpenChapter>>,
    open: Option<OpenChapter>,
}

impl StreamIndex {
    fn new(number: u32, name: StreamName) -> Self {
        Self {
            number,
            name,
            chapters: Vec::new(),
            closing: Vec::new(),
            open: None,
        }
    }
}

/// The lives of segments, to ask what is left.
#[derive(Clone, Copy)]
struct Lives<'a> {
    lives: &'a [SegmentLife],
    ring_start: Generation,
}

impl Lives<'_> {
    fn hold(&self, segment: SegmentNumber, generation: Generation) -> bool {
        self.lives.get(segment as usize).is_some_and(|life| {
            life.generation == generation && (!life.quarantined || generation >= self.ring_start)
        })
    }

    fn holds(&self, place: &Place) -> bool {
        self.hold(place.segment, place.generation)
    }
}

/// The oldest life that the ring will take: everything older is gone, but what lies in segments that were given up. Never falls: the
/// last segment to be given up is the newest.
fn ring_start(lives: &[SegmentLife]) -> Generation {
    let generations = |quarantined| {
        let some = lives
            .iter()
            .filter(move |life| life.quarantined == quarantined);
        some.map(|life| life.generation)
    };
    let oldest = generations(false).min();
    oldest.or(generations(true).max()).unwrap_or_default()
}

/// The index of one volume.
pub struct Index {
    volume: VolumeId,
    layout: IndexLayout,
    chapter_len_max: usize,
    memory: Box<dyn IndexMemory>,
    lives: Vec<SegmentLife>,
    by_generation: HashMap<Generation, SegmentNumber>,
    streams: HashMap<StreamId, StreamIndex>,
    /// The streams by the number of their record.
    numbers: HashMap<u32, StreamId>,
    /// Chapter records by segment.
    chapter_counts: Vec<u32>,
    /// The oldest life in the ring: what was given up before it counts as overwritten.
    ring_start: Generation,
    /// Segments that were given up.
    given_up: Vec<SegmentNumber>,
    /// Segments in a new life whose former chapters are still among the records.
    renewed: Vec<SegmentNumber>,
    taken_us: Vec<i64>,
    free: BTreeSet<u32>,
    capacity: u32,
    sequence: u64,
}

impl std::fmt::Debug for Index {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Index")
            .field("streams", &self.streams.len())
            .field("capacity", &self.capacity)
            .finish_non_exhaustive()
    }
}

impl Index {
    /// Reads the index file. With the checkpoint: what it covers. Records it does not cover are dropped here; recovery finds
    /// them again. `None` for the checkpoint: the file is unusable, and the index starts empty, to be rebuilt.
    pub fn load(
        superblock: &Superblock,
        memory: Box<dyn IndexMemory>,
    ) -> (Self, Option<Checkpoint>) {
        let (volume, segment_count) = (superblock.volume, superblock.segment_count);
        let layout = IndexLayout::new(segment_count);
        let capacity = layout.chapters(memory.bytes().len());
        let checkpoint = layout.load_checkpoint(&volume, memory.bytes()).ok();
        let empty = SegmentLife {
            generation: Generation::NONE,
            quarantined: false,
        };
        let mut index = Self {
            volume,
            layout,
            // A chapter must fit a batch beside its run's description, and leave room for blocks.
            chapter_len_max: CHAPTER_LEN_MAX.min(superblock.batch_len_max as usize / 4),
            memory,
            lives: vec![empty; segment_count as usize],
            by_generation: HashMap::new(),
            streams: HashMap::new(),
            numbers: HashMap::new(),
            chapter_counts: vec![0; segment_count as usize],
            ring_start: Generation::NONE,
            given_up: Vec::new(),
            renewed: Vec::new(),
            taken_us: vec![0; segment_count as usize],
            free: BTreeSet::new(),
            capacity,
            sequence: checkpoint.map_or(0, |checkpoint| checkpoint.sequence),
        };
        match checkpoint {
            Some(found) if index.load_records(&found) => (index, Some(found)),
            _ => {
                index.clear();
                (index, None)
            }
        }
    }

    /// Forgets everything: the index is rebuilt from the segments.
    pub(crate) fn clear(&mut self) {
        let empty = SegmentLife {
            generation: Generation::NONE,
            quarantined: false,
        };
        self.lives.fill(empty);
        self.chapter_counts.fill(0);
        self.survey();
        self.renewed.clear();
        self.by_generation.clear();
        self.streams.clear();
        self.numbers.clear();
        self.memory.bytes_mut().fill(0);
        self.free = (0..self.capacity).collect();
    }

    /// Reads all records; whether none is missing.
    fn load_records(&mut self, checkpoint: &Checkpoint) -> bool {
        let mut expected = vec![0; self.lives.len()];
        for number in 0..self.lives.len() as u32 {
            let at = number as usize;
            if let Some(record) = self.record::<SegmentRecord>(number, self.layout.segment(number))
            {
                let generation = Generation(record.generation.get());
                self.lives[at] = SegmentLife {
                    generation,
                    quarantined: record.state == 1,
                };
                self.taken_us[at] = record.taken_us.get();
                self.by_generation.insert(generation, number);
                expected[at] = if generation < checkpoint.covered {
                    record.chapters.get()
                } else {
                    0
                };
            }
        }
        self.survey();
        for number in 0..STREAMS_MAX {
            if let Some(record) = self.record::<StreamRecord>(number, self.layout.stream(number)) {
                let name = StreamName {
                    camera: record.camera().to_owned(),
                    name: record.name().to_owned(),
                    kind: record.kind().to_owned(),
                };
                let id = StreamId(record.stream);
                self.numbers.insert(number, id);
                self.streams.insert(id, StreamIndex::new(number, name));
            }
        }
        for position in 0..self.capacity {
            let record = self
                .chapter(position)
                .filter(|record| Generation(record.generation.get()) < checkpoint.covered);
            let life = record.and_then(|record| {
                let segment = self.live_segment_of(Generation(record.generation.get()))?;
                Some((segment, *self.numbers.get(&record.stream.get())?))
            });
            match life {
                Some((segment, id)) => {
                    self.chapter_counts[segment as usize] += 1;
                    if let Some(stream) = self.streams.get_mut(&id) {
                        stream.chapters.push(position);
                    }
                }
                // An intact record that is not covered must not come back beside the one that recovery enters for it.
                None => self.free_position(position),
            }
        }
        let ids: Vec<StreamId> = self.streams.keys().copied().collect();
        for id in ids {
            self.sort(id);
        }
        self.chapter_counts == expected
    }

    fn sort(&mut self, id: StreamId) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        let mut chapters = std::mem::take(&mut stream.chapters);
        chapters.sort_by_key(|position| {
            self.chapter(*position)
                .map(|record| (record.run.get(), record.number.get()))
        });
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.chapters = chapters;
        }
    }

    fn record<R: Record>(&self, position: u32, range: std::ops::Range<usize>) -> Option<R> {
        R::load(&self.volume, position, &[], self.memory.bytes().get(range)?)
    }

    fn chapter(&self, position: u32) -> Option<ChapterRecord> {
        let bytes = self.memory.bytes().get(self.layout.chapter(position))?;
        let stream = self.numbers.get(&ChapterRecord::stream_of(bytes)?)?;
        ChapterRecord::load(&self.volume, position, &stream.0, bytes)
    }

    /// The lives of all segments.
    pub fn lives(&self) -> &[SegmentLife] {
        &self.lives
    }

    /// Enters the life of a segment in memory: everything of its former life is dead from here on (I2). `life_is_durable` follows.
    pub fn set_life(&mut self, number: SegmentNumber, life: SegmentLife, taken_us: i64) {
        self.set_lives([(number, life, taken_us)]);
    }

    /// Enters the lives of several segments.
    pub fn set_lives(
        &mut self,
        lives: impl IntoIterator<Item = (SegmentNumber, SegmentLife, i64)>,
    ) {
        for (number, life, taken_us) in lives {
            let at = number as usize;
            let before = std::mem::replace(&mut self.lives[at], life);
            self.taken_us[at] = taken_us;
            self.by_generation.remove(&before.generation);
            self.by_generation.insert(life.generation, number);
            if before.generation != life.generation {
                self.renewed.push(number);
            }
        }
        self.survey();
    }

    /// Leaves segments out of the ring that were abandoned (W8).
    pub(crate) fn give_up(&mut self, abandoned: &[SegmentNumber]) {
        for number in abandoned {
            self.lives[*number as usize].quarantined = true;
            self.store_life(*number);
        }
        self.survey();
    }

    /// Where the ring begins, and what was left out of it.
    fn survey(&mut self) {
        self.ring_start = ring_start(&self.lives);
        let numbered = (0..).zip(&self.lives);
        self.given_up = numbered
            .filter(|(_, life)| life.quarantined)
            .map(|(number, _)| number)
            .collect();
    }

    /// A segment's life is durable in its header: the records of its former life are free again, and its own is written. Not earlier: a
    /// crash in between leaves the former life, which the file must still know.
    pub fn life_is_durable(&mut self, number: SegmentNumber) {
        let mut dead = 0;
        for renewed in std::mem::take(&mut self.renewed) {
            dead += std::mem::take(&mut self.chapter_counts[renewed as usize]);
        }
        for at in 0..self.given_up.len() {
            let given_up = self.given_up[at];
            let life = self.lives[given_up as usize];
            if !self.is_live(given_up, life.generation)
                && self.chapter_counts[given_up as usize] > 0
            {
                dead += std::mem::take(&mut self.chapter_counts[given_up as usize]);
                self.store_life(given_up);
            }
        }
        if dead > 0 {
            self.bury(dead);
        }
        self.prune();
        self.store_life(number);
    }

    /// Frees the records of `count` chapters that died. They are the first of their streams, unless the wall clock was set back or a
    /// segment was given up.
    fn bury(&mut self, count: u32) {
        let ids: Vec<StreamId> = self.streams.keys().copied().collect();
        let mut left = count as usize;
        for everywhere in [false, true] {
            for id in &ids {
                let live = |position: &u32| {
                    self.chapter(*position)
                        .is_some_and(|record| self.is_live_chapter(&record))
                };
                let chapters = &self.streams[id].chapters;
                let dead: HashSet<u32> = if everywhere {
                    chapters.iter().copied().filter(|one| !live(one)).collect()
                } else {
                    chapters
                        .iter()
                        .copied()
                        .take_while(|one| !live(one))
                        .collect()
                };
                if dead.is_empty() {
                    continue;
                }
                if let Some(stream) = self.streams.get_mut(id) {
                    stream.chapters.retain(|position| !dead.contains(position));
                }
                left = left.saturating_sub(dead.len());
                dead.into_iter()
                    .for_each(|position| self.free_position(position));
            }
            if left == 0 {
                return;
            }
        }
    }

    /// Forgets the unlisted rows that the ring took: no chapter is written for what is gone.
    fn prune(&mut self) {
        let lives = Lives {
            lives: &self.lives,
            ring_start: self.ring_start,
        };
        for stream in self.streams.values_mut() {
            // One that is being written already is known by its first row, so it stays as it is or goes as a whole.
            stream
                .closing
                .retain(|closing| closing.rows.iter().any(|row| lives.holds(&row.place)));
            if let Some(open) = &mut stream.open {
                open.retain(|row| lives.holds(&row.place));
            }
            stream.open.take_if(|open| open.rows.is_empty());
        }
    }

    fn free_position(&mut self, position: u32) {
        let range = self.layout.chapter(position);
        self.memory.bytes_mut()[range].fill(0);
        self.free.insert(position);
    }

    /// Writes the record of a segment whose life is durable in its header.
    fn store_life(&mut self, number: SegmentNumber) {
        let at = number as usize;
        let life = self.lives[at];
        let record = SegmentRecord::new(
            life.generation,
            self.taken_us[at],
            self.chapter_counts[at],
            life.quarantined,
        );
        let range = self.layout.segment(number);
        record.store(
            &self.volume,
            number,
            &[],
            &mut self.memory.bytes_mut()[range],
        );
    }

    fn is_live_chapter(&self, record: &ChapterRecord) -> bool {
        self.live_segment_of(Generation(record.generation.get()))
            .is_some()
    }

    /// The segment in its life `generation`, unless the ring has passed it.
    fn live_segment_of(&self, generation: Generation) -> Option<SegmentNumber> {
        self.segment_of(generation)
            .filter(|segment| self.is_live(*segment, generation))
    }

    /// Whether what was written to `segment` in its life `generation` is still there (I2). A segment that failed is not taken again; what
    /// it holds goes when the ring passes it, as it would have otherwise.
    pub fn is_live(&self, segment: SegmentNumber, generation: Generation) -> bool {
        let lives = Lives {
            lives: &self.lives,
            ring_start: self.ring_start,
        };
        lives.hold(segment, generation)
    }

    /// The segment that is in its life `generation`.
    pub fn segment_of(&self, generation: Generation) -> Option<SegmentNumber> {
        self.by_generation.get(&generation).copied()
    }

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
        let len_max = self.chapter_len_max;
        let stream = self.stream_mut(run.id.stream, &run.packed);
        match &mut stream.open {
            Some(open) if open.takes(run.id, &row, len_max) => {
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

    /// First number and count of each chapter of `run` that is entered.
    pub(crate) fn chapters_of(&self, run: RunId) -> Vec<(u32, u32)> {
        let Some(stream) = self.streams.get(&run.stream) else {
            return Vec::new();
        };
        let key = |position: &u32| self.chapter(*position).map(|record| record.run.get());
        let from = stream
            .chapters
            .partition_point(|position| key(position) < Some(run.run.0));
        let of_run = stream.chapters[from..].iter();
        of_run
            .map_while(|position| self.chapter(*position))
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

    /// All pieces of a stream that touch `range`, in the order of (run, number) (I1), live ones only (I2).
    pub fn pieces(&self, id: StreamId, range: TimeRange) -> Vec<Piece> {
        let Some(stream) = self.streams.get(&id) else {
            return Vec::new();
        };
        let touches = |first: UnixMicros, end: UnixMicros| first < range.end && end > range.start;
        let mut pieces: Vec<Piece> = Vec::new();
        for position in &stream.chapters {
            let Some(record) = self.chapter(*position) else {
                continue;
            };
            let end = UnixMicros(
                record
                    .first_us
                    .get()
                    .saturating_add(i64::from(record.span_us.get())),
            );
            if touches(UnixMicros(record.first_us.get()), end) {
                pieces.extend(self.chapter_piece(&record, end));
            }
        }
        for open in stream
            .closing
            .iter()
            .cloned()
            .chain(stream.open.iter().map(|open| Arc::new(open.clone())))
        {
            if touches(open.first(), open.end()) {
                pieces.extend(self.rows_piece(open));
            }
        }
        pieces.sort_by_key(|piece| (piece.run, piece.number));
        pieces
    }

    fn chapter_piece(&self, record: &ChapterRecord, end: UnixMicros) -> Option<Piece> {
        let generation = Generation(record.generation.get());
        let segment = self.live_segment_of(generation)?;
        let offset = u64::from(record.offset16.get()) * 16;
        let oldest = Generation(record.oldest.get());
        Some(Piece {
            run: UnixMicros(record.run.get()),
            number: record.number.get(),
            count: record.count.get(),
            first: UnixMicros(record.first_us.get()),
            end,
            start_cause: GapCause::from_number(record.start_cause)?,
            end_cause: GapCause::from_number(record.end_cause),
            clipped: self.live_segment_of(oldest).is_none(),
            source: PieceSource::Chapter(Place {
                segment,
                generation,
                offset,
                len: record.len.get(),
            }),
        })
    }

    fn rows_piece(&self, open: Arc<OpenChapter>) -> Option<Piece> {
        let live = |row: &&BlockRow| self.is_live(row.place.segment, row.place.generation);
        let first = open.rows.iter().find(live)?;
        let count = open.rows.iter().filter(live).count() as u32;
        Some(Piece {
            run: open.run.id.run,
            number: first.number,
            count,
            first: open.rows.iter().filter(live).map(|row| row.first).min()?,
            end: open.end(),
            start_cause: open.run.start_cause,
            end_cause: open.end_cause,
            clipped: count < open.rows.len() as u32,
            source: PieceSource::Rows(open),
        })
    }

    /// All streams with a recording, by camera.
    pub fn streams(&self) -> Vec<(StreamId, StreamName)> {
        let listed = |stream: &StreamIndex| {
            !stream.chapters.is_empty() || !stream.closing.is_empty() || stream.open.is_some()
        };
        let mut streams: Vec<_> = self
            .streams
            .iter()
            .filter(|(_, stream)| listed(stream))
            .map(|(id, stream)| (*id, stream.name.clone()))
            .collect();
        streams.sort_by(|(a, x), (b, y)| (&x.camera, &x.kind, a).cmp(&(&y.camera, &y.kind, b)));
        streams
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
                    closing.retain(|row| !lost.contains(&(run, row.number)));
                    closing.end_cause = None;
                }
            }
            stream.closing.retain(|closing| !closing.rows.is_empty());
            if let Some(open) = &mut stream.open {
                let run = open.run.id;
                open.retain(|row| !lost.contains(&(run, row.number)));
            }
            stream.open.take_if(|open| open.rows.is_empty());
        }
    }

    /// What `finish_checkpoint` will say, and what must be flushed before it: chapters of generations below `covered` are all here.
    pub fn begin_checkpoint(&self, covered: Generation) -> Checkpoint {
        let replay_from = self
            .oldest_unlisted()
            .map_or(covered, |oldest| oldest.min(covered));
        Checkpoint {
            sequence: self.sequence + 1,
            covered,
            replay_from,
        }
    }

    /// Writes the checkpoint, once the records were flushed (W7). It is to be flushed in turn.
    pub fn finish_checkpoint(&mut self, checkpoint: Checkpoint) {
        self.sequence = checkpoint.sequence;
        self.layout
            .store_checkpoint(&self.volume, &checkpoint, self.memory.bytes_mut());
    }

    /// What makes changes durable, to be called without holding the index.
    pub fn flusher(&self) -> Flusher {
        self.memory.flusher()
    }
}
