//! Goal: `check_mp4` names what is wrong with a file and survives whatever it is given.

use crate::{
    camera::{START, film, tone},
    encoders::X264_PYRAMID,
    recording::Recording,
};
use nvring::{
    base::seed::Seed,
    media::Codec,
    playback::{
        check::{CheckError, CheckReport, check_mp4},
        mp4::Mp4Layout,
    },
};
use std::io::Cursor;

fn sample_file() -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let feed = film(dir.path(), Codec::H264, "160x90", 3, X264_PYRAMID);
    let sound = tone(dir.path(), Codec::Aac, 3);
    let mut recording = Recording::default();
    recording.run(&[&feed, &sound], None, 0, |_| true);
    let layout = Mp4Layout::new(&recording.movie(START, START + 60_000_000), &recording).unwrap();
    recording.file(&layout)
}

fn check(bytes: &[u8]) -> Result<CheckReport, CheckError> {
    check_mp4(&mut Cursor::new(bytes), bytes.len() as u64)
}

fn find(bytes: &[u8], needle: &[u8]) -> usize {
    bytes
        .windows(needle.len())
        .position(|window| window == needle)
        .unwrap()
}

#[test]
fn a_good_file_has_no_problems_and_a_bad_one_names_them() {
    let file = sample_file();
    let report = check(&file).unwrap();
    assert_eq!(report.problems, Vec::<String>::new());
    let [video, sound] = &report.tracks[..] else {
        panic!("two tracks: {report:?}");
    };
    assert_eq!(
        (video.kind.as_str(), video.coding.as_str()),
        ("vide", "avc1")
    );
    assert_eq!(
        (sound.kind.as_str(), sound.coding.as_str()),
        ("soun", "mp4a")
    );
    assert_eq!((video.samples, video.key_samples), (75, 2));
    assert_eq!((video.width, video.height), (160, 90));
    assert!(video.duration_us.abs_diff(3_000_000) < 50_000, "{video:?}");

    let cut = check(&file[..file.len() - 10]).unwrap_err().to_string();
    assert!(cut.contains("mdat") && cut.contains("cut"), "{cut}");
    let none = check(b"\0\0\0\x08free").unwrap_err().to_string();
    assert!(none.contains("ftyp"), "{none}");

    let mut moved = file.clone();
    let table = find(&moved, b"stco") + 12;
    moved[table..table + 4].copy_from_slice(&[0, 0, 0, 1]);
    let problems = check(&moved).unwrap().problems;
    assert!(problems[0].contains("track 1: chunk 1"), "{problems:?}");

    let mut silent = file.clone();
    let times = find(&silent, b"stts") + 12;
    silent[times..times + 4].copy_from_slice(&[0, 0, 0, 9]);
    let problems = check(&silent).unwrap().problems;
    assert!(
        problems.iter().any(|problem| problem.contains("stts")),
        "{problems:?}"
    );
}

/// Method: damage in the head, where sizes and counts are, seeded; the test is that it returns.
#[test]
fn damaged_and_random_bytes_are_answered_not_panicked_on() {
    let file = sample_file();
    let head = find(&file, b"mdat");
    let (mut read, mut refused) = (0, 0);
    for number in 0..20_000 {
        let mut seed = Seed::new(number);
        let mut bytes = file.clone();
        for _ in 0..seed.between(1, 6) {
            let at = seed.below(head as u64) as usize;
            let value = [0, 1, 0x7f, 0x80, 0xff, seed.next() as u8];
            bytes[at] = value[seed.below(6) as usize];
        }
        if seed.chance(0.2) {
            bytes.truncate(seed.below(bytes.len() as u64) as usize);
        }
        match check(&bytes) {
            Ok(_) => read += 1,
            Err(_) => refused += 1,
        }
    }
    assert!(
        read > 100 && refused > 100,
        "{read} read, {refused} refused"
    );
    for number in 0..2_000 {
        let mut seed = Seed::new(number);
        let mut bytes = vec![0; seed.below(200) as usize];
        seed.fill(&mut bytes);
        assert!(check(&bytes).is_err(), "SEED={number}");
    }
}

/// A box of size zero inside `moov` makes careless readers loop for ever; deep nesting overflows their stack.
#[test]
fn boxes_of_size_zero_and_deep_nesting_are_refused() {
    let mut zero = b"\0\0\0\x10ftypisom\0\0\0\0\0\0\0\x18moov".to_vec();
    zero.extend(b"\0\0\0\0free\0\0\0\0\0\0\0\0");
    assert!(check(&zero).unwrap_err().to_string().contains("free"));
    let depth: u32 = 100_000;
    let mut deep = b"\0\0\0\x10ftypisom\0\0\0\0".to_vec();
    for level in 0..depth {
        deep.extend(((depth - level) * 8).to_be_bytes());
        deep.extend(if level == 0 { b"moov" } else { b"trak" });
    }
    assert!(check(&deep).unwrap_err().to_string().contains("deep"));
}
