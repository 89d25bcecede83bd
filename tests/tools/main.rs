//! The commands an administrator trusts his evidence to: what was recorded is listed, exported, checked and taken apart as it is, by
//! the program as built, on volumes filled through the library with video that ffmpeg made.
//!
//! Each test works on its own copy of one volume; what must not be written is compared byte for byte afterwards.

mod bad_input;
#[path = "../mp4/camera.rs"]
mod camera;
mod damage;
#[path = "../mp4/duration.rs"]
mod duration;
mod fetch;
mod lookup;
mod mediamtx;
mod quiet;
mod reading;
mod remote;
mod site;
