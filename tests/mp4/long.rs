//! Goal: a long fragmented file takes little memory, and nobody sees that its heads are computed anew, some at a time, when they are read.
//! Method: sizes and times only, no bytes, of a camera with sound.

use crate::camera::START;
use bytes::Bytes;
use nvring::{
    base::{TimeRange, UnixMicros},
    media::{
        AudioParameters, Codec, FrameEntry, FrameKind, Track, TrackId, TrackSet, VideoParameters,
    },
    playback::{
        body::{FileLayout, Part},
        fragmented::FragmentedLayout,
        movie::{DamagedFrames, FrameTable, Movie, MovieRun, TrackChoice},
    },
};
use std::{collections::BTreeMap, sync::Arc};

const PICTURES_PER_SECOND: i64 = 25;
const SAMPLE_RATE: i64 = 48_000;
/// Of AAC, in one packet.
const SAMPLES: i64 = 1024;

/// A block for each second: its pictures, then its packets of sound.
struct WithSound {
    seconds: i64,
}

impl FrameTable for WithSound {
    fn blocks(&self) -> usize {
        self.seconds as usize
    }

    fn run_of(&self, _: usize) -> usize {
        0
    }

    fn visit(&self, block: usize, visit: &mut dyn FnMut(&FrameEntry)) {
        let second = block as i64;
        for number in second * PICTURES_PER_SECOND..(second + 1) * PICTURES_PER_SECOND {
            let is_key = number % PICTURES_PER_SECOND == 0;
            visit(&FrameEntry {
                track: TrackId(0),
                kind: if is_key {
                    FrameKind::Key
                } else {
                    FrameKind::Reference
                },
                time: UnixMicros(START + number * 1_000_000 / PICTURES_PER_SECOND),
                size: 20_000,
            });
        }
        let first = |second: i64| (second * SAMPLE_RATE + SAMPLES - 1) / SAMPLES;
        for number in first(second)..first(second + 1) {
            visit(&FrameEntry {
                track: TrackId(1),
                kind: FrameKind::Key,
                time: UnixMicros(START + number * SAMPLES * 1_000_000 / SAMPLE_RATE),
                size: 200,
            });
        }
    }
}

fn movie(seconds: i64) -> Movie {
    let sets = [&[0x67, 66, 0, 30][..], &[0x68]];
    let pictures = Track {
        codec: Codec::H264,
        clock_rate: 90_000,
        video: Some(VideoParameters {
            width: 1920,
            height: 1080,
            parameter_sets: sets.map(Bytes::from_static).to_vec(),
        }),
        audio: None,
        encoding: String::new(),
    };
    let sound = Track {
        codec: Codec::Aac,
        clock_rate: SAMPLE_RATE as u32,
        video: None,
        audio: Some(AudioParameters {
            sample_rate: SAMPLE_RATE as u32,
            channels: 1,
            config: Bytes::from_static(&[0x11, 0x88]),
        }),
        encoding: String::new(),
    };
    let tracks = Arc::new(TrackSet {
        tracks: vec![pictures, sound],
    });
    Movie {
        runs: vec![MovieRun {
            tracks,
            cause: None,
        }],
        range: TimeRange::new(UnixMicros(START), UnixMicros(START + seconds * 1_000_000)).unwrap(),
        damaged: DamagedFrames::Keep,
        choice: TrackChoice::ALL,
    }
}

/// Of each track of a head: its number, the first decode time, and how long its samples last together (ISO 14496-12 §8.8.8, §8.8.12).
fn tracks_of(head: &[u8]) -> Vec<(u64, u64, u64)> {
    let number = |at: usize| u64::from(u32::from_be_bytes(head[at..at + 4].try_into().unwrap()));
    let places = |name: &[u8]| -> Vec<usize> {
        let fours = head.windows(4).enumerate();
        let found = fours.filter(|(_, four)| four == &name);
        found.map(|(at, _)| at + 4).collect()
    };
    let boxes = places(b"tfhd").into_iter().zip(places(b"tfdt"));
    let boxes = boxes.zip(places(b"trun"));
    let track = |((track, time), samples): ((usize, usize), usize)| {
        let flags = number(samples);
        let row = if flags & 0x400 == 0 { 8 } else { 16 };
        let count = number(samples + 4) as usize;
        let durations = (0..count).map(|sample| number(samples + 12 + row * sample));
        let decode = number(time + 4) << 32 | number(time + 8);
        (number(track + 4), decode, durations.sum())
    };
    boxes.map(track).collect()
}

#[test]
fn heads_computed_when_they_are_read_follow_each_other_in_picture_and_sound() {
    let seconds = 300;
    let table = WithSound { seconds };
    let layout = FragmentedLayout::new(&movie(seconds), &table).unwrap();
    let (mut offset, mut heads) = (0, Vec::new());
    while let Some(part) = layout.part(offset) {
        match part {
            Part::Made(bytes) => offset += bytes.len() as u64,
            Part::FragmentHead { fragment, len, .. } => {
                let head = layout.fragment_head(&table, fragment);
                assert_eq!(head.len() as u64, len);
                heads.push(head);
                offset += len;
            }
            Part::Block { len, .. } => offset += len,
        }
    }
    assert_eq!(offset, layout.total_len());
    assert_eq!(heads.len() as i64, seconds);
    let mut ends = BTreeMap::from([(1, 0), (2, 0)]);
    for (number, head) in heads.iter().enumerate() {
        let tracks = tracks_of(head);
        assert_eq!(tracks.len(), 2, "fragment {number}");
        for (track, decode, duration) in tracks {
            let end = ends.insert(track, decode + duration);
            assert_eq!(end, Some(decode), "track {track} of fragment {number}");
        }
    }
    // In any order they are the same.
    for (number, head) in heads.iter().enumerate().rev().step_by(61) {
        assert_eq!(&layout.fragment_head(&table, number), head);
    }
    let all: usize = heads.iter().map(Bytes::len).sum();
    let weight = layout.weight();
    assert!(weight < all / 10, "{weight} bytes for heads of {all}");
}
