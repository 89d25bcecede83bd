//! The index file: which chapters each stream has and which life each segment is in. A cache: it can be lost at any moment and is
//! then rebuilt from the segments, so nothing else ever waits for it to be durable.
//!
//! It is mapped into memory and changed in place, so any record may be old, new or torn after a crash: each has a checksum of
//! its own, seeded with the volume, the kind and the position, and an unreadable record counts as empty. What makes it usable is
//! the checkpoint in the header: every chapter of a segment with a generation below `covered` is in the file; the others are
//! found again from the directories and batches from `replay_from` on.
//!
//! ```text
//! | header, 2 copies, a page each | segment records | stream records | chapter records … |
//! ```
//!
//! ### IndexHeader
//! | offset | size | field         | meaning                                                            |
//! |-------:|-----:|---------------|--------------------------------------------------------------------|
//! |      0 |    8 | magic         | `NVRIDX\x1a\n`                                                     |
//! |      8 |    2 | version       | `format::VERSION`                                                  |
//! |     10 |    2 | reserved0     | zero                                                               |
//! |     12 |    4 | segment_count | segment records                                                    |
//! |     16 |   16 | volume        | identity of the volume                                             |
//! |     32 |    8 | sequence      | rises with every checkpoint; the intact copy with the highest counts |
//! |     40 |    8 | covered       | chapters of lower generations are all in this file                 |
//! |     48 |    8 | replay_from   | blocks of lower generations are all in chapters                    |
//! |     56 |    4 | stream_count  | stream records                                                     |
//! |     60 |    4 | chapter_count | chapter records, at the least                                      |
//! |     64 |   60 | reserved1     | zero                                                               |
//! |    124 |    4 | crc           | CRC-32 of bytes 0..124                                             |
//!
//! ### SegmentRecord
//! | offset | size | field      | meaning                                          |
//! |-------:|-----:|------------|--------------------------------------------------|
//! |      0 |    8 | generation | life of the segment, 0: never taken              |
//! |      8 |    8 | taken_us   | when it was taken                                |
//! |     16 |    4 | chapters   | chapter records that lie in it                   |
//! |     20 |    1 | state      | 0 in use, 1 quarantined                          |
//! |     21 |    7 | reserved0  | zero                                             |
//! |     28 |    4 | crc        | seeded CRC-32 of bytes 0..28                     |
//!
//! ### StreamRecord
//! | offset | size | field     | meaning                                            |
//! |-------:|-----:|-----------|----------------------------------------------------|
//! |      0 |   16 | stream    | identity of the stream                             |
//! |     16 |   96 | camera    | the camera's id, UTF-8, zero-padded                |
//! |    112 |  256 | name      | its name for people, UTF-8, cut at 256 bytes       |
//! |    368 |   16 | kind      | `main` or `sub`                                    |
//! |    384 |  124 | reserved0 | zero                                               |
//! |    508 |    4 | crc       | seeded CRC-32 of bytes 0..508                      |
//!
//! ### ChapterRecord
//! | offset | size | field       | meaning                                               |
//! |-------:|-----:|-------------|-------------------------------------------------------|
//! |      0 |    4 | stream      | number of the stream record                           |
//! |      4 |    1 | start_cause | why there was a gap before the run                    |
//! |      5 |    1 | end_cause   | why the run ended with this chapter; 0: it goes on    |
//! |      6 |    2 | reserved0   | zero                                                  |
//! |      8 |    8 | run         | the run's start                                       |
//! |     16 |    8 | first_us    | earliest presentation time                            |
//! |     24 |    4 | span_us     | end of the latest frame − first_us                    |
//! |     28 |    4 | number      | number of its first block                             |
//! |     32 |    4 | count       | number of its blocks                                  |
//! |     36 |    4 | len         | length of the block that holds it                     |
//! |     40 |    8 | generation  | of the segment it lies in                             |
//! |     48 |    8 | oldest      | generation of its first block                         |
//! |     56 |    4 | offset16    | offset in the segment / 16                            |
//! |     60 |    4 | crc         | CRC-32 of bytes 0..60, seeded with the stream as well |

use super::{
    DecodeError, PAGE, VERSION, checksum, expect_version, header, place::Generation,
    superblock::VolumeId,
};
use zerocopy::{
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
    little_endian::{I64, U16, U32, U64},
};

/// Name of the file.
pub const FILE: &str = "index";
/// Most streams a volume lists.
pub const STREAMS_MAX: u32 = 4096;

const WHAT: &str = "index";
const MAGIC: &[u8; 8] = b"NVRIDX\x1a\n";

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Copy, Debug)]
#[repr(C)]
struct IndexHeaderBytes {
    magic: [u8; 8],
    version: U16,
    reserved0: [u8; 2],
    segment_count: U32,
    volume: [u8; 16],
    sequence: U64,
    covered: U64,
    replay_from: U64,
    stream_count: U32,
    chapter_count: U32,
    reserved1: [u8; 60],
    crc: U32,
}

/// A verified checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Rises with every checkpoint.
    pub sequence: u64,
    /// Chapters of lower generations are all in the file.
    pub covered: Generation,
    /// Blocks of lower generations are all in chapters.
    pub replay_from: Generation,
}

/// The life of a segment.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Copy, Debug)]
#[repr(C)]
pub struct SegmentRecord {
    /// Life of the segment.
    pub generation: U64,
    /// When it was taken.
    pub taken_us: I64,
    /// Chapter records that lie in it: fewer in the file means that some were lost.
    pub chapters: U32,
    /// 0 in use, 1 quarantined.
    pub state: u8,
    reserved0: [u8; 7],
    crc: U32,
}

/// Whose stream it is.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Copy, Debug)]
#[repr(C)]
pub struct StreamRecord {
    /// Identity of the stream.
    pub stream: [u8; 16],
    camera: [u8; 96],
    name: [u8; 256],
    kind: [u8; 16],
    reserved0: [u8; 124],
    crc: U32,
}

/// Where a chapter lies and what it covers.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Copy, Debug)]
#[repr(C)]
pub struct ChapterRecord {
    /// Number of the stream record.
    pub stream: U32,
    /// Why there was a gap before the run.
    pub start_cause: u8,
    /// Why the run ended; 0: it goes on.
    pub end_cause: u8,
    reserved0: [u8; 2],
    /// The run's start.
    pub run: I64,
    /// Earliest presentation time.
    pub first_us: I64,
    /// End of the latest frame − first_us.
    pub span_us: U32,
    /// Number of its first block.
    pub number: U32,
    /// Number of its blocks.
    pub count: U32,
    /// Length of the block that holds it.
    pub len: U32,
    /// Generation of the segment it lies in.
    pub generation: U64,
    /// Generation of its first block.
    pub oldest: U64,
    /// Offset in the segment / 16.
    pub offset16: U32,
    crc: U32,
}

const _: () = assert!(size_of::<IndexHeaderBytes>() == 128 && size_of::<SegmentRecord>() == 32);
const _: () = assert!(size_of::<StreamRecord>() == 512 && size_of::<ChapterRecord>() == 64);

/// A record with a checksum in its last four bytes.
pub trait Record: FromBytes + IntoBytes + KnownLayout + Immutable + Unaligned + Copy {
    /// Distinguishes the kinds in the checksum's seed.
    const KIND: u8;

    /// Writes the record as number `position` to `bytes`, which are exactly as long.
    /// `salt`: the stream's identity for a chapter, else empty.
    fn store(&self, volume: &VolumeId, position: u32, salt: &[u8], bytes: &mut [u8]) {
        let len = size_of::<Self>();
        bytes.copy_from_slice(self.as_bytes());
        let crc = seeded(volume, Self::KIND, position, salt, &bytes[..len - 4]);
        bytes[len - 4..].copy_from_slice(&crc.to_le_bytes());
    }

    /// Reads record number `position`; `None` when it is empty or torn.
    fn load(volume: &VolumeId, position: u32, salt: &[u8], bytes: &[u8]) -> Option<Self> {
        let (fields, crc) = bytes.split_last_chunk::<4>()?;
        if seeded(volume, Self::KIND, position, salt, fields) != u32::from_le_bytes(*crc) {
            return None;
        }
        Self::read_from_bytes(bytes).ok()
    }
}

impl Record for SegmentRecord {
    const KIND: u8 = 1;
}

impl Record for StreamRecord {
    const KIND: u8 = 2;
}

impl Record for ChapterRecord {
    const KIND: u8 = 3;
}

fn seeded(volume: &VolumeId, kind: u8, position: u32, salt: &[u8], bytes: &[u8]) -> u32 {
    checksum(&[volume, &[kind], &position.to_le_bytes(), salt, bytes])
}

impl SegmentRecord {
    /// A segment in its life `generation`.
    pub fn new(generation: Generation, taken_us: i64, chapters: u32, quarantined: bool) -> Self {
        Self {
            generation: generation.0.into(),
            taken_us: taken_us.into(),
            chapters: chapters.into(),
            state: u8::from(quarantined),
            reserved0: [0; 7],
            crc: 0.into(),
        }
    }
}

impl StreamRecord {
    /// A stream; texts that are too long are cut at a character.
    pub fn new(stream: [u8; 16], camera: &str, name: &str, kind: &str) -> Self {
        Self {
            stream,
            camera: padded(camera),
            name: padded(name),
            kind: padded(kind),
            reserved0: [0; 124],
            crc: 0.into(),
        }
    }

    /// The camera's id.
    pub fn camera(&self) -> &str {
        unpadded(&self.camera)
    }

    /// The camera's name for people.
    pub fn name(&self) -> &str {
        unpadded(&self.name)
    }

    /// `main` or `sub`.
    pub fn kind(&self) -> &str {
        unpadded(&self.kind)
    }
}

fn padded<const N: usize>(text: &str) -> [u8; N] {
    let mut bytes = [0; N];
    let cut = &text[..text.floor_char_boundary(N)];
    bytes[..cut.len()].copy_from_slice(cut.as_bytes());
    bytes
}

fn unpadded(bytes: &[u8]) -> &str {
    let len = bytes
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(bytes.len());
    std::str::from_utf8(&bytes[..len]).unwrap_or("")
}

impl ChapterRecord {
    /// The number of the stream record in unverified bytes: which salt verifies them.
    pub fn stream_of(bytes: &[u8]) -> Option<u32> {
        Some(Self::ref_from_bytes(bytes).ok()?.stream.get())
    }

    /// A record from its fields; the checksum comes with `store`.
    #[expect(
        clippy::too_many_arguments,
        reason = "mirrors the byte table; called in one place with named locals"
    )]
    pub fn new(
        stream: u32,
        causes: (u8, u8),
        run: i64,
        first_us: i64,
        span_us: u32,
        number: u32,
        count: u32,
        len: u32,
        generation: Generation,
        oldest: Generation,
        offset16: u32,
    ) -> Self {
        Self {
            stream: stream.into(),
            start_cause: causes.0,
            end_cause: causes.1,
            reserved0: [0; 2],
            run: run.into(),
            first_us: first_us.into(),
            span_us: span_us.into(),
            number: number.into(),
            count: count.into(),
            len: len.into(),
            generation: generation.0.into(),
            oldest: oldest.0.into(),
            offset16: offset16.into(),
            crc: 0.into(),
        }
    }
}

/// Where things lie in the index file of a volume with so many segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexLayout {
    segment_count: u32,
}

impl IndexLayout {
    /// The layout for `segment_count` segments.
    pub fn new(segment_count: u32) -> Self {
        Self { segment_count }
    }

    /// Bytes of the record of segment `number`.
    pub fn segment(&self, number: u32) -> std::ops::Range<usize> {
        assert!(number < self.segment_count);
        range(2 * PAGE as usize, number, size_of::<SegmentRecord>())
    }

    /// Bytes of stream record `number`.
    pub fn stream(&self, number: u32) -> std::ops::Range<usize> {
        assert!(number < STREAMS_MAX);
        range(self.streams_at(), number, size_of::<StreamRecord>())
    }

    /// Bytes of chapter record `number`.
    pub fn chapter(&self, number: u32) -> std::ops::Range<usize> {
        range(self.chapters_at(), number, size_of::<ChapterRecord>())
    }

    /// Length of a file with room for `chapters` chapter records.
    pub fn len(&self, chapters: u32) -> usize {
        let end = self.chapter(chapters).start;
        end.next_multiple_of(PAGE as usize)
    }

    /// How many chapter records a file of `len` bytes holds.
    pub fn chapters(&self, len: usize) -> u32 {
        (len.saturating_sub(self.chapters_at()) / size_of::<ChapterRecord>()) as u32
    }

    fn streams_at(&self) -> usize {
        (2 * PAGE as usize + self.segment_count as usize * size_of::<SegmentRecord>())
            .next_multiple_of(PAGE as usize)
    }

    fn chapters_at(&self) -> usize {
        self.streams_at() + STREAMS_MAX as usize * size_of::<StreamRecord>()
    }

    /// Writes a checkpoint into the header copy that is not the newest.
    pub fn store_checkpoint(&self, volume: &VolumeId, checkpoint: &Checkpoint, file: &mut [u8]) {
        let mut bytes = IndexHeaderBytes {
            magic: *MAGIC,
            version: VERSION.into(),
            reserved0: [0; 2],
            segment_count: self.segment_count.into(),
            volume: *volume,
            sequence: checkpoint.sequence.into(),
            covered: checkpoint.covered.0.into(),
            replay_from: checkpoint.replay_from.0.into(),
            stream_count: STREAMS_MAX.into(),
            chapter_count: self.chapters(file.len()).into(),
            reserved1: [0; 60],
            crc: 0.into(),
        };
        bytes.crc = checksum(&[&bytes.as_bytes()[..124]]).into();
        let at = (checkpoint.sequence % 2) as usize * PAGE as usize;
        file[at..at + 128].copy_from_slice(bytes.as_bytes());
    }

    /// The newest intact checkpoint.
    ///
    /// # Errors
    /// When neither copy is intact, or the file belongs to another volume: the index is lost and must be rebuilt.
    pub fn load_checkpoint(
        &self,
        volume: &VolumeId,
        file: &[u8],
    ) -> Result<Checkpoint, DecodeError> {
        let mut best: Result<Checkpoint, DecodeError> = Err(DecodeError::Magic { what: WHAT });
        for page in file.chunks(PAGE as usize).take(2) {
            match self.decode_checkpoint(volume, page) {
                Ok(one)
                    if best
                        .as_ref()
                        .map_or(true, |best| one.sequence > best.sequence) =>
                {
                    best = Ok(one)
                }
                Ok(_) => {}
                Err(error) => best = best.or(Err(error)),
            }
        }
        best
    }

    /// The volume, layout and checkpoint that an intact header copy tells of, for a file that stands alone.
    ///
    /// # Errors
    /// When it is not an intact header of this version.
    pub fn peek(page: &[u8]) -> Result<(VolumeId, Self, Checkpoint), DecodeError> {
        let bytes: &IndexHeaderBytes = header(WHAT, MAGIC, page)?;
        let layout = Self::new(bytes.segment_count.get());
        let checkpoint = layout.decode_checkpoint(&bytes.volume, page)?;
        Ok((bytes.volume, layout, checkpoint))
    }

    /// How many segment records there are.
    pub fn segment_count(&self) -> u32 {
        self.segment_count
    }

    fn decode_checkpoint(&self, volume: &VolumeId, page: &[u8]) -> Result<Checkpoint, DecodeError> {
        let bytes: &IndexHeaderBytes = header(WHAT, MAGIC, page)?;
        if checksum(&[&bytes.as_bytes()[..124]]) != bytes.crc.get() {
            return Err(DecodeError::Checksum { what: WHAT });
        }
        expect_version(WHAT, bytes.version.get())?;
        let geometry = (
            bytes.volume,
            bytes.segment_count.get(),
            bytes.stream_count.get(),
        );
        if geometry != (*volume, self.segment_count, STREAMS_MAX) {
            return Err(DecodeError::Value {
                what: WHAT,
                field: "volume",
            });
        }
        Ok(Checkpoint {
            sequence: bytes.sequence.get(),
            covered: Generation(bytes.covered.get()),
            replay_from: Generation(bytes.replay_from.get()),
        })
    }
}

fn range(start: usize, number: u32, size: usize) -> std::ops::Range<usize> {
    let at = start + number as usize * size;
    at..at + size
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::table;

    #[test]
    fn tables_match_structs() {
        let source = include_str!("index.rs");
        let header = table::fields!(IndexHeaderBytes: magic, version, reserved0, segment_count, volume, sequence, covered, replay_from,
            stream_count, chapter_count, reserved1, crc);
        table::check(source, "IndexHeader", 128, header);
        table::check(
            source,
            "SegmentRecord",
            32,
            table::fields!(SegmentRecord: generation, taken_us, chapters, state, reserved0, crc),
        );
        table::check(
            source,
            "StreamRecord",
            512,
            table::fields!(StreamRecord: stream, camera, name, kind, reserved0, crc),
        );
        let chapter = table::fields!(ChapterRecord: stream, start_cause, end_cause, reserved0, run, first_us, span_us, number, count, len,
            generation, oldest, offset16, crc);
        table::check(source, "ChapterRecord", 64, chapter);
    }

    #[test]
    fn a_record_counts_only_whole_and_in_its_place() {
        let volume = [4; 16];
        let record = StreamRecord::new([1; 16], "gate", "Cổng chính", "main");
        let mut bytes = [0; 512];
        assert!(
            StreamRecord::load(&volume, 0, &[], &bytes).is_none(),
            "zeroes are empty"
        );
        record.store(&volume, 9, &[], &mut bytes);
        assert_eq!(
            StreamRecord::load(&volume, 9, &[], &bytes).unwrap().name(),
            "Cổng chính"
        );
        assert!(StreamRecord::load(&volume, 8, &[], &bytes).is_none());
        assert!(StreamRecord::load(&[5; 16], 9, &[], &bytes).is_none());
        for bit in 0..512 * 8 {
            let mut torn = bytes;
            torn[bit / 8] ^= 1 << (bit % 8);
            assert!(
                StreamRecord::load(&volume, 9, &[], &torn).is_none(),
                "bit {bit}"
            );
        }
    }

    #[test]
    fn the_newest_intact_checkpoint_counts() {
        let (volume, layout) = ([4; 16], IndexLayout::new(6));
        let mut file = vec![0; layout.len(10)];
        assert!(layout.chapters(file.len()) >= 10);
        assert!(layout.load_checkpoint(&volume, &file).is_err());
        let checkpoint = |sequence| Checkpoint {
            sequence,
            covered: Generation(sequence),
            replay_from: Generation(1),
        };
        layout.store_checkpoint(&volume, &checkpoint(4), &mut file);
        layout.store_checkpoint(&volume, &checkpoint(5), &mut file);
        assert_eq!(layout.load_checkpoint(&volume, &file), Ok(checkpoint(5)));
        file[PAGE as usize + 40] ^= 1;
        assert_eq!(
            layout.load_checkpoint(&volume, &file),
            Ok(checkpoint(4)),
            "a torn newest copy leaves the one before"
        );
        assert!(IndexLayout::new(7).load_checkpoint(&volume, &file).is_err());
    }

    #[test]
    fn long_names_are_cut_at_a_character() {
        let record = StreamRecord::new([1; 16], "x", &"Ủ".repeat(200), "main");
        assert!(record.name().len() <= 256 && record.name().chars().all(|c| c == 'Ủ'));
    }
}
