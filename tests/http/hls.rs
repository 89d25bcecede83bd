//! Goal: a part is whole however far apart key frames are, may be kept for ever, and a name that no list holds costs next to nothing.
//! Method: a run that has ended, with key frames as seldom as cameras with "smart" codecs send them, made up and really written.

use crate::{day::description, server::Server, site::Site};
use nvring::{
    base::{Clock, Micros, SystemClock, UnixMicros, seed::Seed, units::ByteSize},
    media::{Frame, FrameData, FrameKind, GapCause, StreamId, TrackId},
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

/// Records `PARTS`; gives the bytes of all pictures.
fn record(volume: &Path) -> Vec<u8> {
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
    let (store, _) = Store::open(&[spec], options, Arc::clone(&clock), &mut |_, _| ()).unwrap();
    let tail = store.record(StreamId([25; 16]), "default").unwrap();
    tail.begin(RunDescription {
        camera: "smart".to_owned(),
        ..description()
    });
    let pictures = PARTS.iter().sum::<usize>() * PICTURES_PER_SECOND;
    let mut all = vec![0; pictures * PICTURE_LEN];
    Seed::new(25).fill(&mut all);
    let mut number = 0;
    for seconds in PARTS {
        for place in 0..seconds * PICTURES_PER_SECOND {
            let data = &all[number * PICTURE_LEN..][..PICTURE_LEN];
            let frame = Frame {
                track: TrackId(0),
                kind: match place {
                    0 => FrameKind::Key,
                    _ => FrameKind::Reference,
                },
                time: START + Micros((number * 1_000_000 / PICTURES_PER_SECOND) as i64),
                data: FrameData::from(bytes::Bytes::copy_from_slice(data)),
            };
            assert_eq!(tail.push(frame, clock.elapsed()), Pushed::Kept);
            number += 1;
        }
    }
    tail.end(GapCause::Restart);
    store.close();
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
    let pictures = record(&site.volume());
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
