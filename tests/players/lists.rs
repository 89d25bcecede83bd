//! Goal: HLS lists say what is true, and never take back what they have said. Method: an independent reader of lists (`m3u8-rs`), ffmpeg
//! and ffprobe, on recorded ranges, on one that grows, and live.

use crate::{
    decode::{Picture, assert_repeats, decode, decode_first, md5s, run},
    programs::gstreamer,
    stage::{Camera, FAULTY, Stage, now, stage},
};
use m3u8_rs::{MasterPlaylist, MediaPlaylist, MediaPlaylistType};
use nvring::base::{Micros, UnixMicros, seed::Seed};
use std::{
    collections::{BTreeMap, BTreeSet},
    thread,
    time::{Duration, Instant},
};

/// How long ffmpeg follows a live list.
const FOLLOWED_S: u32 = 8;
const END: &str = "#EXT-X-ENDLIST\n";

/// A list that was read.
struct List {
    text: String,
    media: MediaPlaylist,
    url: url::Url,
}

impl List {
    fn of(
        stage: &Stage,
        camera: &str,
        name: &str,
        range: Option<(UnixMicros, UnixMicros)>,
    ) -> Self {
        let query = range.map_or(String::new(), |(from, to)| format!("?from={from}&to={to}"));
        let url = stage.url(camera, &format!("hls/{name}.m3u8{query}"));
        let text = stage.text(&url);
        let (rest, media) = m3u8_rs::parse_media_playlist(text.as_bytes()).expect("a list");
        assert!(rest.is_empty(), "all of the list is understood: {text}");
        let url = url.parse().expect("an address");
        Self { text, media, url }
    }

    /// Addresses of the parts.
    fn parts(&self) -> Vec<String> {
        let parts = self.media.segments.iter();
        parts.map(|part| self.address(&part.uri)).collect()
    }

    fn address(&self, uri: &str) -> String {
        self.url.join(uri).expect("an address").to_string()
    }

    /// The time of day of each part.
    fn times(&self) -> Vec<UnixMicros> {
        let parts = self.media.segments.iter();
        let times = parts.map(|part| part.program_date_time.expect("a time of day"));
        times
            .map(|time| UnixMicros(time.timestamp_micros()))
            .collect()
    }
}

/// The key frames of a range alone, for trick play: each is the picture of its time of day.
#[test]
fn lists_of_key_frames_show_the_picture_of_their_time() {
    let stage = stage();
    for camera in &stage.cameras {
        let range = (camera.from, camera.to());
        let list = List::of(stage, camera.id, "keys", Some(range));
        assert!(list.media.i_frames_only, "{}", camera.id);
        let shown = decode(&[list.url.to_string()]).remove(0);
        let expected: Vec<&str> = list
            .times()
            .into_iter()
            .map(|time| picture_at(camera, stage, time))
            .collect();
        assert!(expected.len() >= 3, "{}: {}", camera.id, list.text);
        assert_eq!(md5s(&shown), expected, "{}", camera.id);
    }
}

/// The picture that was taken at this very instant.
fn picture_at<'s>(camera: &'s Camera, stage: &'s Stage, time: UnixMicros) -> &'s str {
    let at = time.since(camera.from).0;
    let whole = camera.whole(stage);
    let found = whole.iter().find(|(shown, _)| *shown == at);
    &found
        .unwrap_or_else(|| panic!("{}: no picture at {time}", camera.id))
        .1
}

/// A range whose end is to come: each state of its list begins with the one before, only whole parts are added, and they stay what they
/// were when they come to the disk and when they are listed otherwise. Also where groups of pictures are open.
#[test]
fn a_list_that_grows_only_adds_whole_parts() {
    let stage = stage();
    let end = now() + Micros::from_secs(4);
    let cameras = stage.cameras.iter();
    let growing = cameras.filter(|camera| ["h264", "h265b", "gst264b"].contains(&camera.id));
    let mut states: Vec<(&Camera, String, usize)> =
        growing.map(|camera| (camera, String::new(), 0)).collect();
    let mut bytes = BTreeMap::new();
    let begun = Instant::now();
    while states.iter().any(|(_, text, _)| !text.ends_with(END)) {
        assert!(begun.elapsed() < Duration::from_secs(90), "the lists end");
        for (camera, text, steps) in &mut states {
            let list = List::of(stage, camera.id, "media", Some((camera.from, end)));
            assert_eq!(list.media.playlist_type, Some(MediaPlaylistType::Event));
            let said = text.strip_suffix(END).unwrap_or(text);
            assert!(
                list.text.starts_with(said),
                "{} said\n{said}and then\n{}",
                camera.id,
                list.text
            );
            *steps += usize::from(list.text.len() > said.len() && !said.is_empty());
            *text = list.text.clone();
            for part in list.parts() {
                bytes
                    .entry(part)
                    .or_insert_with_key(|part| stage.body(part));
            }
        }
        thread::sleep(Duration::from_millis(200));
    }
    for (camera, text, steps) in &states {
        assert!(*steps >= 2, "{} grew: {text}", camera.id);
        let list = List::of(stage, camera.id, "media", Some((camera.from, end)));
        let shown = decode(&[list.url.to_string()]).remove(0);
        assert_repeats(&shown, &camera.source, camera.id);
    }
    for (part, before) in &bytes {
        assert!(stage.body(part) == *before, "{part} stays what it was");
    }
}

/// Whatever range is asked for, the parts in it have the same names, so the same bytes.
#[test]
fn every_list_names_the_same_parts() {
    let stage = stage();
    for camera in &stage.cameras {
        let whole = List::of(stage, camera.id, "media", Some((camera.from, camera.to())));
        let all = whole.parts();
        let known: BTreeSet<&String> = all.iter().collect();
        assert_eq!(known.len(), all.len(), "{}: names are unique", camera.id);
        for number in 0..20 {
            let mut seed = Seed::new(number);
            let from = camera.from + Micros(seed.below(8_000_000) as i64);
            let to = from + Micros(seed.between(1_000, 2_000_000) as i64);
            println!("SEED={number} {} {from} to {to}", camera.id);
            let some = List::of(stage, camera.id, "media", Some((from, to))).parts();
            assert!(!some.is_empty(), "SEED={number}");
            let place = all.iter().position(|part| *part == some[0]);
            let place = place.expect("the first part is in the whole list");
            assert_eq!(some, all[place..place + some.len()], "SEED={number}");
        }
    }
}

#[test]
fn live_lists_are_followed() {
    let stage = stage();
    let live = stage.cameras.iter();
    let live = live.filter(|camera| ["h264b", "gst264b"].contains(&camera.id));
    thread::scope(|scope| {
        for camera in live {
            scope.spawn(move || {
                let url = stage.url(camera.id, "hls/index.m3u8");
                let count = FOLLOWED_S * camera.per_second;
                let shown = decode_first(&[url], Some(count)).remove(0);
                assert_eq!(shown.len(), count as usize, "{}", camera.id);
                assert_repeats(&shown, &camera.source, camera.id);
                let list = List::of(stage, camera.id, "media", None);
                assert!(!list.media.end_list && list.media.playlist_type.is_none());
            });
        }
    });
}

/// A camera that was lost for a while and then changed its parameters: each is told, with the head of the new run, and played over.
/// The change by GStreamer: FFmpeg 5.1 does not look at the new head, and learns only from lost pictures that they come in another order.
#[test]
fn gaps_and_changes_are_discontinuities() {
    let stage = stage();
    let runs = stage.runs(FAULTY);
    let [(from, _), second, third, ..] = runs[..] else {
        panic!("{runs:?}");
    };
    let list = List::of(
        stage,
        FAULTY,
        "media",
        Some((from, third.0 + Micros::from_secs(3))),
    );
    let told: Vec<UnixMicros> = list
        .media
        .segments
        .iter()
        .zip(list.times())
        .filter(|(part, _)| part.discontinuity)
        .map(|(part, time)| {
            let head = part.map.as_ref().expect("the head of the run");
            assert_eq!(head.uri, format!("{}/init.mp4", time.0));
            time
        })
        .collect();
    assert_eq!(told, [second.0, third.0], "{}", list.text);
    let shown = gstreamer(list.url.as_str());
    let shown: Vec<Picture> = shown.into_iter().map(|md5| (0, md5)).collect();
    let [before, behind] = &stage.faulty_sources;
    let changed = shown.iter().position(|(_, md5)| !before.contains(md5));
    let (first, last) = shown.split_at(changed.expect("the pictures change"));
    let lost = (1..first.len()).find(|number| !follows(&first[number - 1..=*number], before));
    let (earlier, later) = first.split_at(lost.expect("pictures are missing in the gap"));
    let over_the_gap = List::of(stage, FAULTY, "media", Some((from, third.0)));
    let by_ffmpeg = decode(&[over_the_gap.url.to_string()]).remove(0);
    assert_eq!(md5s(&by_ffmpeg), md5s(first), "nothing is left out");
    for (pictures, source) in [(earlier, before), (later, before), (last, behind)] {
        assert!(pictures.len() > 20, "{}", pictures.len());
        assert_repeats(pictures, source, FAULTY);
    }
}

fn follows(pair: &[Picture], source: &[String]) -> bool {
    let place = source.iter().position(|md5| *md5 == pair[0].1);
    place.is_some_and(|place| source[(place + 1) % source.len()] == pair[1].1)
}

/// What the list of lists says of codecs and sizes, against what ffprobe finds in the video.
#[test]
fn codecs_and_sizes_are_those_of_the_video() {
    let stage = stage();
    for camera in &stage.cameras {
        let (id, from, to) = (camera.id, camera.from, camera.to());
        let url = stage.url(id, &format!("hls/index.m3u8?from={from}&to={to}"));
        let text = stage.text(&url);
        let (_, list): (_, MasterPlaylist) =
            m3u8_rs::parse_master_playlist(text.as_bytes()).expect("a list of lists");
        let show = "stream=codec_name,profile,level,width,height";
        let entries = ["-v", "error", "-show_entries", show, "-of", "json"];
        let file = stage.mp4(id, from, to);
        let probe = [&entries[..], &[&file]].concat();
        let found: serde_json::Value = serde_json::from_str(&run("ffprobe", &probe)).expect("JSON");
        let streams = found["streams"].as_array().expect("streams");
        let codecs: Vec<String> = streams.iter().map(codec).collect();
        let (width, height) = (&streams[0]["width"], &streams[0]["height"]);
        assert_eq!(
            list.variants.len(),
            2,
            "{id}: a list of parts, and one of key frames"
        );
        for variant in &list.variants {
            let told = variant.codecs.as_deref().expect("codecs");
            // Hexadecimal digits are told in either case.
            let told = told.to_ascii_uppercase();
            let expected = match variant.is_i_frame {
                true => &codecs[..1],
                false => &codecs[..],
            };
            assert_eq!(told, expected.join(",").to_ascii_uppercase(), "{id}");
            let size = variant.resolution.expect("a size");
            assert_eq!(Some(size.width), width.as_u64(), "{id}");
            assert_eq!(Some(size.height), height.as_u64(), "{id}");
        }
        let rate = list.variants[0].frame_rate.expect("a frame rate");
        let apart = (rate - f64::from(camera.per_second)).abs();
        assert!(apart < 0.5, "{id}: {rate} pictures per second");
    }
}

/// RFC 6381 §3.3 and ISO 14496-15 Annex E from what ffprobe says; the flags of H.265 that it does not say are those of our encoders.
fn codec(stream: &serde_json::Value) -> String {
    let text = |name: &str| stream[name].as_str().unwrap_or_default();
    let level = stream["level"].as_u64().unwrap_or_default();
    match (text("codec_name"), text("profile")) {
        ("h264", "High") => format!("avc1.6400{level:02x}"),
        ("h264", "Main") => format!("avc1.4d40{level:02x}"),
        ("hevc", "Main") => format!("hvc1.1.6.L{level}.90"),
        ("aac", "LC") => "mp4a.40.2".to_owned(),
        other => panic!("{other:?}"),
    }
}
