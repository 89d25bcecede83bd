//! Pictures as packets: RFC 6184 in mode 1 (single NAL unit, STAP-A, FU-A) and RFC 7798 (single NAL unit, AP, FU).
//!
//! The NAL units go out byte for byte and in order. Neighbours that fit one packet share it; a longer one is cut into fragments that
//! fill their packets, so that all but the last have one length. Parameter sets that the viewer may lack are put before those of the
//! key frame, behind its access unit delimiter, which must come first (H.264 §7.4.1.2.3, H.265 §7.4.2.4.4).

use super::{PacketiseError, chain::Chain, packets::PacketWriter};
use crate::media::{Codec, FrameData, h264, h265};
use bytes::Bytes;

/// A NAL unit and where its bytes are.
#[derive(Clone, Debug)]
struct Unit<'a> {
    /// Its first two bytes; of one with a single byte, that and zero.
    head: [u8; 2],
    len: usize,
    bytes: Chain<'a>,
}

/// Which parameter sets of the run go before a key frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MissingSets {
    /// None: the frame is no key frame.
    Leave,
    /// All, where the frame brings no sequence parameter set of its own.
    FillBare,
    /// Each that the frame does not bring itself: the viewer starts here.
    Fill,
}

/// How the payload formats of the two codecs differ.
#[derive(Clone, Copy, Debug)]
struct Syntax {
    codec: Codec,
    header_len: usize,
    /// NAL unit types from here on are packet types, not units.
    packet_types: u8,
}

impl Syntax {
    fn of(codec: Codec) -> Self {
        let (header_len, packet_types) = match codec {
            Codec::H264 => (1, 24),
            _ => (2, 48),
        };
        Self {
            codec,
            header_len,
            packet_types,
        }
    }

    fn kind(self, unit: &Unit<'_>) -> u8 {
        match self.codec {
            Codec::H264 => h264::nal_type_of(unit.head[0]),
            _ => h265::nal_type_of(unit.head[0]),
        }
    }

    fn is_delimiter(self, kind: u8) -> bool {
        match self.codec {
            Codec::H264 => kind == h264::nal_type::DELIMITER,
            _ => kind == h265::nal_type::DELIMITER,
        }
    }

    fn is_sequence_set(self, kind: u8) -> bool {
        match self.codec {
            Codec::H264 => kind == h264::nal_type::SPS,
            _ => kind == h265::nal_type::SPS,
        }
    }

    /// Whether a receiver would take the unit for what it is when it stands alone in a packet. No encoder makes the others, but what
    /// a camera sent in fragments under such a number was stored, and goes out in fragments again.
    fn stands_alone(self, unit: &Unit<'_>) -> bool {
        let kind = self.kind(unit);
        kind < self.packet_types && (kind > 0 || self.codec != Codec::H264)
    }

    /// The payload header of an aggregate: the forbidden bit of any, and the most important unit's rank (RFC 6184 §5.7.1, RFC 7798 §4.4.2).
    fn aggregate_header(self, units: &[Unit<'_>]) -> ([u8; 2], usize) {
        let first = units.iter().map(|unit| unit.head[0]);
        let forbidden = first.clone().fold(0, |bits, head| bits | head & 0x80);
        if self.codec == Codec::H264 {
            let importance = first.map(|head| head & 0x60).max().unwrap_or(0);
            return ([forbidden | importance | 24, 0], 1);
        }
        let layer = |head: [u8; 2]| (head[0] & 1) << 5 | head[1] >> 3;
        let layer = units.iter().map(|unit| layer(unit.head)).min().unwrap_or(0);
        let sublayer = units.iter().map(|unit| unit.head[1] & 7).min().unwrap_or(1);
        ([forbidden | 48 << 1 | layer >> 5, layer << 3 | sublayer], 2)
    }

    /// The headers of a fragment (RFC 6184 §5.8, RFC 7798 §4.4.3) and their length.
    fn fragment_header(self, head: [u8; 2], start: bool, end: bool) -> ([u8; 3], usize) {
        let flags = u8::from(start) << 7 | u8::from(end) << 6;
        match self.codec {
            Codec::H264 => ([head[0] & 0xe0 | 28, flags | head[0] & 0x1f, 0], 2),
            _ => {
                let kind = head[0] >> 1 & 0x3f;
                ([head[0] & 0x81 | 49 << 1, head[1], flags | kind], 3)
            }
        }
    }
}

/// Writes the packets of one access unit, the last one marked.
pub(super) fn write(
    codec: Codec,
    frame: &FrameData,
    sets: &[Bytes],
    missing: MissingSets,
    writer: &mut PacketWriter,
) -> Result<(), PacketiseError> {
    let syntax = Syntax::of(codec);
    let mut units = units_of(frame, syntax.header_len)?;
    insert_sets(syntax, &mut units, sets, missing);
    let mut waiting = 0;
    let mut waiting_len = 0;
    for at in 0..units.len() {
        let unit = &units[at];
        let alone = syntax.stands_alone(unit);
        if alone && waiting > 0 && waiting_len + 2 + unit.len <= writer.room() {
            waiting += 1;
            waiting_len += 2 + unit.len;
            continue;
        }
        write_together(syntax, &units[at - waiting..at], writer);
        waiting = 0;
        if alone && unit.len <= writer.room() {
            waiting = 1;
            waiting_len = syntax.header_len + 2 + unit.len;
        } else {
            write_fragments(syntax, unit, alone, writer);
        }
    }
    write_together(syntax, &units[units.len() - waiting..], writer);
    writer.mark();
    Ok(())
}

/// The NAL units behind their lengths. One shorter than its header says nothing and cannot be carried: it is left out.
fn units_of(frame: &FrameData, header_len: usize) -> Result<Vec<Unit<'_>>, PacketiseError> {
    let mut chain = Chain::new(frame.parts());
    let mut units = Vec::new();
    while chain.left() > 0 {
        let at = frame.len() - chain.left();
        let len = chain.array().map(|len| u32::from_be_bytes(len) as usize);
        let len = len
            .filter(|len| *len <= chain.left())
            .ok_or(PacketiseError::Units {
                at,
                len: frame.len(),
            })?;
        let unit = Unit::new(chain.clone(), len);
        units.extend((len >= header_len).then_some(unit));
        chain.skip(len);
    }
    Ok(units)
}

impl<'a> Unit<'a> {
    fn new(bytes: Chain<'a>, len: usize) -> Self {
        let mut peek = bytes.clone();
        let [first] = peek.array().unwrap_or([0]);
        let [second] = peek.array().unwrap_or([0]);
        Self {
            head: [first, second],
            len,
            bytes,
        }
    }
}

fn insert_sets<'a>(
    syntax: Syntax,
    units: &mut Vec<Unit<'a>>,
    sets: &'a [Bytes],
    missing: MissingSets,
) {
    let bare = !units
        .iter()
        .any(|unit| syntax.is_sequence_set(syntax.kind(unit)));
    if missing == MissingSets::Leave || missing == MissingSets::FillBare && !bare {
        return;
    }
    let brought = |set: &Bytes| {
        units
            .iter()
            .any(|unit| unit.len == set.len() && unit.bytes.starts_with(set))
    };
    let lacking: Vec<Unit<'a>> = sets
        .iter()
        .filter(|set| !brought(set))
        .map(|set| Unit::new(Chain::new(std::slice::from_ref(set)), set.len()))
        .collect();
    let delimited = units
        .first()
        .is_some_and(|unit| syntax.is_delimiter(syntax.kind(unit)));
    let at = usize::from(delimited);
    units.splice(at..at, lacking);
}

/// One packet of units known to fit.
fn write_together(syntax: Syntax, units: &[Unit<'_>], writer: &mut PacketWriter) {
    if units.is_empty() {
        return;
    }
    writer.open();
    if let [unit] = units {
        unit.bytes.clone().copy(unit.len, writer.payload());
    } else {
        let (header, len) = syntax.aggregate_header(units);
        writer.payload().extend_from_slice(&header[..len]);
        for unit in units {
            // It fits a packet, so its length fits 16 bits.
            writer
                .payload()
                .extend_from_slice(&(unit.len as u16).to_be_bytes());
            unit.bytes.clone().copy(unit.len, writer.payload());
        }
    }
    writer.close();
}

/// One unit in several packets: never in one, since start and end may not stand together.
fn write_fragments(syntax: Syntax, unit: &Unit<'_>, alone: bool, writer: &mut PacketWriter) {
    let mut bytes = unit.bytes.clone();
    bytes.skip(syntax.header_len);
    let body = unit.len - syntax.header_len;
    if !alone && body < 2 {
        return;
    }
    let mut left = body;
    while left > 0 {
        let (_, header_len) = syntax.fragment_header(unit.head, false, false);
        let start = left == body;
        let room = writer.room() - header_len;
        let len = if start {
            room.min(left - 1)
        } else {
            room.min(left)
        };
        let (header, _) = syntax.fragment_header(unit.head, start, len == left);
        writer.open();
        writer.payload().extend_from_slice(&header[..header_len]);
        bytes.copy(len, writer.payload());
        writer.close();
        left -= len;
    }
}
