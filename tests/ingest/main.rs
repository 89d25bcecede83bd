//! Ingest against cameras: what a camera sent is what the volume holds, and every interruption has its cause.
//!
//! Method: simulated cameras (`camsim`, whose every frame carries a mark), a real store on a small volume, and a reader through index,
//! chapters and verified blocks. GStreamer serves as a camera that is not our own.

#![expect(
    clippy::disallowed_methods,
    reason = "cameras run in real time, and a test that waits must end"
)]

mod changes;
mod clean;
mod faults;
mod gstreamer;
mod keep_alive;
mod refusals;
mod rig;
mod secrets;
