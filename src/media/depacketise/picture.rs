//! The access unit being received: NAL units as chains of packet slices, each behind its 4-byte length.
//!
//! Bytes are never copied here; only lengths and the header bytes that fragmentation took apart are written, into small pieces of
//! a shared scratch buffer. Bounded by `FRAME_LEN_MAX`, `PARTS_MAX` and `NALS_MAX`; over them the picture is given up, not the track.

use bytes::{BufMut, Bytes, BytesMut};

/// Longest access unit in bytes: 8 MiB is thirty times the key frame of an 8 Mbit/s camera.
pub const FRAME_LEN_MAX: usize = 8 << 20;
/// Most slices of packets in one access unit: 8 MiB in pieces of 128 bytes.
pub const PARTS_MAX: usize = 1 << 16;
/// Most NAL units in one access unit: 4K pictures in slices of one packet each stay below 6,000.
pub const NALS_MAX: usize = 1 << 14;
/// Size of the shared buffer for lengths and rebuilt headers, in bytes.
const SCRATCH_LEN: usize = 1024;
/// Length of the length before each NAL unit, in bytes.
const PREFIX_LEN: usize = 4;

/// One piece of a payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// A whole NAL unit.
    Whole(Bytes),
    /// A fragment of a NAL unit.
    Fragment {
        header: NalHeader,
        data: Bytes,
        start: bool,
        end: bool,
    },
}

/// The one or two header bytes of a NAL unit, as fragments tell them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NalHeader {
    bytes: [u8; 2],
    len: usize,
}

impl NalHeader {
    pub(super) fn h264(byte: u8) -> Self {
        Self {
            bytes: [byte, 0],
            len: 1,
        }
    }

    pub(super) fn h265(bytes: [u8; 2]) -> Self {
        Self { bytes, len: 2 }
    }

    fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// What a NAL unit means for its picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NalClass {
    /// A coded slice.
    Slice(Slice),
    /// A parameter set; of a whole sequence (VPS, SPS) or of pictures (PPS).
    Set { sequence: bool },
    /// The recovery point SEI with its number of frames (H.264).
    Recovery(u16),
    /// Any other NAL unit that opens an access unit when it follows a slice (H.264 §7.4.1.2.3, H.265 §7.4.2.4.4).
    Opening,
    /// A NAL unit that may stand anywhere.
    Other,
}

/// What a slice tells of its picture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Slice {
    /// The picture starts here.
    pub(super) first: bool,
    /// Needs no other picture.
    pub(super) intra: bool,
    /// IDR, or H.265 IRAP.
    pub(super) random_access: bool,
    /// Other pictures may need it.
    pub(super) reference: bool,
    /// H.265 RASL.
    pub(super) leading: bool,
    /// The PPS it uses.
    pub(super) pps_id: Option<u8>,
    /// For an H.264 field: frame_num and whether it is the bottom field.
    pub(super) field: Option<(u16, bool)>,
}

/// A NAL unit of the picture.
#[derive(Clone, Copy, Debug)]
pub(super) struct Nal {
    pub(super) nal_type: u8,
    pub(super) class: NalClass,
    first_part: usize,
}

#[derive(Debug)]
struct OpenNal {
    header: Option<NalHeader>,
    first_part: usize,
    len: usize,
}

/// The access unit being received.
#[derive(Debug, Default)]
pub(super) struct Picture {
    pub(super) timestamp: u32,
    /// A marker bit came after the last slice.
    pub(super) marked: bool,
    /// Something of it is missing: it will be dropped.
    pub(super) tainted: bool,
    /// Its first packets may be missing.
    pub(super) head_unsure: bool,
    /// Index of the first NAL unit after a marker that may belong to the next picture.
    pub(super) tail: Option<usize>,
    overflowed: bool,
    nals: Vec<Nal>,
    parts: Vec<Bytes>,
    len: usize,
    open: Option<OpenNal>,
}

/// The picture is over a limit and is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Overflow;

impl Picture {
    pub(super) fn nals(&self) -> &[Nal] {
        &self.nals
    }

    pub(super) fn slices(&self) -> impl Iterator<Item = &Slice> {
        self.nals.iter().filter_map(|nal| match &nal.class {
            NalClass::Slice(slice) => Some(slice),
            _ => None,
        })
    }

    pub(super) fn has_slices(&self) -> bool {
        self.slices().next().is_some()
    }

    /// All slices are of one field: the other field may follow.
    pub(super) fn is_half_frame(&self) -> bool {
        let mut fields = self
            .slices()
            .map(|slice| slice.field.map(|(_, bottom)| bottom));
        let Some(Some(first)) = fields.next() else {
            return false;
        };
        fields.all(|field| field == Some(first))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.nals.is_empty() && self.open.is_none() && !self.tainted
    }

    pub(super) fn overflowed(&self) -> bool {
        self.overflowed
    }

    /// Starts a NAL unit; `header` is given when the payload does not hold it.
    pub(super) fn begin(&mut self, header: Option<NalHeader>) -> Result<(), Overflow> {
        assert!(self.open.is_none(), "the NAL unit before is closed first");
        if self.overflowed || self.nals.len() >= NALS_MAX {
            return Err(self.overflow());
        }
        self.open = Some(OpenNal {
            header,
            first_part: self.parts.len(),
            len: header.map_or(0, |header| header.len),
        });
        // The place of the length, which is known at the end.
        self.parts.push(Bytes::new());
        Ok(())
    }

    /// Adds bytes to the open NAL unit.
    pub(super) fn extend(&mut self, data: Bytes) -> Result<(), Overflow> {
        let len = data.len();
        if self.overflowed
            || self.parts.len() >= PARTS_MAX
            || self.len + self.open_len() + len > FRAME_LEN_MAX
        {
            return Err(self.overflow());
        }
        let open = self.open.as_mut().expect("a NAL unit is open");
        open.len += len;
        if len > 0 {
            self.parts.push(data);
        }
        Ok(())
    }

    fn open_len(&self) -> usize {
        self.open.as_ref().map_or(0, |open| open.len + PREFIX_LEN)
    }

    /// The header of the open fragmented NAL unit.
    pub(super) fn open_header(&self) -> Option<NalHeader> {
        self.open.as_ref().and_then(|open| open.header)
    }

    pub(super) fn has_open(&self) -> bool {
        self.open.is_some()
    }

    /// Ends the open NAL unit: writes its length, copies its first bytes into `peek` (as many as `peek_len` of its first byte
    /// says), and adds it with the class that the caller then sets.
    pub(super) fn end(
        &mut self,
        scratch: &mut BytesMut,
        peek: &mut Vec<u8>,
        peek_len: impl FnOnce(u8) -> usize,
    ) -> usize {
        let open = self.open.take().expect("a NAL unit is open");
        let header = open.header.as_ref().map_or(&[][..], NalHeader::as_slice);
        if scratch.capacity() < PREFIX_LEN + header.len() {
            *scratch = BytesMut::with_capacity(SCRATCH_LEN);
        }
        scratch.put_u32(u32::try_from(open.len).expect("below FRAME_LEN_MAX"));
        scratch.put_slice(header);
        self.parts[open.first_part] = scratch.split().freeze();
        self.len += PREFIX_LEN + open.len;
        peek.clear();
        let chain = &self.parts[open.first_part..];
        let mut wanted = usize::MAX;
        let mut skip = PREFIX_LEN;
        let mut peek_len = Some(peek_len);
        for part in chain {
            let part = &part[skip..];
            skip = 0;
            if let Some((&first, _)) = part.split_first()
                && let Some(peek_len) = peek_len.take()
            {
                wanted = peek_len(first);
            }
            let take = part.len().min(wanted - peek.len());
            peek.extend_from_slice(&part[..take]);
            if peek.len() == wanted {
                break;
            }
        }
        self.nals.push(Nal {
            nal_type: 0,
            class: NalClass::Other,
            first_part: open.first_part,
        });
        open.len
    }

    /// Takes the last NAL unit out again, in one piece without its length.
    pub(super) fn remove_last(&mut self) -> Bytes {
        let nal = self.nals.pop().expect("a NAL unit was ended");
        let mut bytes = Bytes::from(self.parts.split_off(nal.first_part).concat());
        self.len -= bytes.len();
        bytes.split_off(PREFIX_LEN)
    }

    /// Sets what the last NAL unit is.
    pub(super) fn classify_last(&mut self, nal_type: u8, class: NalClass) {
        let nal = self.nals.last_mut().expect("a NAL unit was ended");
        nal.nal_type = nal_type;
        nal.class = class;
    }

    /// Gives up the open NAL unit.
    pub(super) fn abandon(&mut self) {
        if let Some(open) = self.open.take() {
            self.parts.truncate(open.first_part);
            self.tainted = true;
        }
    }

    /// Splits off the NAL units from index `at` on as a picture of its own with the same timestamp.
    pub(super) fn split_off(&mut self, at: usize) -> Self {
        assert!(self.open.is_none());
        let first_part = self
            .nals
            .get(at)
            .map_or(self.parts.len(), |nal| nal.first_part);
        let mut nals = self.nals.split_off(at);
        for nal in &mut nals {
            nal.first_part -= first_part;
        }
        let parts = self.parts.split_off(first_part);
        let len = parts.iter().map(Bytes::len).sum();
        self.len -= len;
        self.tail = None;
        Self {
            timestamp: self.timestamp,
            nals,
            parts,
            len,
            ..Self::default()
        }
    }

    /// The bytes, in order.
    pub(super) fn into_parts(self) -> Vec<Bytes> {
        assert!(self.open.is_none());
        self.parts
    }

    fn overflow(&mut self) -> Overflow {
        self.overflowed = true;
        self.tainted = true;
        self.open = None;
        self.nals = Vec::new();
        self.parts = Vec::new();
        self.len = 0;
        self.tail = None;
        Overflow
    }
}
