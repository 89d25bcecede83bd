//! Everything on disk: bytes to values and back. Pure: reads no file, knows no clock.
//!
//! `docs/format.md` argues the crash cases; the byte tables are in the modules below and are tested against the structs. A
//! volume is one `superblock` file (four copies), one `index` file (a cache that can be rebuilt) and segment files. A segment
//! is a segment header, batches one behind the other, and, once sealed, a directory at its end:
//!
//! ```text
//! | header 4 KiB | batch | batch | … | batch | (stale) | directory items | trailer 4 KiB |
//!                 batch = | header, items | block | block | … | padding to 4 KiB |
//!                                            block = | header, description, frame table, frame checksums | payload |
//! ```
//!
//! Three rules hold for every structure:
//! - F1 its checksum covers the volume, the segment, the generation and the place it was written to, so that a perfect old or
//!   misdirected structure never passes for the one that belongs there;
//! - F2 unverified bytes and verified values are different types, and decoding bytes of any content ends in a value or a
//!   `DecodeError`, never in a panic;
//! - F3 integers are little-endian; checksums are CRC-32 (IEEE 802.3, as `crc32fast` computes it), check value `cbf43926`.

pub mod cursor;

pub mod frame_table;

pub mod description;

pub mod place;

pub mod superblock;

pub mod segment;

pub mod block;

pub mod row;

pub mod batch;

pub mod chapter;

pub mod directory;

pub mod index;

/// The version of the on-disk format. Each has a golden folder, `tests/golden/vN`, which is never edited once released.
///
/// History:
/// - 1: the first; read by release 0.1 and later. Room to grow without a new version: items of unknown kind are skipped; bytes behind the
///   known ones of a description, an item and a chapter, and the extension of a block's head, are ignored; the superblock's feature bits
///   say who may not touch a volume.
pub const VERSION: u16 = 1;

/// The releases that read version 1 and those after it, in order.
const READERS: [&str; VERSION as usize] = ["0.1 and later"];

/// Which releases read volumes of format `version`; `None` for one that this release has not heard of.
pub fn readers_of(version: u16) -> Option<&'static str> {
    let index = usize::from(version).checked_sub(1)?;
    READERS.get(index).copied()
}

/// What to do with a volume of another version.
fn remedy(version: u16) -> String {
    match readers_of(version) {
        Some(releases) => format!("use release {releases}"),
        None if version > VERSION => "use the release that wrote it or a newer one".to_owned(),
        None => "use the release that wrote it".to_owned(),
    }
}

/// Everything that is written in one go starts and ends at a multiple of this.
pub const PAGE: u64 = 4096;

/// Bytes that are not what they should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes end too early.
    #[error("{what} ends after {len} bytes")]
    Short {
        /// The structure.
        what: &'static str,
        /// How many bytes there were.
        len: usize,
    },
    /// The first bytes are not those of the structure: never written, or something else.
    #[error("no {what} here")]
    Magic {
        /// The structure.
        what: &'static str,
    },
    /// Written by another release.
    #[error("{what} has format version {found}; this program reads version {VERSION}: {}", remedy(*found))]
    Version {
        /// The structure.
        what: &'static str,
        /// The version found.
        found: u16,
    },
    /// The checksum disagrees: torn, rotten or stale.
    #[error("checksum of {what} is wrong")]
    Checksum {
        /// The structure.
        what: &'static str,
    },
    /// Intact, but it belongs to another place or another life of the segment.
    #[error("{what} belongs elsewhere: {field} is {found}, expected {expected}")]
    Misplaced {
        /// The structure.
        what: &'static str,
        /// What differs.
        field: &'static str,
        /// As read.
        found: u64,
        /// As asked for.
        expected: u64,
    },
    /// A newer release uses the volume in a way this one must not touch.
    #[error(
        "{what} needs features this program does not have (bits {bits:#x}): use a newer release"
    )]
    Feature {
        /// The structure.
        what: &'static str,
        /// The bits that are not known.
        bits: u64,
    },
    /// A field has a value that no version writes.
    #[error("{what} holds an impossible {field}")]
    Value {
        /// The structure.
        what: &'static str,
        /// The field.
        field: &'static str,
    },
}

/// CRC-32 (IEEE 802.3) over pieces.
pub fn checksum(pieces: &[&[u8]]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    for piece in pieces {
        hasher.update(piece);
    }
    hasher.finalize()
}

/// Fails unless `found == expected`; used for every field that ties a structure to its place (rule F1).
fn expect_place(
    what: &'static str,
    field: &'static str,
    found: u64,
    expected: u64,
) -> Result<(), DecodeError> {
    if found == expected {
        Ok(())
    } else {
        Err(DecodeError::Misplaced {
            what,
            field,
            found,
            expected,
        })
    }
}

/// Reads the fixed header `T` at the start of `bytes` after checking its magic (bytes 0..8). The checksum comes next, the version
/// (`expect_version`) last, so that rot is never taken for another release: magic, version and checksum keep their places in
/// every version.
fn header<'a, T>(what: &'static str, magic: &[u8; 8], bytes: &'a [u8]) -> Result<&'a T, DecodeError>
where
    T: zerocopy::FromBytes + zerocopy::KnownLayout + zerocopy::Immutable + zerocopy::Unaligned,
{
    let (found_magic, _) = bytes.split_first_chunk::<8>().ok_or(DecodeError::Short {
        what,
        len: bytes.len(),
    })?;
    if found_magic != magic {
        return Err(DecodeError::Magic { what });
    }
    let (value, _) = T::ref_from_prefix(bytes).map_err(|_| DecodeError::Short {
        what,
        len: bytes.len(),
    })?;
    Ok(value)
}

/// Fails unless the structure was written in this version.
fn expect_version(what: &'static str, found: u16) -> Result<(), DecodeError> {
    if found == VERSION {
        Ok(())
    } else {
        Err(DecodeError::Version { what, found })
    }
}

#[cfg(test)]
pub(crate) mod table {
    //! The byte table in a module's docs is the specification: this holds it against the struct.

    /// Checks that the rows `| offset | size | field |` of `source` headed by `### NAME` are exactly `fields`.
    pub(crate) fn check(source: &str, name: &str, size: usize, fields: &[(&str, usize)]) {
        let heading = format!("//! ### {name}");
        let rows: Vec<(usize, usize, String)> = source
            .lines()
            .skip_while(|line| line.trim() != heading)
            .skip(1)
            .take_while(|line| !line.starts_with("//! ###"))
            .filter_map(|line| {
                let cells: Vec<&str> = line
                    .trim_start_matches("//!")
                    .split('|')
                    .map(str::trim)
                    .collect();
                Some((
                    cells.get(1)?.parse().ok()?,
                    cells.get(2)?.parse().ok()?,
                    (*cells.get(3)?).to_owned(),
                ))
            })
            .collect();
        assert!(!rows.is_empty(), "no table for {name}");
        assert_eq!(
            rows.len(),
            fields.len(),
            "{name}: table and struct have different numbers of fields"
        );
        for (index, ((offset, len, row), (field, at))) in rows.iter().zip(fields).enumerate() {
            let end = fields.get(index + 1).map_or(size, |(_, next)| *next);
            assert_eq!(
                (row.as_str(), *offset, *len),
                (*field, *at, end - at),
                "{name}.{field}"
            );
        }
    }

    /// The fields of a struct with their offsets.
    macro_rules! fields {
        ($type:ty: $($field:ident),+ $(,)?) => {
            &[$((stringify!($field), std::mem::offset_of!($type, $field))),+]
        };
    }
    pub(crate) use fields;

    #[test]
    fn checksum_has_the_published_check_value() {
        assert_eq!(super::checksum(&[b"1234", b"56789"]), 0xcbf4_3926);
    }
}
