//! Goal: a day of a camera, more than 4 GiB, is one file like any other: its head is made of about 150 chapters, it streams in constant
//! memory, and every byte is what was recorded. Method: a ring filled through the real engine with made-up frames, really written; the
//! program as built, whose memory is looked at from outside.

use crate::{readers, server::Server, site::Site, wire::Wire};
use bytes::Bytes;
use nvring::{
    base::{Clock, ClockState, Micros, SystemClock, UnixMicros, units::ByteSize},
    media::{
        Codec, Frame, FrameData, FrameKind, GapCause, StreamId, Track, TrackId, TrackSet,
        VideoParameters,
    },
    store::{
        RunDescription,
        pool::{Store, StoreOptions, VolumeSpec, format_volume},
        tail::Pushed,
        volume::FormatOptions,
    },
};
use std::{path::Path, sync::Arc, time::Duration};

/// 2026-11-22T00:00:00Z.
pub(crate) const START: UnixMicros = UnixMicros(1_795_305_600_000_000);
const SECONDS: u64 = 86_400;
/// Few pictures, so that a test has time for them, of a size that makes 4.1 GiB.
const PICTURES_PER_SECOND: u64 = 5;
const PICTURE_LEN: usize = 10_200;
const TOTAL: u64 = SECONDS * PICTURES_PER_SECOND * PICTURE_LEN as u64;
const _: () = assert!(TOTAL > 4 << 30);
/// One picture in so many is a key frame, at which a block begins.
const KEY_EVERY: u64 = 2 * PICTURES_PER_SECOND;
/// Pushing waits while so much waits for the disk.
const HELD_MAX: u64 = 384 << 20;
/// What a download of any length may take.
const MEMORY_MAX_KB: u64 = 64 << 10;

/// What picture `number` of the day is.
fn picture(noise: &Bytes, number: u64) -> Bytes {
    let from = (number as usize * 7_919) % (noise.len() - PICTURE_LEN);
    noise.slice(from..from + PICTURE_LEN)
}

fn noise() -> Bytes {
    let mut noise = vec![0; 4 << 20];
    nvring::base::seed::Seed::new(24).fill(&mut noise);
    noise.into()
}

fn record(volume: &Path, noise: &Bytes) {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let options = FormatOptions {
        size: ByteSize(19 * (256 << 20)),
        segment_len: ByteSize(256 << 20),
        pool: "default".to_owned(),
        volume: *uuid::Uuid::new_v4().as_bytes(),
    };
    format_volume(volume, &options, &*clock, &mut |_, _| ()).unwrap();
    let spec = VolumeSpec {
        path: volume.to_owned(),
        pool: "default".to_owned(),
    };
    // One stream as fast as the disk takes it.
    let mut options = StoreOptions::default();
    options.tail.waiting_max = 2 * HELD_MAX as usize;
    options.writer.sync_interval = Micros::from_millis(100);
    let (store, _) = Store::open(&[spec], options, Arc::clone(&clock), &mut |_, _| ()).unwrap();
    let tail = store.record(StreamId([24; 16]), "default").unwrap();
    tail.begin(description());
    for number in 0..SECONDS * PICTURES_PER_SECOND {
        let first = number % KEY_EVERY == 0;
        while first && store.held() > HELD_MAX {
            std::thread::sleep(Duration::from_millis(1));
        }
        let frame = Frame {
            track: TrackId(0),
            kind: if first {
                FrameKind::Key
            } else {
                FrameKind::Reference
            },
            time: UnixMicros(START.0 + (number * 1_000_000 / PICTURES_PER_SECOND) as i64),
            data: FrameData::from(picture(noise, number)),
        };
        assert_eq!(
            tail.push(frame, clock.elapsed()),
            Pushed::Kept,
            "picture {number}"
        );
    }
    tail.end(GapCause::Restart);
    store.close();
}

pub(crate) fn description() -> RunDescription {
    let video = VideoParameters {
        width: 1920,
        height: 1080,
        parameter_sets: vec![
            Bytes::from_static(&[0x67, 0x42, 0xc0, 0x1f]),
            Bytes::from_static(&[0x68, 0xce, 0x3c, 0x80]),
        ],
    };
    RunDescription {
        camera: "day".to_owned(),
        name: "Day".to_owned(),
        stream: "main".to_owned(),
        start_cause: GapCause::Enrolled,
        started: START,
        clock: ClockState::UNKNOWN,
        camera_offset: None,
        tracks: TrackSet {
            tracks: vec![Track {
                codec: Codec::H264,
                clock_rate: 90_000,
                video: Some(video),
                audio: None,
                encoding: String::new(),
            }],
        },
    }
}

/// A line of the server's memory, in kB: `VmRSS` now, `VmHWM` at most since it was reset.
fn memory_kb(server: &Server, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .unwrap();
    let value = line.split_whitespace().next().unwrap();
    value.parse().unwrap()
}

fn reset_peak(server: &Server) {
    std::fs::write(format!("/proc/{}/clear_refs", server.pid()), "5").unwrap();
}

/// The video of the first hours.
pub(crate) fn day(hours: u64) -> String {
    let end = UnixMicros(START.0 + (hours * 3_600_000_000) as i64);
    format!("/api/v1/cameras/day/video.mp4?from={START}&to={end}")
}

/// One test, because the ring is made once and a second server cannot have it at the same time.
#[test]
fn a_day_of_more_than_4_gib_is_a_file_like_any_other() {
    let clock = SystemClock::new();
    let noise = noise();
    let site = Site::empty();
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let volume = folder.path().join("volume");
    std::os::unix::fs::symlink(&volume, site.volume()).unwrap();
    let begun = clock.elapsed();
    record(&volume, &noise);
    println!(
        "recorded {} MB in {}",
        TOTAL / 1_000_000,
        clock.elapsed() - begun
    );
    let (len, tag) = its_head_is_made_of_its_chapters(&site);
    it_streams_in_constant_memory(&site, &noise, len, &tag);
    what_takes_too_long_is_said_so(&site);
    readers::readers_are_bounded_for_each_client_and_for_all(&site);
    readers::clients_that_take_nothing_hold_up_nobody(&site);
    readers::a_client_that_takes_nothing_is_cut_off_and_its_place_is_free(&site);
    readers::a_stop_lets_answers_end(&site);
}

/// Tells its length and its tag.
fn its_head_is_made_of_its_chapters(site: &Site) -> (u64, String) {
    let clock = SystemClock::new();
    let server = Server::start(site, "");
    let reads = server.number("nvring_volume_reads_total{");
    let begun = clock.elapsed();
    let head = server.ask("HEAD", &day(24), &[]);
    let len: u64 = head.header("content-length").parse().unwrap();
    let reads = server.number("nvring_volume_reads_total{") - reads;
    let spent = clock.elapsed() - begun;
    println!(
        "a head of {} kB from {reads} reads in {spent}",
        (len - TOTAL) / 1000
    );
    assert!((140.0..=160.0).contains(&reads), "{reads} chapters");
    // Who asks for a piece of the same file has none of them looked at again, wherever it would be read from.
    let chapters = || {
        server.number("nvring_volume_reads_total{")
            + server.number("nvring_volume_chapters_from_memory_total{")
    };
    let (before, begun) = (chapters(), clock.elapsed());
    let tag = head.header("etag");
    let part = [("range", "bytes=0-99"), ("if-range", tag)];
    assert_eq!(server.ask("GET", &day(24), &part).status, 206);
    println!("100 bytes of it in {}", clock.elapsed() - begun);
    assert_eq!(chapters(), before);
    (len, head.header("etag").to_owned())
}

fn it_streams_in_constant_memory(site: &Site, noise: &Bytes, len: u64, tag: &str) {
    let clock = SystemClock::new();
    let server = Server::start(site, "");
    assert_eq!(server.get("/api/v1/cameras").status, 200);
    let idle = memory_kb(&server, "VmRSS:");
    reset_peak(&server);
    let begun = clock.elapsed();
    let mut wire = Wire::connect(server.http);
    wire.ask("GET", &day(24), &[]);
    let answer = wire.head();
    assert_eq!((answer.status, answer.header("etag")), (200, tag));
    drop(wire.bytes((len - TOTAL) as usize));
    for number in 0..SECONDS * PICTURES_PER_SECOND {
        if number == SECONDS * PICTURES_PER_SECOND / 2 {
            wait_until_it_reads_no_more(&server);
        }
        let same = wire.take(PICTURE_LEN, |bytes| bytes == picture(noise, number));
        assert!(same, "picture {number}");
    }
    let spent = clock.elapsed() - begun;
    let peak = memory_kb(&server, "VmHWM:");
    println!("{len} bytes in {spent}, memory {idle} kB idle, {peak} kB at most");
    assert!(peak - idle < MEMORY_MAX_KB, "{} kB above idle", peak - idle);
}

/// Nothing is taken of the answer, until the server has read ahead all that it does.
fn wait_until_it_reads_no_more(server: &Server) {
    let mut unchanged = 0;
    let mut before = 0.0;
    for _ in 0..600 {
        let reads = server.number("nvring_volume_reads_total{");
        unchanged = if reads == before { unchanged + 1 } else { 0 };
        if unchanged == 10 {
            return;
        }
        before = reads;
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("it reads and reads, though nobody takes anything");
}

/// What is longer than may be asked for, and what waits too long for the disk.
fn what_takes_too_long_is_said_so(site: &Site) {
    let server = Server::start(site, "range = \"23h\"\nanswer_timeout = \"10ms\"");
    let long = server.get(&day(24));
    long.assert_problem(400, "bad-request");
    assert!(long.text().contains("at most 23 hours"), "{}", long.text());
    let late = server.get(&day(23));
    late.assert_problem(503, "timed-out");
    assert_eq!(late.header("retry-after"), "5");
    let limited = ["range", "answer_timeout"].map(|limit| server.limited(limit));
    assert_eq!(limited, [1.0, 1.0]);
    server.wait("nvring_http_readers ", 0.0);
}
