//! Goal: the ring takes the oldest first, lists exactly what can be exported, and never gives wrong frames to a reader it overtakes.
//! Method: six small segments, five laps under load, a slow download and a stopped `nvring export` across the moment of overwriting.

use crate::harness::{NVRING, Proof, Site, alone};
use nvring::base::TimeRange;
use std::{
    io::{Cursor, Read, Write},
    net::TcpStream,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// At four times the pictures per second a camera sends 8 Mbit/s: its share of the ring is far more than sockets hold.
const CAMERAS: usize = 16;
const PICTURES_PER_SECOND: u32 = 60;
const BYTES_PER_SECOND: f64 = 1e6;
const SEGMENTS: u64 = 6;
const SEGMENT_LEN: u64 = 24 << 20;
const LAPS: u64 = 5;

/// Five laps: what the timeline lists can be exported, and an export that the ring overtakes breaks off.
#[test]
fn a_ring_that_laps_lists_what_it_has_and_serves_nothing_else() {
    let _alone = alone();
    let site = Site::new(SEGMENTS, SEGMENT_LEN);
    let options = camsim::Options {
        clips: vec!["load".into()],
        rate: Some(PICTURES_PER_SECOND),
        ..camsim::Options::new(CAMERAS)
    };
    let cameras = camsim::Server::start(options).expect("the cameras start");
    site.enrol(&cameras.urls());
    let (recorder, _) = site.start();
    recorder.wait_recording(CAMERAS);
    let taken = || recorder.metric("nvring_volume_segments_taken_total");
    let wait_taken = |count: f64| {
        let begun = Instant::now();
        while taken() < count {
            assert!(
                begun.elapsed() < Duration::from_secs(120),
                "the ring does not turn"
            );
            std::thread::sleep(Duration::from_millis(200));
        }
    };
    wait_taken((SEGMENTS + 2) as f64);
    let mut slow = TcpStream::connect(site.http).expect("a connection");
    // A small window: most of the file is still to be read from the ring when it is overwritten.
    let request = "GET /api/v1/cameras/cam0/video.mp4?from=2020-01-01T00:00:00Z&to=2100-01-01T00:00:00Z HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    slow.write_all(request.as_bytes())
        .expect("the request is sent");
    let mut first = [0; 4096];
    slow.read_exact(&mut first).expect("the download begins");
    let head = String::from_utf8_lossy(&first).into_owned();
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let export = StoppedExport::begin(&site, "cam1");
    wait_taken((SEGMENTS * LAPS) as f64);
    export.goes_on_and_fails();
    let mut rest = Vec::new();
    slow.set_read_timeout(Some(Duration::from_secs(20)))
        .expect("a time-out");
    let ended = slow.read_to_end(&mut rest);
    let length = head.to_ascii_lowercase();
    let length = length
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .expect("a length");
    let promised: usize = length.trim().parse().expect("a number");
    let header_len = head.find("\r\n\r\n").expect("a header") + 4;
    let got = first.len() - header_len + rest.len();
    assert!(
        ended.is_err() || got < promised,
        "an overtaken download breaks off: {got} of {promised} bytes"
    );
    // What came before the cut is what was sent, from the first frame on.
    let bytes = [&first[header_len..], &rest[..]].concat();
    let (summary, cut) =
        camsim::verify::beginning(&mut Cursor::new(bytes)).expect("the head is whole");
    assert!(summary.is_whole() && summary.altered == 0, "{summary:?}");
    assert!(cut > 0, "frames are missing: {summary:?}");
    assert_eq!(summary.camera, "cam0");
    println!(
        "{} frames came before the cut, {cut} did not",
        summary.frames
    );
    assert!(
        site.log().contains("a download was cut off"),
        "the log says why"
    );
    cameras.stop();
    std::thread::sleep(Duration::from_millis(500));
    recorder.stop();
    let recordings = site.recordings();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    let mut listed = 0.0;
    for stream in recordings.streams() {
        let name = &stream.name.camera;
        let timeline = runtime
            .block_on(recordings.timeline(stream.stream, TimeRange::ALL))
            .expect("a timeline");
        assert_eq!(timeline.runs.len(), 1, "{name}: {timeline:?}");
        let run = timeline.runs[0];
        listed += run.end.since(run.start).as_secs_f64();
        let whole = Proof::of(
            &recordings,
            &stream,
            TimeRange {
                start: run.start,
                end: run.end,
            },
        );
        whole.assert_sound(name);
        let everything = Proof::of(&recordings, &stream, TimeRange::ALL);
        assert_eq!(
            whole.frames(),
            everything.frames(),
            "{name}: the timeline lists all there is"
        );
    }
    // At least four of six segments are full of live data.
    let kept = listed * BYTES_PER_SECOND;
    let room = ((SEGMENTS - 2) * SEGMENT_LEN) as f64 * 0.9;
    assert!(
        kept > room,
        "{kept} bytes are kept of a ring of {SEGMENTS} segments"
    );
    drop(recordings);
    let camera = "cam7";
    let file = site.path("cam7.mp4");
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
    assert!(summary.is_whole(), "{summary:?}");
}

/// An `nvring export` through the running recorder that was stopped (SIGSTOP) when it had begun to write.
struct StoppedExport<'a> {
    site: &'a Site,
    file: String,
    child: Child,
}

impl<'a> StoppedExport<'a> {
    fn begin(site: &'a Site, camera: &str) -> Self {
        for attempt in 0..10 {
            let file = site.path(&format!("{camera}-{attempt}.mp4"));
            let part = site.path(&format!("{camera}-{attempt}.mp4.part"));
            let file = file.to_str().expect("a path in UTF-8").to_owned();
            let mut command = Command::new(NVRING);
            command.env("NVRING_CONFIG", site.path("nvring.toml"));
            command.args(["export", camera, "--from", "2020-01-01T00:00:00Z"]);
            command.args(["--to", "2100-01-01T00:00:00Z", "-o", &file]);
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
            let child = command.spawn().expect("the program starts");
            let mut export = Self { site, file, child };
            let begun = Instant::now();
            while !part.exists() && !std::path::Path::new(&export.file).exists() {
                let ended = export.child.try_wait().expect("its state");
                assert!(
                    ended.is_none() || part.exists() || std::path::Path::new(&export.file).exists()
                );
                assert!(begun.elapsed() < Duration::from_secs(60), "no export");
            }
            export.signal("-STOP");
            // It may have been faster: then it is not under way any more, and the next attempt is.
            if part.exists() && export.child.try_wait().expect("its state").is_none() {
                return export;
            }
            export.signal("-CONT");
            assert!(export.child.wait().expect("it ends").success());
        }
        panic!("ten exports were faster than a signal");
    }

    fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args([signal, &pid]).status();
        assert!(sent.expect("kill runs").success());
    }

    /// One line that says why, exit status 1, and nothing that looks like a file.
    fn goes_on_and_fails(self) {
        self.signal("-CONT");
        let output = self.child.wait_with_output().expect("the export ends");
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(
            (output.status.code(), told.lines().count()),
            (Some(1), 1),
            "{told}"
        );
        assert!(output.stdout.is_empty());
        assert!(
            told.starts_with("nvring: ") && told.contains("; "),
            "{told}"
        );
        println!("{}", told.trim());
        let left = std::fs::read_dir(self.site.path("")).expect("the folder");
        let mut left = left.map(|entry| entry.expect("an entry").file_name());
        assert!(
            !left.any(
                |name| self.file.ends_with(name.to_str().unwrap_or_default())
                    || name.to_string_lossy().ends_with(".part")
            ),
            "nothing is left of the export"
        );
    }
}
