//! Goal: what independent programs record of the simulated cameras is whole and can be decoded, and `camsim verify` says so, or says
//! what is wrong. Method: FFmpeg and GStreamer play over TCP and UDP; their files go through the verifier as built.

use camsim::{Begin, Handle, Options, Server, verify};
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn server() -> Handle {
    Server::start(Options {
        begin: Begin::NextKey,
        ..Options::new(1)
    })
    .unwrap()
}

/// Runs a program that Debian has in `package`.
fn run(program: &str, package: &str, arguments: &[&str]) -> Output {
    let command = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output();
    command.unwrap_or_else(|error| {
        panic!("cannot run {program} ({error}): this test needs the package {package}")
    })
}

fn ffmpeg(arguments: &[&str]) {
    let output = run(
        "ffmpeg",
        "ffmpeg",
        &[&["-y", "-v", "error"], arguments].concat(),
    );
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

fn verified(arguments: &[&str]) -> (bool, String) {
    let output = run(
        env!("CARGO_BIN_EXE_camsim"),
        "camsim",
        &[&["verify"], arguments].concat(),
    );
    (
        output.status.success(),
        String::from_utf8_lossy(&output.stdout).into_owned(),
    )
}

#[test]
fn recordings_of_ffmpeg_are_whole_and_decode_without_an_error() {
    let (server, folder) = (server(), tempfile::tempdir().unwrap());
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let clips = ["h264", "h264b", "h265", "h265b", "multi", "refresh"];
    std::thread::scope(|scope| {
        for (clip, transport) in clips
            .into_iter()
            .flat_map(|clip| [(clip, "tcp"), (clip, "udp")])
        {
            let (url, file) = (
                server.url_of(&format!("{clip}/0")),
                file(&format!("{clip}.{transport}.mp4")),
            );
            scope.spawn(move || {
                ffmpeg(&[
                    "-rtsp_transport",
                    transport,
                    "-i",
                    &url,
                    "-t",
                    "4",
                    "-map",
                    "0:v",
                    "-c",
                    "copy",
                    &file,
                ]);
            });
        }
    });
    for clip in clips {
        for transport in ["tcp", "udp"] {
            let file = file(&format!("{clip}.{transport}.mp4"));
            let (whole, text) = verified(&[&file]);
            assert!(whole, "{clip} over {transport}: {text}");
            let decoded = run(
                "ffmpeg",
                "ffmpeg",
                &["-v", "error", "-i", &file, "-f", "null", "-"],
            );
            assert_eq!(
                String::from_utf8_lossy(&decoded.stderr),
                "",
                "{clip} over {transport}"
            );
        }
    }
    let report = server.stop();
    assert_eq!(report.frames_slow(), 0);
}

/// Both layouts of MP4: tables at the end, and movie fragments.
#[test]
fn the_verifier_sees_holes_and_damage_in_either_kind_of_mp4() {
    let (server, folder) = (server(), tempfile::tempdir().unwrap());
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (whole, url) = (path("whole.mp4"), server.url_of("h264/0"));
    ffmpeg(&[
        "-rtsp_transport",
        "tcp",
        "-i",
        &url,
        "-t",
        "7",
        "-map",
        "0:v",
        "-c",
        "copy",
        &whole,
    ]);
    let pieces = path("pieces.mp4");
    ffmpeg(&[
        "-i",
        &whole,
        "-c",
        "copy",
        "-movflags",
        "frag_keyframe+empty_moov+default_base_moof",
        &pieces,
    ]);
    for file in [&whole, &pieces] {
        let summary = verify::mp4(Path::new(file)).unwrap();
        assert!(
            summary.is_whole() && summary.altered == 0,
            "{file}: {summary:?}"
        );

        let mut bytes = std::fs::read(file).unwrap();
        let middle = bytes
            .windows(4)
            .position(|window| window == b"mdat")
            .unwrap()
            + 5_000;
        bytes[middle] ^= 1;
        let broken = path("broken.mp4");
        std::fs::write(&broken, &bytes).unwrap();
        let (good, text) = verified(&[&broken]);
        assert!(!good && text.contains("damaged 1"), "{text}");
    }
    // A hole: FFmpeg joins about the first two seconds with what comes after the fourth.
    let (list, hole) = (path("list.txt"), path("hole.mp4"));
    std::fs::write(
        &list,
        format!("file '{whole}'\noutpoint 2\nfile '{whole}'\ninpoint 4\n"),
    )
    .unwrap();
    ffmpeg(&[
        "-f", "concat", "-safe", "0", "-i", &list, "-c", "copy", &hole,
    ]);
    let summary = verify::mp4(Path::new(&hole)).unwrap();
    assert!(summary.is_sound() && !summary.is_whole(), "{summary:?}");
    let [(first, last)] = summary.holes[..] else {
        panic!("{:?}", summary.holes);
    };
    assert_eq!(summary.missing, last - first + 1);
    assert!(!verified(&[&hole]).0);
    assert!(verified(&["--holes-allowed", &hole]).0);
    let cut = std::fs::read(&whole).unwrap();
    std::fs::write(&hole, &cut[..cut.len() - 100]).unwrap();
    assert!(verify::mp4(Path::new(&hole)).is_err());
}

#[test]
fn gstreamer_receives_every_frame() {
    let (server, folder) = (server(), tempfile::tempdir().unwrap());
    for (clip, codec) in [("h264b", "h264"), ("h265b", "h265")] {
        let file = folder.path().join(clip).to_str().unwrap().to_owned();
        let pipeline = format!(
            "rtspsrc location={} protocols=tcp ! rtp{codec}depay ! video/x-{codec},stream-format=byte-stream,alignment=au ! \
             identity eos-after=80 ! filesink location={file}",
            server.url_of(&format!("{clip}/0")),
        );
        let words: Vec<&str> = std::iter::once("-q").chain(pipeline.split(' ')).collect();
        let output = run("gst-launch-1.0", "gstreamer1.0-tools", &words);
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let (whole, text) = verified(&["--annexb", codec, &file]);
        assert!(whole && !text.contains(": 0 frames"), "{text}");
    }
}
