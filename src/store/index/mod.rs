//! The index of one volume: per stream its chapters in time order, per segment its life. Readers and the writer share it.
//!
//! Closed chapters are 64-byte records of a mapped file (`format::index`); the newest, unfinished chapters are rows in
//! memory, rebuilt from directories and batch fronts after a crash. Whatever points into a former life of a segment is dead and is
//! never listed: liveness is one comparison of generations.
//!
//! Keeps: I1 a stream's pieces are listed in the order of (run, block number); I2 nothing dead is listed; I3 a chapter has no holes in
//! its block numbers; I4 memory is bounded by streams × 64 KiB for unfinished chapters plus about 5 bytes per closed one.

mod chapter_list;
mod chapters;
mod lives;
mod open_chapter;
mod pieces;
mod streams;
#[cfg(test)]
mod tests;

use crate::{
    format::{
        chapter::CHAPTER_LEN_MAX,
        index::{
            ChapterRecord, Checkpoint, IndexLayout, Record, STREAMS_MAX, SegmentRecord,
            StreamRecord,
        },
        place::{Generation, SegmentNumber},
        superblock::{Superblock, VolumeId},
    },
    media::StreamId,
    store::ring::SegmentLife,
};
use std::collections::{BTreeSet, HashMap};

pub use chapter_list::PieceKey;
pub use open_chapter::{IndexRun, OpenChapter};
pub use pieces::{Piece, PieceSource, Window};
pub use streams::StreamName;

use chapter_list::{ChapterList, Entry};
use streams::StreamIndex;

/// Makes the changes of an index durable; fails when the file cannot be written.
pub type Flusher = Box<dyn Fn() -> std::io::Result<()> + Send>;

/// The memory an index lives in: a mapped file, or plain memory where there is no file (simulation).
pub trait IndexMemory: Send + Sync {
    /// The bytes.
    fn bytes(&self) -> &[u8];

    /// The bytes, to be changed.
    fn bytes_mut(&mut self) -> &mut [u8];

    /// What makes durable all that was changed before it was asked for.
    fn flusher(&self) -> Flusher;

    /// Lengthens the memory to `len` bytes; the new ones are zero.
    ///
    /// # Errors
    /// When there is no space.
    fn grow(&mut self, len: usize) -> std::io::Result<()>;
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
    /// Positions of chapters that are dead and out of the lists, and whose records must stay until that is durable.
    dying: Vec<u32>,
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
            dying: Vec::new(),
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
        self.renewed.clear();
        self.dying.clear();
        self.survey();
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
        let mut chapters: HashMap<StreamId, Vec<u32>> = HashMap::new();
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
                    chapters.entry(id).or_default().push(position);
                }
                // An intact record that is not covered must not come back beside the one that recovery enters for it.
                None => self.free_position(position),
            }
        }
        for (id, mut positions) in chapters {
            let read = |at| self.entry(at);
            positions.sort_by_cached_key(|position| read(*position).map(|entry| entry.key));
            let list = ChapterList::of_sorted(&positions, &read);
            if let Some(stream) = self.streams.get_mut(&id) {
                stream.chapters = list;
            }
        }
        self.chapter_counts == expected
    }

    fn record<R: Record>(&self, position: u32, range: std::ops::Range<usize>) -> Option<R> {
        R::load(&self.volume, position, &[], self.memory.bytes().get(range)?)
    }

    fn chapter(&self, position: u32) -> Option<ChapterRecord> {
        let bytes = self.memory.bytes().get(self.layout.chapter(position))?;
        let stream = self.numbers.get(&ChapterRecord::stream_of(bytes)?)?;
        ChapterRecord::load(&self.volume, position, &stream.0, bytes)
    }

    /// What the record at a position says of a chapter's place in the list.
    fn entry(&self, position: u32) -> Option<Entry> {
        self.chapter(position).as_ref().map(Entry::of)
    }

    /// Number of chapter records in use and in all.
    pub fn usage(&self) -> (u32, u32) {
        (self.capacity - self.free.len() as u32, self.capacity)
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
