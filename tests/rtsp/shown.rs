//! What players of other makes show of an address: the MD5 of each decoded picture, as many as are asked for.

use md5::{Digest, Md5};
use std::{
    borrow::Cow,
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
fn play(program: &str, args: &[impl AsRef<str>]) -> String {
    let output = output(program, args);
    let errors = String::from_utf8_lossy(&output.stderr);
    let args: Vec<&str> = args.iter().map(AsRef::as_ref).collect();
    assert!(output.status.success(), "{program} {args:?}: {errors}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn output(program: &str, args: &[impl AsRef<str>]) -> Output {
    Command::new("timeout")
        .args(["60", program])
        .args(args.iter().map(AsRef::as_ref))
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

/// GStreamer's RTSP client with these properties of `rtspsrc`: of an address with pictures of `codec`, at most `most`.
pub(crate) fn gst(properties: &[&str], codec: &str, file: &Path, most: usize) -> Vec<String> {
    play(
        "/usr/bin/python3",
        &gst_words(properties, codec, file, most),
    );
    let bytes = std::fs::read(file).expect("what it shows");
    assert!(!bytes.is_empty(), "GStreamer {properties:?} showed nothing");
    let digest = |picture: &[u8]| format!("{:x}", Md5::digest(picture));
    let pictures = bytes.chunks_exact(PICTURE_LEN).take(most);
    pictures.map(digest).collect()
}

/// Whether GStreamer's RTSP client gets 20 pictures, and what it says.
pub(crate) fn gst_succeeds(properties: &[&str], file: &Path) -> (bool, String) {
    let ended = output("/usr/bin/python3", &gst_words(properties, "h264", file, 20));
    let errors = String::from_utf8_lossy(&ended.stderr).into_owned();
    (ended.status.success(), errors)
}

fn gst_words<'a>(
    properties: &[&'a str],
    codec: &'a str,
    file: &'a Path,
    most: usize,
) -> Vec<Cow<'a, str>> {
    let most = match most {
        ALL => "all".to_owned(),
        most => most.to_string(),
    };
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tools/gst-player.py");
    let mut words = vec![
        script.into(),
        file.to_string_lossy(),
        codec.into(),
        most.into(),
    ];
    words.extend(properties.iter().map(|property| Cow::Borrowed(*property)));
    words
}
