//! What depacketisers give out: access units still timed in RTP ticks, and the counters that account for every packet.

use super::{FrameData, FrameKind, VideoParameters};

/// One access unit, audio frame or metadata document, before the timeline gives it its wall time.
#[derive(Clone, Debug)]
pub struct AccessUnit {
    /// What a decoder can do with it. A leading picture is `Leading` also after a loss, because whoever starts at the key frame
    /// before it must leave it out in any case.
    pub kind: FrameKind,
    /// Sampling instant in ticks of the track's clock rate; wraps. Of sound inside one packet: of this frame, not of the packet.
    pub rtp_timestamp: u32,
    /// The bytes, as `frame` describes.
    pub data: FrameData,
    /// The parameters in force from this key frame on, when they are not those of the frame before: a new run begins here.
    pub new_parameters: Option<VideoParameters>,
    /// For a key frame: how many pictures pass until everything shown is right. 0 but for gradual intra refresh
    /// (recovery_frame_cnt, H.264 §D.2.8).
    pub recovery_frames: u16,
    /// Length in ticks where the payload tells it (AAC, G.711, Opus).
    pub duration: Option<u32>,
}

/// What became of the packets of one track. All numbers only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DepacketiserCounters {
    /// Packets given in.
    pub packets: u64,
    /// Packets that never came.
    pub lost_packets: u64,
    /// Payloads that could not be understood, fragments without start or end, parameter sets that could not be read or kept.
    pub errors: u64,
    /// Access units given out.
    pub access_units: u64,
    /// Of these, key frames.
    pub keys: u64,
    /// Of these, frames after a loss, before the next key frame.
    pub damaged: u64,
    /// Access units dropped because a packet of theirs was lost, broken, or over a limit.
    pub dropped_incomplete: u64,
    /// Whole access units dropped because no key frame with its parameter sets had come yet.
    pub dropped_before_key: u64,
    /// Times the parameter sets in force changed, the first included.
    pub parameter_changes: u64,
}
