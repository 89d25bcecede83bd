//! Goal: whatever the encoder does, the parts of a recording show exactly its pictures, at their times.

use crate::{
    camera::{START, film, frame_time, picture_md5s, tone},
    encoders::{ENCODERS, X264_SIMPLE},
    folder::Blocks,
    recording::Recording,
};
use nvring::media::{Codec, FrameKind};
use std::path::Path;

/// Method: the pictures ffmpeg decodes from the list against those it decodes from the elementary stream.
#[test]
fn lists_show_exactly_the_pictures_at_their_times() {
    let dir = tempfile::tempdir().unwrap();
    let sound = tone(dir.path(), Codec::Aac, 8);
    for (number, (codec, options)) in ENCODERS.into_iter().enumerate() {
        println!("{options:?}");
        let feed = film(dir.path(), codec, "320x180", 8, options);
        let mut recording = Recording::default();
        recording.run(&[&feed, &sound], None, 0, |_| true);
        let blocks = Blocks::new(&recording);
        let parts = blocks.parts(None, |_| true);
        assert!(parts.len() >= 3, "{} parts", parts.len());
        let folder = dir.path().join(number.to_string());
        blocks.write(&folder, &parts);
        let list = folder.join("media.m3u8");
        let shown = picture_md5s(&["-i", list.to_str().unwrap()]);
        let shift = parts[0].tracks.media_time(parts[0].start).0;
        let expected = feed.picture_md5.iter().enumerate();
        let expected = expected.map(|(number, md5)| {
            let time = frame_time(number as i64) - frame_time(0);
            (time + shift, md5.clone())
        });
        assert_eq!(shown, expected.collect::<Vec<_>>());
        let all: i64 = parts.iter().map(|part| part.duration().0).sum();
        let told = frame_time(199) - START + 40_000;
        assert!((all - told).abs() <= 40_000, "{all} and {told}");
        // A list that ends before the next key frame lacks the pictures that need it.
        let two = dir.path().join(format!("{number}-two"));
        blocks.write(&two, &parts[..2]);
        let shown = picture_md5s(&["-i", two.join("media.m3u8").to_str().unwrap()]);
        let last = shown.iter().map(|(time, _)| *time).max().unwrap();
        let (shown, told) = (last - shown[0].0 + 40_000, lasts(&two));
        assert!((shown - told).abs() <= 20_000, "{shown} and {told}");
    }
}

/// How long a list says to last, in microseconds.
fn lasts(folder: &Path) -> i64 {
    let text = std::fs::read_to_string(folder.join("media.m3u8")).unwrap();
    let seconds = text.lines().filter_map(|line| {
        let seconds = line.strip_prefix("#EXTINF:")?.strip_suffix(',')?;
        seconds.parse::<f64>().ok()
    });
    (seconds.sum::<f64>() * 1e6).round() as i64
}

/// Cameras that save send key frames alone, each shown until the next.
#[test]
fn a_key_frame_alone_lasts_until_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let feed = film(dir.path(), Codec::H264, "160x90", 8, X264_SIMPLE);
    let keys: Vec<i64> = feed
        .shots
        .iter()
        .filter(|shot| shot.entry.kind == FrameKind::Key)
        .map(|shot| shot.entry.time.0)
        .collect();
    let mut recording = Recording::default();
    recording.run(&[&feed], None, 0, |time| keys.contains(&time));
    let blocks = Blocks::new(&recording);
    let parts = blocks.parts(None, |_| true);
    assert!(parts.len() >= 3, "{} parts", parts.len());
    blocks.write(dir.path(), &parts[..2]);
    assert_eq!(lasts(dir.path()), parts[2].start.since(parts[0].start).0);
}
