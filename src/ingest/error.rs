//! What can go wrong with a camera, in words that never hold its address or password.
//!
//! The RTSP client's own messages hold the camera's URL, its session description, whatever the camera chose to answer. So none of that
//! text is passed on (design law L10): every variant is made of our own words, status codes and the system's error texts.

use crate::media::GapCause;

/// Why a camera's session could not be begun, or ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PullError {
    /// Not `rtsp://`.
    #[error("only rtsp:// addresses can be recorded, not {scheme}://; correct the camera's URL")]
    Scheme {
        /// The scheme given.
        scheme: String,
    },
    /// No connection.
    #[error("the camera cannot be reached: {why}; check its address, power and network")]
    Unreachable {
        /// What the system said.
        why: String,
    },
    /// No answer in time.
    #[error("the camera did not answer {request} within {seconds} s; check its load and network")]
    Timeout {
        /// The RTSP request, or what else was waited for.
        request: &'static str,
        /// How long was waited.
        seconds: u64,
    },
    /// 401.
    #[error("{}", if *.given { "the camera refused the user name or password; set them with `nvring camera set`" } else { "the camera asks for a user name and password; set them with `nvring camera set`" })]
    Unauthorized {
        /// Whether credentials were given.
        given: bool,
    },
    /// Another answer than 200.
    #[error("the camera answered {request} with {status}{}", status_hint(*.status))]
    Refused {
        /// The RTSP request.
        request: &'static str,
        /// The status code.
        status: u16,
    },
    /// Nothing in the description can be recorded.
    #[error(
        "the camera offers no H.264 or H.265 video and no sound that can be recorded (it offers: {offered}); choose another stream or codec in the camera"
    )]
    NoTrack {
        /// The encodings offered.
        offered: String,
    },
    /// A track that is described in a way nothing can be made of.
    #[error("{why}")]
    Track {
        /// What the depacketiser says.
        why: String,
    },
    /// The camera breaks the protocol.
    #[error("the camera breaks the RTSP protocol: {what}; a firmware update may help")]
    Protocol {
        /// In our words.
        what: &'static str,
    },
    /// The connection's bytes make no sense any more.
    #[error(
        "the connection is out of step: what the camera sends is neither a packet nor an answer"
    )]
    Framing,
    /// A packet that is none. The session may go on.
    #[error("the camera sends packets that are no RTP")]
    Packet,
    /// Sequence numbers or the synchronisation source changed in mid-session.
    #[error("the camera restarted its stream: {what} changed in mid-session")]
    Restarted {
        /// In our words.
        what: &'static str,
    },
    /// The camera closed the connection.
    #[error("the camera closed the connection")]
    Closed,
    /// The connection broke.
    #[error("the connection broke: {why}")]
    Broken {
        /// What the system said.
        why: String,
    },
    /// No packets for too long.
    #[error("the camera sent nothing for {seconds} s")]
    Silent {
        /// How long.
        seconds: u64,
    },
    /// Packets, but nothing that can be decoded.
    #[error("the camera sent nothing decodable for {seconds} s; check its codec settings")]
    Undecodable {
        /// How long.
        seconds: u64,
    },
}

fn status_hint(status: u16) -> &'static str {
    match status {
        403 => " (forbidden); check the user's rights in the camera",
        404 | 454 => " (not found); check the path of its URL",
        453 | 503 => " (too busy); check how many clients the camera allows",
        461 => " (transport not supported); set the camera to the other transport",
        _ => "",
    }
}

impl PullError {
    /// The cause of the gap that begins with this error (design law L7). `CameraRestarted` is given up for `CameraLost` when the camera
    /// does not come back at once.
    pub fn gap_cause(&self) -> GapCause {
        match self {
            Self::Closed | Self::Broken { .. } | Self::Restarted { .. } => {
                GapCause::CameraRestarted
            }
            Self::Framing
            | Self::Packet
            | Self::Undecodable { .. }
            | Self::Protocol { .. }
            | Self::NoTrack { .. }
            | Self::Track { .. } => GapCause::BadStream,
            _ => GapCause::CameraLost,
        }
    }

    /// A short name for metrics and for limiting repeated messages.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Scheme { .. } => "scheme",
            Self::Unreachable { .. } => "unreachable",
            Self::Timeout { .. } => "timeout",
            Self::Unauthorized { .. } => "unauthorized",
            Self::Refused { .. } => "refused",
            Self::NoTrack { .. } | Self::Track { .. } => "no-track",
            Self::Protocol { .. } => "protocol",
            Self::Framing => "framing",
            Self::Packet => "packet",
            Self::Restarted { .. } => "restarted",
            Self::Closed => "closed",
            Self::Broken { .. } => "broken",
            Self::Silent { .. } => "silent",
            Self::Undecodable { .. } => "undecodable",
        }
    }

    /// Whether trying again soon is pointless, and may lock the account.
    pub fn needs_change(&self) -> bool {
        matches!(
            self,
            Self::Scheme { .. }
                | Self::Unauthorized { .. }
                | Self::NoTrack { .. }
                | Self::Track { .. }
        )
    }
}
