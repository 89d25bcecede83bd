//! The whole recorder as a program, under load, killed, and lapping its ring: real processes, real sockets, a real file system.
//!
//! Cameras are simulated in this process and mark every frame, so that what was recorded can be proved frame by frame. Each test prints
//! its seed; `NVRING_SEED` replays it.

#![expect(
    clippy::disallowed_methods,
    reason = "processes run in real time, and a test that waits must end"
)]

mod clips;
mod encodings;
mod films;
mod harness;
mod kill;
mod load;
mod mediamtx;
mod pictures;
mod playing;
mod ring;
mod tracks;
