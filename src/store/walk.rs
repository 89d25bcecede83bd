//! Walking one segment: what a sealed segment's directory lists, or, without one, what its batches hold. Recovery, rebuild, `inspect` and
//! `check` all read segments through here (`docs/format.md` §3, R5 and R6).

use crate::{
    disk::{Disk, FileId},
    format::{
        PAGE,
        batch::BatchHeader,
        block::{Address, Block, BlockKind},
        chapter::Chapter,
        directory::DirectoryTrailer,
        place::{Generation, Place, SegmentNumber},
        row::{BlockRow, ChapterRow, Item, RunId},
        segment::HEADER_LEN,
        superblock::{Superblock, VolumeId},
    },
    store::io,
};
use bytes::Bytes;
use std::{
    cell::Cell,
    collections::{HashMap, HashSet},
};

/// A front is read with so many bytes at first; longer ones take a second read.
const FRONT_LEN_GUESS: usize = 64 << 10;
/// Pages are searched for a batch in pieces of this length.
const SEARCH_LEN: usize = 1 << 20;

/// One segment to be walked.
pub struct Walk<'a> {
    /// The volume's disk.
    disk: &'a dyn Disk,
    /// The segment's file.
    file: FileId,
    /// The volume's superblock.
    superblock: &'a Superblock,
    /// The segment.
    segment: SegmentNumber,
    /// Its life.
    generation: Generation,
    /// Whether a write or sync to it failed in this life.
    abandoned: bool,
    /// Whether a read of the log failed: there may be more behind.
    unreadable: Cell<bool>,
}

/// What a segment holds.
#[derive(Debug)]
pub struct Contents {
    /// Everything listed, in the order of the log; what failed verification is left out.
    pub items: Vec<Item>,
    /// The log's end; `None` when the log does not go on here: the segment is sealed, or something in it could not be read.
    pub open: Option<LogEnd>,
    /// Blocks and chapters that were left out.
    pub dropped: u32,
    /// Whether it has an intact directory.
    pub sealed: bool,
}

/// Where the log of an unsealed segment ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogEnd {
    /// Offset behind the last batch that counts.
    pub offset: u64,
    /// Number of the next batch.
    pub next_batch: u32,
}

/// The directory of a segment.
#[derive(Debug)]
pub enum Directory {
    /// Intact: everything listed.
    Items(Vec<Item>),
    /// None of this life: the segment was not sealed.
    None,
    /// Its trailer cannot be read, or is intact while its items are not.
    Damaged,
}

/// A batch as found in the log.
#[derive(Debug)]
pub struct FoundBatch {
    /// Its header.
    pub header: BatchHeader,
    /// Its items.
    pub items: Vec<Item>,
}

impl<'a> Walk<'a> {
    /// A walk through `segment` in its life `generation`.
    pub fn new(
        disk: &'a dyn Disk,
        file: FileId,
        superblock: &'a Superblock,
        segment: SegmentNumber,
        generation: Generation,
    ) -> Self {
        Self {
            disk,
            file,
            superblock,
            segment,
            generation,
            abandoned: false,
            unreadable: Cell::new(false),
        }
    }

    /// The same walk through a segment that was given up: what was not durable there was written again elsewhere (W8).
    pub fn abandoned(self, abandoned: bool) -> Self {
        Self { abandoned, ..self }
    }

    /// Reads the segment: by its directory, or batch by batch.
    pub fn contents(&self) -> Contents {
        match self.directory() {
            Directory::Items(items) => Contents {
                items,
                open: None,
                dropped: 0,
                sealed: true,
            },
            Directory::None => self.log(),
            // It was sealed, or may have been: nothing may be appended that an intact directory would hide.
            Directory::Damaged => Contents {
                open: None,
                ..self.log()
            },
        }
    }

    /// The segment's directory.
    pub fn directory(&self) -> Directory {
        let superblock = self.superblock;
        let Ok(page) = io::read(
            self.disk,
            self.file,
            superblock.segment_len - PAGE,
            PAGE as usize,
        ) else {
            return Directory::Damaged;
        };
        let Ok(trailer) =
            DirectoryTrailer::decode(&page, &superblock.volume, self.segment, self.generation)
        else {
            return Directory::None;
        };
        self.directory_items(&trailer)
            .map_or(Directory::Damaged, Directory::Items)
    }

    fn directory_items(&self, trailer: &DirectoryTrailer) -> Option<Vec<Item>> {
        let end = trailer
            .items_offset
            .checked_add(u64::from(trailer.items_len))?;
        if end > self.superblock.segment_len {
            return None;
        }
        let bytes = match trailer.items_len {
            0 => Bytes::new(),
            len => io::read(self.disk, self.file, trailer.items_offset, len as usize).ok()?,
        };
        Item::decode_all(
            trailer.verify_items(&bytes).ok()?,
            self.segment,
            self.generation,
        )
        .ok()
    }

    /// The batches that count, in order (R5).
    pub fn batches(&self) -> Vec<FoundBatch> {
        let mut found: Vec<FoundBatch> = Vec::new();
        let mut at = HEADER_LEN;
        while at + PAGE <= self.superblock.segment_len {
            let next = self
                .batch_at(at, found.last())
                .or_else(|| self.search(at + PAGE, found.last()));
            let Some(batch) = next else { break };
            at = batch.header.offset + u64::from(batch.header.batch_len);
            found.push(batch);
        }
        found
    }

    fn read(&self, offset: u64, len: usize) -> Option<Bytes> {
        let bytes = io::read(self.disk, self.file, offset, len).ok();
        self.unreadable
            .set(self.unreadable.get() || bytes.is_none());
        bytes
    }

    fn batch_at(&self, offset: u64, before: Option<&FoundBatch>) -> Option<FoundBatch> {
        let left = usize::try_from(self.superblock.segment_len - offset).ok()?;
        let mut bytes = self.read(offset, FRONT_LEN_GUESS.min(left))?;
        let front_len = BatchHeader::peek_front_len(&bytes).ok()? as usize;
        if front_len > self.superblock.batch_len_max as usize || front_len > left {
            return None;
        }
        if front_len > bytes.len() {
            bytes = self.read(offset, front_len)?;
        }
        let volume = &self.superblock.volume;
        let (header, items) =
            BatchHeader::decode(&bytes, volume, self.segment, self.generation, offset).ok()?;
        let follows = before.is_none_or(|before| {
            header.session >= before.header.session && header.number > before.header.number
        });
        let end = offset + u64::from(header.batch_len);
        if !follows || header.session > self.superblock.session || end > self.superblock.segment_len
        {
            return None;
        }
        Some(FoundBatch {
            header,
            items: Item::decode_all(items, self.segment, self.generation).ok()?,
        })
    }

    /// The first batch that counts within the window from `from` on.
    fn search(&self, from: u64, before: Option<&FoundBatch>) -> Option<FoundBatch> {
        let end = (from + self.superblock.window_len).min(self.superblock.segment_len);
        let mut at = from;
        while at < end {
            let len = SEARCH_LEN.min((end - at) as usize);
            // An unreadable stretch is searched page by page.
            let bytes = self.read(at, len);
            for page in (0..len).step_by(PAGE as usize) {
                let hopeful = bytes
                    .as_ref()
                    .is_none_or(|bytes| BatchHeader::peek_front_len(&bytes[page..]).is_ok());
                if hopeful && let Some(batch) = self.batch_at(at + page as u64, before) {
                    return Some(batch);
                }
            }
            at += len as u64;
        }
        None
    }

    /// What the batches hold, verified where they were not durable for certain (R6).
    fn log(&self) -> Contents {
        let batches = self.batches();
        let durable = Durable::of(&batches);
        let mut items = Vec::new();
        let mut dropped = 0;
        let mut good: HashSet<(RunId, u32)> = HashSet::new();
        for batch in &batches {
            let trusted = durable.covers(&batch.header);
            let bytes = if trusted {
                None
            } else {
                io::read(
                    self.disk,
                    self.file,
                    batch.header.offset,
                    batch.header.batch_len as usize,
                )
                .ok()
            };
            let from = batch.header.offset;
            for item in &batch.items {
                let counts = trusted
                    || match (item, &bytes) {
                        (Item::Description(..), _) => true,
                        (_, None) => false,
                        (Item::Block(run, row), Some(bytes)) => piece(bytes, from, &row.place)
                            .is_some_and(|bytes| {
                                verify_block(bytes, &self.superblock.volume, *run, row)
                            }),
                        // It may list blocks at places where they were not durable, and hide their later copies.
                        (Item::Chapter(..), _) if self.abandoned => false,
                        (Item::Chapter(run, row), Some(bytes)) => piece(bytes, from, &row.place)
                            .is_some_and(|bytes| {
                                self.verify_chapter(bytes, *run, row, &batches, &durable, &good)
                            }),
                    };
                if !counts {
                    dropped += 1;
                    continue;
                }
                if let Item::Block(run, row) = item {
                    good.insert((*run, row.number));
                }
                items.push(item.clone());
            }
        }
        self.describe(&mut items);
        let end = batches.last().map_or(
            LogEnd {
                offset: HEADER_LEN,
                next_batch: 0,
            },
            |last| LogEnd {
                offset: last.header.offset + u64::from(last.header.batch_len),
                next_batch: last.header.number + 1,
            },
        );
        Contents {
            items,
            open: (!self.unreadable.get()).then_some(end),
            dropped,
            sealed: false,
        }
    }

    /// Adds the descriptions of runs whose own were in batches that are lost: every block carries one.
    fn describe(&self, items: &mut Vec<Item>) {
        let mut known = HashSet::new();
        let mut found = Vec::new();
        for item in items.iter() {
            let run = item.run();
            let place = match item {
                Item::Block(_, row) => row.place,
                Item::Chapter(_, row) => row.place,
                Item::Description(..) => {
                    known.insert(run);
                    continue;
                }
            };
            if known.contains(&run) {
                continue;
            }
            let address = Address::of(self.superblock.volume, &place);
            let head = io::read(self.disk, self.file, place.offset, place.len as usize);
            let block = head
                .as_deref()
                .ok()
                .and_then(|bytes| Block::verify_place(bytes, address).ok());
            if let Some(block) =
                block.filter(|block| (block.stream(), block.run()) == (run.stream, run.run))
            {
                known.insert(run);
                found.push(Item::Description(
                    run,
                    Bytes::copy_from_slice(block.description()),
                ));
            }
        }
        found.append(items);
        *items = found;
    }

    /// Whether a chapter is intact and lists only blocks that are.
    fn verify_chapter(
        &self,
        bytes: &[u8],
        run: RunId,
        row: &ChapterRow,
        batches: &[FoundBatch],
        durable: &Durable,
        good: &HashSet<(RunId, u32)>,
    ) -> bool {
        let address = Address::of(self.superblock.volume, &row.place);
        let Ok(chapter) = Chapter::decode(bytes, address, run, row.number) else {
            return false;
        };
        let certain = |row: &BlockRow| {
            (row.place.segment, row.place.generation) != (self.segment, self.generation)
                || batches.iter().any(|batch| {
                    let end = batch.header.offset + u64::from(batch.header.batch_len);
                    durable.covers(&batch.header)
                        && (batch.header.offset..end).contains(&row.place.offset)
                })
        };
        chapter
            .rows
            .iter()
            .all(|row| certain(row) || good.contains(&(chapter.run, row.number)))
    }
}

/// Which batches were known to be durable: those a later batch of the same session says so of. A later session cannot tell: what it
/// found torn it left where it was.
pub(crate) struct Durable(HashMap<u64, u32>);

impl Durable {
    pub(crate) fn of(batches: &[FoundBatch]) -> Self {
        let mut synced = HashMap::new();
        for batch in batches {
            let most = synced.entry(batch.header.session).or_insert(0);
            *most = batch.header.synced.max(*most);
        }
        Self(synced)
    }

    /// Whether batch `number` of `session` was.
    pub(crate) fn durable(&self, session: u64, number: u32) -> bool {
        self.0.get(&session).is_some_and(|synced| number < *synced)
    }

    pub(crate) fn covers(&self, header: &BatchHeader) -> bool {
        self.durable(header.session, header.number)
    }
}

fn piece<'a>(batch: &'a Bytes, from: u64, place: &Place) -> Option<&'a [u8]> {
    let start = usize::try_from(place.offset.checked_sub(from)?).ok()?;
    batch.get(start..start.checked_add(place.len as usize)?)
}

/// Whether `bytes` are the block of `row`, every frame of it intact.
pub fn verify_block(bytes: &[u8], volume: &VolumeId, run: RunId, row: &BlockRow) -> bool {
    let Ok(block) = Block::verify(bytes, Address::of(*volume, &row.place), row.head_crc) else {
        return false;
    };
    let Ok(frames) = row.frames() else {
        return false;
    };
    let same = block.stream() == run.stream
        && block.run() == run.run
        && block.kind() == BlockKind::Frames
        && block.number() == row.number
        && block.table() == &row.table[..];
    let mut at = 0usize;
    same && frames.len() == block.frame_count() as usize
        && frames.iter().enumerate().all(|(index, frame)| {
            let range = at..at + frame.size as usize;
            at = range.end;
            block.frame(index as u32, range).is_ok()
        })
}
