//! Made-up recordings in a real volume: random runs, gaps, groups of pictures and sound, each frame with a number of its own.

use crate::{
    base::{Clock, ClockState, Micros, SystemClock, UnixMicros, seed::Seed, units::ByteSize},
    media::{Frame, FrameKind, GapCause, StreamId, TrackId, TrackSet},
    playback::replay::RecordingsNow,
    store::{
        RunDescription,
        pool::{Store, StoreOptions, VolumeSpec, format_volume},
        tail::{Pushed, Tail, TailLimits},
        volume::FormatOptions,
        writer::WriterOptions,
    },
};
use bytes::Bytes;
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// 2026-11-23T14:00:00Z.
pub(super) const START: i64 = 1_795_442_400_000_000;
pub(super) const STREAM: StreamId = StreamId([7; 16]);
pub(super) const PICTURES: TrackId = TrackId(0);
pub(super) const SOUND: TrackId = TrackId(1);

/// How a stream is made up.
#[derive(Clone, Copy)]
pub(super) struct Style {
    pub(super) sound: bool,
    /// Most pictures of a group.
    pub(super) group_max: u64,
    /// Most groups of a run.
    pub(super) groups_max: u64,
}

/// The frames of each run in the order in which they come.
#[derive(Clone, Default)]
pub(super) struct Film {
    pub(super) runs: Vec<Vec<Frame>>,
}

/// A store that records one stream.
pub(super) struct Recorder {
    _folder: tempfile::TempDir,
    pub(super) store: Arc<Store>,
    pub(super) tail: Arc<Tail>,
    clock: Arc<dyn Clock>,
    sound: bool,
}

pub(super) fn picture_time(run_start: i64, number: u64) -> i64 {
    run_start + number as i64 * 40_000 + Seed::new(number).below(9_000) as i64
}

/// The number in a frame's bytes.
pub(super) fn number_of(data: &[u8]) -> u64 {
    u64::from_be_bytes(*data.first_chunk().expect("a frame has a number"))
}

impl Film {
    /// Some runs with gaps of seconds to weeks between them.
    pub(super) fn random(seed: &mut Seed, style: Style) -> Self {
        let mut film = Self::default();
        let mut start = START;
        let mut serial = 0;
        for _ in 0..seed.between(1, 4) {
            let run = random_run(seed, style, start, &mut serial);
            start = run.iter().map(|frame| frame.time.0).max().expect("frames");
            start += match seed.below(4) {
                0 => seed.between(20 * 86_400, 30 * 86_400) as i64 * 1_000_000,
                1 => seed.between(3_600, 40_000) as i64 * 1_000_000,
                _ => seed.between(3_000_000, 90_000_000) as i64,
            };
            film.runs.push(run);
        }
        film
    }

    /// All times of pictures.
    pub(super) fn picture_times(&self) -> Vec<UnixMicros> {
        let pictures = self.runs.iter().flatten();
        let pictures = pictures.filter(|frame| frame.track == PICTURES);
        pictures.map(|frame| frame.time).collect()
    }
}

/// Groups of pictures, with B-pictures and open beginnings as it comes, and sound beside them.
pub(super) fn random_run(
    seed: &mut Seed,
    style: Style,
    start: i64,
    serial: &mut u64,
) -> Vec<Frame> {
    let mut arrivals: BTreeMap<(i64, u8, u64), Frame> = BTreeMap::new();
    let (mut shown, mut arrived) = (0, i64::MIN);
    let mut push = |seed: &mut Seed, number: u64, kind: FrameKind| {
        let time = picture_time(start, number);
        arrived = arrived.max(time);
        let frame = made_up(seed, PICTURES, kind, time, serial);
        arrivals.insert((arrived, 0, *serial), frame);
    };
    for _ in 0..seed.between(1, style.groups_max) {
        let disordered = seed.below(4);
        let leading = if seed.chance(0.5) { disordered } else { 0 };
        push(seed, shown + leading, FrameKind::Key);
        for number in 0..leading {
            push(seed, shown + number, FrameKind::Leading);
        }
        shown += leading + 1;
        for _ in 0..seed.below(style.group_max / (disordered + 1) + 1) {
            push(seed, shown + disordered, FrameKind::Reference);
            for number in 0..disordered {
                push(seed, shown + number, FrameKind::Disposable);
            }
            shown += disordered + 1;
        }
    }
    let last = arrived;
    if style.sound {
        let mut time = start + seed.below(40_000) as i64;
        while time <= last {
            let frame = made_up(seed, SOUND, FrameKind::Key, time, serial);
            arrivals.insert((time, 1, *serial), frame);
            time += 21_333;
        }
    }
    arrivals.into_values().collect()
}

fn made_up(seed: &mut Seed, track: TrackId, kind: FrameKind, time: i64, serial: &mut u64) -> Frame {
    let most = match (track, kind) {
        (PICTURES, FrameKind::Key) => 2_000,
        (PICTURES, _) => 300,
        _ => 60,
    };
    *serial += 1;
    let mut data = serial.to_be_bytes().to_vec();
    data.resize(8 + seed.below(most) as usize, *serial as u8);
    Frame {
        track,
        kind,
        time: UnixMicros(time),
        data: Bytes::from(data).into(),
    }
}

impl Recorder {
    /// A volume of `segments` segments of 64 KiB whose blocks hold at most about `block_len_max` bytes.
    pub(super) fn new(segments: u64, block_len_max: usize, sound: bool) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let path = folder.path().join("volume");
        let options = FormatOptions {
            size: ByteSize(segments * (64 << 10)),
            segment_len: ByteSize(64 << 10),
            pool: "default".to_owned(),
            volume: *uuid::Uuid::new_v4().as_bytes(),
        };
        format_volume(&path, &options, &*clock, &mut |_, _| ()).expect("a volume");
        let spec = VolumeSpec {
            path,
            pool: "default".to_owned(),
        };
        let defaults = StoreOptions::default();
        let options = StoreOptions {
            writer: WriterOptions {
                commit_interval: Micros::from_millis(10),
                sync_interval: Micros::from_millis(10),
                ..defaults.writer
            },
            tail: TailLimits {
                waiting_max: 16 << 20,
                block_len_max,
                frame_len_max: 8 << 10,
            },
            ..defaults
        };
        let opened = Store::open(&[spec], options, Arc::clone(&clock), &mut |_, _| ());
        let (store, _) = opened.expect("a store");
        let tail = store.record(STREAM, "default").expect("a tail");
        Self {
            _folder: folder,
            store,
            tail,
            clock,
            sound,
        }
    }

    /// What is recorded, as a replay asks for it.
    pub(super) fn now(&self) -> RecordingsNow {
        let store = Arc::clone(&self.store);
        Arc::new(move || store.recordings())
    }

    pub(super) fn begin(&self, started: UnixMicros) {
        self.tail.begin(RunDescription {
            camera: "yard".to_owned(),
            name: "Yard".to_owned(),
            stream: "main".to_owned(),
            start_cause: GapCause::CameraLost,
            started,
            clock: ClockState::UNKNOWN,
            camera_offset: None,
            tracks: TrackSet::sample(self.sound),
        });
    }

    pub(super) fn push(&self, frame: &Frame) {
        let pushed = self.tail.push(frame.clone(), self.clock.elapsed());
        assert_eq!(pushed, Pushed::Kept);
    }

    /// Records a film, ends its last run, and lets the stream go once all is on the volume.
    pub(super) fn record(&self, film: &Film) {
        for run in &film.runs {
            self.begin(run.iter().map(|frame| frame.time).min().expect("frames"));
            run.iter().for_each(|frame| self.push(frame));
            self.tail.end(GapCause::CameraLost);
        }
        self.settle();
        self.store.release(STREAM);
    }

    /// Waits until nothing is in memory only.
    pub(super) fn settle(&self) {
        let begun = self.clock.elapsed();
        while !self.tail.is_drained() {
            assert!(
                self.clock.elapsed() - begun < Micros::from_secs(60),
                "not durable after 60 s"
            );
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}
