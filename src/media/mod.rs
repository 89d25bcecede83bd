//! What cameras send, as values: frames, tracks, codec parameters. Pure: reads no socket and no file.
//!
//! Reading order: `frame` and `codec` are the words; the depacketisers turn RTP payloads into frames; `timeline` turns RTP
//! ticks into wall time.

pub mod codec;
pub mod frame;
pub mod stream;

pub use codec::{AudioParameters, Codec, Track, TrackSet, VideoParameters};
pub use frame::{Frame, FrameData, FrameEntry, FrameKind, TrackId};
pub use stream::{GapCause, StreamId};
