//! The superblock: what a volume is, in four copies, the only thing on a volume that is rewritten in place.
//!
//! Written at format and once at each opening for writing (the session rises), copies 0 and 1, sync, copies 2 and 3, sync: at
//! every instant two whole copies of the old or of the new superblock exist. A copy fits into one 512-byte sector, so a torn
//! write leaves it old or new. Opening takes the intact copy with the highest sequence.
//!
//! ### Superblock
//! | offset | size | field            | meaning                                                             |
//! |-------:|-----:|------------------|---------------------------------------------------------------------|
//! |      0 |    8 | magic            | `NVRVOL\x1a\n`                                                      |
//! |      8 |    2 | version          | `format::VERSION`                                                   |
//! |     10 |    2 | reserved0        | zero                                                                |
//! |     12 |    4 | copy             | 0–3: which copy this is                                             |
//! |     16 |   16 | volume           | identity of the volume, random                                      |
//! |     32 |    8 | sequence         | rises with every rewrite                                            |
//! |     40 |    8 | session          | of the last opening for writing, from 1; below 2^32                 |
//! |     48 |    8 | segment_len      | bytes of a segment file, a multiple of 4 KiB                        |
//! |     56 |    4 | segment_count    | number of segment files                                             |
//! |     60 |    4 | batch_len_max    | no batch is longer                                                  |
//! |     64 |    8 | window_len       | all writes since the last sync lie within so many bytes of the log  |
//! |     72 |    8 | created_us       | when the volume was formatted, µs since 1970                        |
//! |     80 |   64 | pool             | name of the pool, UTF-8, zero-padded                                |
//! |    144 |    8 | refuse_open      | feature bits: a program that does not know one must not open        |
//! |    152 |    8 | refuse_write     | feature bits: a program that does not know one must not write       |
//! |    160 |   64 | key              | reserved for encryption at rest: zero in version 1                  |
//! |    224 |   28 | reserved1        | zero                                                                |
//! |    252 |    4 | crc              | CRC-32 of bytes 0..252                                              |

use super::{DecodeError, PAGE, VERSION, checksum, expect_place, expect_version, header};
use zerocopy::{
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
    little_endian::{I64, U16, U32, U64},
};

/// Name of the file.
pub const FILE: &str = "superblock";
/// Copies in the file, one per page.
pub const COPIES: u32 = 4;
/// Length of the file.
pub const FILE_LEN: u64 = COPIES as u64 * PAGE;

/// The longest segment, so that places within one fit the index and its directory fits memory.
pub const SEGMENT_LEN_MAX: u64 = 32 << 30;

const WHAT: &str = "superblock";
const MAGIC: &[u8; 8] = b"NVRVOL\x1a\n";
const POOL_LEN_MAX: usize = 64;

/// The bytes of one copy.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Copy, Debug)]
#[repr(C)]
struct SuperblockBytes {
    magic: [u8; 8],
    version: U16,
    reserved0: [u8; 2],
    copy: U32,
    volume: [u8; 16],
    sequence: U64,
    session: U64,
    segment_len: U64,
    segment_count: U32,
    batch_len_max: U32,
    window_len: U64,
    created_us: I64,
    pool: [u8; POOL_LEN_MAX],
    refuse_open: U64,
    refuse_write: U64,
    key: [u8; 64],
    reserved1: [u8; 28],
    crc: U32,
}

const _: () = assert!(size_of::<SuperblockBytes>() == 256);

/// Identity of a volume.
pub type VolumeId = [u8; 16];

/// A verified superblock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Superblock {
    /// Identity of the volume, random.
    pub volume: VolumeId,
    /// Rises with every rewrite.
    pub sequence: u64,
    /// Of the last opening for writing.
    pub session: u64,
    /// Bytes of a segment file.
    pub segment_len: u64,
    /// Number of segment files.
    pub segment_count: u32,
    /// No batch is longer.
    pub batch_len_max: u32,
    /// All writes since the last sync lie within so many bytes of the log.
    pub window_len: u64,
    /// When the volume was formatted, µs since 1970.
    pub created_us: i64,
    /// Name of the pool.
    pub pool: String,
    /// Feature bits of another release without which the volume must not be written; this one knows none.
    pub refuse_write: u64,
}

impl Superblock {
    /// The page of copy number `copy`.
    ///
    /// # Panics
    /// When the pool's name is longer than 64 bytes: checked where it is entered.
    pub fn encode(&self, copy: u32) -> [u8; PAGE as usize] {
        assert!(copy < COPIES && self.pool.len() <= POOL_LEN_MAX);
        let mut pool = [0; POOL_LEN_MAX];
        pool[..self.pool.len()].copy_from_slice(self.pool.as_bytes());
        let mut bytes = SuperblockBytes {
            magic: *MAGIC,
            version: VERSION.into(),
            reserved0: [0; 2],
            copy: copy.into(),
            volume: self.volume,
            sequence: self.sequence.into(),
            session: self.session.into(),
            segment_len: self.segment_len.into(),
            segment_count: self.segment_count.into(),
            batch_len_max: self.batch_len_max.into(),
            window_len: self.window_len.into(),
            created_us: self.created_us.into(),
            pool,
            refuse_open: 0.into(),
            refuse_write: self.refuse_write.into(),
            key: [0; 64],
            reserved1: [0; 28],
            crc: 0.into(),
        };
        bytes.crc = checksum(&[&bytes.as_bytes()[..252]]).into();
        let mut page = [0; PAGE as usize];
        page[..256].copy_from_slice(bytes.as_bytes());
        page
    }

    /// Verifies the page of copy number `copy`.
    ///
    /// # Errors
    /// When it is not an intact superblock of this version, or not that copy.
    pub fn decode(page: &[u8], copy: u32) -> Result<Self, DecodeError> {
        let bytes: &SuperblockBytes = header(WHAT, MAGIC, page)?;
        if checksum(&[&bytes.as_bytes()[..252]]) != bytes.crc.get() {
            return Err(DecodeError::Checksum { what: WHAT });
        }
        expect_version(WHAT, bytes.version.get())?;
        expect_place(WHAT, "copy", bytes.copy.get().into(), copy.into())?;
        let pool_len = bytes
            .pool
            .iter()
            .position(|byte| *byte == 0)
            .unwrap_or(POOL_LEN_MAX);
        let value = |field| DecodeError::Value { what: WHAT, field };
        let pool = std::str::from_utf8(&bytes.pool[..pool_len])
            .map_err(|_| value("pool"))?
            .to_owned();
        let superblock = Self {
            volume: bytes.volume,
            sequence: bytes.sequence.get(),
            session: bytes.session.get(),
            segment_len: bytes.segment_len.get(),
            segment_count: bytes.segment_count.get(),
            batch_len_max: bytes.batch_len_max.get(),
            window_len: bytes.window_len.get(),
            created_us: bytes.created_us.get(),
            pool,
            refuse_write: bytes.refuse_write.get(),
        };
        if bytes.refuse_open.get() != 0 {
            return Err(DecodeError::Feature {
                what: WHAT,
                bits: bytes.refuse_open.get(),
            });
        }
        if superblock.session > u64::from(u32::MAX) {
            return Err(value("session"));
        }
        if superblock.is_sound() {
            Ok(superblock)
        } else {
            Err(value("geometry"))
        }
    }

    /// Whether a ring can turn in this geometry: a batch and the directory of its items always fit an empty segment.
    pub fn is_sound(&self) -> bool {
        let batch = u64::from(self.batch_len_max);
        let pages = |len: u64| len > 0 && len.is_multiple_of(PAGE);
        pages(self.segment_len)
            && pages(batch)
            && pages(self.window_len)
            && self.segment_len <= SEGMENT_LEN_MAX
            && batch * 2 + 2 * PAGE <= self.segment_len
            && batch <= self.window_len
            && self.window_len <= self.segment_len
            && self.segment_count > 0
    }

    /// The one that counts among the pages of a superblock file: the intact copy with the highest sequence.
    ///
    /// # Errors
    /// When no copy is intact: the most telling error (another version before a wrong checksum before nothing there).
    pub fn choose(file: &[u8]) -> Result<Self, DecodeError> {
        let mut best: Option<Self> = None;
        let mut worst = DecodeError::Magic { what: WHAT };
        for (copy, page) in file.chunks_exact(PAGE as usize).enumerate() {
            match Self::decode(page, copy as u32) {
                Ok(one)
                    if best
                        .as_ref()
                        .is_none_or(|best| one.sequence > best.sequence) =>
                {
                    best = Some(one)
                }
                Ok(_) => {}
                Err(error) => worst = worse(worst, error),
            }
        }
        best.ok_or(worst)
    }
}

fn worse(a: DecodeError, b: DecodeError) -> DecodeError {
    let rank = |error: &DecodeError| match error {
        DecodeError::Version { .. } => 2,
        DecodeError::Magic { .. } => 0,
        _ => 1,
    };
    if rank(&b) > rank(&a) { b } else { a }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::format::table;

    pub(crate) fn sample() -> Superblock {
        Superblock {
            volume: *b"0123456789abcdef",
            sequence: 7,
            session: 3,
            segment_len: 1 << 20,
            segment_count: 6,
            batch_len_max: 1 << 18,
            window_len: 1 << 20,
            created_us: 1_795_000_000_000_000,
            pool: "chính".into(),
            refuse_write: 0,
        }
    }

    #[test]
    fn table_matches_struct() {
        let fields = table::fields!(SuperblockBytes: magic, version, reserved0, copy, volume, sequence, session, segment_len,
            segment_count, batch_len_max, window_len, created_us, pool, refuse_open, refuse_write, key, reserved1, crc);
        table::check(include_str!("superblock.rs"), "Superblock", 256, fields);
    }

    #[test]
    fn no_flipped_bit_is_accepted() {
        let page = sample().encode(2);
        assert_eq!(Superblock::decode(&page, 2), Ok(sample()));
        assert!(Superblock::decode(&page, 1).is_err(), "a misdirected copy");
        for bit in 0..256 * 8 {
            let mut torn = page;
            torn[bit / 8] ^= 1 << (bit % 8);
            assert!(Superblock::decode(&torn, 2).is_err(), "bit {bit}");
        }
    }

    /// Whatever instant of a rewrite the power is cut at, the volume opens as it was before or after.
    #[test]
    fn the_newest_intact_copy_wins() {
        let old = sample();
        let new = Superblock {
            sequence: 8,
            session: 4,
            ..sample()
        };
        for written in 0..=COPIES {
            let mut file: Vec<u8> = (0..COPIES)
                .flat_map(|copy| {
                    if copy < written {
                        new.encode(copy)
                    } else {
                        old.encode(copy)
                    }
                })
                .collect();
            if written < COPIES {
                file[written as usize * PAGE as usize + 100] ^= 0xff;
            }
            let chosen = Superblock::choose(&file).unwrap();
            assert_eq!(
                chosen,
                if written == 0 {
                    old.clone()
                } else {
                    new.clone()
                }
            );
        }
        assert_eq!(
            Superblock::choose(&[0; FILE_LEN as usize]),
            Err(DecodeError::Magic { what: WHAT })
        );
    }
}
