//! Goal: sound starts exactly where the range does, in every codec, whatever packet the range starts in.

use crate::{
    assert_readers_are_silent,
    camera::{START, film, tone, tool},
    encoders::X264_PYRAMID,
    recording::Recording,
    write,
};
use nvring::{media::Codec, playback::mp4::Mp4Layout};
use std::path::Path;

/// Decoded samples of the first sound track, with the number of the sample at which they start.
fn decoded(path: &Path) -> (usize, Vec<i16>) {
    let raw = path.with_extension("raw");
    let (path, raw) = (path.to_str().unwrap(), raw.to_str().unwrap());
    let output = ["-map", "0:a", "-f", "s16le", raw];
    tool(
        "ffmpeg",
        &[&["-v", "error", "-y", "-i", path], &output[..]].concat(),
    );
    let (frames, _) = tool(
        "ffprobe",
        &[
            "-v",
            "error",
            "-select_streams",
            "a",
            "-show_entries",
            "stream=start_pts",
            "-of",
            "csv=p=0",
            path,
        ],
    );
    let bytes = std::fs::read(raw).unwrap();
    let samples = bytes
        .chunks_exact(2)
        .map(|pair| i16::from_le_bytes([pair[0], pair[1]]));
    (frames.trim().parse().unwrap(), samples.collect())
}

#[test]
fn g711_of_a_range_is_exact_to_the_sample() {
    let dir = tempfile::tempdir().unwrap();
    let feed = film(dir.path(), Codec::H264, "160x90", 4, X264_PYRAMID);
    for codec in [Codec::PcmMu, Codec::PcmA] {
        let sound = tone(dir.path(), codec, 4);
        let mut recording = Recording::default();
        recording.run(&[&feed, &sound], None, 0, |_| true);
        let whole: Vec<u8> = sound
            .shots
            .iter()
            .flat_map(|shot| shot.data.clone())
            .collect();
        let format = if codec == Codec::PcmMu {
            "mulaw"
        } else {
            "alaw"
        };
        let stream = dir.path().join("whole");
        std::fs::write(&stream, &whole).unwrap();
        let raw = dir.path().join("whole.raw");
        let input = [
            "-v",
            "error",
            "-y",
            "-f",
            format,
            "-ar",
            "8000",
            "-i",
            stream.to_str().unwrap(),
        ];
        tool(
            "ffmpeg",
            &[&input[..], &["-f", "s16le", raw.to_str().unwrap()]].concat(),
        );
        let bytes = std::fs::read(raw).unwrap();
        let samples = bytes
            .chunks_exact(2)
            .map(|pair| i16::from_le_bytes([pair[0], pair[1]]));
        let whole: Vec<i16> = samples.collect();

        for (from, to) in [
            (2_233_333, 3_567_890),
            (1_000_000, 1_500_000),
            (1_019_999, 2_000_001),
        ] {
            let movie = recording.movie(START + from, START + to);
            let layout = Mp4Layout::new(&movie, &recording).unwrap();
            let path = write(dir.path(), "range.mp4", &recording, &layout);
            assert_readers_are_silent(&path);
            let (start, shown) = decoded(&path);
            assert_eq!(start, 0, "{codec:?} {from}");
            // The sample at `from` up to the last packet before `to`; times are rounded to samples of 125 µs.
            let first = (from as usize + 62) / 125;
            let length = shown.len();
            assert!(
                length.abs_diff((to - from) as usize / 125) <= 160,
                "{length} samples"
            );
            assert_eq!(shown, whole[first..first + length], "{codec:?} {from}");
        }
    }
}

#[test]
fn packets_of_aac_and_opus_are_cut_at_the_start_of_the_range() {
    let dir = tempfile::tempdir().unwrap();
    let feed = film(dir.path(), Codec::H264, "160x90", 4, X264_PYRAMID);
    for codec in [Codec::Aac, Codec::Opus] {
        let sound = tone(dir.path(), codec, 4);
        let mut recording = Recording::default();
        recording.run(&[&feed, &sound], None, 0, |_| true);
        let movie = recording.movie(START + 2_233_333, START + 3_567_890);
        let layout = Mp4Layout::new(&movie, &recording).unwrap();
        let path = write(dir.path(), "range.mp4", &recording, &layout);
        assert_readers_are_silent(&path);
        let path = path.to_str().unwrap();
        let entries = "packet=pts:packet_side_data=skip_samples";
        let probe = [
            "-v",
            "error",
            "-select_streams",
            "a",
            "-show_entries",
            entries,
            "-of",
            "default=nw=1",
            path,
        ];
        let (out, _) = tool("ffprobe", &probe);
        // The packet in force at the start of the range.
        let covering = sound
            .shots
            .iter()
            .rfind(|shot| shot.entry.time.0 <= START + 2_233_333);
        let hidden_us = START + 2_233_333 - covering.unwrap().entry.time.0;
        let hidden = (hidden_us * 48_000 + 500_000) / 1_000_000;
        let mut lines = out.lines();
        assert_eq!(
            lines.next(),
            Some(format!("pts={}", -hidden).as_str()),
            "{codec:?}"
        );
        assert_eq!(
            lines.next(),
            Some(format!("skip_samples={hidden}").as_str()),
            "{codec:?}"
        );
    }
}
