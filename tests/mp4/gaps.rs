//! Goal: a file over several runs plays each of them in step, with its own parameter sets, and tells the time of day.

use crate::{
    assert_readers_are_silent,
    camera::{Feed, START, film, frame_time, picture_md5s, tone, tool},
    encoders::X264_PYRAMID,
    recording::Recording,
    write,
};
use nvring::{
    media::{Codec, GapCause},
    playback::{
        check::check_mp4,
        movie::{DamagedFrames, TrackChoice},
        mp4::Mp4Layout,
    },
};
use std::{fs::File, path::Path};

const HOUR: i64 = 3_600_000_000;

/// Two runs of 2 s from different encoders, an hour apart.
pub(crate) fn two_runs(first: &Feed, second: &Feed, sound: &Feed) -> Recording {
    let mut recording = Recording::default();
    recording.run(&[first, sound], None, 0, |time| time < frame_time(50));
    recording.run(&[second, sound], Some(GapCause::CameraLost), HOUR, |time| {
        (frame_time(100)..frame_time(150)).contains(&time)
    });
    recording
}

/// Presentation times in microseconds of the packets of a stream, in order.
pub(crate) fn times(path: &Path, stream: &str) -> Vec<i64> {
    let path = path.to_str().unwrap();
    let probe = [
        "-v",
        "error",
        "-select_streams",
        stream,
        "-show_entries",
        "packet=pts_time",
        "-of",
        "csv=p=0",
        path,
    ];
    let (out, _) = tool("ffprobe", &probe);
    let mut times: Vec<i64> = out
        .lines()
        .map(|line| line.trim_end_matches(','))
        // A packet with something beside it has a second, empty line.
        .filter(|line| !line.is_empty())
        .map(|line| (line.parse::<f64>().unwrap() * 1e6).round() as i64)
        .collect();
    times.sort_unstable();
    times
}

#[test]
fn runs_with_other_parameters_decode_and_stay_in_step() {
    let dir = tempfile::tempdir().unwrap();
    let pairs = [("320x180", "160x90"), ("320x180", "320x180")];
    let sound = tone(dir.path(), Codec::PcmMu, 8);
    for (one, two) in pairs {
        let closed = ["-g", "50", "-x264-params", "bframes=0:open-gop=0:ref=2"];
        let (first, second) = (
            film(dir.path(), Codec::H264, one, 8, X264_PYRAMID),
            film(dir.path(), Codec::H264, two, 8, &closed),
        );
        let recording = two_runs(&first, &second, &sound);
        let layout = Mp4Layout::new(&recording.movie(START, START + 2 * HOUR), &recording).unwrap();
        let path = write(dir.path(), "gap.mp4", &recording, &layout);
        assert_readers_are_silent(&path);

        // Pictures: those of both runs, the second right behind the first.
        let shown = picture_md5s(&["-i", path.to_str().unwrap(), "-autoscale", "0"]);
        let pictures: Vec<&String> = shown.iter().map(|(_, md5)| md5).collect();
        let expected = first.picture_md5[..50]
            .iter()
            .chain(&second.picture_md5[100..150]);
        assert_eq!(pictures, expected.collect::<Vec<_>>());
        let runs = layout.runs();
        assert_eq!(shown[50].0, runs[1].media_start.0);
        assert_eq!(runs[1].wall_start.0, frame_time(100) + HOUR);
        assert_eq!(runs[1].cause, Some(GapCause::CameraLost));
        let last_lasts = runs[1].media_start.0 - shown[49].0;
        assert!((30_000..50_000).contains(&last_lasts), "{last_lasts} µs");

        // Sound: as far from the pictures as it was recorded, in both runs, to the sample.
        let heard = times(&path, "a:0");
        for run in runs {
            let wall = |time: i64| {
                run.wall_start.0 + time - run.media_start.0 - if run.run == 1 { HOUR } else { 0 }
            };
            let end = run.media_start.0 + run.duration.0;
            let inside = heard
                .iter()
                .filter(|&&time| (run.media_start.0..end).contains(&time));
            let mut count = 0;
            for &time in inside {
                let recorded = (wall(time) - START).rem_euclid(20_000);
                assert!(
                    recorded.min(20_000 - recorded) <= 63,
                    "off by {recorded} µs"
                );
                count += 1;
            }
            assert!(count >= 99, "{count} packets of 2 s");
        }

        // The file tells all of it to an independent reader.
        let mut file = File::open(&path).unwrap();
        let len = file.metadata().unwrap().len();
        let report = check_mp4(&mut file, len).unwrap();
        assert_eq!(report.problems, Vec::<String>::new());
        assert_eq!(
            (report.tracks[0].entries, report.tracks[0].samples),
            (2, 100)
        );
        assert_eq!(
            (report.tracks[0].width, report.tracks[0].height),
            (320, 180)
        );
        assert_eq!(report.wall_clock[1].cause, "camera-lost");
        assert_eq!(report.wall_clock[1].wall, runs[1].wall_start);
        assert_eq!(report.wall_clock[1].media_us, runs[1].media_start.0);
    }
}

#[test]
fn a_stream_that_changed_its_codec_has_a_track_for_each() {
    let dir = tempfile::tempdir().unwrap();
    let first = film(dir.path(), Codec::H264, "320x180", 8, X264_PYRAMID);
    let options = [
        "-preset",
        "ultrafast",
        "-x265-params",
        "log-level=error:keyint=50:min-keyint=50:bframes=0:scenecut=0",
    ];
    let second = film(dir.path(), Codec::H265, "320x180", 8, &options);
    let sound = tone(dir.path(), Codec::Aac, 8);
    let recording = two_runs(&first, &second, &sound);
    let layout = Mp4Layout::new(&recording.movie(START, START + 2 * HOUR), &recording).unwrap();
    let path = write(dir.path(), "codecs.mp4", &recording, &layout);
    assert_readers_are_silent(&path);
    let second_start = layout.runs()[1].media_start.0;
    assert_eq!(times(&path, "v:0").len(), 50);
    assert_eq!(times(&path, "v:1").first(), Some(&second_start));
}

#[test]
fn tracks_are_chosen_and_damaged_frames_can_be_left_out() {
    use nvring::media::FrameKind;
    let dir = tempfile::tempdir().unwrap();
    let options = [
        "-g",
        "50",
        "-x264-params",
        "bframes=0:open-gop=0:scenecut=0",
    ];
    let mut feed = film(dir.path(), Codec::H264, "320x180", 8, &options);
    // A loss: frame 60 never came, the rest of its group follows it.
    feed.shots.remove(60);
    for shot in &mut feed.shots[60..99] {
        shot.entry.kind = FrameKind::Damaged;
    }
    let sound = tone(dir.path(), Codec::Aac, 8);
    let mut recording = Recording::default();
    recording.run(&[&feed, &sound], None, 0, |_| true);
    let mut movie = recording.movie(START, START + HOUR);
    movie.choice = TrackChoice {
        video: true,
        audio: false,
        metadata: false,
    };
    let kept = Mp4Layout::new(&movie, &recording).unwrap();
    movie.damaged = DamagedFrames::Drop;
    let dropped = Mp4Layout::new(&movie, &recording).unwrap();
    assert!(dropped.total_len() < kept.total_len());
    let path = write(dir.path(), "dropped.mp4", &recording, &dropped);
    let shown = picture_md5s(&["-i", path.to_str().unwrap()]);
    let taken = |number: usize| frame_time(number as i64) - frame_time(0);
    let good = (0..60).chain(100..200);
    let expected: Vec<(i64, String)> = good
        .map(|number| (taken(number), feed.picture_md5[number].clone()))
        .collect();
    assert_eq!(shown, expected);
    assert!(times(&path, "a").is_empty());
}
