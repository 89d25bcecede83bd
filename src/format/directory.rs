//! The directory: the list of a sealed segment's blocks and chapters, at the segment's end, in one write.
//!
//! It is the items of all batches of the segment, one behind the other (`row`), padded to a page, and a trailer in the last page
//! of the segment, where rebuild and recovery find it without walking the log. A segment without an intact directory was not
//! sealed: its batches are walked instead.
//!
//! ### DirectoryTrailer
//! | offset | size | field        | meaning                                                  |
//! |-------:|-----:|--------------|----------------------------------------------------------|
//! |      0 |    8 | magic        | `NVRDIR\x1a\n`                                           |
//! |      8 |    2 | version      | `format::VERSION`                                        |
//! |     10 |    2 | reserved0    | zero                                                     |
//! |     12 |    4 | segment      | number of the segment                                    |
//! |     16 |   16 | volume       | identity of the volume                                   |
//! |     32 |    8 | generation   | life of the segment                                      |
//! |     40 |    8 | session      | that sealed it                                           |
//! |     48 |    8 | items_offset | of the items, from the segment's start, multiple of 4 KiB |
//! |     56 |    8 | log_end      | end of the last batch, from the segment's start          |
//! |     64 |    4 | items_len    | bytes of the items                                       |
//! |     68 |    4 | items_crc    | CRC-32 of the items                                      |
//! |     72 |    4 | batch_count  | batches in the segment                                   |
//! |     76 |    4 | reserved1    | zero                                                     |
//! |     80 |    8 | sealed_us    | when it was sealed, µs since 1970                        |
//! |     88 |   32 | digest       | reserved for tamper evidence: zero in version 1          |
//! |    120 |    4 | reserved2    | zero                                                     |
//! |    124 |    4 | crc          | CRC-32 of bytes 0..124                                   |

use super::{
    DecodeError, PAGE, VERSION, checksum, expect_place, expect_version, header,
    place::{Generation, SegmentNumber},
    superblock::VolumeId,
};
use zerocopy::{
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
    little_endian::{I64, U16, U32, U64},
};

const WHAT: &str = "directory";
const MAGIC: &[u8; 8] = b"NVRDIR\x1a\n";

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Copy, Debug)]
#[repr(C)]
struct DirectoryTrailerBytes {
    magic: [u8; 8],
    version: U16,
    reserved0: [u8; 2],
    segment: U32,
    volume: [u8; 16],
    generation: U64,
    session: U64,
    items_offset: U64,
    log_end: U64,
    items_len: U32,
    items_crc: U32,
    batch_count: U32,
    reserved1: [u8; 4],
    sealed_us: I64,
    digest: [u8; 32],
    reserved2: [u8; 4],
    crc: U32,
}

const _: () = assert!(size_of::<DirectoryTrailerBytes>() == 128);

/// A verified trailer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DirectoryTrailer {
    /// The segment.
    pub segment: SegmentNumber,
    /// Its life.
    pub generation: Generation,
    /// The session that sealed it.
    pub session: u64,
    /// Offset of the items in the segment.
    pub items_offset: u64,
    /// End of the last batch.
    pub log_end: u64,
    /// Bytes of the items.
    pub items_len: u32,
    /// Checksum of the items.
    pub items_crc: u32,
    /// Batches in the segment.
    pub batch_count: u32,
    /// When it was sealed, µs since 1970.
    pub sealed_us: i64,
}

/// Bytes at the end of a segment that a directory with `items_len` bytes of items takes.
pub fn directory_len(items_len: u64) -> u64 {
    crate::base::units::align_up(items_len, PAGE) + PAGE
}

impl DirectoryTrailer {
    /// The last page of the segment.
    pub fn encode(&self, volume: &VolumeId) -> [u8; PAGE as usize] {
        let mut bytes = DirectoryTrailerBytes {
            magic: *MAGIC,
            version: VERSION.into(),
            reserved0: [0; 2],
            segment: self.segment.into(),
            volume: *volume,
            generation: self.generation.0.into(),
            session: self.session.into(),
            items_offset: self.items_offset.into(),
            log_end: self.log_end.into(),
            items_len: self.items_len.into(),
            items_crc: self.items_crc.into(),
            batch_count: self.batch_count.into(),
            reserved1: [0; 4],
            sealed_us: self.sealed_us.into(),
            digest: [0; 32],
            reserved2: [0; 4],
            crc: 0.into(),
        };
        bytes.crc = checksum(&[&bytes.as_bytes()[..124]]).into();
        let mut page = [0; PAGE as usize];
        page[..128].copy_from_slice(bytes.as_bytes());
        page
    }

    /// Verifies the last page of `segment` in its life `generation`.
    ///
    /// # Errors
    /// When it is not an intact trailer, or of another life: the segment was not sealed in this one.
    pub fn decode(
        page: &[u8],
        volume: &VolumeId,
        segment: SegmentNumber,
        generation: Generation,
    ) -> Result<Self, DecodeError> {
        let bytes: &DirectoryTrailerBytes = header(WHAT, MAGIC, page)?;
        if checksum(&[&bytes.as_bytes()[..124]]) != bytes.crc.get() {
            return Err(DecodeError::Checksum { what: WHAT });
        }
        expect_version(WHAT, bytes.version.get())?;
        if bytes.volume != *volume {
            return Err(DecodeError::Misplaced {
                what: WHAT,
                field: "volume",
                found: 0,
                expected: 0,
            });
        }
        expect_place(WHAT, "segment", bytes.segment.get().into(), segment.into())?;
        expect_place(WHAT, "generation", bytes.generation.get(), generation.0)?;
        Ok(Self {
            segment,
            generation,
            session: bytes.session.get(),
            items_offset: bytes.items_offset.get(),
            log_end: bytes.log_end.get(),
            items_len: bytes.items_len.get(),
            items_crc: bytes.items_crc.get(),
            batch_count: bytes.batch_count.get(),
            sealed_us: bytes.sealed_us.get(),
        })
    }

    /// The life of segment `segment` according to an intact trailer, for when its header is lost.
    pub fn peek_generation(
        page: &[u8],
        volume: &VolumeId,
        segment: SegmentNumber,
    ) -> Option<Generation> {
        let bytes: &DirectoryTrailerBytes = header(WHAT, MAGIC, page).ok()?;
        let generation = Generation(bytes.generation.get());
        Self::decode(page, volume, segment, generation)
            .ok()
            .map(|trailer| trailer.generation)
    }

    /// Verifies the items of this directory.
    ///
    /// # Errors
    /// When they are not intact.
    pub fn verify_items<'a>(&self, items: &'a [u8]) -> Result<&'a [u8], DecodeError> {
        let items = items
            .get(..self.items_len as usize)
            .ok_or(DecodeError::Short {
                what: WHAT,
                len: items.len(),
            })?;
        if checksum(&[items]) == self.items_crc {
            Ok(items)
        } else {
            Err(DecodeError::Checksum { what: WHAT })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::table;

    #[test]
    fn table_matches_struct() {
        let fields = table::fields!(DirectoryTrailerBytes: magic, version, reserved0, segment, volume, generation, session, items_offset,
            log_end, items_len, items_crc, batch_count, reserved1, sealed_us, digest, reserved2, crc);
        table::check(
            include_str!("directory.rs"),
            "DirectoryTrailer",
            128,
            fields,
        );
    }

    #[test]
    fn no_flipped_bit_and_no_other_life_is_accepted() {
        let volume = [5; 16];
        let trailer = DirectoryTrailer {
            segment: 3,
            generation: Generation(9),
            session: 1,
            items_offset: 4096,
            log_end: 4096,
            items_len: 5,
            items_crc: checksum(&[b"items"]),
            batch_count: 1,
            sealed_us: 7,
        };
        let page = trailer.encode(&volume);
        assert_eq!(
            DirectoryTrailer::decode(&page, &volume, 3, Generation(9)),
            Ok(trailer)
        );
        assert!(DirectoryTrailer::decode(&page, &volume, 3, Generation(8)).is_err());
        assert_eq!(
            trailer.verify_items(b"items and padding"),
            Ok(&b"items"[..])
        );
        assert!(trailer.verify_items(b"itemz and padding").is_err());
        for bit in 0..128 * 8 {
            let mut torn = page;
            torn[bit / 8] ^= 1 << (bit % 8);
            assert!(
                DirectoryTrailer::decode(&torn, &volume, 3, Generation(9)).is_err(),
                "bit {bit}"
            );
        }
    }
}
