//! Ingest: one supervised task per stream, from the camera's RTSP session to the stream's tail in the store.
//!
//! ```text
//! supervisor → stream (connect, back off, watch) → pull (packets) → recording (depacketise, timeline, runs) → store::tail
//! ```
//!
//! Reading order: `spec` says what is to be recorded and `status` how it fares; `supervisor` keeps a task per stream on the threads of
//! `beat`; `stream` is that task; `transport` receives, through `pull` (the library, TCP) or `own`, `rtsp` and `udp`
//! (ourselves); `sdp` and `tracks` choose what to receive; `recording` is the pure middle.
//!
//! Kept here: every interruption ends in a gap or a new run with its cause (L7), a broken camera touches no other (L5), no URL or password
//! of a camera reaches a log or an error (L10). Receiving is on a beat: see `beat`.

pub mod spec;

pub mod status;

pub mod supervisor;

pub mod error;

mod beat;

mod stream;

mod watch;

mod backoff;

mod transport;

mod pull;

mod own;

mod rtsp;

mod udp;

mod arena;

mod sdp;

mod tracks;

mod recording;

pub use error::PullError;
pub use pull::LIBRARY_LOG_TARGET;
pub use spec::{Source, StreamSpec};
pub use status::{StreamCounters, StreamState, StreamStatus};
pub use supervisor::{IngestOptions, Supervisor};
