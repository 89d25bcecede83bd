//! HLS and live: what players get is what was recorded, picture by picture, and every part is the same whoever asks for it and when.
//!
//! Method: ffmpeg encodes elementary streams, the tests cut them into frames and blocks as the recorder does, and the lists and parts made
//! of them are read by ffmpeg from a folder; then the same is asked of a recorder that runs, over HTTP.

#[path = "../mp4/camera.rs"]
mod camera;
#[path = "../mp4/encoders.rs"]
mod encoders;
mod folder;
mod grid;
mod pictures;
#[path = "../mp4/recording.rs"]
#[expect(dead_code, reason = "shared with tests/mp4, which writes whole files")]
mod recording;
