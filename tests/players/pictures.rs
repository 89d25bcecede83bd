//! Goal: files, lists and MediaMTX's shape show the pictures that the cameras sent, from and to the picture asked for.

use crate::{
    decode::{Picture, assert_repeats, decode, md5s, run},
    stage::{Camera, Stage, stage},
};
use nvring::base::{Micros, UnixMicros, seed::Seed};

/// Ranges looked at, and how many of them one process decodes.
const RANGES: u64 = 200;
const AT_ONCE: usize = 20;
/// Pictures that may stand behind the end of a fragmented file, because others refer to them.
const BEHIND_MAX: usize = 16;

#[test]
fn files_and_lists_show_the_cameras_pictures_and_last_as_long() {
    let stage = stage();
    for camera in &stage.cameras {
        let (id, from, to) = (camera.id, camera.from, camera.to());
        let list = stage.url(id, &format!("hls/index.m3u8?from={from}&to={to}"));
        let urls = [
            stage.get(id, from, to, "mp4"),
            stage.get(id, from, to, "fmp4"),
            list,
        ];
        let whole = camera.whole(stage);
        assert_repeats(whole, &camera.source, id);
        let [plain, fragmented, list] = &decode(&urls)[..] else {
            panic!("three answers");
        };
        assert_eq!(plain, whole, "{id}: MediaMTX's plain file is ours");
        let behind = fragmented.len() - whole.len();
        assert!(behind <= BEHIND_MAX, "{id}: {behind} pictures more");
        assert_eq!(
            md5s(&fragmented[..whole.len()]),
            md5s(whole),
            "{id}: as fmp4"
        );
        assert_repeats(list, &camera.source, &format!("{id} as a list"));
        assert_eq!(
            md5s(&list[..whole.len()]),
            md5s(whole),
            "{id}: the list begins as the file does"
        );
        assert_durations(stage, camera, &fragmented[..whole.len()], list);
    }
}

/// Right to one picture: the file against the range asked for, the list against what it shows.
fn assert_durations(stage: &Stage, camera: &Camera, fragmented: &[Picture], list: &[Picture]) {
    let (id, from, to) = (camera.id, camera.from, camera.to());
    let near = |told: i64, shown: i64, what: &str| {
        let apart = (told - shown).abs();
        assert!(
            apart <= camera.picture_us(),
            "{id}: {what} lasts {told} µs and not {shown}"
        );
    };
    let shown = |pictures: &[Picture]| {
        let (first, last) = (&pictures[0], &pictures[pictures.len() - 1]);
        last.0 - first.0 + camera.picture_us()
    };
    for (what, url) in [
        ("the file", stage.mp4(id, from, to)),
        ("MediaMTX's plain file", stage.get(id, from, to, "mp4")),
    ] {
        // Of the pictures: ffprobe adds the start of the latest track to the length of the longest.
        let entries = ["-v", "error", "-select_streams", "v"];
        let show = ["-show_entries", "stream=duration", "-of", "csv=p=0"];
        let probe = [&entries[..], &show, &[&url]].concat();
        let told: f64 = run("ffprobe", &probe).trim().parse().expect("a duration");
        near((told * 1e6) as i64, to.since(from).0, what);
    }
    near(
        shown(camera.whole(stage)),
        to.since(from).0,
        "what the file shows",
    );
    near(
        shown(fragmented),
        to.since(from).0,
        "what MediaMTX's file shows",
    );
    let text = stage.text(&stage.url(id, &format!("hls/media.m3u8?from={from}&to={to}")));
    let parts = m3u8_rs::parse_media_playlist_res(text.as_bytes()).expect("a list");
    let told: f64 = parts
        .segments
        .iter()
        .map(|part| f64::from(part.duration))
        .sum();
    near((told * 1e6) as i64, shown(list), "the list");
}

/// 200 ranges of all cameras, as files of ours and of MediaMTX's shape: the picture in force at the start is shown from there, the last one
/// is the last before the end, and all between have their times.
#[test]
fn random_ranges_start_and_end_on_the_picture_asked_for() {
    let stage = stage();
    let mut asked = Vec::new();
    for number in 0..RANGES {
        let mut seed = Seed::new(number);
        let camera = &stage.cameras[seed.below(stage.cameras.len() as u64) as usize];
        let from = camera.from + Micros(seed.below(8_000_000) as i64);
        let to = from + Micros(seed.between(100_000, 1_900_000) as i64);
        let url = match number % 3 {
            0 => stage.get(camera.id, from, to, "mp4"),
            _ => stage.mp4(camera.id, from, to),
        };
        asked.push((number, camera, from, to, url));
    }
    for some in asked.chunks(AT_ONCE) {
        let urls: Vec<String> = some.iter().map(|(.., url)| url.clone()).collect();
        for ((number, camera, from, to, url), shown) in some.iter().zip(decode(&urls)) {
            println!("SEED={number} {url}");
            assert_eq!(shown, expected(camera, stage, *from, *to), "SEED={number}");
        }
    }
}

/// What a range shows: the picture in force at its start, and those that come later.
fn expected(camera: &Camera, stage: &Stage, from: UnixMicros, to: UnixMicros) -> Vec<Picture> {
    let whole = camera.whole(stage);
    let at = |number: usize| whole.get(number).map_or(i64::MAX, |(time, _)| *time);
    let (from, to) = (from.since(camera.from).0, to.since(camera.from).0);
    let pictures = whole.iter().enumerate();
    pictures
        .filter(|(number, (time, _))| *time < to && from < at(number + 1))
        .map(|(_, (time, md5))| ((time - from).max(0), md5.clone()))
        .collect()
}
