//! MP4 files are right for those who open them: exact in picture, time and length, in every player at hand.
//!
//! Method: ffmpeg encodes elementary streams, the test cuts them into frames and blocks as the recorder does, and the file made
//! from their layout is read back by ffprobe, ffmpeg, GStreamer and the `mp4` crate.

mod appearance;
mod camera;
mod check;
mod disorder;
mod duration;
mod encoders;
mod fragmented;
mod gaps;
mod layout;
mod long;
mod pictures;
mod recording;
mod sound;
mod wall_clock;

use camera::tool;
use nvring::playback::mp4::Mp4Layout;
use recording::Recording;
use std::path::{Path, PathBuf};

fn write(dir: &Path, name: &str, recording: &Recording, layout: &Mp4Layout) -> PathBuf {
    let path = dir.join(name);
    std::fs::write(&path, recording.file(layout)).unwrap();
    path
}

/// Fails when ffprobe or GStreamer find fault with a file.
fn assert_readers_are_silent(path: &Path) {
    let path = path.to_str().unwrap();
    let (_, err) = tool("ffprobe", &["-v", "warning", "-show_packets", path]);
    assert_eq!(err, "", "ffprobe of {path}");
    let (out, _) = tool("gst-discoverer-1.0", &["-v", path]);
    assert!(!out.to_lowercase().contains("missing plugins"), "{out}");
    assert!(!out.to_lowercase().contains("error"), "{out}");
}
