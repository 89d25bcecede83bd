//! What players of other makes show of an address: the MD5 of each decoded picture, as many as are asked for.

use md5::{Digest, Md5};
use std::{
    path::Path,
    process::{Command, Output, Stdio},
};

/// No end but that of what is sent.
pub(crate) const ALL: usize = 1_000_000;
/// Pictures that a decoder holds back at the most.
pub(crate) const DECODER_HOLDS: usize = 10;
/// Bytes of a picture of a film.
const PICTURE_LEN: usize = 640 * 360 * 3 / 2;

/// Runs a player; its errors are part of the message when it fails.
fn play(program: &str, args: &[&str]) -> String {
    let output = output(program, args);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {args:?}: {errors}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn output(program: &str, args: &[&str]) -> Output {
    Command::new("timeout")
        .args(["60", program])
        .args(args)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}; install it"))
}

fn md5_of_rows(text: &str) -> Vec<String> {
    let rows = text.lines().filter(|line| !line.starts_with('#'));
    rows.filter_map(|line| Some(line.rsplit(',').next()?.trim().to_owned()))
        .collect()
}

pub(crate) fn ffmpeg(url: &str, transport: &str, most: usize) -> Vec<String> {
    let most = most.to_string();
    let args = ["-v", "error", "-rtsp_transport", transport, "-i", url];
    let map = ["-map", "0:v", "-fps_mode", "passthrough"];
    let rest = ["-frames:v", &most, "-f", "framemd5", "-"];
    md5_of_rows(&play("ffmpeg", &[&args[..], &map, &rest].concat()))
}

/// Through mpv's encoder of nothing, which writes each picture that it would show.
pub(crate) fn mpv(url: &str, transport: &str, file: &Path, most: usize) -> Vec<String> {
    let transport = format!("--rtsp-transport={transport}");
    let (out, most) = (
        format!("--o={}", file.display()),
        format!("--frames={most}"),
    );
    let quiet = ["--no-config", "--no-audio", "--really-quiet"];
    let pictures = ["--of=framemd5", "--ovc=rawvideo"];
    let what = [&transport, &out, &most, url];
    play("mpv", &[&quiet[..], &pictures, &what].concat());
    md5_of_rows(&std::fs::read_to_string(file).expect("mpv wrote the pictures"))
}

/// Shows at most `most` pictures of what `source`, an element with its properties, sends.
pub(crate) fn gst(
    source: &[&str],
    extension: &[&str],
    codec: &str,
    file: &Path,
    most: usize,
) -> Vec<String> {
    let (depay, parse) = (format!("rtp{codec}depay"), format!("{codec}parse"));
    let (decode, out) = (
        format!("avdec_{codec}"),
        format!("location={}", file.display()),
    );
    // Behind the last come those that the decoder still holds.
    let ends = format!("eos-after={}", most + DECODER_HOLDS);
    let only = ["name=s", "s.", "!", "application/x-rtp,media=video", "!"];
    // Where all is played, to its goodbye, of all tracks.
    let sound = [
        "s.",
        "!",
        "application/x-rtp,media=audio",
        "!",
        "fakesink",
        "async=false",
    ];
    let sound = if most == ALL { &sound[..] } else { &[] };
    let rest = [
        &depay, "!", &parse, "!", &decode, "!", "identity", &ends, "!", "filesink", &out,
    ];
    let line = [&["-q", "rtspsrc"], source, &only, extension, &rest, sound].concat();
    let ended = output("gst-launch-1.0", &line);
    let errors = String::from_utf8_lossy(&ended.stderr);
    assert!(
        ended.status.success() || is_hasty(&errors),
        "GStreamer {line:?}: {errors}"
    );
    let bytes = std::fs::read(file).expect("what it shows");
    assert!(!bytes.is_empty(), "GStreamer {line:?} showed nothing");
    let digest = |picture: &[u8]| format!("{:x}", Md5::digest(picture));
    let pictures = bytes.chunks_exact(PICTURE_LEN).take(most);
    pictures.map(digest).collect()
}

/// Whether these are the errors of a GStreamer that has seen all it wanted. Where its RTCP goodbye and PAUSE come at the same moment, from
/// two of its threads, version 1.22 now and then reports the end of the connection and sends TEARDOWN without waiting. A capture shows both
/// answered, and no end of ours; that the server ended no connection is asserted where all have played.
pub(crate) fn is_hasty(errors: &str) -> bool {
    let hasty = ["gst_rtspsrc_pause", "Received end-of-file"];
    hasty.iter().all(|text| errors.contains(text))
}
