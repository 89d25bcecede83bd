//! Goal: 128 cameras at 2 Mbit/s lose nothing, and memory stays bounded. Method: record them for a minute, stop, and compare every
//! frame, in the recordings and in the files exported from them, with what the cameras say they sent.

use crate::harness::{Proof, Site, alone};
use camsim::report::CameraReport;
use nvring::{
    base::TimeRange,
    playback::body::VirtualMp4,
    store::recordings::{RecordedStream, Recordings},
};
use std::{
    io::Cursor,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

const CAMERAS: usize = 128;
const MEMORY_MAX: u64 = 250_000_000;

/// Exports of streams at once in this process.
const EXPORTERS: usize = 2;

/// Every frame sent after a stream's start, from the first on, is recorded, byte-identical and in order; resident memory stays below
/// 250 MB; the exported file of every camera holds the same frames.
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
        // A recording begins at a key frame: with these cameras, at the first frame sent.
        begin: camsim::Begin::NextKey,
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
        let recorded = (proof.runs[0][0], proof.runs[0][proof.frames() - 1]);
        assert_eq!(
            recorded,
            sent(report.camera(name).expect("the camera reports")),
            "{name}: the first and the last frame sent are the first and the last recorded"
        );
        frames += proof.frames();
    }
    println!("{frames} frames of {CAMERAS} cameras proved");
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..EXPORTERS {
            scope.spawn(|| {
                while let Some(stream) = streams.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let camera = report.camera(&stream.name.camera);
                    compare_export(&recordings, stream, camera.expect("the camera reports"));
                }
            });
        }
    });
    drop(recordings);
    exports_by_command(&site, "cam77", &report);
    assert!(memory < MEMORY_MAX, "{memory} bytes resident");
}

/// Numbers of the first and the last frame that a camera sent, all in one session.
fn sent(camera: &CameraReport) -> (u64, u64) {
    let [session] = &camera.sessions[..] else {
        panic!("{} was asked once: {:?}", camera.name, camera.sessions);
    };
    assert_eq!(session.frames_slow, 0, "{}: all due were sent", camera.name);
    let (first, last) = (session.first_frame, session.last_frame);
    let (first, last) = (first.expect("a frame"), last.expect("a frame"));
    assert_eq!(session.frames, last - first + 1, "{}", camera.name);
    (first, last)
}

/// The file of all of a stream holds every frame that was sent, as it was sent.
fn compare_export(recordings: &Recordings, stream: &RecordedStream, camera: &CameraReport) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    let bytes = runtime.block_on(async {
        let video = VirtualMp4::new(recordings, stream.stream, TimeRange::ALL).await;
        let video = video.expect("a plan");
        let mut bytes = Vec::with_capacity(video.len() as usize);
        let mut left = 0..video.len();
        while let Some(piece) = video.next(&mut left).await.expect("a piece") {
            bytes.extend_from_slice(&piece);
        }
        assert_eq!(bytes.len() as u64, video.len());
        bytes
    });
    let summary = camsim::verify::mp4_in(&mut Cursor::new(bytes)).expect("the export is read");
    compare(&summary, camera);
}

fn compare(summary: &camsim::verify::Summary, camera: &CameraReport) {
    let (first, last) = sent(camera);
    assert!(summary.is_whole() && summary.altered == 0, "{summary:?}");
    assert_eq!(summary.camera, camera.name);
    let ends = (summary.first, summary.last, summary.frames);
    let expected = (Some(first), Some(last), last - first + 1);
    assert_eq!(
        ends, expected,
        "{}: the export holds every frame",
        camera.name
    );
}

/// The command writes the same frames.
fn exports_by_command(site: &Site, camera: &str, report: &camsim::Report) {
    let file = site.path("export.mp4");
    let output = site.run(&[
        "export",
        camera,
        "--from",
        "2020-01-01T00:00:00Z",
        "--to",
        "2100-01-01T00:00:00Z",
        "-o",
        file.to_str().expect("a path in UTF-8"),
    ]);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    let summary = camsim::verify::mp4(&file).expect("the export is read");
    compare(&summary, report.camera(camera).expect("the camera reports"));
}
