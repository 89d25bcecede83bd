//! A volume with known recordings, a copy of it for each test, and the program to run on it.

use crate::camera::{Feed, START, film, tone};
use bytes::Bytes;
use nvring::{
    base::{Clock, ClockState, Micros, SystemClock, UnixMicros, units::ByteSize},
    media::{Codec, Frame, FrameData, GapCause, StreamId, TrackId, TrackSet},
    store::{
        RunDescription,
        pool::{Store, StoreOptions, VolumeSpec, format_volume},
        tail::{Pushed, Tail, TailLimits},
        volume::FormatOptions,
    },
};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Arc, OnceLock},
};

/// H.264 and H.265 with B-frames and a closed group of pictures every 2 s.
const X264: &[&str] = &[
    "-bf",
    "2",
    "-g",
    "50",
    "-x264-params",
    "open-gop=0:bframes=2:b-adapt=0:scenecut=0",
];
const X265: &[&str] = &[
    "-preset",
    "ultrafast",
    "-x265-params",
    "log-level=error:keyint=50:min-keyint=50:bframes=3:b-adapt=0:open-gop=0:scenecut=0",
];

/// What was recorded.
pub(crate) struct Recorded {
    folder: tempfile::TempDir,
    /// The pictures of `yard`: ten seconds without a gap.
    pub(crate) yard: Vec<String>,
    /// The pictures of `gate`: seconds 0 to 4 and 6 to 10.
    pub(crate) gate: Vec<String>,
}

/// What came of a command.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) status: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A copy of the volume in a folder of its own.
pub(crate) struct Site {
    folder: tempfile::TempDir,
}

/// The recording all tests copy, made once.
pub(crate) fn recorded() -> &'static Recorded {
    static RECORDED: OnceLock<Recorded> = OnceLock::new();
    RECORDED.get_or_init(record)
}

/// `START` and so many seconds, as on a command line.
pub(crate) fn at(seconds: f64) -> String {
    UnixMicros(START + (seconds * 1e6) as i64).to_string()
}

fn record() -> Recorded {
    let folder = tempfile::tempdir().unwrap();
    let h264 = film(folder.path(), Codec::H264, "320x180", 10, X264);
    let h265 = film(folder.path(), Codec::H265, "320x180", 10, X265);
    let sound = tone(folder.path(), Codec::Aac, 10);
    let volume = folder.path().join("volume");
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let options = FormatOptions {
        size: ByteSize(16 << 20),
        segment_len: ByteSize(256 << 10),
        pool: "default".to_owned(),
        volume: *uuid::Uuid::new_v4().as_bytes(),
    };
    format_volume(&volume, &options, &*clock, &mut |_, _| ()).unwrap();
    let spec = VolumeSpec {
        path: volume,
        pool: "default".to_owned(),
    };
    let options = StoreOptions {
        tail: TailLimits {
            waiting_max: 32 << 20,
            block_len_max: 24 << 10,
            frame_len_max: 40 << 10,
        },
        ..StoreOptions::default()
    };
    let (store, _) = Store::open(&[spec], options, Arc::clone(&clock), &mut |_, _| ()).unwrap();
    let tail = |number| store.record(StreamId([number; 16]), "default").unwrap();
    let gate = tail(1);
    push(
        &*clock,
        &gate,
        ["gate", "Cổng chính", "main"],
        &[&h264, &sound],
        0,
        4,
    );
    gate.end(GapCause::CameraLost);
    push(
        &*clock,
        &gate,
        ["gate", "Cổng chính", "main"],
        &[&h264, &sound],
        6,
        10,
    );
    gate.end(GapCause::Restart);
    let yard = tail(2);
    push(&*clock, &yard, ["yard", "Yard", "main"], &[&h265], 0, 10);
    yard.end(GapCause::Restart);
    let sub = tail(3);
    push(&*clock, &sub, ["yard", "Yard", "sub"], &[&h264], 0, 2);
    sub.end(GapCause::Restart);
    store.close();
    let pictures = h264.picture_md5;
    Recorded {
        folder,
        yard: h265.picture_md5,
        gate: [&pictures[..100], &pictures[150..]].concat(),
    }
}

/// Records seconds `from` to `to` of the feeds (whole groups of pictures), as a camera sends them: a frame when all it refers to has come.
fn push(
    clock: &dyn Clock,
    tail: &Arc<Tail>,
    [camera, name, stream]: [&str; 3],
    feeds: &[&Feed],
    from: usize,
    to: usize,
) {
    let seconds = |number: usize| START + number as i64 * 1_000_000;
    let mut arrivals: BTreeMap<(i64, usize, usize), Frame> = BTreeMap::new();
    for (track, feed) in feeds.iter().enumerate() {
        let video = feed.track.codec.is_video();
        let mut arrival = i64::MIN;
        for (number, shot) in feed.shots.iter().enumerate() {
            let time = shot.entry.time.0;
            let inside = if video {
                (from * 25..to * 25).contains(&number)
            } else {
                (seconds(from)..seconds(to)).contains(&time)
            };
            if !inside {
                continue;
            }
            arrival = arrival.max(time);
            let frame = Frame {
                track: TrackId(track as u8),
                kind: shot.entry.kind,
                time: shot.entry.time,
                data: FrameData::from(Bytes::from(shot.data.clone())),
            };
            arrivals.insert((arrival, track, number), frame);
        }
    }
    let started = arrivals.values().map(|frame| frame.time).min().unwrap();
    tail.begin(RunDescription {
        camera: camera.to_owned(),
        name: name.to_owned(),
        stream: stream.to_owned(),
        start_cause: GapCause::Enrolled,
        started,
        clock: ClockState::UNKNOWN,
        camera_offset: None,
        tracks: TrackSet {
            tracks: feeds.iter().map(|feed| feed.track.clone()).collect(),
        },
    });
    for frame in arrivals.into_values() {
        assert_eq!(tail.push(frame, clock.elapsed()), Pushed::Kept);
    }
    assert!(clock.elapsed() > Micros::ZERO);
}

impl Site {
    /// A fresh copy of the recording in `volume`.
    pub(crate) fn new() -> Self {
        let site = Self::empty();
        copy(&recorded().folder.path().join("volume"), &site.volume());
        site
    }

    /// Nothing.
    pub(crate) fn empty() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn volume(&self) -> PathBuf {
        self.path("volume")
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nvring"));
        command
            .args(args)
            .current_dir(self.folder.path())
            .env_remove("NVRING_CONFIG")
            .env_remove("NVRING_LOG")
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        let output = self.command(args).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let ran = Ran {
            status: output.status.code().unwrap_or(-1),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        };
        assert!(matches!(ran.status, 0..=2), "{args:?}: {ran:?}");
        assert!(!ran.stderr.contains("panicked"), "{args:?}: {ran:?}");
        ran
    }

    /// Runs what must succeed without a word on stderr.
    pub(crate) fn ok(&self, args: &[&str]) -> String {
        let ran = self.run(args);
        assert_eq!((ran.status, &ran.stderr[..]), (0, ""), "{args:?}: {ran:?}");
        ran.stdout
    }

    /// Runs what must fail with this status, in one line that holds each of `words`.
    pub(crate) fn fails(&self, args: &[&str], status: i32, words: &[&str]) -> Ran {
        let ran = self.run(args);
        assert_eq!(ran.status, status, "{args:?}: {ran:?}");
        assert_eq!(ran.stderr.lines().count(), 1, "{args:?}: {ran:?}");
        assert!(ran.stderr.starts_with("nvring: "), "{args:?}: {ran:?}");
        for word in words {
            assert!(ran.stderr.contains(word), "`{word}` of {args:?}: {ran:?}");
        }
        ran
    }

    /// The lines of `inspect --json`.
    pub(crate) fn inspect(&self, file: &str) -> Vec<serde_json::Value> {
        let text = self.ok(&["inspect", file, "--json"]);
        let lines = text.lines();
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// Inverts one bit of a file.
    pub(crate) fn flip(&self, name: &str, offset: u64, bit: u8) {
        use std::os::unix::fs::FileExt;
        let file = std::fs::File::options()
            .read(true)
            .write(true)
            .open(self.path(name))
            .unwrap();
        let mut byte = [0];
        file.read_exact_at(&mut byte, offset).unwrap();
        byte[0] ^= 1 << bit;
        file.write_all_at(&byte, offset).unwrap();
    }

    /// Checksum and length of every file under `name`.
    pub(crate) fn fingerprint(&self, name: &str) -> BTreeMap<PathBuf, (u32, usize)> {
        let mut all = BTreeMap::new();
        let mut folders = vec![self.path(name)];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let bytes = std::fs::read(&path).unwrap();
                    all.insert(path, (crc32fast::hash(&bytes), bytes.len()));
                }
            }
        }
        all
    }
}

pub(crate) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            std::fs::copy(&path, &target).unwrap();
        }
    }
}
