//! Goal: the layout is a promise about bytes: the same each time, at any offset, at any size.

use crate::{
    camera::{START, film, tone},
    encoders::X264_PYRAMID,
    recording::Recording,
};
use bytes::Bytes;
use mp4::Mp4Reader;
use nvring::{
    base::{TimeRange, UnixMicros, seed::Seed},
    media::{Codec, FrameEntry, FrameKind, Track, TrackId, TrackSet, VideoParameters},
    playback::{
        movie::{DamagedFrames, FrameTable, Movie, MovieRun, TrackChoice},
        mp4::{LayoutError, Mp4Layout, Source},
    },
};
use std::{io::Cursor, sync::Arc};

#[test]
fn any_byte_is_found_and_the_same_input_gives_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let feed = film(dir.path(), Codec::H264, "160x90", 4, X264_PYRAMID);
    let sound = tone(dir.path(), Codec::Aac, 4);
    let mut recording = Recording::default();
    recording.run(&[&feed, &sound], None, 0, |_| true);
    let movie = recording.movie(START + 500_000, START + 3_300_000);
    let layout = Mp4Layout::new(&movie, &recording).unwrap();
    let file = recording.file(&layout);
    let again = Mp4Layout::new(&movie, &recording).unwrap();
    assert_eq!(recording.file(&again), file);
    let mut seed = Seed::new(3);
    for _ in 0..300 {
        let offset = seed.below(file.len() as u64);
        let byte = recording.byte_at(&layout, offset);
        assert_eq!(byte, Some(file[offset as usize]), "SEED=3 offset {offset}");
    }
    for offset in [
        0,
        layout.head().len() as u64 - 1,
        layout.head().len() as u64,
        file.len() as u64 - 1,
    ] {
        assert_eq!(
            recording.byte_at(&layout, offset),
            Some(file[offset as usize])
        );
    }
    assert_eq!(layout.locate(file.len() as u64), None);
    assert_eq!(layout.locate(u64::MAX), None);
}

/// Goal: an independent reader gets back each frame, byte for byte, with its time and kind.
#[test]
fn the_mp4_crate_reads_every_frame_back() {
    let dir = tempfile::tempdir().unwrap();
    let feed = film(dir.path(), Codec::H264, "160x90", 4, X264_PYRAMID);
    let sound = tone(dir.path(), Codec::Aac, 4);
    let mut recording = Recording::default();
    recording.run(&[&feed, &sound], None, 0, |_| true);
    let layout = Mp4Layout::new(&recording.movie(START, START + 60_000_000), &recording).unwrap();
    let file = recording.file(&layout);
    let len = file.len() as u64;
    let mut reader = Mp4Reader::read_header(Cursor::new(file), len).unwrap();
    assert_eq!(reader.sample_count(1).unwrap() as usize, feed.shots.len());
    let parameters = &feed.track.video.as_ref().unwrap().parameter_sets;
    let track = &reader.tracks()[&1];
    assert_eq!(track.sequence_parameter_set().unwrap(), &parameters[0]);
    let shift = feed.shots[0].entry.time.0;
    let mut offset = None;
    for (number, shot) in feed.shots.iter().enumerate() {
        let sample = reader.read_sample(1, number as u32 + 1).unwrap().unwrap();
        assert_eq!(sample.bytes, shot.data, "frame {number}");
        assert_eq!(sample.is_sync, shot.entry.kind == FrameKind::Key);
        assert!(sample.rendering_offset >= 0);
        let time = sample.start_time as i64 + i64::from(sample.rendering_offset);
        let offset = *offset.get_or_insert(time);
        assert_eq!(time - offset, shot.entry.time.0 - shift, "frame {number}");
    }
}

/// A camera that sent 25 frames per second of `size` bytes each for `seconds`, without any bytes.
struct Unwritten {
    seconds: usize,
    size: u32,
}

impl FrameTable for Unwritten {
    fn blocks(&self) -> usize {
        self.seconds
    }

    fn run_of(&self, _: usize) -> usize {
        0
    }

    fn visit(&self, block: usize, visit: &mut dyn FnMut(&FrameEntry)) {
        for frame in 0..25 {
            visit(&FrameEntry {
                track: TrackId(0),
                kind: if frame == 0 {
                    FrameKind::Key
                } else {
                    FrameKind::Reference
                },
                time: UnixMicros(START + block as i64 * 1_000_000 + frame * 40_000),
                size: self.size,
            });
        }
    }
}

fn unwritten_movie(seconds: i64) -> Movie {
    let video = VideoParameters {
        width: 1920,
        height: 1080,
        parameter_sets: vec![
            Bytes::from_static(&[0x67, 66, 0, 30]),
            Bytes::from_static(&[0x68]),
        ],
    };
    let track = Track {
        codec: Codec::H264,
        clock_rate: 90_000,
        video: Some(video),
        audio: None,
        encoding: String::new(),
    };
    Movie {
        runs: vec![MovieRun {
            tracks: Arc::new(TrackSet {
                tracks: vec![track],
            }),
            cause: None,
        }],
        range: TimeRange::new(UnixMicros(START), UnixMicros(START + seconds * 1_000_000)).unwrap(),
        damaged: DamagedFrames::Keep,
        choice: TrackChoice::ALL,
    }
}

/// Goal: offsets stay right on both sides of 4 GiB and for a day. Method: sizes only, no bytes.
#[test]
fn files_beyond_4_gib_have_64_bit_offsets() {
    for (seconds, size, wide) in [
        (100, 1_000_000, false),
        (200, 1_000_000, true),
        (86_400, 200_000, true),
    ] {
        let table = Unwritten { seconds, size };
        let layout = Mp4Layout::new(&unwritten_movie(seconds as i64), &table).unwrap();
        let head = layout.head().clone();
        let body = seconds as u64 * 25 * u64::from(size);
        assert_eq!(layout.total_len(), head.len() as u64 + body);
        let reader = Mp4Reader::read_header(Cursor::new(&head[..]), layout.total_len()).unwrap();
        let stbl = &reader.moov.traks[0].mdia.minf.stbl;
        let offsets: Vec<u64> = match &stbl.co64 {
            Some(co64) => co64.entries.clone(),
            None => stbl
                .stco
                .as_ref()
                .unwrap()
                .entries
                .iter()
                .map(|&at| u64::from(at))
                .collect(),
        };
        assert_eq!(stbl.co64.is_some(), wide);
        assert_eq!(offsets.len(), seconds);
        for (block, &offset) in offsets.iter().enumerate() {
            assert_eq!(offset, layout.block_range(block).start);
            let source = Source::Block { block, offset: 7 };
            assert_eq!(layout.locate(offset + 7), Some(source));
        }
        assert_eq!(reader.moov.mvhd.duration, seconds as u64 * 1_000_000);
        // 25 equal frames in each block: the tables are a few entries, whatever the length.
        assert_eq!((stbl.stts.entries.len(), stbl.stsc.entries.len()), (1, 1));
    }
}

#[test]
fn an_empty_range_and_a_table_that_changed_are_errors() {
    let table = Unwritten {
        seconds: 10,
        size: 100,
    };
    let mut movie = unwritten_movie(10);
    let layout = Mp4Layout::new(&movie, &table).unwrap();
    let changed = Unwritten {
        seconds: 10,
        size: 101,
    };
    let result = layout.block_output(&changed, 4);
    assert_eq!(
        result,
        Err(LayoutError::TableChanged {
            block: 4,
            expected: 2500,
            found: 2525
        })
    );
    movie.range.start.0 += 3_600_000_000;
    movie.range.end.0 += 3_600_000_000;
    assert!(matches!(
        Mp4Layout::new(&movie, &table),
        Err(LayoutError::Empty { .. })
    ));
}
