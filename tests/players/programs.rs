//! Goal: VLC, mpv, GStreamer and ffmpeg open the addresses of files and lists and show every picture (docs/api.md names the commands).
//! Method: each runs without a screen and gives what it shows to a file or to its standard output, whose pictures are then counted and
//! compared.

use crate::{
    decode::{decode, md5s, run},
    stage::{Stage, stage},
};
use md5::{Digest, Md5};
use nvring::base::Micros;
use std::{
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Stdio},
    thread,
};

/// How much each program plays: VLC keeps time, though four times as fast.
const PLAYED: Micros = Micros::from_secs(4);
/// From the first picture on, that is, at a key frame; and in the middle of a group of pictures.
const STARTS: [Micros; 2] = [Micros::ZERO, Micros::from_millis(1_500)];
const WIDTH: usize = 640;
const HEIGHT: usize = 360;

type Player = fn(&str) -> Vec<String>;

const PLAYERS: [(&str, Player); 3] = [("mpv", mpv), ("GStreamer", gstreamer), ("VLC", vlc)];

/// Files that begin with a key frame, and lists, are shown picture by picture as ffmpeg shows them, to the last one. Of files that begin
/// between two key frames other players may flash what is only decoded.
#[test]
fn every_player_opens_files_and_lists() {
    let stage = stage();
    for camera in ["h264", "gst264b", "h265"] {
        let addresses = addresses(stage, camera);
        let urls: Vec<String> = addresses.iter().map(|(url, _)| url.clone()).collect();
        for ((url, exact), expected) in addresses.iter().zip(decode(&urls)) {
            let expected = md5s(&expected);
            thread::scope(|scope| {
                for (name, player) in PLAYERS {
                    let expected = &expected;
                    scope.spawn(move || {
                        let shown = player(url);
                        let hidden = if *exact { 0 } else { camera_group(camera) };
                        let most = expected.len() + hidden;
                        assert!(shown.len() <= most, "{name} {url}: {}", shown.len());
                        let last = shown.last().map(String::as_str);
                        assert_eq!(last, expected.last().copied(), "{name} {url}");
                        // Of the first two pictures VLC shows only the second where that is due before the first could be shown.
                        let overtaken = usize::from(name == "VLC" && *exact);
                        assert_eq!(missing(&shown, &expected[overtaken..]), 0, "{name} {url}");
                    });
                }
            });
        }
    }
}

/// How many of the pictures asked for are not shown; what is shown before them is not looked at.
fn missing(shown: &[String], expected: &[&str]) -> usize {
    let mut shown = shown.iter().rev().peekable();
    let seen = |md5: &&&str| shown.next_if(|other| other == *md5).is_none();
    expected.iter().rev().filter(seen).count()
}

/// Addresses to open, and whether nothing but what is asked for may be shown.
fn addresses(stage: &Stage, id: &str) -> Vec<(String, bool)> {
    let camera = stage.cameras.iter().find(|camera| camera.id == id);
    let camera = camera.expect("a camera");
    let mut addresses = Vec::new();
    for start in STARTS {
        let (from, to) = (camera.from + start, camera.from + start + PLAYED);
        addresses.push((stage.mp4(id, from, to), start == Micros::ZERO));
    }
    let (from, to) = (camera.from, camera.from + PLAYED);
    let list = format!("hls/index.m3u8?from={from}&to={to}");
    addresses.push((stage.url(id, &list), true));
    addresses
}

/// Pictures from one key frame to the next.
fn camera_group(id: &str) -> usize {
    if id.starts_with("gst") { 25 } else { 50 }
}

fn hex(samples: &[u8]) -> String {
    Md5::digest(samples)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn mpv(url: &str) -> Vec<String> {
    let arguments = ["--no-config", "--really-quiet", "--no-audio", url];
    let output = ["--o=-", "--of=framemd5", "--ovc=rawvideo"];
    let text = run("mpv", &[&arguments[..], &output].concat());
    let rows = text.lines().filter(|line| !line.starts_with('#'));
    rows.filter_map(|line| Some(line.rsplit(',').next()?.trim().to_owned()))
        .collect()
}

/// The MD5 of each picture that GStreamer shows.
pub(crate) fn gstreamer(url: &str) -> Vec<String> {
    let uri = format!("uri={url}");
    let source = ["-q", "uridecodebin", &uri, "caps=video/x-raw", "!"];
    let sink = [
        "videoconvert",
        "!",
        "video/x-raw,format=I420",
        "!",
        "checksumsink",
        "hash=md5",
    ];
    let text = run("gst-launch-1.0", &[&source[..], &sink].concat());
    let words = text
        .lines()
        .filter_map(|line| line.split_whitespace().nth(1));
    words.map(str::to_owned).collect()
}

/// VLC refuses to run as root: then as a user who may do nothing.
fn vlc(url: &str) -> Vec<String> {
    // Not below the build folder, where that user may not go.
    let folder = tempfile::tempdir().expect("a folder");
    let open = std::fs::Permissions::from_mode(0o777);
    std::fs::set_permissions(folder.path(), open).expect("the folder is opened");
    let film = folder.path().join("film");
    let status = Command::new("sh")
        .args(["-c", "[ $(id -u) = 0 ]"])
        .status()
        .expect("a shell");
    let mut command = Command::new(if status.success() { "runuser" } else { "cvlc" });
    if status.success() {
        command.args(["-u", "nobody", "--", "cvlc"]);
    }
    let quiet = ["-q", "-I", "dummy", "--no-audio", "--no-spu", "--no-osd"];
    // VLC keeps time: on a busy machine it would leave out what is late.
    let every = [
        "--no-drop-late-frames",
        "--no-skip-frames",
        "--no-avcodec-hurry-up",
        "--network-caching=10000",
        "--clock-jitter=0",
        "--rate=4",
    ];
    let output = command
        .args(quiet)
        .args(["--no-video-title-show", "--avcodec-hw=none"])
        .args(every)
        .args(["--vout=yuv", "--yuv-chroma=I420"])
        .arg(format!("--yuv-file={}", film.display()))
        .args(["--play-and-exit", url])
        .env("HOME", folder.path())
        .stdin(Stdio::null())
        .output()
        .expect("runuser (util-linux) and cvlc run: install vlc-bin vlc-plugin-base");
    assert!(output.status.success(), "cvlc {url}: {output:?}");
    film_pictures(&film)
}

/// A line that describes the film, then each picture behind a line of its own. A picture that is shown again while VLC waits is the same.
fn film_pictures(film: &Path) -> Vec<String> {
    let bytes = std::fs::read(film).expect("VLC wrote what it showed");
    let line = |at: usize| {
        let end = bytes[at..].iter().position(|byte| *byte == b'\n');
        at + end.expect("a line") + 1
    };
    let (mut at, mut pictures) = (line(0), Vec::new());
    while at < bytes.len() {
        let start = line(at);
        at = start + WIDTH * HEIGHT * 3 / 2;
        pictures.push(hex(&bytes[start..at]));
    }
    pictures.dedup();
    pictures
}
