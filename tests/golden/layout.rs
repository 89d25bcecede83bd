//! From the values of the recipe to the bytes of a volume's files, with the encoders of `format` and nothing else; and what the
//! decoders must give back for those bytes.

use crate::recipe::{
    FIRST, GoldenBatch, GoldenBlock, GoldenChapter, GoldenSegment, GoldenVolume, SECOND, THIRD,
};
use nvring::{
    base::units::align_up,
    format::{
        PAGE,
        batch::{BATCH_HEADER_LEN, BatchHeader},
        block::{Address, BLOCK_ALIGN, BlockHead, BlockKind, head_len},
        checksum,
        directory::{DirectoryTrailer, directory_len},
        frame_table,
        index::{ChapterRecord, Checkpoint, IndexLayout, Record, SegmentRecord, StreamRecord},
        place::{Generation, Place},
        row::{BlockRow, ChapterRow, Item, RunId, encode_rows},
        segment::{HEADER_LEN, file_name},
        superblock::{self, COPIES},
    },
    media::FrameEntry,
};
use std::collections::{BTreeMap, HashSet};

/// A block with its frames and their bytes.
pub(crate) type ReadBlock = (RunId, BlockRow, Vec<(FrameEntry, Vec<u8>)>);

/// A batch of the golden volume as it must be read.
#[derive(Clone, Debug)]
pub(crate) struct ReadBatch {
    pub(crate) header: BatchHeader,
    pub(crate) items: Vec<Item>,
}

/// All files, and what they hold.
#[derive(Clone, Debug, Default)]
pub(crate) struct Laid {
    pub(crate) files: BTreeMap<String, Vec<u8>>,
    /// By segment.
    pub(crate) batches: Vec<Vec<ReadBatch>>,
    pub(crate) trailers: BTreeMap<u32, DirectoryTrailer>,
    /// Every block written, in the order of the log, with its frames.
    pub(crate) blocks: Vec<ReadBlock>,
    /// Every chapter written, with its rows.
    pub(crate) chapters: Vec<(RunId, ChapterRow, Vec<BlockRow>)>,
    /// The index's records: segments, streams, chapters with the number of their stream.
    pub(crate) records: Records,
}

/// What the index holds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Records {
    pub(crate) checkpoints: Vec<Checkpoint>,
    pub(crate) segments: Vec<SegmentRecord>,
    pub(crate) streams: Vec<StreamRecord>,
    pub(crate) chapters: Vec<([u8; 16], ChapterRecord)>,
}

/// Writes the whole volume.
pub(crate) fn lay(volume: &GoldenVolume) -> Laid {
    let mut laid = Laid::default();
    let pages = (0..COPIES).flat_map(|copy| volume.superblock.encode(copy));
    laid.files
        .insert(superblock::FILE.to_owned(), pages.collect());
    for segment in &volume.segments {
        let mut writing = Segment {
            volume,
            segment,
            bytes: vec![0; volume.superblock.segment_len as usize],
            at: HEADER_LEN,
            items: Vec::new(),
            described: HashSet::new(),
            batches: Vec::new(),
        };
        writing.write(&mut laid);
    }
    index(volume, &mut laid);
    laid
}

struct Segment<'a> {
    volume: &'a GoldenVolume,
    segment: &'a GoldenSegment,
    bytes: Vec<u8>,
    at: u64,
    items: Vec<u8>,
    described: HashSet<RunId>,
    batches: Vec<ReadBatch>,
}

impl Segment<'_> {
    fn write(&mut self, laid: &mut Laid) {
        let header = &self.segment.header;
        let page = header.encode(&self.volume.superblock.volume);
        self.bytes[..page.len()].copy_from_slice(&page);
        for batch in &self.segment.batches {
            match batch {
                GoldenBatch::Lost { pages } => self.at += pages * PAGE,
                written => self.batch(written, laid),
            }
        }
        if let Some(sealed_us) = self.segment.sealed_us {
            let trailer = self.directory(sealed_us);
            laid.trailers.insert(header.segment, trailer);
        }
        let bytes = std::mem::take(&mut self.bytes);
        laid.files.insert(file_name(header.segment), bytes);
        laid.batches.push(std::mem::take(&mut self.batches));
    }

    fn place(&self, offset: u64, len: usize) -> Place {
        Place {
            segment: self.segment.header.segment,
            generation: self.segment.header.generation,
            offset,
            len: len as u32,
        }
    }

    /// One batch: blocks and chapters a page behind the front, so that their places do not depend on its length.
    fn batch(&mut self, batch: &GoldenBatch, laid: &mut Laid) {
        let GoldenBatch::Written {
            number,
            synced,
            written_us,
            blocks,
            chapters,
        } = batch
        else {
            return;
        };
        let mut items = Vec::new();
        let mut at = self.at + PAGE;
        for block in blocks {
            let run = &self.volume.runs[block.run];
            self.describe(block.run, &mut items);
            let row = self.block(block, at);
            at = align_up(at + u64::from(row.place.len), BLOCK_ALIGN);
            items.push(Item::Block(run.id, row.clone()));
            laid.blocks.push((run.id, row, block.frames.clone()));
        }
        for chapter in chapters {
            let run = &self.volume.runs[chapter.run];
            self.describe(chapter.run, &mut items);
            let (row, rows) = self.chapter(chapter, at, laid);
            at = align_up(at + u64::from(row.place.len), BLOCK_ALIGN);
            items.push(Item::Chapter(run.id, row));
            laid.chapters.push((run.id, row, rows));
        }
        let end = align_up(at, PAGE);
        let mut packed = Vec::new();
        items.iter().for_each(|item| item.encode(&mut packed));
        let header = BatchHeader {
            segment: self.segment.header.segment,
            generation: self.segment.header.generation,
            offset: self.at,
            session: self.segment.session,
            number: *number,
            synced: *synced,
            batch_len: (end - self.at) as u32,
            front_len: (BATCH_HEADER_LEN + packed.len()) as u32,
            item_count: items.len() as u32,
            written_us: *written_us,
        };
        assert!(
            u64::from(header.front_len) <= PAGE
                && header.batch_len <= self.volume.superblock.batch_len_max
        );
        let whole = &mut self.bytes[self.at as usize..end as usize];
        whole[BATCH_HEADER_LEN..header.front_len as usize].copy_from_slice(&packed);
        header.encode(&self.volume.superblock.volume, whole);
        self.items.extend_from_slice(&packed);
        self.batches.push(ReadBatch { header, items });
        self.at = end;
    }

    /// The description of a run that is new in this segment.
    fn describe(&mut self, run: usize, items: &mut Vec<Item>) {
        let run = &self.volume.runs[run];
        if self.described.insert(run.id) {
            items.push(Item::Description(run.id, run.description.encode().into()));
        }
    }

    fn block(&mut self, block: &GoldenBlock, offset: u64) -> BlockRow {
        let run = &self.volume.runs[block.run];
        let description = run.description.encode();
        let entries: Vec<FrameEntry> = block.frames.iter().map(|(entry, _)| *entry).collect();
        let mut table = Vec::new();
        frame_table::encode(&entries, block.first, &mut table);
        let payload: Vec<u8> = block
            .frames
            .iter()
            .flat_map(|(_, bytes)| bytes.clone())
            .collect();
        let head = head_len(description.len(), table.len(), entries.len());
        let place = self.place(offset, head + payload.len());
        let address = Address::of(self.volume.superblock.volume, &place);
        let checksums: Vec<u32> = (0..)
            .zip(&block.frames)
            .map(|(index, (_, bytes))| {
                let mut hasher = address.frame_hasher(index);
                hasher.update(bytes);
                hasher.finalize()
            })
            .collect();
        let parts = BlockHead {
            kind: BlockKind::Frames,
            session: self.segment.session,
            stream: run.id.stream,
            run: run.id.run,
            number: block.number,
            first: block.first,
            end: block.end,
            description: &description,
            table: &table,
            checksums: &checksums,
            payload_len: payload.len() as u32,
        };
        let bytes = &mut self.bytes[offset as usize..][..place.len as usize];
        bytes[head..].copy_from_slice(&payload);
        let head_crc = parts.encode(&address, bytes);
        BlockRow {
            number: block.number,
            place,
            head_len: head as u32,
            first: block.first,
            end: block.end,
            head_crc,
            table: table.into(),
        }
    }

    fn chapter(
        &mut self,
        chapter: &GoldenChapter,
        offset: u64,
        laid: &Laid,
    ) -> (ChapterRow, Vec<BlockRow>) {
        let run = &self.volume.runs[chapter.run];
        let newest = |number: u32| {
            let mut copies = laid.blocks.iter().rev();
            copies.find(|(id, row, _)| *id == run.id && row.number == number)
        };
        let rows: Vec<BlockRow> = (chapter.number..chapter.number + chapter.count)
            .map(|number| {
                newest(number)
                    .expect("a chapter lists what was written")
                    .1
                    .clone()
            })
            .collect();
        let mut payload = Vec::new();
        encode_rows(&rows, &mut payload);
        let description = run.description.encode();
        let head = head_len(description.len(), 0, 1);
        let place = self.place(offset, head + payload.len());
        let address = Address::of(self.volume.superblock.volume, &place);
        let mut hasher = address.frame_hasher(0);
        hasher.update(&payload);
        let (first, end) = (rows[0].first, rows[rows.len() - 1].end);
        let parts = BlockHead {
            kind: BlockKind::Chapter,
            session: self.segment.session,
            stream: run.id.stream,
            run: run.id.run,
            number: chapter.number,
            first,
            end,
            description: &description,
            table: &[],
            checksums: &[hasher.finalize()],
            payload_len: payload.len() as u32,
        };
        let bytes = &mut self.bytes[offset as usize..][..place.len as usize];
        bytes[head..].copy_from_slice(&payload);
        parts.encode(&address, bytes);
        let row = ChapterRow {
            number: chapter.number,
            count: chapter.count,
            place,
            head_len: head as u32,
            first,
            end,
            oldest: rows
                .iter()
                .map(|row| row.place.generation)
                .min()
                .unwrap_or_default(),
            start_cause: run.description.start_cause,
            end_cause: chapter.end_cause,
        };
        (row, rows)
    }

    fn directory(&mut self, sealed_us: i64) -> DirectoryTrailer {
        let end = self.volume.superblock.segment_len;
        let items_offset = end - directory_len(self.items.len() as u64);
        let trailer = DirectoryTrailer {
            segment: self.segment.header.segment,
            generation: self.segment.header.generation,
            session: self.segment.session,
            items_offset,
            log_end: self.at,
            items_len: self.items.len() as u32,
            items_crc: checksum(&[&self.items]),
            batch_count: self.batches.len() as u32,
            sealed_us,
        };
        self.bytes[items_offset as usize..][..self.items.len()].copy_from_slice(&self.items);
        let page = trailer.encode(&self.volume.superblock.volume);
        self.bytes[(end - PAGE) as usize..].copy_from_slice(&page);
        trailer
    }
}

/// The index as of the seal of the first segment, with records behind its checkpoint as a running recorder leaves them.
fn index(volume: &GoldenVolume, laid: &mut Laid) {
    let id = volume.superblock.volume;
    let layout = IndexLayout::new(volume.superblock.segment_count);
    let mut file = vec![0; layout.len(16)];
    let checkpoint = |sequence, covered: Generation, replay_from| Checkpoint {
        sequence,
        covered,
        replay_from,
    };
    let mut records = Records {
        checkpoints: vec![checkpoint(6, FIRST, FIRST), checkpoint(7, SECOND, FIRST)],
        ..Records::default()
    };
    for one in &records.checkpoints {
        layout.store_checkpoint(&id, one, &mut file);
    }
    for (number, segment) in (0..).zip(&volume.segments) {
        let generation = segment.header.generation;
        let of_segment = laid
            .chapters
            .iter()
            .filter(|(_, row, _)| row.place.generation == generation);
        let record = SegmentRecord::new(
            generation,
            segment.header.taken_us,
            of_segment.count() as u32,
            generation == SECOND,
        );
        record.store(&id, number, &[], &mut file[layout.segment(number)]);
        records.segments.push(record);
    }
    for (number, run) in (0..).zip(&volume.runs[..3]) {
        let named = &run.description;
        let record = StreamRecord::new(run.id.stream.0, &named.camera, &named.name, &named.stream);
        record.store(&id, number, &[], &mut file[layout.stream(number)]);
        records.streams.push(record);
    }
    for (position, (run, row, _)) in (0..).zip(&laid.chapters) {
        let record = chapter_record(volume, run, row);
        record.store(
            &id,
            position,
            &run.stream.0,
            &mut file[layout.chapter(position)],
        );
        records.chapters.push((run.stream.0, record));
    }
    assert!(
        laid.chapters
            .iter()
            .any(|(_, row, _)| row.place.generation == THIRD)
    );
    laid.files
        .insert(nvring::format::index::FILE.to_owned(), file);
    laid.records = records;
}

fn chapter_record(volume: &GoldenVolume, run: &RunId, row: &ChapterRow) -> ChapterRecord {
    let mut runs = volume.runs.iter();
    let stream = runs.position(|known| known.id.stream == run.stream);
    let causes = (
        row.start_cause as u8,
        row.end_cause.map_or(0, |cause| cause as u8),
    );
    ChapterRecord::new(
        stream.expect("a known stream") as u32,
        causes,
        run.run.0,
        row.first.0,
        row.end.since(row.first).0 as u32,
        row.number,
        row.count,
        row.place.len,
        row.place.generation,
        row.oldest,
        (row.place.offset / BLOCK_ALIGN) as u32,
    )
}
