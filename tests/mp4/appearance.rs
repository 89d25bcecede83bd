//! Goal: what a camera says of its pictures and metadata reaches the player's boxes, all parameter sets included.

use crate::{
    assert_readers_are_silent,
    camera::{START, film, tone, tool},
    recording::Recording,
    write,
};
use nvring::{media::Codec, playback::mp4::Mp4Layout};

fn contains(file: &[u8], needle: &[u8]) -> bool {
    file.windows(needle.len()).any(|window| window == needle)
}

#[test]
fn sample_shape_and_colour_stand_in_the_sample_entry() {
    let dir = tempfile::tempdir().unwrap();
    let said = [
        "-vf",
        "setsar=4/3",
        "-color_primaries",
        "bt709",
        "-color_trc",
        "bt709",
        "-colorspace",
        "bt709",
        "-color_range",
        "pc",
        "-bf",
        "0",
    ];
    let quiet = ["-preset", "ultrafast", "-x265-params", "log-level=error"];
    let cases = [
        (Codec::H264, said.to_vec()),
        (Codec::H265, [&said[..], &quiet[..]].concat()),
    ];
    for (codec, options) in cases {
        let feed = film(dir.path(), codec, "320x180", 2, &options);
        let mut recording = Recording::default();
        recording.run(&[&feed], None, 0, |_| true);
        let layout =
            Mp4Layout::new(&recording.movie(START, START + 9_000_000), &recording).unwrap();
        let head = layout.head();
        assert!(
            contains(head, b"\0\0\0\x10pasp\0\0\0\x04\0\0\0\x03"),
            "{codec:?}"
        );
        assert!(
            contains(head, b"\0\0\0\x13colrnclx\0\x01\0\x01\0\x01\x80"),
            "{codec:?}"
        );
        let path = write(dir.path(), "appearance.mp4", &recording, &layout);
        assert_readers_are_silent(&path);
        let probe = [
            "-v",
            "error",
            "-show_entries",
            "stream=display_aspect_ratio,color_range",
            "-of",
            "csv=p=0",
            path.to_str().unwrap(),
        ];
        assert_eq!(tool("ffprobe", &probe).0.trim(), "64:27,pc", "{codec:?}");
        for set in &feed.track.video.as_ref().unwrap().parameter_sets {
            assert!(contains(head, set), "{codec:?}: a parameter set is missing");
        }
    }
}

/// Several SPS and PPS are legal: all must be in `avcC`, with the chroma fields of the High profiles (ISO 14496-15 §5.3.3.1.2).
#[test]
fn all_parameter_sets_are_in_the_decoder_configuration() {
    let dir = tempfile::tempdir().unwrap();
    let mut feed = film(
        dir.path(),
        Codec::H264,
        "320x180",
        1,
        &["-profile:v", "high"],
    );
    let sets = &mut feed.track.video.as_mut().unwrap().parameter_sets;
    let (sps, pps) = (sets[0].clone(), sets[1].clone());
    let other = [&pps[..1], &[0x4d, 0x40]].concat();
    sets.push(other.clone().into());
    let mut recording = Recording::default();
    recording.run(&[&feed], None, 0, |_| true);
    let layout = Mp4Layout::new(&recording.movie(START, START + 9_000_000), &recording).unwrap();
    let mut expected = b"avcC\x01".to_vec();
    expected.extend(&sps[1..4]);
    expected.extend([0xff, 0xe1, 0, sps.len() as u8]);
    expected.extend(&sps);
    expected.extend([2, 0, pps.len() as u8]);
    expected.extend(&pps);
    expected.extend([0, other.len() as u8]);
    expected.extend(&other);
    expected.extend([0xfd, 0xf8, 0xf8, 0]); // 4:2:0, 8 bits, no extensions
    assert!(contains(layout.head(), &expected));
}

#[test]
fn onvif_metadata_is_a_track_that_gstreamer_knows() {
    let dir = tempfile::tempdir().unwrap();
    let feed = film(dir.path(), Codec::H264, "160x90", 2, &["-bf", "0"]);
    let mut metadata = tone(dir.path(), Codec::PcmMu, 2);
    metadata.track.codec = Codec::Opaque;
    metadata.track.audio = None;
    metadata.track.encoding = "vnd.onvif.metadata".to_owned();
    let document = br#"<?xml version="1.0"?><tt:MetadataStream xmlns:tt="http://www.onvif.org/ver10/schema"/>"#;
    for shot in &mut metadata.shots {
        shot.data = document.to_vec();
        shot.entry.size = document.len() as u32;
    }
    let mut recording = Recording::default();
    recording.run(&[&feed, &metadata], None, 0, |_| true);
    let layout = Mp4Layout::new(&recording.movie(START, START + 9_000_000), &recording).unwrap();
    let path = write(dir.path(), "metadata.mp4", &recording, &layout);
    let (out, _) = tool("gst-discoverer-1.0", &[path.to_str().unwrap()]);
    assert!(out.contains("ONVIF Timed Metadata"), "{out}");
}
