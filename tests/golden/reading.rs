//! The committed bytes read: by every decoder of `format`, field by field, and by the engine, as recordings.

use crate::{committed, laid, recipe, volume_folder};
use nvring::{
    base::{Clock, Micros, SimulatedClock, TimeRange, UnixMicros},
    disk::EngineChoice,
    format::{
        DecodeError, PAGE,
        batch::BatchHeader,
        block::{Address, Block, BlockKind},
        chapter::Chapter,
        description::RunDescription,
        directory::DirectoryTrailer,
        frame_table,
        index::{ChapterRecord, FILE, IndexLayout, Record, SegmentRecord, StreamRecord},
        place::Place,
        row::Item,
        segment::{HEADER_LEN, SegmentHeader, file_name},
        superblock::{COPIES, Superblock},
    },
    media::{Codec, FrameKind, GapCause, StreamId},
    store::{
        pool::open_volume,
        recordings::Recordings,
        runs::{Gap, Span},
        volume::Access,
    },
};
use std::sync::Arc;
use zerocopy::IntoBytes;

fn at(place: &Place) -> &'static [u8] {
    let file = &committed()[&file_name(place.segment)];
    &file[place.offset as usize..][..place.len as usize]
}

#[test]
fn superblock_and_segment_headers_are_read() {
    let volume = recipe::volume();
    let file = &committed()["superblock"];
    for copy in 0..COPIES {
        let page = &file[copy as usize * PAGE as usize..];
        assert_eq!(
            Superblock::decode(page, copy).as_ref(),
            Ok(&volume.superblock)
        );
    }
    assert_eq!(Superblock::choose(file), Ok(volume.superblock.clone()));
    for segment in &volume.segments {
        let number = segment.header.segment;
        let page = &committed()[&file_name(number)][..HEADER_LEN as usize];
        let read = SegmentHeader::decode(page, &volume.superblock.volume, number);
        assert_eq!(read, Ok(segment.header));
    }
}

#[test]
fn batches_and_directories_are_read() {
    let id = recipe::volume().superblock.volume;
    for (number, batches) in (0..).zip(&laid().batches) {
        let file = &committed()[&file_name(number)];
        let mut all = Vec::new();
        for batch in batches {
            let (segment, generation, offset) = (
                batch.header.segment,
                batch.header.generation,
                batch.header.offset,
            );
            let read =
                BatchHeader::decode(&file[offset as usize..], &id, segment, generation, offset);
            let (header, items) = read.unwrap();
            assert_eq!(header, batch.header);
            assert_eq!(
                BatchHeader::peek_front_len(&file[offset as usize..]),
                Ok(header.front_len)
            );
            let items = Item::decode_all(items, segment, generation).unwrap();
            assert_eq!(items, batch.items);
            assert_eq!(items.len(), header.item_count as usize);
            all.extend(items);
        }
        let last = &file[file.len() - PAGE as usize..];
        let generation = batches[0].header.generation;
        let trailer = DirectoryTrailer::decode(last, &id, number, generation);
        let Some(expected) = laid().trailers.get(&number) else {
            assert_eq!(trailer, Err(DecodeError::Magic { what: "directory" }));
            continue;
        };
        assert_eq!(trailer.as_ref(), Ok(expected));
        let items = expected
            .verify_items(&file[expected.items_offset as usize..])
            .unwrap();
        assert_eq!(Item::decode_all(items, number, generation).unwrap(), all);
    }
    assert_eq!(laid().trailers.len(), 1, "one segment is sealed");
}

#[test]
fn blocks_and_chapters_are_read() {
    let volume = recipe::volume();
    let id = volume.superblock.volume;
    let description = |run| {
        let of_run = volume.runs.iter().find(|known| known.id == run);
        of_run.unwrap().description.clone()
    };
    for (run, row, frames) in &laid().blocks {
        let block =
            Block::verify(at(&row.place), Address::of(id, &row.place), row.head_crc).unwrap();
        assert_eq!(
            (block.kind(), block.stream(), block.run()),
            (BlockKind::Frames, run.stream, run.run)
        );
        assert_eq!(
            (block.number(), block.first(), block.end()),
            (row.number, row.first, row.end)
        );
        assert_eq!(
            (block.head_len(), block.len()),
            (row.head_len, row.place.len)
        );
        assert_eq!(block.session(), row.place.generation.session());
        assert_eq!(
            RunDescription::decode(block.description()),
            Ok(description(*run))
        );
        let entries: Vec<_> = frames.iter().map(|(entry, _)| *entry).collect();
        assert_eq!(
            frame_table::decode(block.table(), block.first()),
            Ok(entries.clone())
        );
        assert_eq!(row.frames(), Ok(entries));
        let mut from = 0;
        for (index, (_, bytes)) in (0..).zip(frames) {
            assert_eq!(block.frame(index, from..from + bytes.len()), Ok(&bytes[..]));
            from += bytes.len();
        }
        assert_eq!(row.head_len as usize + from, row.place.len as usize);
    }
    for (run, row, rows) in &laid().chapters {
        let chapter = Chapter::decode(
            at(&row.place),
            Address::of(id, &row.place),
            *run,
            row.number,
        )
        .unwrap();
        assert_eq!(chapter.run, *run);
        assert_eq!(chapter.description, description(*run));
        assert_eq!(&chapter.rows, rows);
    }
    assert_eq!((laid().blocks.len(), laid().chapters.len()), (8, 3));
}

#[test]
fn the_index_is_read() {
    let id = recipe::volume().superblock.volume;
    let file = &committed()[FILE];
    let layout = IndexLayout::new(3);
    let records = &laid().records;
    for (copy, checkpoint) in records.checkpoints.iter().enumerate() {
        let (volume, geometry, read) = IndexLayout::peek(&file[copy * PAGE as usize..]).unwrap();
        assert_eq!((volume, geometry, &read), (id, layout, checkpoint));
    }
    assert_eq!(
        layout.load_checkpoint(&id, file),
        Ok(records.checkpoints[1])
    );
    // Records carry their checksum, which those of the recipe get when they are stored: all but the last four bytes are the record.
    let same = |read: &[u8], expected: &[u8]| {
        let len = read.len() - 4;
        assert_eq!(read[..len], expected[..len]);
    };
    for (number, record) in (0..).zip(&records.segments) {
        let read = SegmentRecord::load(&id, number, &[], &file[layout.segment(number)]).unwrap();
        same(read.as_bytes(), record.as_bytes());
        assert_eq!(read.state, u8::from(number == 1), "the second was given up");
    }
    let names: Vec<_> = (0..3)
        .map(|number| StreamRecord::load(&id, number, &[], &file[layout.stream(number)]).unwrap())
        .collect();
    for (read, record) in names.iter().zip(&records.streams) {
        same(read.as_bytes(), record.as_bytes());
    }
    let gate = (names[0].camera(), names[0].name(), names[0].kind());
    assert_eq!(gate, ("gate-1", "Cổng chính", "main"));
    for (position, (stream, record)) in (0..).zip(&records.chapters) {
        let read =
            ChapterRecord::load(&id, position, stream, &file[layout.chapter(position)]).unwrap();
        same(read.as_bytes(), record.as_bytes());
    }
}

/// The numbers of kinds, codecs and causes are on disk.
#[test]
fn numbers_on_disk_keep_their_meaning() {
    use {Codec as C, FrameKind as K, GapCause as G};
    let kinds = [K::Key, K::Reference, K::Disposable, K::Leading, K::Damaged];
    let codecs = [
        C::H264,
        C::H265,
        C::Aac,
        C::PcmMu,
        C::PcmA,
        C::Opus,
        C::Opaque,
    ];
    let causes = [
        G::Enrolled,
        G::CameraLost,
        G::CameraRestarted,
        G::ParametersChanged,
        G::Overload,
        G::Disk,
        G::Restart,
        G::Clock,
        G::Disabled,
        G::BadStream,
    ];
    for (number, kind) in (0..).zip(kinds) {
        assert_eq!(
            (FrameKind::from_number(number), kind as u8),
            (Some(kind), number)
        );
    }
    for (number, codec) in (1..).zip(codecs) {
        assert_eq!(
            (Codec::from_number(number), codec as u8),
            (Some(codec), number)
        );
    }
    for (number, cause) in (1..).zip(causes) {
        assert_eq!(
            (GapCause::from_number(number), cause as u8),
            (Some(cause), number)
        );
    }
}

/// Method: the volume opened for reading, with its index and without; every listed frame, and the timeline of the camera with two runs.
#[test]
fn the_engine_reads_the_golden_volume() {
    for with_index in [true, false] {
        let folder = volume_folder();
        if !with_index {
            std::fs::remove_file(folder.path().join(FILE)).unwrap();
        }
        let clock: Arc<dyn Clock> = Arc::new(SimulatedClock::new(UnixMicros(recipe::START)));
        let opened = open_volume(
            folder.path(),
            Access::Read,
            EngineChoice::Plain,
            clock,
            &mut |_, _| (),
        )
        .unwrap();
        assert_eq!(opened.report.rebuilt, !with_index);
        assert_eq!(opened.report.dropped, 0);
        let recordings = Recordings::new(vec![opened.shared]);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        runtime.block_on(listed(&recordings));
    }
}

async fn listed(recordings: &Recordings) {
    let mut expected = laid().blocks.clone();
    // The block that was written again after the failed write is listed once.
    expected.retain(|(_, row, _)| row.place.generation != recipe::SECOND);
    let mut seen = 0;
    for stream in recordings.streams() {
        let pieces = recordings
            .blocks(stream.stream, TimeRange::ALL)
            .await
            .unwrap();
        for block in pieces.iter().flat_map(|piece| &piece.blocks) {
            let (_, row, frames) = expected
                .iter()
                .find(|(run, row, _)| (*run, row.number) == (block.run, block.number()))
                .expect("a block of the recipe");
            let place = (block.place(), block.first(), block.end());
            assert_eq!(place, (Some(row.place), row.first, row.end));
            let read = block.read().await.unwrap();
            for (index, (entry, bytes)) in frames.iter().enumerate() {
                assert_eq!(
                    (read.frames[index], &read.frame(index)[..]),
                    (*entry, &bytes[..])
                );
            }
            seen += 1;
        }
    }
    assert_eq!(seen, expected.len());
    let names = recordings
        .streams()
        .into_iter()
        .map(|stream| (stream.name.camera, stream.name.kind));
    let names: Vec<_> = names.collect();
    let name = |camera: &str, kind: &str| (camera.to_owned(), kind.to_owned());
    assert_eq!(
        names,
        [
            name("gate-1", "main"),
            name("yard", "main"),
            name("yard", "sub")
        ]
    );
    let timeline = recordings
        .timeline(StreamId([1; 16]), TimeRange::ALL)
        .await
        .unwrap();
    let time = |micros: i64| UnixMicros(recipe::START) + Micros(micros);
    let span = |start, end| Span::new(time(start), time(end));
    assert_eq!(
        timeline.runs,
        [span(0, 3_160_000), span(9_000_000, 9_160_000)]
    );
    let lost = Gap {
        start: time(3_160_000),
        end: time(9_000_000),
        cause: GapCause::CameraLost,
    };
    assert_eq!(timeline.gaps, [lost]);
}
