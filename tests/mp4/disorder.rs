//! Goal: whatever times, kinds and tracks a frame table has, the layout is a well-formed file of the promised length.
//! Method: random tables without bytes, from orderly to hopeless; the head is read by `check_mp4`, which did not write it.

use crate::camera::START;
use bytes::Bytes;
use nvring::{
    base::{TimeRange, UnixMicros, seed::Seed},
    media::{
        AudioParameters, Codec, FrameEntry, FrameKind, GapCause, Track, TrackId, TrackSet,
        VideoParameters,
    },
    playback::{
        check::check_mp4,
        movie::{DamagedFrames, FrameTable, Movie, MovieRun, TrackChoice},
        mp4::{LayoutError, Mp4Layout},
    },
};
use std::{
    io::{self, Read, Seek, SeekFrom},
    sync::Arc,
};

struct Table {
    blocks: Vec<(usize, Vec<FrameEntry>)>,
}

impl FrameTable for Table {
    fn blocks(&self) -> usize {
        self.blocks.len()
    }

    fn run_of(&self, block: usize) -> usize {
        self.blocks[block].0
    }

    fn visit(&self, block: usize, visit: &mut dyn FnMut(&FrameEntry)) {
        self.blocks[block].1.iter().for_each(visit);
    }
}

/// A file of which only the head has bytes; the rest reads as zeroes.
struct HeadOnly {
    head: Bytes,
    at: u64,
}

impl Read for HeadOnly {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        for byte in buffer.iter_mut() {
            *byte = usize::try_from(self.at)
                .ok()
                .and_then(|at| self.head.get(at).copied())
                .unwrap_or(0);
            self.at += 1;
        }
        Ok(buffer.len())
    }
}

impl Seek for HeadOnly {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let SeekFrom::Start(at) = to else {
            return Err(io::ErrorKind::Unsupported.into());
        };
        self.at = at;
        Ok(at)
    }
}

fn random_tracks(seed: &mut Seed) -> TrackSet {
    let video = |seed: &mut Seed| VideoParameters {
        width: seed.below(65_536) as u16,
        height: 90,
        parameter_sets: (0..seed.below(4))
            .map(|_| {
                let mut set = vec![0; seed.below(30) as usize];
                seed.fill(&mut set);
                set.into()
            })
            .collect(),
    };
    let tracks = (0..seed.below(4)).map(|_| {
        let number = seed.between(1, 7) as u8;
        let codec = Codec::from_number(number).unwrap();
        Track {
            codec,
            clock_rate: 90_000,
            video: codec.is_video().then(|| video(seed)),
            audio: codec.is_audio().then(|| AudioParameters {
                sample_rate: [0, 8_000, 48_000, 192_000][seed.below(4) as usize],
                channels: seed.below(3) as u8,
                config: Bytes::from_static(&[0x11, 0x88]),
            }),
            encoding: "vnd.onvif.metadata".to_owned(),
        }
    });
    TrackSet {
        tracks: tracks.collect(),
    }
}

fn random_movie(seed: &mut Seed) -> (Movie, Table) {
    let runs = seed.between(1, 4) as usize;
    let disorder = [
        0,
        100_000,
        100_000_000,
        20_000_000_000,
        1 << 62,
        u64::MAX - 1,
    ][seed.below(6) as usize];
    let mut clock = START;
    let mut blocks = Vec::new();
    for run in 0..runs {
        for _ in 0..seed.below(5) {
            let frame = |_| {
                clock += seed.between(1, 80_000) as i64;
                FrameEntry {
                    track: TrackId(seed.below(5) as u8),
                    kind: FrameKind::from_number(seed.below(5) as u8).unwrap(),
                    time: match seed.below(disorder + 1) {
                        // Hopeless: times no camera can have.
                        lead if disorder > 1 << 60 && lead % 50 == 0 => UnixMicros::MIN,
                        lead => UnixMicros(clock.saturating_add(lead as i64)),
                    },
                    size: [0, 1, 5_000, u32::MAX][seed.below(4) as usize],
                }
            };
            blocks.push((run, (0..30).map(frame).collect()));
        }
        // A gap; now and then the clock steps back.
        clock += seed.below(10_000_000) as i64 - 3_000_000;
    }
    let from = START + seed.below(4_000_000) as i64;
    let to = from + seed.between(1, 20_000_000) as i64;
    let runs = (0..runs).map(|_| MovieRun {
        tracks: Arc::new(random_tracks(seed)),
        cause: GapCause::from_number(seed.below(11) as u8),
    });
    let movie = Movie {
        runs: runs.collect(),
        range: match seed.below(5) {
            0 => TimeRange::ALL,
            _ => TimeRange::new(UnixMicros(from), UnixMicros(to)).unwrap(),
        },
        damaged: [DamagedFrames::Keep, DamagedFrames::Drop][seed.below(2) as usize],
        choice: TrackChoice::ALL,
    };
    (movie, Table { blocks })
}

#[test]
fn disorderly_tables_still_give_well_formed_files() {
    let mut files = 0;
    for number in 0..5_000 {
        let (movie, table) = random_movie(&mut Seed::new(number));
        let layout = match Mp4Layout::new(&movie, &table) {
            Ok(layout) => layout,
            Err(LayoutError::Empty { .. }) => continue,
            Err(error) => panic!("SEED={number}: {error}"),
        };
        files += 1;
        let mut end = layout.head().len() as u64;
        for block in 0..table.blocks() {
            let frames = layout.block_output(&table, block).unwrap();
            let len: u64 = frames.iter().map(|frame| u64::from(frame.size)).sum();
            assert_eq!(layout.block_range(block), end..end + len, "SEED={number}");
            end += len;
        }
        assert_eq!(layout.total_len(), end, "SEED={number}");
        let head = layout.head().clone();
        let report = check_mp4(&mut HeadOnly { head, at: 0 }, end).unwrap();
        assert_eq!(report.problems, Vec::<String>::new(), "SEED={number}");
        assert_eq!(
            report.wall_clock.len(),
            layout.runs().len(),
            "SEED={number}"
        );
        for pair in layout.runs().windows(2) {
            let end = pair[0].media_start + pair[0].duration;
            assert_eq!(pair[1].media_start, end, "SEED={number}");
        }
    }
    assert!(files > 1_000, "{files} files");
}
