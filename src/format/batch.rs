//! The batch: one aligned sequential write holding blocks of several streams.
//!
//! Its front (header and items) lists the blocks with their packed frame tables, so that after a crash the log is walked from
//! front to front. A front is checked by one checksum; the blocks bring their own. `synced` tells how many batches of the
//! segment were known to be durable when this one was written: those of the same session need no verification after a crash.
//!
//! ### BatchHeader
//! | offset | size | field       | meaning                                                                     |
//! |-------:|-----:|-------------|-----------------------------------------------------------------------------|
//! |      0 |    8 | magic       | `NVRBAT\x1a\n`                                                              |
//! |      8 |    2 | version     | `format::VERSION`                                                           |
//! |     10 |    2 | reserved0   | zero                                                                        |
//! |     12 |    4 | segment     | where this batch was written                                                |
//! |     16 |   16 | volume      | identity of the volume                                                      |
//! |     32 |    8 | generation  | life of the segment                                                         |
//! |     40 |    8 | offset      | from the segment's start, a multiple of 4 KiB                               |
//! |     48 |    8 | session     | that wrote it; never falls along the log                                    |
//! |     56 |    4 | number      | of the batch within the segment, from 0; rises along the log                |
//! |     60 |    4 | synced      | batches with a lower number were durable when this one was written          |
//! |     64 |    4 | batch_len   | whole batch with padding, a multiple of 4 KiB                               |
//! |     68 |    4 | front_len   | header and items                                                            |
//! |     72 |    4 | item_count  | number of items                                                             |
//! |     76 |    4 | reserved1   | zero                                                                        |
//! |     80 |    8 | written_us  | when it was handed to the disk, µs since 1970                               |
//! |     88 |   32 | digest      | reserved for tamper evidence: zero in version 1                             |
//! |    120 |    4 | header_crc  | CRC-32 of bytes 0..120, to trust the lengths before the items are read      |
//! |    124 |    4 | front_crc   | CRC-32 of bytes 0..124 and 128..front_len                                   |

use super::{
    DecodeError, PAGE, VERSION, checksum, expect_place, expect_version, header,
    place::{Generation, SegmentNumber},
    superblock::VolumeId,
};
use zerocopy::{
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
    little_endian::{I64, U16, U32, U64},
};

/// Length of the fixed header.
pub const BATCH_HEADER_LEN: usize = 128;

const WHAT: &str = "batch";
const MAGIC: &[u8; 8] = b"NVRBAT\x1a\n";

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Copy, Debug)]
#[repr(C)]
struct BatchHeaderBytes {
    magic: [u8; 8],
    version: U16,
    reserved0: [u8; 2],
    segment: U32,
    volume: [u8; 16],
    generation: U64,
    offset: U64,
    session: U64,
    number: U32,
    synced: U32,
    batch_len: U32,
    front_len: U32,
    item_count: U32,
    reserved1: [u8; 4],
    written_us: I64,
    digest: [u8; 32],
    header_crc: U32,
    front_crc: U32,
}

const _: () = assert!(size_of::<BatchHeaderBytes>() == BATCH_HEADER_LEN);

/// A batch's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchHeader {
    /// The segment it lies in.
    pub segment: SegmentNumber,
    /// The segment's life.
    pub generation: Generation,
    /// Offset in the segment.
    pub offset: u64,
    /// The session that wrote it.
    pub session: u64,
    /// Number within the segment.
    pub number: u32,
    /// Batches with a lower number were durable when this one was written.
    pub synced: u32,
    /// Whole batch with padding.
    pub batch_len: u32,
    /// Header and items.
    pub front_len: u32,
    /// Number of items.
    pub item_count: u32,
    /// When it was handed to the disk, µs since 1970.
    pub written_us: i64,
}

impl BatchHeader {
    /// Writes the header to the front of `batch`, whose items already lie behind it.
    ///
    /// # Panics
    /// When lengths contradict each other: the writer's duty.
    pub fn encode(&self, volume: &VolumeId, batch: &mut [u8]) {
        assert!(u64::from(self.batch_len).is_multiple_of(PAGE) && self.offset.is_multiple_of(PAGE));
        assert!(self.front_len as usize >= BATCH_HEADER_LEN && self.front_len <= self.batch_len);
        assert!(batch.len() == self.batch_len as usize);
        let (fixed, rest) = batch.split_at_mut(BATCH_HEADER_LEN);
        let mut bytes = BatchHeaderBytes {
            magic: *MAGIC,
            version: VERSION.into(),
            reserved0: [0; 2],
            segment: self.segment.into(),
            volume: *volume,
            generation: self.generation.0.into(),
            offset: self.offset.into(),
            session: self.session.into(),
            number: self.number.into(),
            synced: self.synced.into(),
            batch_len: self.batch_len.into(),
            front_len: self.front_len.into(),
            item_count: self.item_count.into(),
            reserved1: [0; 4],
            written_us: self.written_us.into(),
            digest: [0; 32],
            header_crc: 0.into(),
            front_crc: 0.into(),
        };
        bytes.header_crc = checksum(&[&bytes.as_bytes()[..120]]).into();
        let items = &rest[..self.front_len as usize - BATCH_HEADER_LEN];
        bytes.front_crc = checksum(&[&bytes.as_bytes()[..124], items]).into();
        fixed.copy_from_slice(bytes.as_bytes());
    }

    /// How long the front of the batch at the start of `bytes` says it is: to read the rest of it before `decode`.
    ///
    /// # Errors
    /// When no intact batch header of this version is here.
    pub fn peek_front_len(bytes: &[u8]) -> Result<u32, DecodeError> {
        let bytes: &BatchHeaderBytes = header(WHAT, MAGIC, bytes)?;
        if checksum(&[&bytes.as_bytes()[..120]]) != bytes.header_crc.get() {
            return Err(DecodeError::Checksum { what: WHAT });
        }
        expect_version(WHAT, bytes.version.get())?;
        Ok(bytes.front_len.get())
    }

    /// Which life of which segment of which volume an intact batch header is of, for a file whose segment header is lost.
    ///
    /// # Errors
    /// When no intact batch header of this version is here.
    pub fn peek_identity(
        bytes: &[u8],
    ) -> Result<(VolumeId, SegmentNumber, Generation), DecodeError> {
        Self::peek_front_len(bytes)?;
        let bytes: &BatchHeaderBytes = header(WHAT, MAGIC, bytes)?;
        let generation = Generation(bytes.generation.get());
        Ok((bytes.volume, bytes.segment.get(), generation))
    }

    /// Verifies the front of the batch that was written to `offset` of `segment` in its life `generation`; gives the header and
    /// the bytes of the items.
    ///
    /// # Errors
    /// When the front is not intact or belongs elsewhere.
    pub fn decode<'a>(
        bytes: &'a [u8],
        volume: &VolumeId,
        segment: SegmentNumber,
        generation: Generation,
        offset: u64,
    ) -> Result<(Self, &'a [u8]), DecodeError> {
        let fixed: &BatchHeaderBytes = header(WHAT, MAGIC, bytes)?;
        let items = bytes
            .get(BATCH_HEADER_LEN..fixed.front_len.get() as usize)
            .ok_or(DecodeError::Short {
                what: WHAT,
                len: bytes.len(),
            })?;
        if checksum(&[&fixed.as_bytes()[..124], items]) != fixed.front_crc.get() {
            return Err(DecodeError::Checksum { what: WHAT });
        }
        expect_version(WHAT, fixed.version.get())?;
        if fixed.volume != *volume {
            return Err(DecodeError::Misplaced {
                what: WHAT,
                field: "volume",
                found: 0,
                expected: 0,
            });
        }
        expect_place(WHAT, "segment", fixed.segment.get().into(), segment.into())?;
        expect_place(WHAT, "generation", fixed.generation.get(), generation.0)?;
        expect_place(WHAT, "offset", fixed.offset.get(), offset)?;
        let header = Self {
            segment,
            generation,
            offset,
            session: fixed.session.get(),
            number: fixed.number.get(),
            synced: fixed.synced.get(),
            batch_len: fixed.batch_len.get(),
            front_len: fixed.front_len.get(),
            item_count: fixed.item_count.get(),
            written_us: fixed.written_us.get(),
        };
        if u64::from(header.batch_len) % PAGE != 0
            || header.front_len > header.batch_len
            || header.batch_len == 0
        {
            return Err(DecodeError::Value {
                what: WHAT,
                field: "length",
            });
        }
        Ok((header, items))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::table;

    #[test]
    fn table_matches_struct() {
        let fields = table::fields!(BatchHeaderBytes: magic, version, reserved0, segment, volume, generation, offset, session, number,
            synced, batch_len, front_len, item_count, reserved1, written_us, digest, header_crc, front_crc);
        table::check(include_str!("batch.rs"), "BatchHeader", 128, fields);
    }

    #[test]
    fn no_flipped_bit_and_no_other_place_is_accepted() {
        let volume = [5; 16];
        let generation = Generation::of_session(1, 2);
        let header = BatchHeader {
            segment: 3,
            generation,
            offset: 8192,
            session: 1,
            number: 4,
            synced: 2,
            batch_len: 4096,
            front_len: 140,
            item_count: 1,
            written_us: 99,
        };
        let mut bytes = vec![0xaa; 4096];
        header.encode(&volume, &mut bytes);
        let decode = |bytes: &[u8], offset| {
            BatchHeader::decode(bytes, &volume, 3, generation, offset).map(|(header, _)| header)
        };
        assert_eq!(decode(&bytes, 8192), Ok(header));
        assert!(decode(&bytes, 4096).is_err());
        assert!(BatchHeader::decode(&bytes, &volume, 2, generation, 8192).is_err());
        assert!(BatchHeader::decode(&bytes, &volume, 3, Generation(1), 8192).is_err());
        for bit in 0..140 * 8 {
            let mut torn = bytes.clone();
            torn[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&torn, 8192).is_err(), "bit {bit}");
        }
    }
}
