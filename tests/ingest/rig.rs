//! The test rig: a small volume, a real store, a supervisor, and a reader that goes through index, chapters and verified blocks.

use bytes::Bytes;
use camsim::{mark::Verdict, nal, verify::Summary};
use nvring::{
    base::{Clock, Micros, SystemClock, TimeRange},
    catalog::{CameraUrl, Secret, StreamRole, Transport},
    disk::EngineChoice,
    format::description::RunDescription,
    ingest::{IngestOptions, Source, StreamSpec, StreamState, StreamStatus, Supervisor},
    media::{Codec, FrameEntry, GapCause, StreamId},
    store::{
        pool::{Store, StoreOptions, VolumeSpec, format_volume},
        recordings::Recordings,
        runs::Timeline,
        tail::TailLimits,
        volume::FormatOptions,
        writer::WriterOptions,
    },
};
use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// A frame as it was read back.
pub(crate) struct ReadFrame {
    pub(crate) entry: FrameEntry,
    pub(crate) bytes: Bytes,
}

/// A run as it was read back.
pub(crate) struct ReadRun {
    pub(crate) description: RunDescription,
    pub(crate) end_cause: Option<GapCause>,
    pub(crate) frames: Vec<ReadFrame>,
}

/// A recorder on a volume of its own.
pub(crate) struct Rig {
    pub(crate) folder: TempDir,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) store: Arc<Store>,
    pub(crate) supervisor: Supervisor,
}

impl Rig {
    pub(crate) fn new() -> Self {
        Self::with(quick(), Arc::new(SystemClock::new()))
    }

    pub(crate) fn with(options: IngestOptions, clock: Arc<dyn Clock>) -> Self {
        let folder = TempDir::new().unwrap();
        let format = FormatOptions {
            size: "64MiB".parse().unwrap(),
            segment_len: "4MiB".parse().unwrap(),
            pool: "default".into(),
            volume: [7; 16],
        };
        format_volume(&folder.path().join("v"), &format, &*clock, &mut |_, _| {}).unwrap();
        Self::open(folder, options, clock)
    }

    fn open(folder: TempDir, options: IngestOptions, clock: Arc<dyn Clock>) -> Self {
        let store = open_store(folder.path(), Arc::clone(&clock));
        let supervisor =
            Supervisor::start(Arc::clone(&store), Arc::clone(&clock), options).unwrap();
        Self {
            folder,
            clock,
            store,
            supervisor,
        }
    }

    /// Stops everything and starts it again on the same volume.
    pub(crate) fn restart(self) -> Self {
        let Self {
            folder,
            clock,
            store,
            supervisor,
        } = self;
        supervisor.stop();
        drop(supervisor);
        store.close();
        drop(store);
        Self::open(folder, quick(), clock)
    }

    pub(crate) fn status(&self, camera: &str) -> StreamStatus {
        let all = self.supervisor.status();
        all.into_iter()
            .find(|status| status.camera.as_str() == camera)
            .expect("the camera is recorded")
    }

    /// Waits until `done` says yes of the camera's status.
    pub(crate) fn wait(&self, camera: &str, what: &str, done: impl Fn(&StreamStatus) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(40);
        while !done(&self.status(camera)) {
            assert!(
                Instant::now() < deadline,
                "{camera}: {what} did not come about: {:#?}",
                self.status(camera)
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until the camera has so many frames, and records.
    pub(crate) fn wait_frames(&self, camera: &str, frames: u64) {
        self.wait(camera, "recording", |status| {
            status.state == StreamState::Recording && status.counters.frames >= frames
        });
    }

    /// Waits until the camera records and has so many frames more than now.
    pub(crate) fn wait_more(&self, camera: &str, more: u64) {
        self.wait_frames(camera, self.status(camera).counters.frames + more);
    }

    /// Stops recording, makes all of it durable, and reads the stream back.
    pub(crate) fn read(&self, stream: StreamId) -> (Vec<ReadRun>, Timeline) {
        self.supervisor.stop();
        self.store.close();
        read(&Recordings::new(self.store.shared_volumes()), stream)
    }
}

/// Short waits, so that tests of failures do not take minutes.
pub(crate) fn quick() -> IngestOptions {
    IngestOptions {
        patience: Duration::from_secs(3),
        silent_after: Micros::from_millis(2_500),
        undecodable_after: Micros::from_secs(4),
        retry_min: Duration::from_millis(300),
        retry_max: Duration::from_secs(1),
        threads: 2,
        ..IngestOptions::default()
    }
}

pub(crate) fn open_store(folder: &Path, clock: Arc<dyn Clock>) -> Arc<Store> {
    let specs = [VolumeSpec {
        path: folder.join("v"),
        pool: "default".into(),
    }];
    let options = StoreOptions {
        writer: WriterOptions {
            commit_interval: Micros::from_millis(200),
            sync_interval: Micros::from_millis(200),
            depth: 2,
        },
        tail: TailLimits {
            waiting_max: 16 << 20,
            block_len_max: 256 << 10,
            frame_len_max: 512 << 10,
        },
        tails_len_max: 256 << 20,
        engine: EngineChoice::Plain,
    };
    Store::open(&specs, options, clock, &mut |_, _| {})
        .unwrap()
        .0
}

/// A stream of this camera and URL.
pub(crate) fn spec(number: u8, camera: &str, url: &str) -> StreamSpec {
    StreamSpec {
        stream: StreamId([number; 16]),
        camera: camera.parse().unwrap(),
        name: format!("Camera {camera}"),
        role: StreamRole::Main,
        source: Source {
            url: CameraUrl::parse(url).unwrap(),
            username: None,
            password: None,
            transport: Transport::Tcp,
        },
        pool: "default".into(),
        enabled: true,
    }
}

/// The same with credentials.
pub(crate) fn signed_in(mut spec: StreamSpec, username: &str, password: &str) -> StreamSpec {
    spec.source.username = Some(username.into());
    spec.source.password = Some(Secret::new(password));
    spec
}

pub(crate) fn read(recordings: &Recordings, stream: StreamId) -> (Vec<ReadRun>, Timeline) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut runs: Vec<ReadRun> = Vec::new();
        let mut last = None;
        for piece in recordings.blocks(stream, TimeRange::ALL).await.unwrap() {
            if last != Some(piece.stretch.run) {
                last = Some(piece.stretch.run);
                runs.push(ReadRun {
                    description: RunDescription::decode(&piece.description).unwrap(),
                    end_cause: None,
                    frames: Vec::new(),
                });
            }
            let run = runs.last_mut().unwrap();
            run.end_cause = piece.stretch.end_cause;
            for block in piece.blocks {
                let block = block.read().await.unwrap();
                for (index, entry) in block.frames.iter().enumerate() {
                    run.frames.push(ReadFrame {
                        entry: *entry,
                        bytes: block.frame(index),
                    });
                }
            }
        }
        let timeline = recordings.timeline(stream, TimeRange::ALL).await.unwrap();
        (runs, timeline)
    })
}

/// What the marks of the video frames say.
pub(crate) fn verify(runs: &[ReadRun]) -> Summary {
    let mut summary = Summary::default();
    for run in runs {
        for frame in run.frames.iter().filter(|frame| frame.entry.track.0 == 0) {
            summary.add(verdict(run, frame));
        }
    }
    summary
}

pub(crate) fn verdict(run: &ReadRun, frame: &ReadFrame) -> Verdict {
    let codec = match run.description.tracks.tracks[0].codec {
        Codec::H265 => nal::Codec::H265,
        _ => nal::Codec::H264,
    };
    camsim::mark::verify(codec, &frame.bytes)
}

/// The causes of the gaps and seams between runs, in order.
pub(crate) fn causes(runs: &[ReadRun]) -> Vec<GapCause> {
    runs.iter().map(|run| run.description.start_cause).collect()
}
