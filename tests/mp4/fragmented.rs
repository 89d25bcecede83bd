//! Goal: a fragmented file shows what the progressive one shows, for the same time, and is known byte by byte before it is read.

use crate::{
    assert_readers_are_silent,
    camera::{START, film, picture_md5s, tone},
    duration::duration_us,
    encoders::{ENCODERS, X264_PYRAMID},
    gaps::two_runs,
    pictures::expected_pictures,
    recording::Recording,
};
use nvring::{
    base::seed::Seed,
    media::Codec,
    playback::{
        body::{FileLayout, Part},
        fragmented::FragmentedLayout,
    },
};

/// Frames that are there only because others refer to them are shown for so long all together, in microseconds.
const UNSEEN_US: i64 = 20_000;

/// The file from byte `from` on, part by part.
fn file_from(recording: &Recording, layout: &FragmentedLayout, from: u64) -> Vec<u8> {
    let mut file = Vec::new();
    let mut offset = from;
    while let Some(part) = layout.part(offset) {
        let bytes = match part {
            Part::Made(bytes) => bytes.to_vec(),
            Part::FragmentHead {
                fragment,
                offset,
                len,
            } => {
                let head = layout.fragment_head(recording, fragment);
                assert_eq!(head.len() as u64, offset + len);
                head[offset as usize..].to_vec()
            }
            Part::Block { block, offset, len } => {
                let bytes = recording.block_bytes(layout, block);
                assert_eq!(bytes.len() as u64, offset + len);
                bytes[offset as usize..].to_vec()
            }
        };
        assert!(!bytes.is_empty());
        offset += bytes.len() as u64;
        file.extend(bytes);
    }
    assert_eq!(offset, layout.total_len().max(from));
    file
}

/// Method: random ranges of what every encoder makes; the pictures ffmpeg decodes against those of the elementary stream.
#[test]
fn random_ranges_show_their_pictures_and_last_as_long() {
    let dir = tempfile::tempdir().unwrap();
    let sound = tone(dir.path(), Codec::Aac, 8);
    for (codec, options) in ENCODERS {
        let feed = film(dir.path(), codec, "320x180", 8, options);
        let mut recording = Recording::default();
        recording.run(&[&feed, &sound], None, 0, |_| true);
        for number in 0..4 {
            let mut seed = Seed::new(number);
            let from = START + seed.between(100_000, 6_000_000) as i64;
            let to = from + seed.between(100_000, 2_000_000) as i64;
            println!("SEED={number} {options:?} {from}..{to}");
            let layout = FragmentedLayout::new(&recording.movie(from, to), &recording).unwrap();
            let path = dir.path().join("range.mp4");
            std::fs::write(&path, file_from(&recording, &layout, 0)).unwrap();
            assert_readers_are_silent(&path);
            let length = duration_us(&path);
            assert!((length - (to - from)).abs() <= UNSEEN_US, "{length} µs");
            let shown = picture_md5s(&["-i", path.to_str().unwrap()]);
            let expected = expected_pictures(&feed, from, to);
            let before = shown.len() - expected.len();
            let before = (0..=before).find(|&before| {
                let seen = shown[before..].iter().zip(&expected);
                seen.clone().all(|(seen, expected)| seen.1 == expected.1)
            });
            let before = before.expect("the pictures of the range, in order");
            for ((time, _), (wanted, _)) in shown[before..].iter().zip(&expected) {
                assert!(
                    (time - wanted).abs() <= UNSEEN_US,
                    "at {time}, not {wanted}"
                );
            }
            let unseen = |at: i64| move |(time, _): &(i64, String)| (time - at).abs() <= UNSEEN_US;
            assert!(shown[..before].iter().all(unseen(0)), "{shown:?}");
            let after = &shown[before + expected.len()..];
            assert!(after.iter().all(unseen(to - from)), "{shown:?}");
        }
    }
}

#[test]
fn runs_with_other_parameters_play_one_after_the_other() {
    let dir = tempfile::tempdir().unwrap();
    let sound = tone(dir.path(), Codec::PcmMu, 8);
    let closed = ["-g", "50", "-x264-params", "bframes=0:open-gop=0:ref=2"];
    let first = film(dir.path(), Codec::H264, "320x180", 8, X264_PYRAMID);
    let second = film(dir.path(), Codec::H264, "160x90", 8, &closed);
    let recording = two_runs(&first, &second, &sound);
    let movie = recording.movie(START, START + 7_200_000_000);
    let layout = FragmentedLayout::new(&movie, &recording).unwrap();
    let path = dir.path().join("gap.mp4");
    std::fs::write(&path, file_from(&recording, &layout, 0)).unwrap();
    assert_readers_are_silent(&path);
    let shown = picture_md5s(&["-i", path.to_str().unwrap(), "-autoscale", "0"]);
    let pictures: Vec<&String> = shown.iter().map(|(_, md5)| md5).collect();
    let expected = first.picture_md5[..50]
        .iter()
        .chain(&second.picture_md5[100..150]);
    assert_eq!(pictures, expected.collect::<Vec<_>>());
    assert!((duration_us(&path) - 4_000_000).abs() < 40_000);
}

#[test]
fn any_byte_is_found_where_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let feed = film(dir.path(), Codec::H264, "320x180", 8, X264_PYRAMID);
    let mut recording = Recording::default();
    recording.run(&[&feed], None, 0, |_| true);
    let movie = recording.movie(START + 500_000, START + 4_000_000);
    let layout = FragmentedLayout::new(&movie, &recording).unwrap();
    let whole = file_from(&recording, &layout, 0);
    for number in 0..200 {
        let from = Seed::new(number).below(whole.len() as u64 + 2);
        let rest = file_from(&recording, &layout, from);
        assert!(
            rest == whole[whole.len().min(from as usize)..],
            "SEED={number}"
        );
    }
    let nothing = recording.movie(START - 10, START - 5);
    assert!(FragmentedLayout::new(&nothing, &recording).is_err());
}
