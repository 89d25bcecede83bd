//! The report: what was really sent to whom, so that a test can compare it with what was recorded.

use serde::Serialize;

/// Everything the server has sent so far.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// One entry per camera that exists: those started with, then those made by their URL.
    pub cameras: Vec<CameraReport>,
}

/// One camera.
#[derive(Clone, Debug, Serialize)]
pub struct CameraReport {
    /// Its name, as in its marks and its URL.
    pub name: String,
    /// The clip it plays.
    pub clip: String,
    /// Frames that were due since its start, watched or not.
    pub frames_due: u64,
    /// Its sessions that sent anything, ended ones first.
    pub sessions: Vec<SessionReport>,
}

/// One session: from PLAY to the end of its connection.
#[derive(Clone, Debug, Default, Serialize)]
pub struct SessionReport {
    /// The RTSP session identifier.
    pub id: String,
    /// The client's address.
    pub peer: String,
    /// `tcp` or `udp`.
    pub transport: &'static str,
    /// Number of the first frame sent.
    pub first_frame: Option<u64>,
    /// Number of the last frame sent.
    pub last_frame: Option<u64>,
    /// Frames handed to the socket, whole or with packets dropped by a fault.
    pub frames: u64,
    /// Frames left out because the client did not read fast enough.
    pub frames_slow: u64,
    /// Packets left out by [`crate::fault::Fault::Drop`].
    pub packets_dropped: u64,
    /// Audio packets sent.
    pub sound_packets: u64,
    /// RTP bytes sent, with headers and framing.
    pub bytes: u64,
    /// Receiver reports of this session's tracks.
    pub reports: u64,
    /// Report blocks that cannot be true of what was sent, and RTCP that is none.
    pub reports_wrong: u64,
    /// Packets lost since the beginning, as last reported.
    pub reported_lost: i32,
    /// The time there and back, as the last report that answers our newest one tells it (RFC 3550 §6.4.1).
    pub round_trip_us: Option<u64>,
    /// Good-byes by RTCP.
    pub byes: u64,
    /// Why it ended; `None` while it lasts.
    pub ended: Option<String>,
}

impl Report {
    /// The camera of that name.
    pub fn camera(&self, name: &str) -> Option<&CameraReport> {
        self.cameras.iter().find(|camera| camera.name == name)
    }

    /// Frames sent to all sessions of all cameras.
    pub fn frames(&self) -> u64 {
        self.sessions().map(|session| session.frames).sum()
    }

    /// Frames left out because clients were too slow.
    pub fn frames_slow(&self) -> u64 {
        self.sessions().map(|session| session.frames_slow).sum()
    }

    /// All sessions of all cameras.
    pub fn sessions(&self) -> impl Iterator<Item = &SessionReport> {
        self.cameras
            .iter()
            .flat_map(|camera| camera.sessions.iter())
    }
}
