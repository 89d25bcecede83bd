//! The segment header: the first page of a segment file, written and synced when the segment is taken, before any of its data.
//!
//! It gives the segment its generation. It fits one sector, so a torn write leaves the old header or the new one; with the new
//! header in place everything of the old life is dead, whatever its bytes.
//!
//! ### SegmentHeader
//! | offset | size | field               | meaning                                                       |
//! |-------:|-----:|---------------------|---------------------------------------------------------------|
//! |      0 |    8 | magic               | `NVRSEG\x1a\n`                                                |
//! |      8 |    2 | version             | `format::VERSION`                                             |
//! |     10 |    2 | reserved0           | zero                                                          |
//! |     12 |    4 | segment             | number of the segment                                         |
//! |     16 |   16 | volume              | identity of the volume                                        |
//! |     32 |    8 | generation          | life number of the segment                                    |
//! |     40 |    8 | previous_generation | of the segment that was filled before this one; 0: the first  |
//! |     48 |    4 | previous_segment    | its number                                                    |
//! |     52 |    1 | kind                | 0: ring segment; any other: not this program's to take        |
//! |     53 |    1 | previous_end        | how the one before was left: 1 sealed, 2 abandoned, 0 unknown |
//! |     54 |    2 | reserved1           | zero                                                          |
//! |     56 |    8 | taken_us            | when the segment was taken, µs since 1970                     |
//! |     64 |   32 | digest              | reserved for tamper evidence: zero in version 1               |
//! |     96 |  156 | reserved2           | zero                                                          |
//! |    252 |    4 | crc                 | CRC-32 of bytes 0..252                                        |

use super::{
    DecodeError, PAGE, VERSION, checksum, expect_place, expect_version, header,
    place::{Generation, SegmentNumber},
    superblock::VolumeId,
};
use zerocopy::{
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
    little_endian::{I64, U16, U32, U64},
};

/// Length of the header; the first batch lies behind it.
pub const HEADER_LEN: u64 = PAGE;

const WHAT: &str = "segment header";
const MAGIC: &[u8; 8] = b"NVRSEG\x1a\n";

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Copy, Debug)]
#[repr(C)]
struct SegmentHeaderBytes {
    magic: [u8; 8],
    version: U16,
    reserved0: [u8; 2],
    segment: U32,
    volume: [u8; 16],
    generation: U64,
    previous_generation: U64,
    previous_segment: U32,
    kind: u8,
    previous_end: u8,
    reserved1: [u8; 2],
    taken_us: I64,
    digest: [u8; 32],
    reserved2: [u8; 156],
    crc: U32,
}

const _: () = assert!(size_of::<SegmentHeaderBytes>() == 256);

/// A verified segment header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    /// Number of the segment.
    pub segment: SegmentNumber,
    /// Its life number.
    pub generation: Generation,
    /// The life number and number of the segment that was filled before this one.
    pub previous: (Generation, SegmentNumber),
    /// How that one was left.
    pub previous_end: SegmentEnd,
    /// Whether it is a segment of the ring; others (of later releases) are never taken.
    pub ring: bool,
    /// When the segment was taken, µs since 1970.
    pub taken_us: i64,
}

/// How a segment was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SegmentEnd {
    /// Nobody can tell.
    Unknown,
    /// With a directory.
    Sealed,
    /// After a failed write or sync (W8): it is quarantined.
    Abandoned,
}

/// Name of the file of segment `number`.
pub fn file_name(number: SegmentNumber) -> String {
    format!("segments/{number:06}.seg")
}

impl SegmentHeader {
    /// The first page of the segment.
    pub fn encode(&self, volume: &VolumeId) -> [u8; PAGE as usize] {
        let mut bytes = SegmentHeaderBytes {
            magic: *MAGIC,
            version: VERSION.into(),
            reserved0: [0; 2],
            segment: self.segment.into(),
            volume: *volume,
            generation: self.generation.0.into(),
            previous_generation: self.previous.0.0.into(),
            previous_segment: self.previous.1.into(),
            kind: u8::from(!self.ring),
            previous_end: match self.previous_end {
                SegmentEnd::Unknown => 0,
                SegmentEnd::Sealed => 1,
                SegmentEnd::Abandoned => 2,
            },
            reserved1: [0; 2],
            taken_us: self.taken_us.into(),
            digest: [0; 32],
            reserved2: [0; 156],
            crc: 0.into(),
        };
        bytes.crc = checksum(&[&bytes.as_bytes()[..252]]).into();
        let mut page = [0; PAGE as usize];
        page[..256].copy_from_slice(bytes.as_bytes());
        page
    }

    /// Verifies the first page of segment `segment` of `volume`.
    ///
    /// # Errors
    /// When it is not an intact header, or belongs to another volume or segment. A segment never taken has no magic.
    pub fn decode(
        page: &[u8],
        volume: &VolumeId,
        segment: SegmentNumber,
    ) -> Result<Self, DecodeError> {
        let bytes: &SegmentHeaderBytes = header(WHAT, MAGIC, page)?;
        if checksum(&[&bytes.as_bytes()[..252]]) != bytes.crc.get() {
            return Err(DecodeError::Checksum { what: WHAT });
        }
        expect_version(WHAT, bytes.version.get())?;
        expect_place(WHAT, "segment", bytes.segment.get().into(), segment.into())?;
        if bytes.volume != *volume {
            return Err(DecodeError::Misplaced {
                what: WHAT,
                field: "volume",
                found: 0,
                expected: 0,
            });
        }
        Ok(Self {
            segment,
            generation: Generation(bytes.generation.get()),
            previous: (
                Generation(bytes.previous_generation.get()),
                bytes.previous_segment.get(),
            ),
            previous_end: match bytes.previous_end {
                1 => SegmentEnd::Sealed,
                2 => SegmentEnd::Abandoned,
                _ => SegmentEnd::Unknown,
            },
            ring: bytes.kind == 0,
            taken_us: bytes.taken_us.get(),
        })
    }

    /// Which segment of which volume an intact header is of, for a file that stands alone.
    ///
    /// # Errors
    /// When it is not an intact header of this version.
    pub fn peek_identity(page: &[u8]) -> Result<(VolumeId, SegmentNumber), DecodeError> {
        let bytes: &SegmentHeaderBytes = header(WHAT, MAGIC, page)?;
        let (volume, segment) = (bytes.volume, bytes.segment.get());
        Self::decode(page, &volume, segment)?;
        Ok((volume, segment))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::table;

    #[test]
    fn table_matches_struct() {
        let fields = table::fields!(SegmentHeaderBytes: magic, version, reserved0, segment, volume, generation, previous_generation,
            previous_segment, kind, previous_end, reserved1, taken_us, digest, reserved2, crc);
        table::check(include_str!("segment.rs"), "SegmentHeader", 256, fields);
    }

    #[test]
    fn no_flipped_bit_and_no_other_place_is_accepted() {
        let volume = *b"0123456789abcdef";
        let header = SegmentHeader {
            segment: 4,
            generation: Generation::of_session(2, 9),
            previous: (Generation(8), 3),
            previous_end: SegmentEnd::Abandoned,
            ring: true,
            taken_us: 5,
        };
        let page = header.encode(&volume);
        assert_eq!(SegmentHeader::decode(&page, &volume, 4), Ok(header));
        assert!(SegmentHeader::decode(&page, &volume, 5).is_err());
        assert!(SegmentHeader::decode(&page, &[9; 16], 4).is_err());
        for bit in 0..256 * 8 {
            let mut torn = page;
            torn[bit / 8] ^= 1 << (bit % 8);
            assert!(
                SegmentHeader::decode(&torn, &volume, 4).is_err(),
                "bit {bit}"
            );
        }
    }
}
