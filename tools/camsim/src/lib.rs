//! Camera simulator: N endless RTSP cameras from small built-in clips, with exact pacing, marked frames, and faults on request.
//!
//! Real cameras cannot be asked to fail, and no other sender can be asked afterwards what exactly it sent. This one can: every access unit
//! carries a [`mark`] with its camera, number, time and checksums, so a reader of any recording proves which frames it holds and that
//! they are byte for byte the camera's ([`verify`]). One thread serves a thousand streams, because clips are packetised once and sent in
//! one write per frame.
//!
//! ```no_run
//! let server = camsim::Server::start(camsim::Options::new(4))?;
//! println!("{:?}", server.urls());
//! server.inject_into(2, camsim::Fault::Stall(std::time::Duration::from_secs(5)));
//! let sent = server.stop();
//! println!("{} frames", sent.frames());
//! # Ok::<(), camsim::StartError>(())
//! ```
//!
//! Reading order: a clip ([`clip`], `sound`) is cut at load into [`mark`]ed packets (`packet`); a `camera` knows which frame is due when; a
//! `session` sends them to one receiver; the `engine` runs all of it on one thread and answers `rtsp`.

mod server;

pub mod clip;
pub mod fault;
pub mod mark;
pub mod nal;
pub mod report;
pub mod verify;

mod auth;
mod camera;
mod clock;
mod connection;
mod engine;
mod heard;
mod mishap;
mod mp4;
mod packet;
mod request;
mod rtsp;
mod sdp;
mod seed;
mod session;
mod sound;

pub use auth::{Auth, Scheme};
pub use fault::{Fault, Garbage, KeepAlive, Rule, When, Which};
pub use nal::Codec;
pub use report::Report;
pub use server::{Begin, Handle, Options, Server, StartError};
