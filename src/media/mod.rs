//! What cameras send, as values: frames, tracks, codec parameters. Pure: reads no socket and no file.
//!
//! Reading order: `frame` and `codec` are the words; `reorder` brings UDP packets into order; the depacketisers turn RTP packets into
//! access units; `timeline` turns RTP ticks into wall time. The way out is the mirror image: `packetise` turns frames into RTP packets,
//! `rtp_clock` wall time into ticks, with `replay_extension` and `rtcp` beside them. `bits`, `h264`, `h265` and `parameter_sets` read
//! what decoders need to know.

pub mod codec;
pub mod frame;
pub mod stream;

pub mod rtp_packet;

pub mod reorder;

pub mod access_unit;
pub mod depacketise;

pub mod packetise;
pub mod replay_extension;
pub mod rtcp;
pub mod rtp_clock;

pub mod timeline;

pub mod aac_config;
pub mod annex_b;
pub mod bits;
pub mod fmtp;
pub mod h264;
pub mod h265;
pub mod length_prefixed;
pub mod parameter_sets;
pub mod picture_format;

#[cfg(test)]
mod tests;

pub use access_unit::{AccessUnit, DepacketiserCounters};
pub use codec::{AudioParameters, Codec, Track, TrackSet, VideoParameters};
pub use depacketise::{Depacketiser, DepacketiserError};
pub use frame::{Frame, FrameData, FrameEntry, FrameKind, TrackId};
pub use packetise::{Packetiser, PacketiserOptions, Packets, PayloadFormat, Timing};
pub use parameter_sets::{ParameterSets, SetKind};
pub use reorder::{Continuity, ReorderCounters, ReorderWindow};
pub use replay_extension::ReplayExtension;
pub use rtp_clock::RtpClock;
pub use rtp_packet::{ReceivedPacket, RtpPacket};
pub use stream::{GapCause, StreamId};
pub use timeline::{Arrival, ClockSource, SenderReport, Step, Timeline, TimelineLimits};
