//! A camera that is not our own: GStreamer's RTSP server plays clips made by ffmpeg, and every NAL unit and sound frame stored is the
//! source's.

use crate::rig::{ReadRun, Rig, causes, read, spec};
use camsim::nal;
use nvring::{
    catalog::Transport,
    media::{Codec, GapCause, StreamId},
    store::recordings::Recordings,
};
use std::{
    io::{BufRead, BufReader},
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};
use tempfile::TempDir;

const AVC: &[&str] = &["-c:v", "libx264", "-bf", "2", "-g", "25"];
const HEVC: &[&str] = &[
    "-c:v",
    "libx265",
    "-x265-params",
    "log-level=none:info=0:keyint=25:bframes=3:open-gop=0",
];
const HEVC_FLAT: &[&str] = &[
    "-c:v",
    "libx265",
    "-x265-params",
    "log-level=none:info=0:keyint=25:bframes=0",
];

/// A child process that ends with the test.
struct Camera(Child);

impl Drop for Camera {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn ffmpeg(arguments: &[&str]) {
    let status = Command::new("ffmpeg")
        .args(["-v", "error", "-y"])
        .args(arguments)
        .status()
        .expect("ffmpeg does not run: install ffmpeg");
    assert!(status.success(), "ffmpeg {arguments:?} failed");
}

/// Four seconds of test picture with sound.
fn film(path: &Path, video: &[&str]) {
    let mut arguments = vec!["-f", "lavfi", "-i", "testsrc2=size=640x360:rate=25"];
    arguments.extend(["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000"]);
    arguments.extend(["-t", "4", "-pix_fmt", "yuv420p", "-c:a", "aac"]);
    arguments.extend(video);
    arguments.push(path.to_str().unwrap());
    ffmpeg(&arguments);
}

fn serve(mounts: &[(&str, &Path)], reports: &Path) -> (Camera, u16) {
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tools/gst-camera.py");
    let mut command = Command::new("/usr/bin/python3");
    command.arg(script).arg(port.to_string());
    command.arg("--reports").arg(reports);
    for (name, path) in mounts {
        command.arg(format!("{name}={}", path.display()));
    }
    let child = command.stdout(Stdio::piped()).spawn();
    let mut camera = Camera(child.expect("/usr/bin/python3 does not run: install python3"));
    let lines = BufReader::new(camera.0.stdout.take().unwrap()).lines();
    let ready = lines
        .map_while(Result::ok)
        .any(|line| line.contains("ready"));
    assert!(
        ready,
        "the camera did not start: see its message about missing packages"
    );
    (camera, port)
}

/// The NAL units of an elementary stream (ffmpeg repeats what it finds in the container's head, so there must be no SEI in it:
/// `info=0`).
fn source_units(codec: nal::Codec, clip: &Path) -> Vec<Vec<u8>> {
    let (filter, suffix) = match codec {
        nal::Codec::H264 => ("h264_mp4toannexb", "264"),
        nal::Codec::H265 => ("hevc_mp4toannexb", "265"),
    };
    let stream = clip.with_extension(suffix);
    let arguments = [
        "-i",
        clip.to_str().unwrap(),
        "-map",
        "0:v",
        "-c",
        "copy",
        "-bsf:v",
        filter,
    ];
    ffmpeg(&[&arguments[..], &[stream.to_str().unwrap()]].concat());
    let bytes = std::fs::read(stream).unwrap();
    let units = nal::annexb(&bytes).into_iter();
    units.map(|range| bytes[range].to_vec()).collect()
}

/// All but parameter sets and delimiters, which RTP payloaders repeat and drop as they like.
fn content(codec: nal::Codec, units: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let content = units.iter().filter(|unit| is_content(codec, unit));
    content.cloned().collect()
}

fn is_content(codec: nal::Codec, unit: &[u8]) -> bool {
    match codec {
        nal::Codec::H264 => !matches!(unit[0] & 31, 7..=9),
        nal::Codec::H265 => !matches!((unit[0] >> 1) & 63, 32..=35),
    }
}

/// The NAL units of each stored picture.
fn stored_pictures(run: &ReadRun) -> Vec<Vec<Vec<u8>>> {
    let pictures = run.frames.iter().filter(|frame| frame.entry.track.0 == 0);
    let pictures = pictures.map(|frame| {
        let units = nal::length_prefixed(&frame.bytes).expect("frames are length-prefixed");
        let units = units.into_iter().map(|range| frame.bytes[range].to_vec());
        units.collect()
    });
    pictures.collect()
}

/// Every parameter set stored is one of the source's, byte for byte, and each IDR picture has one of each kind in front of it, as the
/// payloader sends them.
fn assert_parameter_sets(
    codec: nal::Codec,
    pictures: &[Vec<Vec<u8>>],
    source: &[Vec<u8>],
    what: &str,
) {
    let kind = |unit: &[u8]| match codec {
        nal::Codec::H264 => unit[0] & 31,
        nal::Codec::H265 => (unit[0] >> 1) & 63,
    };
    let (wanted, idr): (&[u8], &[u8]) = match codec {
        nal::Codec::H264 => (&[7, 8], &[5]),
        nal::Codec::H265 => (&[32, 33, 34], &[19, 20]),
    };
    for (number, units) in pictures.iter().enumerate() {
        let sets = units.iter().filter(|unit| wanted.contains(&kind(unit)));
        let sets: Vec<_> = sets.collect();
        for set in &sets {
            assert!(
                source.contains(set),
                "{what}: {set:02x?} of picture {number}"
            );
        }
        let is_idr = units.iter().any(|unit| idr.contains(&kind(unit)));
        assert!(is_idr || number > 0, "{what}: the first is one");
        for one in wanted.iter().filter(|_| is_idr) {
            let given = sets.iter().any(|set| kind(set) == *one);
            assert!(given, "{what}: no unit of type {one} in picture {number}");
        }
    }
}

/// `stored` is the endless repetition of `source` from some place on. At the seam up to `seam` units of each end may be left out: where an
/// edit list hides encoder delay, readers of one file differ in what they give.
fn assert_repeats(stored: &[Vec<u8>], source: &[Vec<u8>], seam: usize, what: &str) {
    assert!(stored.len() > 100, "{what}: only {} units", stored.len());
    let follows = |start: usize| {
        let mut at = start;
        let mut same = 0;
        for unit in stored {
            if source.get(at) != Some(unit) {
                if at + seam < source.len() {
                    break;
                }
                let Some(next) = source.iter().take(seam + 1).position(|first| first == unit)
                else {
                    break;
                };
                at = next;
            }
            at += 1;
            same += 1;
        }
        same
    };
    let starts = (0..source.len()).filter(|start| source[*start] == stored[0]);
    let longest = starts.map(follows).max().unwrap_or(0);
    let found = stored
        .get(longest)
        .map(|unit| (unit.len(), &unit[..unit.len().min(16)]));
    let place = stored
        .get(longest)
        .and_then(|unit| source.iter().position(|other| other == unit));
    assert_eq!(
        longest,
        stored.len(),
        "{what}: unit {longest} {found:02x?} is not what comes next; it is unit {place:?} of {} of the source",
        source.len()
    );
}

#[test]
fn every_nal_unit_and_sound_frame_stored_is_the_source_of_a_gstreamer_camera() {
    let folder = TempDir::new().unwrap();
    let clips = [
        ("avc", nal::Codec::H264, AVC),
        ("hevc", nal::Codec::H265, HEVC),
        ("flat", nal::Codec::H265, HEVC_FLAT),
    ];
    let paths = clips.map(|(name, _, video)| {
        let path = folder.path().join(name).with_extension("mp4");
        film(&path, video);
        path
    });
    let mounts: Vec<_> = clips
        .iter()
        .zip(&paths)
        .map(|((name, ..), path)| (*name, path.as_path()))
        .collect();
    let reports = folder.path().join("reports");
    let (_camera, port) = serve(&mounts, &reports);
    let rig = Rig::new();
    let specs = clips.iter().enumerate().map(|(i, (name, ..))| {
        let mut spec = spec(
            i as u8 + 1,
            name,
            &format!("rtsp://127.0.0.1:{port}/{name}"),
        );
        if *name == "flat" {
            spec.source.transport = Transport::Udp;
        }
        spec
    });
    rig.supervisor.apply(specs.collect());
    for (name, ..) in &clips {
        rig.wait_frames(name, 450);
    }
    assert_reported(&reports);
    rig.supervisor.stop();
    rig.store.close();
    let recordings = Recordings::new(rig.store.shared_volumes());
    for (i, ((name, codec, _), path)) in clips.iter().zip(&paths).enumerate() {
        let (runs, _) = read(&recordings, StreamId([i as u8 + 1; 16]));
        assert_eq!(causes(&runs), [GapCause::Enrolled], "{name}");
        let (pictures, source) = (stored_pictures(&runs[0]), source_units(*codec, path));
        assert_parameter_sets(*codec, &pictures, &source, name);
        let units = content(*codec, &pictures.concat());
        assert_repeats(&units, &content(*codec, &source), 0, name);
        let tracks = &runs[0].description.tracks.tracks;
        assert_eq!(tracks[1].codec, Codec::Aac, "{name}");
        let frames = runs[0]
            .frames
            .iter()
            .filter(|frame| frame.entry.track.0 == 1);
        let sound: Vec<_> = frames.map(|frame| frame.bytes.to_vec()).collect();
        assert_repeats(&sound, &source_sound(path), 4, name);
    }
}

/// Goal: a camera whose packets travel by UDP hears of them: nothing is lost, and its own reports have come (RFC 3550 §6.4.2).
fn assert_reported(reports: &Path) {
    let deadline = Instant::now() + Duration::from_secs(40);
    loop {
        let text = std::fs::read_to_string(reports).unwrap();
        let lines = text
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok());
        let lines: Vec<serde_json::Value> = lines.collect();
        if let Some(report) = lines.iter().find(|report| report["rb-lsr"] != 0) {
            assert_eq!(report["rb-packetslost"], 0, "{report}");
            // In 1/65536 s; a time that is not the one there and back is somewhere in eighteen hours.
            assert!(
                report["rb-round-trip"].as_u64() < Some(10 << 16),
                "{report}"
            );
            return;
        }
        assert!(Instant::now() < deadline, "no report came: {text}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// The AAC frames of a clip, without their ADTS heads (ISO 13818-7 §6.2).
fn source_sound(clip: &Path) -> Vec<Vec<u8>> {
    let stream = clip.with_extension("aac");
    ffmpeg(&[
        "-i",
        clip.to_str().unwrap(),
        "-map",
        "0:a",
        "-c",
        "copy",
        "-f",
        "adts",
        stream.to_str().unwrap(),
    ]);
    let bytes = std::fs::read(stream).unwrap();
    let (mut frames, mut rest) = (Vec::new(), bytes.as_slice());
    while let [_, _, _, a, b, c, ..] = rest {
        let len = usize::from(a & 3) << 11 | usize::from(*b) << 3 | usize::from(c >> 5);
        frames.push(rest[7..len].to_vec());
        rest = &rest[len..];
    }
    frames
}
