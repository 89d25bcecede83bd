//! The index of one volume: per stream its chapters in time order, per segment its life. Readers and the writer share it.
//!
//! Closed chapters are 64-byte records of a mapped file (`format::index`); the newest, unfinished chapters are rows in
//! memory, rebuilt from directories and batch fronts after a crash. Whatever points into a former life of a segment is dead and is
//! never listed: liveness is one comparison of generations.
//!
//! Keeps: I1 a stream's pieces are listed in the order of (run, block number); I2 nothing dead is listed; I3 a chapter has no holes in
//! its block numbers; I4 memory is bounded by streams × 64 KiB for unfinished chapters plus 4 bytes per closed one.

mod chapters;

mod pieces;

pub use chapters::{IndexRun, OpenChapter};
pub use pieces::{Piece, PieceSource};

use crate::{
    format::{
        index::{
            ChapterRecord, Checkpoint, IndexLayout, Record, STREAMS_MAX, SegmentRecord,
            StreamRecord,
        },
        place::{Generation, SegmentNumber},
        superblock::VolumeId,
    },
    media::StreamId,
    store::ring::SegmentLife,
};
use std::{
    collections::{BTreeSet, HashMap},
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

/// The index of one volume.
pub struct Index {
    volume: VolumeId,
    layout: IndexLayout,
    memory: Box<dyn IndexMemory>,
    lives: Vec<SegmentLife>,
    by_generation: HashMap<Generation, SegmentNumber>,
    streams: HashMap<StreamId, StreamIndex>,
    /// The streams by the number of their record.
    numbers: HashMap<u32, StreamId>,
    /// Chapter records by segment.
    chapter_counts: Vec<u32>,
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
        volume: VolumeId,
        segment_count: u32,
        memory: Box<dyn IndexMemory>,
    ) -> (Self, Option<Checkpoint>) {
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
            memory,
            lives: vec![empty; segment_count as usize],
            by_generation: HashMap::new(),
            streams: HashMap::new(),
            numbers: HashMap::new(),
            chapter_counts: vec![0; segment_count as usize],
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
                let segment = self.segment_of(Generation(record.generation.get()))?;
                Some((record, segment, *self.numbers.get(&record.stream.get())?))
            });
            match life {
                Some((_, segment, id)) => {
                    self.chapter_counts[segment as usize] += 1;
                    if let Some(stream) = self.streams.get_mut(&id) {
                        stream.chapters.push(position);
                    }
                }
                None => drop(self.free.insert(position)),
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

    /// Enters the life of a segment in memory: everything of its former life is dead from here on (I2), and its records are free again.
    /// `store_life` follows once the new life is durable.
    pub fn set_life(&mut self, number: SegmentNumber, life: SegmentLife, taken_us: i64) {
        let before = std::mem::replace(&mut self.lives[number as usize], life);
        self.taken_us[number as usize] = taken_us;
        self.by_generation.remove(&before.generation);
        self.by_generation.insert(life.generation, number);
        if before.generation == life.generation {
            return;
        }
        self.chapter_counts[number as usize] = 0;
        let ids: Vec<StreamId> = self.streams.keys().copied().collect();
        for id in ids {
            let dead = |position: &u32| {
                self.chapter(*position)
                    .is_none_or(|record| !self.is_live_chapter(&record))
            };
            let count = self.streams[&id]
                .chapters
                .iter()
                .take_while(|position| dead(position))
                .count();
            if count == 0 {
                continue;
            }
            let freed: Vec<u32> = match self.streams.get_mut(&id) {
                Some(stream) => stream.chapters.drain(..count).collect(),
                None => continue,
            };
            for position in freed {
                self.free_position(position);
            }
        }
    }

    fn free_position(&mut self, position: u32) {
        let range = self.layout.chapter(position);
        self.memory.bytes_mut()[range].fill(0);
        self.free.insert(position);
    }

    /// Writes the record of a segment whose life is durable in its header.
    pub fn store_life(&mut self, number: SegmentNumber) {
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
        self.by_generation
            .contains_key(&Generation(record.generation.get()))
    }

    /// Whether the bytes at `place` are still those that were written there (I2).
    pub fn is_live(&self, segment: SegmentNumber, generation: Generation) -> bool {
        self.lives
            .get(segment as usize)
            .is_some_and(|life| life.generation == generation)
    }

    /// The segment that is in its life `generation`.
    pub fn segment_of(&self, generation: Generation) -> Option<SegmentNumber> {
        self.by_generation.get(&generation).copied()
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
