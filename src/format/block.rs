//! The block: one stream's frames of about one commit interval, whole and self-describing.
//!
//! A block can be verified and played from its own bytes: head (header, description, frame table, frame checksums) and payload.
//! The head's checksum covers where it was written; each frame has a checksum of its own, seeded with that place, so that a torn
//! block loses only the torn frames and a reader need not fetch a block whole. Blocks start at multiples of 16 bytes.
//!
//! A chapter is written as a block of kind 2: no frames, the chapter as payload under one checksum.
//!
//! ### BlockHeader
//! | offset | size | field           | meaning                                                              |
//! |-------:|-----:|-----------------|----------------------------------------------------------------------|
//! |      0 |    8 | magic           | `NVRBLK\x1a\n`                                                       |
//! |      8 |    2 | version         | `format::VERSION`                                                    |
//! |     10 |    1 | kind            | 1: frames, 2: chapter                                                |
//! |     11 |    1 | reserved0       | zero                                                                 |
//! |     12 |    4 | segment         | where this block was written                                         |
//! |     16 |   16 | volume          | identity of the volume                                               |
//! |     32 |    8 | generation      | life of the segment                                                  |
//! |     40 |    8 | offset          | from the segment's start                                             |
//! |     48 |   16 | stream          | identity of the stream                                               |
//! |     64 |    8 | run             | identity of the run within the stream: its start, µs since 1970      |
//! |     72 |    4 | number          | of the block within the run, from 0; of a chapter: its first block   |
//! |     76 |    4 | frame_count     | frames in the table = checksums (a chapter: 1 checksum)              |
//! |     80 |    4 | head_len        | header, description, table and checksums: the payload's offset       |
//! |     84 |    4 | block_len       | head and payload                                                     |
//! |     88 |    8 | first_us        | earliest presentation time                                           |
//! |     96 |    8 | end_us          | end of the latest frame (its presentation time + its duration)       |
//! |    104 |    4 | description_len | of the run description behind the header                             |
//! |    108 |    4 | table_len       | of the frame table behind the description                            |
//! |    112 |    8 | session         | that wrote it                                                        |
//! |    120 |    4 | extension_len   | of the extension behind the checksums: 0 in version 1, else ignored  |
//! |    124 |    4 | head_crc        | CRC-32 of bytes 0..124 and 128..head_len                             |

use super::{
    DecodeError, VERSION, checksum, expect_place, expect_version,
    frame_table::FRAMES_MAX,
    header,
    place::{Generation, Place, SegmentNumber},
    superblock::VolumeId,
};
use crate::{base::UnixMicros, media::StreamId};
use zerocopy::{
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
    little_endian::{I64, U16, U32, U64},
};

/// Blocks start at multiples of this.
pub const BLOCK_ALIGN: u64 = 16;
/// Length of the fixed header.
pub const BLOCK_HEADER_LEN: usize = 128;

const WHAT: &str = "block";
const MAGIC: &[u8; 8] = b"NVRBLK\x1a\n";

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Copy, Debug)]
#[repr(C)]
struct BlockHeaderBytes {
    magic: [u8; 8],
    version: U16,
    kind: u8,
    reserved0: u8,
    segment: U32,
    volume: [u8; 16],
    generation: U64,
    offset: U64,
    stream: [u8; 16],
    run: I64,
    number: U32,
    frame_count: U32,
    head_len: U32,
    block_len: U32,
    first_us: I64,
    end_us: I64,
    description_len: U32,
    table_len: U32,
    session: U64,
    extension_len: U32,
    head_crc: U32,
}

const _: () = assert!(size_of::<BlockHeaderBytes>() == BLOCK_HEADER_LEN);

/// What a block holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockKind {
    /// Frames of a run.
    Frames,
    /// A chapter of a run.
    Chapter,
}

/// Where a block is written: goes into all its checksums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    /// Identity of the volume.
    pub volume: VolumeId,
    /// The segment.
    pub segment: SegmentNumber,
    /// Its life.
    pub generation: Generation,
    /// Offset of the block in the segment.
    pub offset: u64,
}

impl Address {
    /// Where the block at `place` of `volume` is.
    pub fn of(volume: VolumeId, place: &Place) -> Self {
        Self {
            volume,
            segment: place.segment,
            generation: place.generation,
            offset: place.offset,
        }
    }

    /// Starts the checksum of frame number `index` of the block: what follows is the frame's bytes.
    pub fn frame_hasher(&self, index: u32) -> crc32fast::Hasher {
        let mut hasher = crc32fast::Hasher::new();
        let mut seed = [0u8; 40];
        seed[..16].copy_from_slice(&self.volume);
        seed[16..24].copy_from_slice(&self.generation.0.to_le_bytes());
        seed[24..28].copy_from_slice(&self.segment.to_le_bytes());
        seed[28..36].copy_from_slice(&self.offset.to_le_bytes());
        seed[36..].copy_from_slice(&index.to_le_bytes());
        hasher.update(&seed);
        hasher
    }
}

/// The variable part of a block's head, as the writer knows it before the payload is copied.
#[derive(Clone, Copy, Debug)]
pub struct BlockHead<'a> {
    /// What the block holds.
    pub kind: BlockKind,
    /// The session that writes it.
    pub session: u64,
    /// The stream.
    pub stream: StreamId,
    /// The run.
    pub run: UnixMicros,
    /// Number of the block within the run.
    pub number: u32,
    /// Earliest presentation time.
    pub first: UnixMicros,
    /// End of the latest frame.
    pub end: UnixMicros,
    /// The packed run description.
    pub description: &'a [u8],
    /// The packed frame table (empty for a chapter).
    pub table: &'a [u8],
    /// One checksum per frame (`Address::frame_hasher`).
    pub checksums: &'a [u32],
    /// Length of the payload.
    pub payload_len: u32,
}

/// Length of a head with these parts: the payload's offset in the block.
pub fn head_len(description_len: usize, table_len: usize, checksums: usize) -> usize {
    BLOCK_HEADER_LEN + description_len + table_len + 4 * checksums
}

impl BlockHead<'_> {
    /// Writes the head to the front of `block` and gives its checksum, for the row.
    ///
    /// # Panics
    /// When `block` is shorter than the head, or a limit is passed: the writer's duty.
    pub fn encode(&self, address: &Address, block: &mut [u8]) -> u32 {
        assert!(address.offset.is_multiple_of(BLOCK_ALIGN));
        assert!(self.checksums.len() <= FRAMES_MAX);
        let len = head_len(
            self.description.len(),
            self.table.len(),
            self.checksums.len(),
        );
        let (fixed, variable) = block[..len].split_at_mut(BLOCK_HEADER_LEN);
        let (description, rest) = variable.split_at_mut(self.description.len());
        let (table, checksums) = rest.split_at_mut(self.table.len());
        description.copy_from_slice(self.description);
        table.copy_from_slice(self.table);
        for (to, from) in checksums.chunks_exact_mut(4).zip(self.checksums) {
            to.copy_from_slice(&from.to_le_bytes());
        }
        let mut bytes = BlockHeaderBytes {
            magic: *MAGIC,
            version: VERSION.into(),
            kind: match self.kind {
                BlockKind::Frames => 1,
                BlockKind::Chapter => 2,
            },
            reserved0: 0,
            segment: address.segment.into(),
            volume: address.volume,
            generation: address.generation.0.into(),
            offset: address.offset.into(),
            stream: self.stream.0,
            run: self.run.0.into(),
            number: self.number.into(),
            frame_count: (self.checksums.len() as u32).into(),
            head_len: (len as u32).into(),
            block_len: (len as u32 + self.payload_len).into(),
            first_us: self.first.0.into(),
            end_us: self.end.0.into(),
            description_len: (self.description.len() as u32).into(),
            table_len: (self.table.len() as u32).into(),
            session: self.session.into(),
            extension_len: 0.into(),
            head_crc: 0.into(),
        };
        bytes.head_crc =
            checksum(&[&bytes.as_bytes()[..124], description, table, checksums]).into();
        fixed.copy_from_slice(bytes.as_bytes());
        bytes.head_crc.get()
    }
}

/// A block whose head was verified; its frames are verified one by one.
#[derive(Clone, Copy, Debug)]
pub struct Block<'a> {
    address: Address,
    header: &'a BlockHeaderBytes,
    description: &'a [u8],
    table: &'a [u8],
    checksums: &'a [u8],
    payload: &'a [u8],
}

impl<'a> Block<'a> {
    /// Verifies the head of the block that was written to `address` and whose head has the checksum `head_crc` in the row that refers
    /// to it: after a crash the log goes on over torn blocks of the same life, so the place alone does not tell two blocks apart.
    /// `bytes` start with the block and hold at least its head.
    ///
    /// # Errors
    /// When the head is not intact or belongs elsewhere.
    pub fn verify(bytes: &'a [u8], address: Address, head_crc: u32) -> Result<Self, DecodeError> {
        let block = Self::verify_place(bytes, address)?;
        expect_place(
            WHAT,
            "checksum",
            block.header.head_crc.get().into(),
            head_crc.into(),
        )?;
        Ok(block)
    }

    /// Verifies the head of whatever block was last written to `address`, for inspection.
    ///
    /// # Errors
    /// When the head is not intact or belongs elsewhere.
    pub fn verify_place(bytes: &'a [u8], address: Address) -> Result<Self, DecodeError> {
        let header: &BlockHeaderBytes = header(WHAT, MAGIC, bytes)?;
        let value = |field| DecodeError::Value { what: WHAT, field };
        let head_len = header.head_len.get() as usize;
        let head = bytes
            .get(BLOCK_HEADER_LEN..head_len)
            .ok_or(DecodeError::Short {
                what: WHAT,
                len: bytes.len(),
            })?;
        if checksum(&[&header.as_bytes()[..124], head]) != header.head_crc.get() {
            return Err(DecodeError::Checksum { what: WHAT });
        }
        expect_version(WHAT, header.version.get())?;
        if header.volume != address.volume {
            return Err(DecodeError::Misplaced {
                what: WHAT,
                field: "volume",
                found: 0,
                expected: 0,
            });
        }
        expect_place(
            WHAT,
            "segment",
            header.segment.get().into(),
            address.segment.into(),
        )?;
        expect_place(
            WHAT,
            "generation",
            header.generation.get(),
            address.generation.0,
        )?;
        expect_place(WHAT, "offset", header.offset.get(), address.offset)?;
        if !matches!(header.kind, 1 | 2) {
            return Err(value("kind"));
        }
        let (description, rest) = head
            .split_at_checked(header.description_len.get() as usize)
            .ok_or_else(|| value("description length"))?;
        let (table, checksums) = rest
            .split_at_checked(header.table_len.get() as usize)
            .ok_or_else(|| value("table length"))?;
        let checksums_len = checksums
            .len()
            .checked_sub(header.extension_len.get() as usize);
        let checksums = checksums_len
            .and_then(|len| checksums.get(..len))
            .ok_or_else(|| value("extension length"))?;
        if checksums.len() != header.frame_count.get() as usize * 4 {
            return Err(value("frame count"));
        }
        let block_len = header.block_len.get() as usize;
        if block_len < head_len {
            return Err(value("length"));
        }
        let payload = bytes
            .get(head_len..block_len.min(bytes.len()))
            .unwrap_or(&[]);
        Ok(Self {
            address,
            header,
            description,
            table,
            checksums,
            payload,
        })
    }

    /// What the block holds.
    pub fn kind(&self) -> BlockKind {
        if self.header.kind == 2 {
            BlockKind::Chapter
        } else {
            BlockKind::Frames
        }
    }

    /// The stream.
    pub fn stream(&self) -> StreamId {
        StreamId(self.header.stream)
    }

    /// The run within the stream.
    pub fn run(&self) -> UnixMicros {
        UnixMicros(self.header.run.get())
    }

    /// Number within the run.
    pub fn number(&self) -> u32 {
        self.header.number.get()
    }

    /// Earliest presentation time.
    pub fn first(&self) -> UnixMicros {
        UnixMicros(self.header.first_us.get())
    }

    /// End of the latest frame.
    pub fn end(&self) -> UnixMicros {
        UnixMicros(self.header.end_us.get())
    }

    /// The session that wrote it.
    pub fn session(&self) -> u64 {
        self.header.session.get()
    }

    /// Length of the head.
    pub fn head_len(&self) -> u32 {
        self.header.head_len.get()
    }

    /// Length of head and payload.
    #[expect(clippy::len_without_is_empty, reason = "a block is never empty")]
    pub fn len(&self) -> u32 {
        self.header.block_len.get()
    }

    /// Number of frames (1 for a chapter).
    pub fn frame_count(&self) -> u32 {
        self.header.frame_count.get()
    }

    /// The packed run description.
    pub fn description(&self) -> &'a [u8] {
        self.description
    }

    /// The packed frame table.
    pub fn table(&self) -> &'a [u8] {
        self.table
    }

    /// Verifies frame number `index`, whose bytes are `range` of the payload, and gives them.
    ///
    /// # Errors
    /// When the bytes are not all there or not the frame's.
    pub fn frame(
        &self,
        index: u32,
        range: std::ops::Range<usize>,
    ) -> Result<&'a [u8], DecodeError> {
        const WHAT: &str = "frame";
        let payload = self.payload.get(range).ok_or(DecodeError::Short {
            what: WHAT,
            len: self.payload.len(),
        })?;
        let at = index as usize * 4;
        let stored = self
            .checksums
            .get(at..at + 4)
            .and_then(|bytes| bytes.try_into().ok())
            .map(u32::from_le_bytes)
            .ok_or(DecodeError::Value {
                what: WHAT,
                field: "number",
            })?;
        let mut hasher = self.address.frame_hasher(index);
        hasher.update(payload);
        if hasher.finalize() == stored {
            Ok(payload)
        } else {
            Err(DecodeError::Checksum { what: WHAT })
        }
    }

    /// Verifies the payload as one piece: a chapter's.
    ///
    /// # Errors
    /// When the payload is not all there or not intact.
    pub fn whole_payload(&self) -> Result<&'a [u8], DecodeError> {
        self.frame(0, 0..(self.len() - self.head_len()) as usize)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::format::table;

    #[test]
    fn table_matches_struct() {
        let fields = table::fields!(BlockHeaderBytes: magic, version, kind, reserved0, segment, volume, generation, offset, stream, run,
            number, frame_count, head_len, block_len, first_us, end_us, description_len, table_len, session, extension_len, head_crc);
        table::check(include_str!("block.rs"), "BlockHeader", 128, fields);
    }

    /// A chapter block with the given payload, at `address`.
    pub(crate) fn whole(address: &Address, payload: &[u8]) -> Vec<u8> {
        let mut hasher = address.frame_hasher(0);
        hasher.update(payload);
        let head = BlockHead {
            kind: BlockKind::Chapter,
            session: 1,
            stream: StreamId([7; 16]),
            run: UnixMicros(5),
            number: 3,
            first: UnixMicros(10),
            end: UnixMicros(20),
            description: b"description",
            table: b"",
            checksums: &[hasher.finalize()],
            payload_len: payload.len() as u32,
        };
        let mut bytes = vec![0; head_len(11, 0, 1)];
        head.encode(address, &mut bytes);
        bytes.extend_from_slice(payload);
        bytes
    }

    #[test]
    fn no_flipped_bit_and_no_other_place_is_accepted() {
        let address = Address {
            volume: [1; 16],
            segment: 2,
            generation: Generation(77),
            offset: 4096,
        };
        let bytes = whole(&address, b"payload");
        assert_eq!(
            Block::verify_place(&bytes, address)
                .unwrap()
                .whole_payload()
                .unwrap(),
            b"payload"
        );
        for other in [
            Address {
                volume: [2; 16],
                ..address
            },
            Address {
                segment: 3,
                ..address
            },
            Address {
                generation: Generation(76),
                ..address
            },
            Address {
                offset: 8192,
                ..address
            },
        ] {
            assert!(Block::verify_place(&bytes, other).is_err(), "{other:?}");
        }
        for bit in 0..bytes.len() * 8 {
            let mut torn = bytes.clone();
            torn[bit / 8] ^= 1 << (bit % 8);
            assert!(
                Block::verify_place(&torn, address)
                    .and_then(|block| block.whole_payload().map(drop))
                    .is_err(),
                "bit {bit}"
            );
        }
        for len in 0..bytes.len() {
            assert!(
                Block::verify_place(&bytes[..len], address)
                    .and_then(|block| block.whole_payload().map(drop))
                    .is_err(),
                "{len} bytes"
            );
        }
    }
}
