//! Goal: whatever the encoder does, a range shows exactly the pictures taken in it, at their times.

use crate::{
    assert_readers_are_silent,
    camera::{Feed, START, film, frame_time, picture_md5s, tone},
    encoders::ENCODERS,
    recording::Recording,
    write,
};
use nvring::{base::seed::Seed, media::Codec, playback::mp4::Mp4Layout};

/// The pictures of `from..to` with their times in the file: the one in force at `from`, and those taken later.
pub(crate) fn expected_pictures(feed: &Feed, from: i64, to: i64) -> Vec<(i64, String)> {
    let taken = |number: usize| frame_time(number as i64);
    let start = from.max(taken(0));
    let pictures = feed.picture_md5.iter().enumerate();
    pictures
        .filter(|&(number, _)| taken(number) < to && start < taken(number + 1))
        .map(|(number, md5)| ((taken(number) - start).max(0), md5.clone()))
        .collect()
}

/// Method: the pictures ffmpeg decodes from the file against those it decodes from the elementary stream.
#[test]
fn random_ranges_show_exactly_their_pictures_at_their_times() {
    let dir = tempfile::tempdir().unwrap();
    let sound = tone(dir.path(), Codec::Aac, 8);
    for (codec, options) in ENCODERS {
        let feed = film(dir.path(), codec, "320x180", 8, options);
        let pictures = feed.picture_md5.len();
        assert_eq!(pictures, 200, "{options:?}");
        let mut recording = Recording::default();
        recording.run(&[&feed, &sound], None, 0, |_| true);
        for number in 0..6 {
            let mut seed = Seed::new(number);
            let (from, to) = match number {
                0 => (START, START + 100_000_000),
                _ => {
                    let from = START + seed.below(7_000_000) as i64;
                    (from, from + seed.between(100_000, 3_000_000) as i64)
                }
            };
            println!("SEED={number} {options:?} {from}..{to}");
            let layout = Mp4Layout::new(&recording.movie(from, to), &recording).unwrap();
            let path = write(dir.path(), "range.mp4", &recording, &layout);
            assert_readers_are_silent(&path);
            let shown = picture_md5s(&["-i", path.to_str().unwrap()]);
            assert_eq!(layout.runs()[0].wall_start.0, from.max(frame_time(0)));
            assert_eq!(shown, expected_pictures(&feed, from, to));
        }
    }
}
