//! Parameter sets against ffprobe: what we read of a stream is what an independent reader says of it.

use super::encoded::annex_b;
use crate::media::{Codec, ParameterSets, picture_format::PictureFormat};
use std::process::{Command, Stdio};

/// Encodes 12 frames; returns the Annex B bytes and ffprobe's answers as a JSON object.
fn probe(codec: Codec, source: &str, options: &str) -> (Vec<u8>, serde_json::Value) {
    let format = if codec == Codec::H264 { "h264" } else { "hevc" };
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(format!("stream.{format}"));
    let status = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-f", "lavfi", "-i", source])
        .args(["-frames:v", "12"])
        .args(options.split_whitespace())
        .arg(&path)
        .stderr(Stdio::inherit())
        .status()
        .expect("ffmpeg with libx264 and libx265 is needed for this test: apt-get install ffmpeg");
    assert!(status.success(), "{options}");
    let output = Command::new("ffprobe")
        .args(["-v", "error", "-show_streams", "-of", "json"])
        .arg(&path)
        .output()
        .expect("ffprobe is needed for this test: apt-get install ffmpeg");
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let stream = answer["streams"][0].clone();
    (std::fs::read(&path).unwrap(), stream)
}

fn sets_of(codec: Codec, bytes: &[u8]) -> ParameterSets {
    let mut sets = ParameterSets::new(codec);
    for nal in annex_b(bytes) {
        // Slices and SEI are refused as what they are not.
        let _ = sets.insert(&nal);
    }
    sets
}

fn check_format(format: &PictureFormat, probed: &serde_json::Value, what: &str) {
    assert_eq!(u64::from(format.width), probed["width"], "{what}");
    assert_eq!(u64::from(format.height), probed["height"], "{what}");
    let pixels = probed["pix_fmt"].as_str().unwrap();
    let chroma = match pixels {
        pixels if pixels.contains("420") => 1,
        pixels if pixels.contains("422") => 2,
        pixels if pixels.contains("444") => 3,
        _ => 0,
    };
    let depth = if pixels.contains("10") { 10 } else { 8 };
    assert_eq!(format.chroma, chroma, "{what}: {pixels}");
    assert_eq!(format.bit_depth_luma, depth, "{what}: {pixels}");
    let aspect = format.sample_aspect.unwrap_or((1, 1));
    let probed_aspect = probed["sample_aspect_ratio"].as_str().unwrap_or("1:1");
    assert_eq!(
        format!("{}:{}", aspect.0, aspect.1),
        probed_aspect,
        "{what}"
    );
    let full_range = format.colour.is_some_and(|colour| colour.full_range);
    assert_eq!(full_range, probed["color_range"] == "pc", "{what}");
    let bt709 = format.colour.is_some_and(|colour| colour.primaries == 1);
    assert_eq!(bt709, probed["color_primaries"] == "bt709", "{what}");
    if let Some(rate) = format.frame_rate() {
        let text = probed["r_frame_rate"].as_str().unwrap();
        let (ticks, seconds) = text.split_once('/').unwrap();
        let probed: f64 = ticks.parse::<f64>().unwrap() / seconds.parse::<f64>().unwrap();
        assert!((rate - probed).abs() < 0.01, "{what}: {rate} and {probed}");
    }
}

/// As ffprobe names it.
fn h264_profile_name(profile_idc: u8) -> &'static str {
    match profile_idc {
        66 => "Constrained Baseline",
        77 => "Main",
        100 => "High",
        110 => "High 10",
        122 => "High 4:2:2",
        _ => "High 4:4:4 Predictive",
    }
}

#[test]
fn h264_parameter_sets_agree_with_ffprobe() {
    let x264 = |more: &str| format!("-c:v libx264 -preset veryfast {more}");
    let colour = "-color_primaries bt709 -color_trc bt709 -colorspace bt709";
    let cases = [
        ("testsrc2=size=640x360:rate=25", x264("-profile:v baseline")),
        (
            "testsrc2=size=1920x1080:rate=30",
            x264("-profile:v main -bf 2"),
        ),
        (
            "testsrc2=size=1366x768:rate=30000/1001",
            x264("-profile:v high -bf 3"),
        ),
        (
            "testsrc2=size=322x182:rate=12",
            x264("-bf 0 -color_range pc -pix_fmt yuvj420p"),
        ),
        (
            "testsrc2=size=720x576:rate=25",
            x264("-flags +ildct+ilme -x264-params tff=1 -vf setsar=16/11"),
        ),
        (
            "testsrc2=size=320x240:rate=25",
            x264("-profile:v high10 -pix_fmt yuv420p10le"),
        ),
        (
            "testsrc2=size=320x242:rate=25",
            x264("-profile:v high422 -pix_fmt yuv422p"),
        ),
        (
            "testsrc2=size=322x241:rate=25",
            x264("-profile:v high444 -pix_fmt yuv444p -vf setsar=7/5"),
        ),
        ("testsrc2=size=3840x2160:rate=5", x264(colour)),
        (
            "testsrc2=size=320x240:rate=25",
            x264("-x264-params nal-hrd=cbr:bitrate=500:vbv-maxrate=500:vbv-bufsize=500"),
        ),
        (
            "testsrc2=size=320x240:rate=25",
            x264("-x264-params cqm=jvt"),
        ),
    ];
    for (source, options) in cases {
        let what = format!("{source} {options}");
        let (bytes, probed) = probe(Codec::H264, source, &options);
        let sets = sets_of(Codec::H264, &bytes);
        let sps = sets.h264_sps().expect(&what);
        check_format(&sps.format, &probed, &what);
        assert_eq!(u64::from(sps.level), probed["level"], "{what}");
        let profile = h264_profile_name(sps.profile);
        assert_eq!(probed["profile"], profile, "{what}");
        assert_eq!(
            u64::from(sps.reorder_frames_max()),
            probed["has_b_frames"],
            "{what}"
        );
        let codec = sets.codec_string().unwrap();
        assert_eq!(
            codec[..9],
            *format!("avc1.{:02X}{:02X}", sps.profile, sps.constraints)
        );
    }
}

#[test]
fn h265_parameter_sets_agree_with_ffprobe() {
    let x265 = |more: &str, params: &str| {
        format!("-c:v libx265 -preset ultrafast {more} -x265-params log-level=none:{params}")
    };
    let cases = [
        (
            "testsrc2=size=640x360:rate=25",
            x265("", "bframes=0"),
            "hvc1.1.6.L63.90",
        ),
        (
            "testsrc2=size=1920x1080:rate=30",
            x265("", "bframes=3:b-pyramid=1"),
            "hvc1.1.6.L120.90",
        ),
        (
            "testsrc2=size=1366x768:rate=24",
            x265("-vf setsar=4/3", "bframes=4"),
            "hvc1.1.6.L120.90",
        ),
        (
            "testsrc2=size=320x240:rate=25",
            x265(
                "-pix_fmt yuv420p10le",
                "hrd=1:bitrate=500:vbv-maxrate=500:vbv-bufsize=500",
            ),
            "hvc1.2.4.L60.90",
        ),
        (
            "testsrc2=size=320x242:rate=25",
            x265("-pix_fmt yuv422p", "scaling-list=default"),
            "hvc1.4.10.",
        ),
        (
            "testsrc2=size=322x242:rate=25",
            x265("-pix_fmt yuv444p -color_range pc", "temporal-layers=1"),
            "hvc1.4.10.",
        ),
        (
            "testsrc2=size=3840x2160:rate=5",
            x265(
                "-color_primaries bt709 -color_trc bt709 -colorspace bt709",
                "bframes=2",
            ),
            "hvc1.1.6.",
        ),
    ];
    for (source, options, codec) in cases {
        let what = format!("{source} {options}");
        let (bytes, probed) = probe(Codec::H265, source, &options);
        let sets = sets_of(Codec::H265, &bytes);
        let sps = sets.h265_sps().expect(&what);
        check_format(&sps.format, &probed, &what);
        assert_eq!(u64::from(sps.profile.level), probed["level"], "{what}");
        assert_eq!(
            u64::from(sps.reorder_frames),
            probed["has_b_frames"],
            "{what}"
        );
        let string = sets.codec_string().unwrap();
        assert!(string.starts_with(codec), "{what}: {string}");
        assert!(
            sps.format.frame_rate().is_some(),
            "{what}: the VUI was not read to its timing"
        );
    }
}

/// The example of ISO 14496-15 §E.3 (as RFC 6381 names it): Main profile, main tier, level 3.1, progressive and frame only.
#[test]
fn codec_string_of_the_standard() {
    let sps = crate::media::h265::Sps {
        id: 0,
        vps_id: 0,
        temporal_layers: 1,
        temporal_nesting: true,
        profile: crate::media::h265::ProfileTierLevel {
            space: 0,
            high_tier: false,
            profile: 1,
            compatibility: 0x6000_0000,
            constraints: [0xb0, 0, 0, 0, 0, 0],
            level: 93,
        },
        format: PictureFormat::default(),
        reorder_frames: 0,
        min_spatial_segmentation: 0,
    };
    assert_eq!(sps.codec_string(), "hvc1.1.6.L93.B0");
}
