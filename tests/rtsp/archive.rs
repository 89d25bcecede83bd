//! A recording with a gap, made once, and what is in it by the volume's own account: each picture's number, time and kind.

use crate::{
    harness::{Recorder, Site},
    rig::{Rig, cameras, wait_until},
};
use nvring::{
    base::{TimeRange, UnixMicros},
    media::FrameKind,
    store::recordings::Recordings,
};
use std::{collections::BTreeMap, sync::OnceLock, time::Duration};

/// What the cameras send: without and with B-frames, with sound, and with open groups of pictures.
pub(crate) const CLIPS: [&str; 3] = ["h264", "h264b", "h265b"];
/// Frames of all cameras in each run: four groups of pictures and more.
const FRAMES: u64 = 500;

/// A picture as it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shot {
    /// The number its camera gave it, if that is simulated.
    pub(crate) number: u64,
    pub(crate) time: UnixMicros,
    pub(crate) kind: FrameKind,
}

/// The pictures of each run in the order in which they came.
pub(crate) type Film = Vec<Vec<Shot>>;

/// The recording.
pub(crate) struct Archive {
    site: Site,
    films: BTreeMap<String, Film>,
}

/// The recording all tests look at, each at its own copy.
pub(crate) fn archive() -> &'static Archive {
    static ARCHIVE: OnceLock<Archive> = OnceLock::new();
    ARCHIVE.get_or_init(record)
}

fn record() -> Archive {
    let cameras = cameras(&CLIPS);
    let site = Site::new(8, 4 << 20);
    site.enrol(&cameras.urls());
    let (recorder, _) = site.start();
    recorder.wait_recording(CLIPS.len());
    wait_frames(&recorder, FRAMES);
    cameras.restart_all(Duration::from_secs(2));
    wait_until("the cameras are lost", || {
        recorder.metric("nvring_stream_recording") == 0.0
    });
    recorder.wait_recording(CLIPS.len());
    wait_frames(&recorder, FRAMES);
    cameras.stop();
    wait_until("the cameras are lost", || {
        recorder.metric("nvring_stream_recording") == 0.0
    });
    recorder.stop();
    let recordings = site.recordings();
    let names = (0..CLIPS.len()).map(|number| format!("cam{number}"));
    let films = names.map(|name| (name.clone(), film(&recordings, &name)));
    let films = films.collect();
    Archive { site, films }
}

fn wait_frames(recorder: &Recorder, count: u64) {
    let frames = || recorder.metric("nvring_stream_frames_total");
    let before = frames();
    wait_until("frames are recorded", || frames() >= before + count as f64);
}

/// All pictures of a camera on a volume.
pub(crate) fn film(recordings: &Recordings, camera: &str) -> Film {
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.build().expect("a runtime");
    let mut streams = recordings.streams().into_iter();
    let stream = streams.find(|stream| stream.name.camera == camera);
    let stream = stream.expect("it is recorded").stream;
    runtime.block_on(async {
        let pieces = recordings.blocks(stream, TimeRange::ALL).await;
        let mut runs: BTreeMap<UnixMicros, Vec<Shot>> = BTreeMap::new();
        for block in pieces
            .expect("the chapters are read")
            .iter()
            .flat_map(|piece| &piece.blocks)
        {
            let bytes = block.read().await.expect("the block is whole");
            let run = runs.entry(block.run.run).or_default();
            for (index, frame) in bytes.frames.iter().enumerate() {
                if frame.track.0 == 0 {
                    let mark = camsim::mark::find(&bytes.frame(index));
                    run.push(Shot {
                        number: mark.map_or(0, |mark| mark.frame),
                        time: frame.time,
                        kind: frame.kind,
                    });
                }
            }
        }
        runs.into_values().collect()
    })
}

impl Archive {
    /// A server of a copy of it. Its cameras are gone.
    pub(crate) fn serve(&self) -> Rig {
        Rig::start_at(copy(&self.site), &[], "")
    }

    /// The pictures of a camera: two runs.
    pub(crate) fn film(&self, camera: &str) -> &Film {
        let film = &self.films[camera];
        assert_eq!(film.len(), 2, "{camera}: one gap");
        film
    }
}

/// A copy of all there is, to be served at an address of its own.
fn copy(site: &Site) -> Site {
    let copy = Site::new(3, 1 << 20);
    std::fs::remove_dir_all(copy.path("volume")).expect("the empty volume goes");
    let everything = site.path(".");
    let copied = std::process::Command::new("cp")
        .arg("-a")
        .args([everything, copy.path("")])
        .status();
    assert!(copied.is_ok_and(|status| status.success()));
    let config = copy.path("nvring.toml");
    let text = std::fs::read_to_string(&config).expect("the configuration");
    let text = text.replace(&site.http.to_string(), &copy.http.to_string());
    std::fs::write(&config, text).expect("the configuration is written");
    copy
}

/// The pictures of a run that are played from `from` to `to`, by the rules of replay: from the key frame in force, without pictures that
/// refer to what was before it, to the last one before the end in the order of decoding.
pub(crate) fn played(run: &[Shot], from: UnixMicros, to: UnixMicros) -> Vec<Shot> {
    let key = |shot: &Shot| shot.kind == FrameKind::Key;
    let entry = run.iter().rposition(|shot| key(shot) && shot.time <= from);
    let entry = entry
        .or_else(|| run.iter().position(key))
        .expect("a key frame");
    let Some(last) = run.iter().rposition(|shot| shot.time < to) else {
        return Vec::new();
    };
    let next_key = run.iter().skip(entry + 1).position(key);
    let next_key = next_key.map_or(run.len(), |at| entry + 1 + at);
    let shots = run.iter().enumerate().take(last + 1).skip(entry);
    let shots = shots.filter(|(at, shot)| *at >= next_key || shot.kind != FrameKind::Leading);
    shots.map(|(_, shot)| *shot).collect()
}

/// The groups of pictures of a run, newest first, each as it is decoded on its own.
pub(crate) fn groups(run: &[Shot]) -> Vec<Vec<Shot>> {
    let mut groups: Vec<Vec<Shot>> = Vec::new();
    for shot in run {
        if shot.kind == FrameKind::Key {
            groups.push(Vec::new());
        }
        let group = groups
            .last_mut()
            .filter(|_| shot.kind != FrameKind::Leading);
        group.into_iter().for_each(|group| group.push(*shot));
    }
    groups.reverse();
    groups
}
