//! The RTSP server as clients meet it: players of four makes, another recorder, clients that are slow, wrong or hostile.
//!
//! Recorders are processes of their own, cameras the simulator (which marks every frame) and GStreamer's server (which shares no code with
//! ours). Each test prints its seed; `NVRING_SEED` replays it.

#![expect(
    clippy::disallowed_methods,
    reason = "processes run in real time, and a test that waits must end"
)]

mod archive;
mod changes;
mod client;
#[path = "../recorder/encodings.rs"]
mod encodings;
#[path = "../recorder/films.rs"]
mod films;
mod flood;
#[path = "../recorder/harness.rs"]
#[expect(
    dead_code,
    reason = "shared with tests/recorder, which kills and restarts recorders too"
)]
mod harness;
mod limits;
mod players;
mod relay;
mod replay;
mod replay_changes;
mod replay_live;
mod replay_peer;
mod replay_players;
mod replay_udp;
mod rig;
mod shown;
mod sign_in;
mod viewers;
mod watcher;
