//! Goal: a part is whole however far apart key frames are, may be kept for ever, and a name that no list holds costs next to nothing.
//! Method: a run that has ended, with key frames as seldom as cameras with "smart" codecs send them, made up and really written.

use crate::{day::description, server::Server, site::Site};
use bytes::Bytes;
use nvring::{
    base::{Clock, Micros, SystemClock, UnixMicros, seed::Seed, units::ByteSize},
    media::{Frame, FrameData, FrameKind, GapCause, StreamId, TrackId},
    playback::hls::{Show, part_file},
    store::{
        RunDescription,
        pool::{Store, StoreOptions, VolumeSpec, format_volume},
        tail::Pushed,
        volume::FormatOptions,
    },
};
use std::{path::Path, sync::Arc};

/// 2026-11-22T00:00:00Z.
const START: UnixMicros = UnixMicros(1_795_305_600_000_000);
const PICTURES_PER_SECOND: usize = 5;
const PICTURE_LEN: usize = 500;
/// Seconds between key frames, and of each part.
const PARTS: [usize; 6] = [40, 9, 2, 75, 20, 30];

/// An empty volume, ready to record.
fn fresh(volume: &Path) -> Arc<Store> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let options = FormatOptions {
        size: ByteSize(16 << 20),
        segment_len: ByteSize(1 << 20),
        pool: "default".to_owned(),
        volume: *uuid::Uuid::new_v4().as_bytes(),
    };
    format_volume(volume, &options, &*clock, &mut |_, _| ()).unwrap();
    let spec = VolumeSpec {
        path: volume.to_owned(),
        pool: "default".to_owned(),
    };
    let options = StoreOptions::default();
    let (store, _) = Store::open(&[spec], options, clock, &mut |_, _| ()).unwrap();
    store
}

/// Records pictures, each with its kind and its time since `START`, as a run that ends.
fn record(
    store: &Arc<Store>,
    camera: &str,
    pictures: impl Iterator<Item = (FrameKind, Micros, Bytes)>,
) {
    let clock = SystemClock::new();
    let tail = store.record(StreamId([25; 16]), "default").unwrap();
    tail.begin(RunDescription {
        camera: camera.to_owned(),
        ..description()
    });
    for (kind, time, data) in pictures {
        let frame = Frame {
            track: TrackId(0),
            kind,
            time: START + time,
            data: FrameData::from(data),
        };
        assert_eq!(tail.push(frame, clock.elapsed()), Pushed::Kept);
    }
    tail.end(GapCause::Restart);
    store.close();
}

/// Records `PARTS`; gives the bytes of all pictures.
fn record_parts(volume: &Path) -> Bytes {
    let pictures = PARTS.iter().sum::<usize>() * PICTURES_PER_SECOND;
    let mut all = vec![0; pictures * PICTURE_LEN];
    Seed::new(25).fill(&mut all);
    let all = Bytes::from(all);
    let kinds = PARTS.iter().flat_map(|seconds| {
        (0..seconds * PICTURES_PER_SECOND).map(|place| match place {
            0 => FrameKind::Key,
            _ => FrameKind::Reference,
        })
    });
    let pictures = kinds.enumerate().map(|(number, kind)| {
        let time = Micros((number * 1_000_000 / PICTURES_PER_SECOND) as i64);
        (
            kind,
            time,
            all.slice(number * PICTURE_LEN..(number + 1) * PICTURE_LEN),
        )
    });
    record(&fresh(volume), "smart", pictures);
    all
}

fn whole_parts(server: &Server, names: &[&str], pictures: &[u8]) {
    assert_eq!(names.len(), PARTS.len(), "{names:?}");
    let mut at = 0;
    for (name, seconds) in names.iter().zip(PARTS) {
        let len = seconds * PICTURES_PER_SECOND * PICTURE_LEN;
        let part = server.get(&format!("/api/v1/cameras/smart/hls/{name}"));
        assert_eq!(part.status, 200, "{name}");
        assert!(
            part.body.ends_with(&pictures[at..at + len]),
            "{name}: all of its {seconds} s, and no more"
        );
        assert!(part.header("cache-control").contains("immutable"), "{name}");
        at += len;
    }
}

#[test]
fn wrong_names_of_parts_are_not_found_at_once() {
    let site = Site::empty();
    let pictures = record_parts(&site.volume());
    let server = Server::start(&site, "");
    let list = server.get(&format!(
        "/api/v1/cameras/smart/hls/media.m3u8?from={START}&to={}",
        START + Micros::from_secs(300)
    ));
    let list = list.text();
    let names: Vec<&str> = list.lines().filter(|line| line.ends_with(".m4s")).collect();
    whole_parts(&server, &names, &pictures);
    let init = format!("/api/v1/cameras/smart/hls/{}/init.mp4", START.0);
    let init = server.get(&init);
    assert_eq!(
        (init.status, init.header("cache-control")),
        (200, "private, no-cache")
    );
    let (run, second) = (START.0, names[1].split(['/', '-']).nth(1).unwrap());
    let layout = names[1].rsplit('-').next().unwrap();
    let second: i64 = second.parse().unwrap();
    let wrong = [
        format!("{run}/{}-{layout}", second + 1),
        format!("{run}/{}-{layout}", second + 200_000),
        format!("{run}/{}-{layout}", run - 1),
        format!("{run}/{}-{layout}", run + 3_600_000_000),
        format!("{run}/{}-{layout}", i64::MAX),
        format!("{run}/0-{layout}"),
        format!("{}/{second}-{layout}", run + 1),
        format!("0/{second}-{layout}"),
        format!("{run}/{second}.m4s"),
        format!("{run}/{second}-999.m4s"),
        format!("{run}/{second}-0{layout}"),
        format!("{run}/-{second}-{layout}"),
        format!("{}/init.mp4", run + 1),
        format!("{}/init.mp4", i64::MAX),
    ];
    let reads = server.number("nvring_volume_reads_total{");
    for name in &wrong {
        let answer = server.get(&format!("/api/v1/cameras/smart/hls/{name}"));
        answer.assert_problem(404, "nothing-recorded");
    }
    let reads = server.number("nvring_volume_reads_total{") - reads;
    assert!(reads <= 1.0, "{reads} reads for {} names", wrong.len());
}

/// Method: a history of many chapters, of which none is in memory.
#[test]
fn a_wrong_name_costs_one_read_however_long_the_history_is() {
    const HOURS: i64 = 6;
    let site = Site::empty();
    let keys = (0..HOURS * 60).map(|minute| {
        let time = Micros::from_secs(minute * 60);
        (FrameKind::Key, time, Bytes::from_static(&[7; 64]))
    });
    record(&fresh(&site.volume()), "sparse", keys);
    let reads_of = |path: &str, status: u16| {
        let mut server = Server::start(&site, "");
        let before = server.number("nvring_volume_reads_total{");
        assert_eq!(server.get(path).status, status, "{path}");
        let reads = server.number("nvring_volume_reads_total{") - before;
        server.terminate();
        assert_eq!(server.end(), Some(0));
        reads
    };
    let whole = START + Micros::from_secs(HOURS * 3600);
    let list = format!("/api/v1/cameras/sparse/hls/media.m3u8?from={START}&to={whole}");
    let chapters = reads_of(&list, 200);
    assert!(chapters >= 10.0, "{chapters} chapters are a long history");
    let run = START.0;
    let wrong = START + Micros(HOURS * 1_800_000_000 + 1);
    let part = part_file(wrong, Show::Parts);
    let part = format!("/api/v1/cameras/sparse/hls/{run}/{part}");
    let reads = reads_of(&part, 404);
    assert!(reads <= 1.0, "{reads} reads");
}
