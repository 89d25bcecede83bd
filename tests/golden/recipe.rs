//! What the golden volume of version 1 holds, as values. Three segments and two sessions: a sealed segment, one that was given up after a
//! failed write (its blocks are written again), and the open one; three streams with every codec, every kind of frame, a
//! description with and without the camera's clock, chapters that reach over segments, a run that ended and one that did not.
//!
//! Nothing here is the writer's: how today's writer gathers batches may change without the format changing.

use bytes::Bytes;
use nvring::{
    base::{ClockState, Micros, UnixMicros, seed::Seed},
    format::{
        description::RunDescription,
        place::{Generation, SegmentNumber},
        row::RunId,
        segment::{SegmentEnd, SegmentHeader},
        superblock::Superblock,
    },
    media::{
        AudioParameters, Codec, FrameEntry, FrameKind, GapCause, StreamId, Track, TrackId,
        TrackSet, VideoParameters,
    },
};

/// When the recording began: 2026-11-18T11:06:40Z.
pub(crate) const START: i64 = 1_795_000_000_000_000;

/// Lives of the three segments.
pub(crate) const FIRST: Generation = Generation(1 << 32 | 1);
pub(crate) const SECOND: Generation = Generation(1 << 32 | 2);
pub(crate) const THIRD: Generation = Generation(2 << 32 | 1);

/// A run.
#[derive(Clone, Debug)]
pub(crate) struct GoldenRun {
    pub(crate) id: RunId,
    pub(crate) description: RunDescription,
}

/// A block of frames.
#[derive(Clone, Debug)]
pub(crate) struct GoldenBlock {
    /// Which of the runs.
    pub(crate) run: usize,
    pub(crate) number: u32,
    pub(crate) first: UnixMicros,
    pub(crate) end: UnixMicros,
    pub(crate) frames: Vec<(FrameEntry, Vec<u8>)>,
}

/// A chapter: lists the newest copies of the run's blocks from `number` on.
#[derive(Clone, Debug)]
pub(crate) struct GoldenChapter {
    pub(crate) run: usize,
    pub(crate) number: u32,
    pub(crate) count: u32,
    pub(crate) end_cause: Option<GapCause>,
}

/// A batch, or so many pages in which nothing intact is.
#[derive(Clone, Debug)]
pub(crate) enum GoldenBatch {
    Written {
        number: u32,
        synced: u32,
        written_us: i64,
        blocks: Vec<GoldenBlock>,
        chapters: Vec<GoldenChapter>,
    },
    Lost {
        pages: u64,
    },
}

/// A segment in its life.
#[derive(Clone, Debug)]
pub(crate) struct GoldenSegment {
    pub(crate) header: SegmentHeader,
    pub(crate) session: u64,
    pub(crate) batches: Vec<GoldenBatch>,
    pub(crate) sealed_us: Option<i64>,
}

/// The whole volume.
#[derive(Clone, Debug)]
pub(crate) struct GoldenVolume {
    pub(crate) superblock: Superblock,
    pub(crate) runs: Vec<GoldenRun>,
    pub(crate) segments: Vec<GoldenSegment>,
}

/// The golden volume of version 1.
pub(crate) fn volume() -> GoldenVolume {
    GoldenVolume {
        superblock: Superblock {
            volume: *b"nvring golden v1",
            sequence: 3,
            session: 2,
            segment_len: 64 << 10,
            segment_count: 3,
            batch_len_max: 16 << 10,
            window_len: 64 << 10,
            created_us: START - 60_000_000,
            pool: "kho chính".to_owned(),
            refuse_write: 0,
        },
        runs: vec![gate(), yard(), yard_sub(), gate_again()],
        segments: segments(),
    }
}

fn segments() -> Vec<GoldenSegment> {
    let mut random = Seed::new(1);
    let mut block = |run, number, second| block(&mut random, run, number, second);
    let (gate_0, gate_1, gate_2, gate_3) = (
        block(0, 0, 0),
        block(0, 1, 1),
        block(0, 2, 2),
        block(0, 3, 3),
    );
    let (yard_0, sub_0, again_0) = (block(1, 0, 1), block(2, 0, 0), block(3, 0, 9));
    let written = |number, synced, second: i64, blocks, chapters| GoldenBatch::Written {
        number,
        synced,
        written_us: START + second * 1_000_000 + 500_000,
        blocks,
        chapters,
    };
    vec![
        GoldenSegment {
            header: header(0, FIRST, (Generation::NONE, 0), SegmentEnd::Unknown),
            session: 1,
            batches: vec![
                written(0, 0, 1, vec![gate_0, sub_0], vec![]),
                written(
                    1,
                    1,
                    2,
                    vec![gate_1, yard_0],
                    vec![chapter(2, 1, GapCause::ParametersChanged)],
                ),
            ],
            sealed_us: Some(START + 2_600_000),
        },
        GoldenSegment {
            header: header(1, SECOND, (FIRST, 0), SegmentEnd::Sealed),
            session: 1,
            batches: vec![written(0, 0, 3, vec![gate_2.clone()], vec![])],
            sealed_us: None,
        },
        GoldenSegment {
            header: header(2, THIRD, (SECOND, 1), SegmentEnd::Abandoned),
            session: 2,
            batches: vec![
                written(0, 0, 4, vec![gate_2, gate_3], vec![]),
                // In flight beside the next when the power was cut.
                GoldenBatch::Lost { pages: 2 },
                written(
                    2,
                    1,
                    10,
                    vec![again_0],
                    vec![
                        chapter(0, 4, GapCause::CameraLost),
                        chapter(1, 1, GapCause::Restart),
                    ],
                ),
            ],
            sealed_us: None,
        },
    ]
}

fn header(
    segment: SegmentNumber,
    generation: Generation,
    previous: (Generation, SegmentNumber),
    previous_end: SegmentEnd,
) -> SegmentHeader {
    SegmentHeader {
        segment,
        generation,
        previous,
        previous_end,
        ring: true,
        taken_us: START + i64::from(segment) * 2_000_000,
    }
}

fn chapter(run: usize, count: u32, end_cause: GapCause) -> GoldenChapter {
    GoldenChapter {
        run,
        number: 0,
        count,
        end_cause: Some(end_cause),
    }
}

/// A second of a run: pictures in decode order, packets of the other tracks beside them. Kinds and times cover what a table can hold.
fn block(random: &mut Seed, run: usize, number: u32, second: i64) -> GoldenBlock {
    use FrameKind::{Damaged, Disposable, Key, Leading, Reference};
    // Milliseconds into the block: groups with leading and disposable pictures, damage, and a single picture.
    let pictures: &[(FrameKind, i64)] = match number {
        0 => &[
            (Key, 0),
            (Reference, 120),
            (Disposable, 40),
            (Disposable, 80),
        ],
        1 => &[(Key, 80), (Leading, 0), (Leading, 40), (Reference, 120)],
        2 => &[(Damaged, 0), (Damaged, 40), (Key, 80)],
        _ => &[(Key, 0)],
    };
    let packets: &[&[i64]] = match run {
        0 => &[&[5, 26, 47, 69], &[100]],
        1 => &[&[0, 20, 40]],
        _ => &[],
    };
    let at = |millis: i64| UnixMicros(START + second * 1_000_000 + millis * 1_000);
    let mut frames = Vec::new();
    let mut add = |track: usize, kind, millis| {
        let mut bytes = vec![0; random.between(1, 150) as usize];
        random.fill(&mut bytes);
        let entry = FrameEntry {
            track: TrackId(track as u8),
            kind,
            time: at(millis),
            size: bytes.len() as u32,
        };
        frames.push((entry, bytes));
    };
    for (kind, millis) in pictures {
        add(0, *kind, *millis);
    }
    for (track, packets) in packets.iter().enumerate() {
        packets
            .iter()
            .for_each(|millis| add(track + 1, Key, *millis));
    }
    GoldenBlock {
        run,
        number,
        first: at(0),
        end: at(160),
        frames,
    }
}

fn run(
    stream: u8,
    camera: [&str; 3],
    cause: GapCause,
    second: i64,
    tracks: Vec<Track>,
) -> GoldenRun {
    let started = UnixMicros(START + second * 1_000_000);
    let [camera, name, stream_name] = camera.map(str::to_owned);
    GoldenRun {
        id: RunId {
            stream: StreamId([stream; 16]),
            run: started,
        },
        description: RunDescription {
            camera,
            name,
            stream: stream_name,
            start_cause: cause,
            started,
            clock: ClockState {
                synchronised: true,
                error_us_max: 15_000,
            },
            camera_offset: None,
            tracks: TrackSet { tracks },
        },
    }
}

fn gate() -> GoldenRun {
    let mut gate = run(
        1,
        ["gate-1", "Cổng chính", "main"],
        GapCause::Enrolled,
        0,
        vec![
            video(
                Codec::H264,
                (1920, 1080),
                &[&[0x67, 0x64, 0, 0x28], &[0x68, 0xee, 0x3c, 0x80]],
            ),
            sound(Codec::Aac, 48_000, 2, &[0x11, 0x90]),
            Track {
                codec: Codec::Opaque,
                clock_rate: 90_000,
                video: None,
                audio: None,
                encoding: "vnd.onvif.metadata".to_owned(),
            },
        ],
    );
    gate.description.camera_offset = Some(Micros(-250_000));
    gate
}

fn yard() -> GoldenRun {
    let sets: [&[u8]; 3] = [&[0x40, 1, 0x0c], &[0x42, 1, 1], &[0x44, 1, 0xc1]];
    let tracks = vec![
        video(Codec::H265, (2560, 1440), &sets),
        sound(Codec::PcmMu, 8_000, 1, &[]),
    ];
    let mut yard = run(2, ["yard", "Yard", "main"], GapCause::Clock, 1, tracks);
    yard.description.clock = ClockState::UNKNOWN;
    yard
}

fn yard_sub() -> GoldenRun {
    let tracks = vec![
        video(Codec::H264, (640, 360), &[&[0x67, 0x42], &[0x68, 0xce]]),
        sound(Codec::PcmA, 8_000, 1, &[]),
        sound(Codec::Opus, 48_000, 2, &[]),
    ];
    run(3, ["yard", "Yard", "sub"], GapCause::Overload, 0, tracks)
}

fn gate_again() -> GoldenRun {
    let tracks = vec![video(
        Codec::H264,
        (1920, 1080),
        &[&[0x67, 0x64], &[0x68, 0xee]],
    )];
    run(
        1,
        ["gate-1", "Cổng chính", "main"],
        GapCause::CameraLost,
        9,
        tracks,
    )
}

fn video(codec: Codec, (width, height): (u16, u16), sets: &[&[u8]]) -> Track {
    let parameter_sets = sets.iter().map(|set| Bytes::copy_from_slice(set)).collect();
    Track {
        codec,
        clock_rate: 90_000,
        video: Some(VideoParameters {
            width,
            height,
            parameter_sets,
        }),
        audio: None,
        encoding: String::new(),
    }
}

fn sound(codec: Codec, sample_rate: u32, channels: u8, config: &[u8]) -> Track {
    Track {
        codec,
        clock_rate: sample_rate,
        video: None,
        audio: Some(AudioParameters {
            sample_rate,
            channels,
            config: Bytes::copy_from_slice(config),
        }),
        encoding: String::new(),
    }
}
