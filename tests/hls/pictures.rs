//! Goal: whatever the encoder does, the parts of a recording show exactly its pictures, at their times.

use crate::{
    camera::{START, film, frame_time, picture_md5s, tone},
    encoders::ENCODERS,
    folder::Blocks,
    recording::Recording,
};
use nvring::media::Codec;

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
    }
}
