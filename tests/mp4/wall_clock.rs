//! Goal: an examiner can say of every frame when it was taken, gaps or not, with the file alone. Method: the file is read as the table in
//! `src/playback/wall_clock_box.rs` says, byte by byte; ffprobe tells when each frame is shown; the times are those recorded.

use crate::{
    camera::{Feed, START, film, frame_time, tone},
    encoders::X264_PYRAMID,
    gaps::{times, two_runs},
    write,
};
use nvring::{base::seed::Seed, media::Codec, playback::mp4::Mp4Layout};
use std::path::Path;

const HOUR: i64 = 3_600_000_000;

/// A run: `wall_us`, `media_us`, `first_us`.
type Run = (i64, i64, i64);

/// The runs, from the bytes.
fn runs(file: &Path) -> Vec<Run> {
    let bytes = std::fs::read(file).unwrap();
    let number = |at: usize| i64::from_be_bytes(bytes[at..at + 8].try_into().unwrap());
    let uuid = u32::from_be_bytes(bytes[..4].try_into().unwrap()) as usize;
    assert_eq!(&bytes[uuid + 4..uuid + 8], b"uuid", "behind `ftyp`");
    assert_eq!(bytes[uuid + 8..uuid + 12], [0x5d, 0x0c, 0x7a, 0x7e]);
    assert_eq!(bytes[uuid + 24], 2, "version");
    let mut at = uuid + 32;
    let mut runs = Vec::new();
    for _ in 0..bytes[uuid + 31] {
        runs.push((number(at), number(at + 8), number(at + 24)));
        at += 34 + usize::from(bytes[at + 33]);
    }
    runs
}

/// When what is shown at `time` was taken.
fn taken(runs: &[Run], time: i64) -> i64 {
    let begun = runs.iter().rev().find(|run| run.1 <= time);
    let (wall_us, media_us, first_us) = *begun.unwrap_or(&runs[0]);
    if time == media_us {
        first_us
    } else {
        wall_us + (time - media_us)
    }
}

/// Times of the pictures recorded, and of the packets of sound.
fn recorded(sound: &Feed) -> (Vec<i64>, Vec<i64>) {
    let first = (0..50).map(frame_time);
    let second = (100..150).map(|number| frame_time(number) + HOUR);
    let heard = sound.shots.iter().map(|shot| shot.entry.time.0);
    let heard = heard.clone().chain(heard.map(|time| time + HOUR));
    (first.chain(second).collect(), heard.collect())
}

#[test]
fn the_file_tells_when_every_frame_was_taken() {
    let dir = tempfile::tempdir().unwrap();
    let closed = ["-g", "50", "-x264-params", "bframes=0:open-gop=0:ref=2"];
    let feeds =
        [X264_PYRAMID, &closed].map(|options| film(dir.path(), Codec::H264, "160x90", 8, options));
    let sound = tone(dir.path(), Codec::Aac, 8);
    let recording = two_runs(&feeds[0], &feeds[1], &sound);
    let (pictures, heard) = recorded(&sound);
    for number in 0..12 {
        let mut seed = Seed::new(number);
        // Some ranges in one run, some over the gap, one of everything.
        let from = START + seed.below(1_900_000) as i64;
        let (from, to) = match number % 3 {
            0 => (
                from,
                START + HOUR + seed.between(4_100_000, 6_000_000) as i64,
            ),
            1 => (from, from + seed.between(50_000, 2_000_000) as i64),
            _ if number == 2 => (START - HOUR, START + 2 * HOUR),
            _ => (from + HOUR + 4_000_000, START + 2 * HOUR),
        };
        println!("SEED={number} {from}..{to}");
        let layout = Mp4Layout::new(&recording.movie(from, to), &recording).unwrap();
        let path = write(dir.path(), "a.mp4", &recording, &layout);
        let runs = runs(&path);
        // What is hidden before the range has no time of its own; what is hidden behind it is told rightly too.
        let told: Vec<i64> = times(&path, "v:0")
            .into_iter()
            .filter(|time| *time >= 0)
            .map(|time| taken(&runs, time))
            .collect();
        let in_force = pictures
            .iter()
            .rposition(|taken| *taken <= from)
            .unwrap_or(0);
        // Of a run that is over before the range begins nothing is shown.
        let in_force = if in_force == 49 && from > START + HOUR {
            50
        } else {
            in_force
        };
        let shown = pictures.iter().skip(in_force).filter(|taken| **taken < to);
        let shown: Vec<i64> = shown.copied().collect();
        let mut stretches = told.windows(shown.len());
        assert!(
            stretches.any(|stretch| stretch == shown),
            "{told:?} {shown:?}"
        );
        assert!(told.iter().all(|told| pictures.contains(told)), "{told:?}");
        for time in times(&path, "a:0") {
            let told = taken(&runs, time);
            let near = |taken: &i64| (taken - told).abs() <= 11;
            assert!(
                heard.iter().any(near),
                "sound at {time} was not taken at {told}"
            );
        }
    }
}
