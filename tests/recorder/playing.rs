//! Goal: playback never hurts recording (L4). Method: record 64 cameras, first alone, then while 16 clients download as fast as they can
//! and 8 HLS players follow their lists; then compare every recorded frame with what the cameras say they sent.

use crate::harness::{Proof, Recorder, Site, alone};
use nvring::base::{Clock, Micros, SystemClock, TimeRange};
use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::Duration,
};
use url::Url;

const CAMERAS: usize = 64;
const EXPORTS: usize = 16;
const PLAYERS: usize = 8;
/// What each export asks for.
const EXPORT_LEN: Micros = Micros::from_secs(60);

/// What the clients of one phase read.
#[derive(Default)]
struct Read {
    exports: AtomicU64,
    export_bytes: AtomicU64,
    parts: AtomicU64,
    failed: AtomicU64,
}

#[test]
fn sixteen_exports_and_eight_players_cost_no_frame() {
    let _alone = alone();
    let seconds = std::env::var("NVRING_LOAD_SECONDS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(30);
    let site = Site::new(64, 64 << 20);
    let options = camsim::Options {
        clips: vec!["load".into()],
        ..camsim::Options::new(CAMERAS)
    };
    let cameras = camsim::Server::start(options).expect("the cameras start");
    site.enrol(&cameras.urls());
    let (recorder, _) = site.start();
    recorder.wait_recording(CAMERAS);
    let before = write_times(&recorder);
    thread::sleep(Duration::from_secs(seconds / 2));
    let idle = write_times(&recorder).since(&before);
    let before = write_times(&recorder);
    let read = play(&recorder, Duration::from_secs(seconds));
    let loaded = write_times(&recorder).since(&before);
    let report = cameras.stop();
    thread::sleep(Duration::from_millis(500));
    recorder.stop();
    println!(
        "commit latency p99: {} alone, {} while {} exports of {:.0} MB in all and {} parts were read",
        idle.p99(),
        loaded.p99(),
        read.exports.load(Ordering::Relaxed),
        read.export_bytes.load(Ordering::Relaxed) as f64 / 1e6,
        read.parts.load(Ordering::Relaxed),
    );
    assert_eq!(
        read.failed.load(Ordering::Relaxed),
        0,
        "every request was answered"
    );
    assert!(read.exports.load(Ordering::Relaxed) >= EXPORTS as u64);
    assert!(read.parts.load(Ordering::Relaxed) >= PLAYERS as u64);
    let recordings = site.recordings();
    let streams = recordings.streams();
    assert_eq!(streams.len(), CAMERAS);
    for stream in &streams {
        let name = &stream.name.camera;
        let proof = Proof::of(&recordings, stream, TimeRange::ALL);
        proof.assert_sound(name);
        assert_eq!(proof.runs.len(), 1, "{name}: one run without a gap");
        let sent = report.cameras.iter().find(|camera| &camera.name == name);
        let sessions = sent.expect("the camera reports").sessions.iter();
        let last_sent = sessions.filter_map(|session| session.last_frame).max();
        assert_eq!(
            proof.runs[0].last().copied(),
            last_sent,
            "{name}: nothing is missing at the end"
        );
    }
}

/// Runs all clients for so long.
fn play(recorder: &Recorder, time: Duration) -> Read {
    let (read, stop) = (Read::default(), AtomicBool::new(false));
    thread::scope(|scope| {
        for number in 0..EXPORTS {
            let (read, stop) = (&read, &stop);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    export(recorder, number, read);
                }
            });
        }
        for number in 0..PLAYERS {
            let (read, stop) = (&read, &stop);
            scope.spawn(move || follow(recorder, number, read, stop));
        }
        thread::sleep(time);
        stop.store(true, Ordering::Relaxed);
    });
    read
}

/// Downloads the last minute of a camera.
fn export(recorder: &Recorder, number: usize, read: &Read) {
    let now = SystemClock::new().now();
    let path = format!(
        "/api/v1/cameras/cam{number}/video.mp4?from={}&to={now}",
        now - EXPORT_LEN
    );
    match recorder.get_bytes(&path) {
        Some((200, body)) => {
            read.exports.fetch_add(1, Ordering::Relaxed);
            read.export_bytes
                .fetch_add(body.len() as u64, Ordering::Relaxed);
        }
        other => failed(read, &path, other),
    }
}

/// Plays a camera live by HLS: reads the list every second, and each part once.
fn follow(recorder: &Recorder, number: usize, read: &Read, stop: &AtomicBool) {
    let origin = Url::parse("http://recorder/").expect("a URL");
    let camera = CAMERAS - 1 - number;
    let mut list = origin
        .join(&format!("/api/v1/cameras/cam{camera}/hls/index.m3u8"))
        .expect("a path");
    let mut seen = std::collections::HashSet::new();
    while !stop.load(Ordering::Relaxed) {
        let Some(lines) = lines_of(recorder, &list, read) else {
            return;
        };
        let lists = |uri: &&Url| uri.path().ends_with(".m3u8");
        if let Some(media) = lines.iter().find(lists) {
            list = media.clone();
            continue;
        }
        for part in lines {
            if !seen.insert(part.clone()) {
                continue;
            }
            match recorder.get_bytes(&path_of(&part)) {
                Some((200, body)) if body.windows(4).any(|word| word == b"mdat") => {
                    read.parts.fetch_add(1, Ordering::Relaxed);
                }
                other => failed(read, part.as_str(), other),
            }
        }
        thread::sleep(Duration::from_secs(1));
    }
}

/// The addresses in a list.
fn lines_of(recorder: &Recorder, list: &Url, read: &Read) -> Option<Vec<Url>> {
    match recorder.get_bytes(&path_of(list)) {
        Some((200, body)) => {
            let text = String::from_utf8(body).expect("a list is text");
            let uris = text
                .lines()
                .filter(|line| !line.starts_with('#') && !line.is_empty());
            Some(uris.map(|uri| list.join(uri).expect("a URI")).collect())
        }
        other => {
            failed(read, list.as_str(), other);
            None
        }
    }
}

fn path_of(url: &Url) -> String {
    match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    }
}

fn failed(read: &Read, path: &str, answer: Option<(u16, Vec<u8>)>) {
    let answer = answer.map(|(status, body)| (status, String::from_utf8_lossy(&body).into_owned()));
    println!("{path}: {answer:?}");
    read.failed.fetch_add(1, Ordering::Relaxed);
}

/// How long writes took: the cumulative counts of the histogram, by upper bound in seconds.
struct WriteTimes(Vec<(f64, f64)>);

fn write_times(recorder: &Recorder) -> WriteTimes {
    let text = recorder.get("/metrics").expect("metrics");
    let buckets = text.lines().filter_map(|line| {
        let rest = line.strip_prefix("nvring_volume_write_seconds_bucket{")?;
        let bound = rest.split("le=\"").nth(1)?.split('"').next()?;
        let bound = bound.replace("+Inf", "inf").parse().ok()?;
        Some((bound, rest.rsplit(' ').next()?.parse().ok()?))
    });
    WriteTimes(buckets.collect())
}

impl WriteTimes {
    fn since(&self, before: &Self) -> Self {
        let pairs = self.0.iter().zip(&before.0);
        Self(pairs.map(|(now, then)| (now.0, now.1 - then.1)).collect())
    }

    /// The bound of the bucket that the 99th of a hundred falls into.
    fn p99(&self) -> String {
        let all = self.0.last().map_or(0.0, |last| last.1);
        let bucket = self.0.iter().find(|(_, count)| *count >= all * 0.99);
        bucket.map_or_else(String::new, |(bound, _)| {
            format!("at most {:.2} ms of {all} writes", bound * 1e3)
        })
    }
}
