//! Goal: whoever opens what is served sees what the cameras sent: the same pictures, from and to the picture asked for, in every player at
//! hand, recorded and live. Method: one recorder in a process of its own, cameras of two makes that share no code (the simulator,
//! GStreamer), H.264 and H.265 with and without B-frames, all recorded once for all tests; what comes back over HTTP is decoded and
//! compared picture by picture with the source.

#![expect(
    clippy::disallowed_methods,
    reason = "cameras and players run in real time, and a test that waits must end"
)]

#[path = "../recorder/clips.rs"]
mod clips;
mod decode;
#[path = "../recorder/encodings.rs"]
mod encodings;
mod lists;
mod pictures;
mod programs;
mod slow_client;
mod stage;
