//! Goal: 128 cameras at 2 Mbit/s lose nothing, and memory stays bounded. Method: record them for a minute, stop, and compare every
//! frame with what the cameras say they sent.

use crate::harness::{Proof, Site, alone};
use nvring::base::TimeRange;
use std::time::Duration;

const CAMERAS: usize = 128;
const MEMORY_MAX: u64 = 250_000_000;

/// Every frame sent after a stream's start is recorded, byte-identical and in order; resident memory stays below 250 MB; the
/// exported files hold the same frames.
#[test]
fn a_minute_of_128_cameras_is_recorded_frame_by_frame() {
    let _alone = alone();
    let seconds = std::env::var("NVRING_LOAD_SECONDS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(60);
    let site = Site::new(64, 64 << 20);
    let options = camsim::Options {
        clips: vec!["load".into()],
        ..camsim::Options::new(CAMERAS)
    };
    let cameras = camsim::Server::start(options).expect("the cameras start");
    site.enrol(&cameras.urls());
    let (recorder, ready) = site.start();
    recorder.wait_recording(CAMERAS);
    std::thread::sleep(Duration::from_secs(seconds));
    let memory = recorder.memory_max();
    let report = cameras.stop();
    std::thread::sleep(Duration::from_millis(500));
    recorder.stop();
    println!(
        "ready after {ready:?}; {:.0} MB resident at most",
        memory as f64 / 1e6
    );
    let recordings = site.recordings();
    let streams = recordings.streams();
    assert_eq!(streams.len(), CAMERAS);
    let mut frames = 0;
    for stream in &streams {
        let name = &stream.name.camera;
        let proof = Proof::of(&recordings, stream, TimeRange::ALL);
        proof.assert_sound(name);
        assert_eq!(proof.runs.len(), 1, "{name}: one run without a gap");
        let sent = report
            .cameras
            .iter()
            .find(|camera| &camera.name == name)
            .expect("the camera reports");
        let last_sent = sent
            .sessions
            .iter()
            .map(|session| session.last_frame)
            .max()
            .expect("a session");
        assert_eq!(
            proof.runs[0].last().copied(),
            Some(last_sent.expect("frames were sent")),
            "{name}: the last frame sent is the last recorded"
        );
        frames += proof.frames();
    }
    println!("{frames} frames of {CAMERAS} cameras proved");
    drop(recordings);
    for camera in ["cam0", "cam77"] {
        let file = site.path(&format!("{camera}.mp4"));
        let file = file.to_str().expect("a path in UTF-8");
        let output = site.run(&[
            "export",
            camera,
            "--from",
            "2020-01-01T00:00:00Z",
            "--to",
            "2100-01-01T00:00:00Z",
            "-o",
            file,
        ]);
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let summary = camsim::verify::mp4(file.as_ref()).expect("the export is read");
        assert!(
            summary.is_whole(),
            "{camera}: the export holds every frame: {summary:?}"
        );
    }
    assert!(memory < MEMORY_MAX, "{memory} bytes resident");
}
