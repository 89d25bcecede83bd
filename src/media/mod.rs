//! What cameras send, as values: frames, tracks, codec parameters. Pure: reads no socket and no file.
//!
//! Reading order: `frame` and `codec` are the words; `reorder` brings UDP packets into order; the depacketisers turn RTP packets into
//! access units; `timeline` turns RTP ticks into wall time. `bits`, `h264`, `h265` and `parameter_sets` read what
//! decoders need to know.

pub mod codec;
pub mod frame;
pub mod stream;

pub mod rtp_packet;

pub mod reorder;

pub mod access_unit;
pub mod depacketise;

pub mod timeline;

pub mod annex_b;
pub mod bits;
pub mod fmtp;
pub mod h264;
pub mod h265;
pub mod parameter_sets;
pub mod picture_format;

#[cfg(test)]
mod tests;

pub use access_unit::{AccessUnit, DepacketiserCounters};
pub use codec::{AudioParameters, Codec, Track, TrackSet, VideoParameters};
pub use depacketise::{Depacketiser, DepacketiserError};
pub use frame::{Frame, FrameData, FrameEntry, FrameKind, TrackId};
pub use parameter_sets::{ParameterSets, SetKind};
pub use reorder::{Continuity, ReorderCounters, ReorderWindow};
pub use rtp_packet::{ReceivedPacket, RtpPacket};
pub use stream::{GapCause, StreamId};
pub use timeline::{Arrival, ClockSource, SenderReport, Step, Timeline, TimelineLimits};
