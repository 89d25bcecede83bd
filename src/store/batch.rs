//! Putting a batch together: waiting blocks and finished chapters into one aligned slot, each byte copied once and checksummed in
//! the same pass.
//!
//! First the batch is planned (what goes in, where each block will lie, how long the front is), then filled. Planning needs no
//! slot, so a batch that does not fit the segment costs nothing.

use crate::{
    base::{UnixMicros, units::align_up},
    format::{
        PAGE,
        batch::{BATCH_HEADER_LEN, BatchHeader},
        block::{Address, BLOCK_ALIGN, BlockHead, BlockKind, head_len},
        directory::directory_len,
        frame_table,
        place::{Generation, Place, SegmentNumber},
        row::{BlockRow, ChapterRow, Item, RunId, encode_rows},
        superblock::VolumeId,
    },
    media::{Frame, FrameEntry},
    store::{
        index::OpenChapter,
        tail::{Tail, TailBlock},
    },
};
use bytes::Bytes;
use std::{collections::HashSet, sync::Arc};

/// Longest packed item without its table or description: kind, stream, ten varints at their widest, two causes.
const ITEM_LEN_MAX: usize = 1 + 5 + 16 + 10 * 10 + 4 + 2;

/// A segment is sealed before its directory's items pass this: they are held in memory and read back whole.
const DIRECTORY_LEN_MAX: usize = 64 << 20;

/// Where in the log a batch goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Position {
    pub(crate) volume: VolumeId,
    pub(crate) session: u64,
    pub(crate) segment: SegmentNumber,
    pub(crate) generation: Generation,
    pub(crate) offset: u64,
    pub(crate) number: u32,
    pub(crate) synced: u32,
}

/// A block on its way to disk. Without a row it is the mere end of a run.
#[derive(Debug)]
pub(crate) struct PlannedBlock {
    pub(crate) tail: Arc<Tail>,
    pub(crate) block: Arc<TailBlock>,
    pub(crate) row: Option<BlockRow>,
    /// Indexes of the frames in payload order: grouped by track.
    order: Vec<u32>,
}

/// A chapter on its way to disk.
#[derive(Debug)]
pub(crate) struct PlannedChapter {
    pub(crate) chapter: Arc<OpenChapter>,
    pub(crate) row: ChapterRow,
    payload: Vec<u8>,
}

/// What will be one write.
#[derive(Debug)]
pub(crate) struct PlannedBatch {
    pub(crate) blocks: Vec<PlannedBlock>,
    pub(crate) chapters: Vec<PlannedChapter>,
    /// Runs whose description this batch brings into the segment.
    pub(crate) described: Vec<RunId>,
    pub(crate) len: u32,
    front_max: usize,
}

/// Gathers what goes into one batch, then places it.
#[derive(Debug)]
pub(crate) struct Gathering {
    blocks: Vec<PlannedBlock>,
    tables: Vec<Bytes>,
    chapters: Vec<(Arc<OpenChapter>, Vec<u8>)>,
    described: Vec<RunId>,
    front_max: usize,
    body_max: usize,
    room: Room,
    refused: bool,
    given_up: HashSet<(RunId, u32)>,
}

/// How long a batch may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    /// Bytes of a batch, a multiple of 4 KiB.
    pub(crate) batch: usize,
    /// Bytes left in the segment, for the batch and the directory behind it.
    pub(crate) segment: u64,
    /// Bytes of the directory's items so far.
    pub(crate) items: usize,
}

impl Gathering {
    /// An empty batch.
    pub(crate) fn new(room: Room) -> Self {
        Self {
            blocks: Vec::new(),
            tables: Vec::new(),
            chapters: Vec::new(),
            described: Vec::new(),
            front_max: BATCH_HEADER_LEN,
            body_max: 0,
            room,
            refused: false,
            given_up: HashSet::new(),
        }
    }

    /// Whether nothing is to be written and no run's end to be told.
    pub(crate) fn is_empty(&self) -> bool {
        self.blocks.is_empty() && self.chapters.is_empty()
    }

    /// Whether something was refused for want of room.
    pub(crate) fn refused(&self) -> bool {
        self.refused
    }

    fn fits(&mut self, front: usize, body: usize) -> bool {
        let front_max = self.front_max + front;
        let body_max = self.body_max + align_up(body as u64, BLOCK_ALIGN) as usize;
        let len = align_up(
            align_up(front_max as u64, BLOCK_ALIGN) + body_max as u64,
            PAGE,
        );
        let directory = directory_len((self.room.items + front_max) as u64);
        let items = self.room.items + front_max;
        let fits = len <= self.room.batch as u64
            && len + directory <= self.room.segment
            && items <= DIRECTORY_LEN_MAX;
        if fits {
            (self.front_max, self.body_max) = (front_max, body_max);
        }
        self.refused |= !fits;
        fits
    }

    /// What a description costs in the front: nothing when the segment has it.
    fn describe(&self, run: RunId, packed: &[u8], known: &HashSet<RunId>) -> (bool, usize) {
        let new = !known.contains(&run) && !self.described.contains(&run);
        (new, if new { ITEM_LEN_MAX + packed.len() } else { 0 })
    }

    /// Takes in a block if there is room.
    pub(crate) fn add_block(
        &mut self,
        tail: &Arc<Tail>,
        block: &Arc<TailBlock>,
        known: &HashSet<RunId>,
    ) -> bool {
        let order = block.payload_order();
        let mut table = Vec::new();
        if !block.frames.is_empty() {
            let entries: Vec<FrameEntry> = order
                .iter()
                .map(|index| block.frames[*index as usize].entry())
                .collect();
            frame_table::encode(&entries, block.first, &mut table);
            let (new, description) = self.describe(block.run.id, &block.run.packed, known);
            let head = head_len(block.run.packed.len(), table.len(), order.len());
            if !self.fits(ITEM_LEN_MAX + table.len() + description, head + block.bytes) {
                return false;
            }
            self.described.extend(new.then_some(block.run.id));
        }
        self.blocks.push(PlannedBlock {
            tail: Arc::clone(tail),
            block: Arc::clone(block),
            row: None,
            order,
        });
        self.tables.push(table.into());
        true
    }

    /// Takes in a block that fits no batch of this volume, as one that is not written: it would hold up everything behind it.
    pub(crate) fn give_up_block(&mut self, tail: &Arc<Tail>, block: &Arc<TailBlock>) {
        self.blocks.push(PlannedBlock {
            tail: Arc::clone(tail),
            block: Arc::clone(block),
            row: None,
            order: Vec::new(),
        });
        self.tables.push(Bytes::new());
        self.given_up.insert((block.run.id, block.number));
    }

    /// Takes in a chapter if there is room.
    pub(crate) fn add_chapter(
        &mut self,
        chapter: &Arc<OpenChapter>,
        known: &HashSet<RunId>,
    ) -> bool {
        let mut payload = Vec::new();
        encode_rows(&chapter.rows, &mut payload);
        let (new, description) = self.describe(chapter.run.id, &chapter.run.packed, known);
        let body = head_len(chapter.run.packed.len(), 0, 1) + payload.len();
        if !self.fits(ITEM_LEN_MAX + description, body) {
            return false;
        }
        self.described.extend(new.then_some(chapter.run.id));
        self.chapters.push((Arc::clone(chapter), payload));
        true
    }

    /// Fixes where everything lies.
    pub(crate) fn place(self, position: &Position) -> PlannedBatch {
        let mut at = position.offset + align_up(self.front_max as u64, BLOCK_ALIGN);
        let mut place = |len: usize| {
            let offset = at;
            at = align_up(at + len as u64, BLOCK_ALIGN);
            let len = u32::try_from(len).expect("a block is shorter than a batch");
            Place {
                segment: position.segment,
                generation: position.generation,
                offset,
                len,
            }
        };
        let mut blocks = self.blocks;
        for (planned, table) in blocks.iter_mut().zip(self.tables) {
            let (block, run) = (&planned.block, &planned.block.run);
            if block.frames.is_empty() || self.given_up.contains(&(run.id, block.number)) {
                continue;
            }
            let head = head_len(run.packed.len(), table.len(), block.frames.len());
            let row = BlockRow {
                number: block.number,
                place: place(head + block.bytes),
                head_len: head as u32,
                first: block.first,
                end: block.end,
                head_crc: 0,
                table,
            };
            planned.row = Some(row);
        }
        let mut chapters = Vec::new();
        for (chapter, payload) in self.chapters {
            let run = &chapter.run;
            let head = head_len(run.packed.len(), 0, 1);
            let row = ChapterRow {
                number: chapter.rows[0].number,
                count: chapter.rows.len() as u32,
                place: place(head + payload.len()),
                head_len: head as u32,
                first: chapter.first(),
                end: chapter.end(),
                oldest: chapter.oldest(),
                start_cause: run.start_cause,
                end_cause: chapter.end_cause,
            };
            chapters.push(PlannedChapter {
                chapter,
                row,
                payload,
            });
        }
        let written = !chapters.is_empty() || blocks.iter().any(|planned| planned.row.is_some());
        let len = if written {
            align_up(at - position.offset, PAGE) as u32
        } else {
            0
        };
        assert!(len as usize <= self.room.batch, "planned within its bounds");
        PlannedBatch {
            blocks,
            chapters,
            described: self.described,
            len,
            front_max: self.front_max,
        }
    }
}

impl PlannedBatch {
    /// Writes the batch to `slot`, which is at least as long, and gives its packed items. Bytes between the parts are zero: nothing of the
    /// slot's former content reaches the disk.
    #[must_use = "the items make up the directory"]
    pub(crate) fn fill(
        &mut self,
        position: &Position,
        now: UnixMicros,
        slot: &mut [u8],
    ) -> Vec<u8> {
        let batch = &mut slot[..self.len as usize];
        let mut filled = align_up(self.front_max as u64, BLOCK_ALIGN) as usize;
        let mut open = |place: &Place, batch: &mut [u8]| {
            let at = (place.offset - position.offset) as usize;
            batch[filled..at].fill(0);
            filled = at + place.len as usize;
            at..filled
        };
        for planned in &mut self.blocks {
            let Some(mut row) = planned.row.take() else {
                continue;
            };
            let range = open(&row.place, batch);
            row.head_crc = fill_block(planned, &row, position, &mut batch[range]);
            planned.row = Some(row);
        }
        for planned in &self.chapters {
            let range = open(&planned.row.place, batch);
            fill_chapter(planned, position, &mut batch[range]);
        }
        batch[filled..].fill(0);
        let (items, item_count) = self.items();
        let front_len = BATCH_HEADER_LEN + items.len();
        assert!(front_len <= self.front_max, "planned within its bounds");
        batch[BATCH_HEADER_LEN..front_len].copy_from_slice(&items);
        batch[front_len..align_up(self.front_max as u64, BLOCK_ALIGN) as usize].fill(0);
        let header = BatchHeader {
            segment: position.segment,
            generation: position.generation,
            offset: position.offset,
            session: position.session,
            number: position.number,
            synced: position.synced,
            batch_len: self.len,
            front_len: front_len as u32,
            item_count,
            written_us: now.0,
        };
        header.encode(&position.volume, batch);
        items
    }

    /// The packed items, descriptions before what they describe, and their number.
    fn items(&self) -> (Vec<u8>, u32) {
        let (mut items, mut count) = (Vec::new(), 0);
        let mut undescribed: HashSet<RunId> = self.described.iter().copied().collect();
        let mut add = |item: Item, packed: &Bytes| {
            let run = item.run();
            if undescribed.remove(&run) {
                Item::Description(run, packed.clone()).encode(&mut items);
                count += 1;
            }
            item.encode(&mut items);
            count += 1;
        };
        for planned in &self.blocks {
            if let Some(row) = &planned.row {
                let run = &planned.block.run;
                add(Item::Block(run.id, row.clone()), &run.packed);
            }
        }
        for planned in &self.chapters {
            let run = &planned.chapter.run;
            add(Item::Chapter(run.id, planned.row), &run.packed);
        }
        (items, count)
    }

    /// Bytes of video, sound and metadata in it.
    pub(crate) fn media_bytes(&self) -> u64 {
        self.blocks
            .iter()
            .map(|planned| planned.block.bytes as u64)
            .sum()
    }
}

fn fill_block(
    planned: &PlannedBlock,
    row: &BlockRow,
    position: &Position,
    bytes: &mut [u8],
) -> u32 {
    let block = &planned.block;
    let address = Address::of(position.volume, &row.place);
    let mut checksums = Vec::with_capacity(planned.order.len());
    let (head, mut payload) = bytes.split_at_mut(row.head_len as usize);
    for (ordinal, index) in planned.order.iter().enumerate() {
        let frame = &block.frames[*index as usize];
        let (to, rest) = payload.split_at_mut(frame.data.len());
        checksums.push(copy_frame(frame, &address, ordinal as u32, to));
        payload = rest;
    }
    assert!(payload.is_empty(), "a block is as long as planned");
    let head_parts = BlockHead {
        kind: BlockKind::Frames,
        session: position.session,
        stream: block.run.id.stream,
        run: block.run.id.run,
        number: row.number,
        first: row.first,
        end: row.end,
        description: &block.run.packed,
        table: &row.table,
        checksums: &checksums,
        payload_len: row.place.len - row.head_len,
    };
    head_parts.encode(&address, head)
}

/// Copies a frame and gives its checksum, part by part so that the bytes are still in the processor's cache.
fn copy_frame(frame: &Frame, address: &Address, ordinal: u32, mut to: &mut [u8]) -> u32 {
    let mut hasher = address.frame_hasher(ordinal);
    for part in frame.data.parts() {
        let (here, rest) = to.split_at_mut(part.len());
        here.copy_from_slice(part);
        hasher.update(part);
        to = rest;
    }
    hasher.finalize()
}

fn fill_chapter(planned: &PlannedChapter, position: &Position, bytes: &mut [u8]) {
    let row = &planned.row;
    let address = Address::of(position.volume, &row.place);
    let mut hasher = address.frame_hasher(0);
    hasher.update(&planned.payload);
    let (head, payload) = bytes.split_at_mut(row.head_len as usize);
    payload.copy_from_slice(&planned.payload);
    let run = &planned.chapter.run;
    let head_parts = BlockHead {
        kind: BlockKind::Chapter,
        session: position.session,
        stream: run.id.stream,
        run: run.id.run,
        number: row.number,
        first: row.first,
        end: row.end,
        description: &run.packed,
        table: &[],
        checksums: &[hasher.finalize()],
        payload_len: planned.payload.len() as u32,
    };
    head_parts.encode(&address, head);
}
