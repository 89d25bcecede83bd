//! One access unit (or audio packet, or metadata packet) as stored: bytes, presentation time, kind.
//!
//! Video bytes are the camera's NAL units, byte for byte and in order, each behind a 4-byte big-endian length
//! (ISO 14496-15 §5.2.3 with lengthSizeMinusOne = 3), parameter sets and SEI included: recordings are evidence, and cameras sign
//! them in SEI. The bytes stay in the packets they came in until the one copy into the disk writer's slab.

use crate::base::UnixMicros;
use bytes::Bytes;

/// Which track of a stream a frame belongs to: an index into its `TrackSet`. Track 0 is the video track where there is one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TrackId(pub u8);

/// What a decoder can do with a frame. The numbers are on disk (format v1): never renumber.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum FrameKind {
    /// Decoding can start here: IDR, H.264 recovery point with recovery_frame_cnt 0, H.265 IRAP. Every audio and metadata packet.
    Key = 0,
    /// Needs earlier frames, and later ones may need it.
    Reference = 1,
    /// Needs earlier frames; no other frame needs it (H.264 nal_ref_idc 0, H.265 sub-layer non-reference).
    Disposable = 2,
    /// Shown before the key frame it follows in decode order and needs frames from before that key frame (H.265 RASL, leading
    /// pictures of an H.264 open GOP): cannot be decoded when decoding starts at that key frame.
    Leading = 3,
    /// Complete itself, but follows a loss: what it refers to is missing until the next key frame.
    Damaged = 4,
}

impl FrameKind {
    /// The kind with this number on disk.
    pub fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            0 => Self::Key,
            1 => Self::Reference,
            2 => Self::Disposable,
            3 => Self::Leading,
            4 => Self::Damaged,
            _ => return None,
        })
    }
}

/// A frame's bytes as a chain of slices of the received packets.
#[derive(Clone, Debug, Default)]
pub struct FrameData {
    parts: Vec<Bytes>,
    len: usize,
}

impl FrameData {
    /// No bytes yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds bytes at the end.
    pub fn push(&mut self, part: Bytes) {
        if !part.is_empty() {
            self.len += part.len();
            self.parts.push(part);
        }
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The slices in order.
    pub fn parts(&self) -> &[Bytes] {
        &self.parts
    }

    /// The bytes in one piece (copies unless there is only one part).
    pub fn to_bytes(&self) -> Bytes {
        match self.parts.as_slice() {
            [one] => one.clone(),
            parts => parts.concat().into(),
        }
    }
}

impl From<Bytes> for FrameData {
    fn from(bytes: Bytes) -> Self {
        let mut data = Self::new();
        data.push(bytes);
        data
    }
}

impl From<Vec<Bytes>> for FrameData {
    fn from(mut parts: Vec<Bytes>) -> Self {
        parts.retain(|part| !part.is_empty());
        let len = parts.iter().map(Bytes::len).sum();
        Self { parts, len }
    }
}

/// One access unit or packet on its way through the engine, in decode order within its track.
#[derive(Clone, Debug)]
pub struct Frame {
    /// The track it belongs to.
    pub track: TrackId,
    /// What a decoder can do with it.
    pub kind: FrameKind,
    /// Presentation time on the recorder's clock.
    pub time: UnixMicros,
    /// The bytes.
    pub data: FrameData,
}

/// A frame's row in a table of contents: all of it but the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameEntry {
    /// The track it belongs to.
    pub track: TrackId,
    /// What a decoder can do with it.
    pub kind: FrameKind,
    /// Presentation time on the recorder's clock.
    pub time: UnixMicros,
    /// Length in bytes as stored.
    pub size: u32,
}

impl Frame {
    /// The row of this frame in a table of contents.
    ///
    /// # Panics
    /// When the frame is 4 GiB or longer: the depacketisers bound it far below.
    pub fn entry(&self) -> FrameEntry {
        let size = u32::try_from(self.data.len()).expect("frames are bounded by the depacketisers");
        FrameEntry {
            track: self.track,
            kind: self.kind,
            time: self.time,
            size,
        }
    }
}
