//! What a running server says of itself, on the control socket and over HTTP alike.
//!
//! Fields are added, never renamed or given another meaning: scripts read them. A field an older server does not send reads
//! as its empty value. No address and no credential of a camera is part of it (regulation R-10).

use crate::{base::UnixMicros, catalog::StreamRole};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The state of a server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Status {
    /// The program's version.
    pub version: String,
    /// Its process id.
    pub pid: u32,
    /// When it started.
    pub started: UnixMicros,
    /// Its data directory.
    pub data_dir: String,
    /// Where it listens for HTTP; `None` when it does not.
    #[serde(default)]
    pub http: Option<String>,
    /// Where it listens for RTSP; `None` when it does not.
    #[serde(default)]
    pub rtsp: Option<String>,
    /// Where it listens for RTSP over TLS; `None` when it does not.
    #[serde(default)]
    pub rtsps: Option<String>,
    /// Where it listens for playback in the shape of MediaMTX; `None` when it does not.
    #[serde(default)]
    pub mediamtx: Option<String>,
    /// Its volumes, in the order of the configuration.
    #[serde(default)]
    pub volumes: Vec<VolumeStatus>,
    /// The streams of its cameras, in the order of `camera list`.
    #[serde(default)]
    pub streams: Vec<StreamStatus>,
}

/// The state of one volume.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct VolumeStatus {
    /// Its directory.
    pub path: String,
    /// Its pool.
    pub pool: String,
    /// One word: `writing`, `idle`, `quarantined`, …
    pub state: String,
    /// Room for segments, in bytes.
    pub size_bytes: u64,
    /// Of this, bytes holding recordings.
    pub used_bytes: u64,
    /// Bytes written since the server started.
    #[serde(default)]
    pub written_bytes: u64,
    /// The oldest recording on it.
    #[serde(default)]
    pub oldest: Option<UnixMicros>,
}

/// The state of one stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StreamStatus {
    /// The camera's id.
    pub camera: String,
    /// Which of its streams.
    pub stream: StreamRole,
    /// One word: `recording`, `connecting`, `waiting`, `disabled`, …
    pub state: String,
    /// Why it does not record: a gap cause (`camera-lost`, …); `None` while it does.
    #[serde(default)]
    pub cause: Option<String>,
    /// Since when it is in this state.
    #[serde(default)]
    pub since: Option<UnixMicros>,
    /// Frames received since the server started.
    #[serde(default)]
    pub frames: u64,
    /// Bytes of frames received since the server started.
    #[serde(default)]
    pub bytes: u64,
    /// Gaps since the server started.
    #[serde(default)]
    pub gaps: u64,
    /// Time of the newest frame.
    #[serde(default)]
    pub last_frame: Option<UnixMicros>,
    /// Up to this time the recording survives a power cut.
    #[serde(default)]
    pub durable: Option<UnixMicros>,
}
