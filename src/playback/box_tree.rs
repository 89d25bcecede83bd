//! Goes over the boxes of an MP4 file before anything believes them.
//!
//! Keeps `ftyp` and `moov`, whose boxes must lie inside each other without a remainder, notes where `mdat` lies and what the sample
//! entries are, and blanks (as `free`) those boxes of which a report says nothing, so that their reader never runs.

use super::wall_clock_box::{WallClockEntry, read_wall_clock};
use std::{
    io::{self, Read, Seek, SeekFrom},
    ops::Range,
};

/// Longest `moov` read, in bytes; a layout's tables stay below 1 GiB.
const MOOV_LEN_MAX: u64 = (1 << 30) + (64 << 20);
/// Longest `ftyp` or `uuid` read.
const SMALL_LEN_MAX: u64 = 16 << 20;
/// Most boxes at the top of a file: a day of fragments of a second.
const FILE_BOXES_MAX: usize = 400_000;
/// Deepest nesting inside `moov`: `trak/mdia/minf/dinf/dref` and some room.
const DEPTH_MAX: usize = 8;
/// Boxes that hold only boxes.
const CONTAINERS: [&[u8; 4]; 6] = [b"trak", b"edts", b"mdia", b"minf", b"dinf", b"stbl"];
/// Boxes whose content is of no use to a report.
const BLANKED: [&[u8; 4]; 4] = [b"udta", b"meta", b"mvex", b"free"];
/// Sample entries the independent reader understands.
const READABLE_ENTRIES: [&[u8; 4]; 2] = [b"avc1", b"mp4a"];

/// What is wrong with the boxes.
#[derive(Debug, thiserror::Error)]
pub enum BoxTreeError {
    /// Cannot be read.
    #[error("the file cannot be read: {0}")]
    Read(#[from] io::Error),
    /// A box has an impossible size.
    #[error(
        "box `{kind}` at byte {offset} has size {size}, which does not fit where it stands; the file is cut or damaged"
    )]
    Size {
        /// Its type.
        kind: String,
        /// Where it starts.
        offset: u64,
        /// The size it claims.
        size: u64,
    },
    /// A box that must be there is not.
    #[error("box `{kind}` is missing; this is no MP4 file, or it was not finished")]
    Missing {
        /// Its type.
        kind: &'static str,
    },
    /// Too many boxes beside or inside each other.
    #[error(
        "the file has more than {FILE_BOXES_MAX} boxes, or boxes more than {DEPTH_MAX} deep; it is no recording, or check a part of it"
    )]
    TooMany,
}

/// The boxes of a file.
#[derive(Debug, Default)]
pub(crate) struct FileBoxes {
    /// `ftyp` and `moov`, whose boxes add up.
    pub(crate) head: Vec<u8>,
    /// What each `mdat` holds, as bytes of the file.
    pub(crate) data: Vec<Range<u64>>,
    /// Number of `moof` boxes.
    pub(crate) fragments: usize,
    /// Tracks in the order of `moov`.
    pub(crate) tracks: Vec<TrackBoxes>,
    /// Our own wall clock box.
    pub(crate) wall_clock: Vec<WallClockEntry>,
}

/// What is known of a track without the independent reader.
#[derive(Debug, Default)]
pub(crate) struct TrackBoxes {
    /// Type of the first sample entry.
    pub(crate) coding: String,
    /// Number of sample entries.
    pub(crate) entries: u32,
}

/// A box at the top of the file.
struct FileBox {
    kind: [u8; 4],
    offset: u64,
    header_len: u64,
    size: u64,
}

impl FileBoxes {
    /// Goes over a file of `len` bytes.
    pub(crate) fn read<R: Read + Seek>(reader: &mut R, len: u64) -> Result<Self, BoxTreeError> {
        let mut this = Self::default();
        let (mut ftyp, mut moov) = (None, None);
        let mut offset = 0;
        let mut count = 0;
        while offset < len {
            count += 1;
            if count > FILE_BOXES_MAX {
                return Err(BoxTreeError::TooMany);
            }
            let found = FileBox::read(reader, offset, len)?;
            match &found.kind {
                b"ftyp" if ftyp.is_none() => ftyp = Some(found.load(reader, SMALL_LEN_MAX)?),
                b"moov" if moov.is_none() => {
                    moov = Some((offset, found.load(reader, MOOV_LEN_MAX)?));
                }
                b"mdat" => this
                    .data
                    .push(offset + found.header_len..offset + found.size),
                b"moof" => this.fragments += 1,
                b"uuid" if found.size <= SMALL_LEN_MAX => {
                    let bytes = found.load(reader, SMALL_LEN_MAX)?;
                    if let Some(entries) = read_wall_clock(&bytes) {
                        this.wall_clock = entries;
                    }
                }
                _ => {}
            }
            offset += found.size;
        }
        this.head = ftyp.ok_or(BoxTreeError::Missing { kind: "ftyp" })?;
        let (moov_offset, mut moov) = moov.ok_or(BoxTreeError::Missing { kind: "moov" })?;
        this.walk(&mut moov[8..], moov_offset + 8, DEPTH_MAX)?;
        this.head.append(&mut moov);
        Ok(this)
    }

    /// Goes over boxes that fill `bytes`, which start at byte `base` of the file and may hold boxes `depth` levels deep.
    fn walk(&mut self, bytes: &mut [u8], base: u64, depth: usize) -> Result<(), BoxTreeError> {
        let depth = depth.checked_sub(1).ok_or(BoxTreeError::TooMany)?;
        let mut at = 0;
        while at < bytes.len() {
            let offset = base + at as u64;
            let (kind, size) = inner_header(&bytes[at..], offset)?;
            let content = &mut bytes[at + 8..at + size];
            if CONTAINERS.contains(&&kind) {
                if kind == *b"trak" {
                    self.tracks.push(TrackBoxes::default());
                }
                if kind == *b"edts" && content.is_empty() {
                    return Err(BoxTreeError::Missing { kind: "elst" });
                }
                self.walk(content, offset + 8, depth)?;
            } else if kind == *b"stsd" {
                self.walk_entries(content, offset + 8)?;
            } else if kind == *b"dref" {
                // Boxes follow version, flags and count.
                if let Some(entries) = content.get_mut(8..) {
                    self.walk(entries, offset + 16, depth)?;
                }
            } else if BLANKED.contains(&&kind) {
                bytes[at + 4..at + 8].copy_from_slice(b"free");
            }
            at += size;
        }
        Ok(())
    }

    fn walk_entries(&mut self, content: &mut [u8], base: u64) -> Result<(), BoxTreeError> {
        let Some((header, entries)) = content.split_at_mut_checked(8) else {
            return Err(BoxTreeError::Missing { kind: "stsd" });
        };
        let mut count = 0;
        let mut at = 0;
        while at < entries.len() {
            let (kind, size) = inner_header(&entries[at..], base + 8 + at as u64)?;
            if count == 0
                && let Some(track) = self.tracks.last_mut()
            {
                track.coding = name(kind);
            }
            if !READABLE_ENTRIES.contains(&&kind) {
                entries[at + 4..at + 8].copy_from_slice(b"free");
            }
            count += 1;
            at += size;
        }
        let told = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
        if count == 0 || told != count {
            return Err(BoxTreeError::Missing {
                kind: "sample entry",
            });
        }
        if let Some(track) = self.tracks.last_mut() {
            track.entries = count;
        }
        Ok(())
    }
}

/// Type and size of the box that `bytes` start with, which must fit into them.
fn inner_header(bytes: &[u8], offset: u64) -> Result<([u8; 4], usize), BoxTreeError> {
    let header: [u8; 8] = match bytes.get(..8).and_then(|header| header.try_into().ok()) {
        Some(header) => header,
        None => {
            return Err(BoxTreeError::Size {
                kind: String::new(),
                offset,
                size: bytes.len() as u64,
            });
        }
    };
    let [a, b, c, d, kind @ ..] = header;
    let size = u32::from_be_bytes([a, b, c, d]);
    match usize::try_from(size) {
        Ok(len) if (8..=bytes.len()).contains(&len) => Ok((kind, len)),
        _ => Err(BoxTreeError::Size {
            kind: name(kind),
            offset,
            size: u64::from(size),
        }),
    }
}

fn name(kind: [u8; 4]) -> String {
    String::from_utf8_lossy(&kind).into_owned()
}

impl FileBox {
    fn read<R: Read + Seek>(reader: &mut R, offset: u64, len: u64) -> Result<Self, BoxTreeError> {
        reader.seek(SeekFrom::Start(offset))?;
        let mut header = [0; 8];
        let left = len - offset;
        if left < 8 {
            return Err(BoxTreeError::Size {
                kind: String::new(),
                offset,
                size: left,
            });
        }
        reader.read_exact(&mut header)?;
        let [a, b, c, d, kind @ ..] = header;
        let (header_len, size) = match u32::from_be_bytes([a, b, c, d]) {
            0 => (8, left), // up to the end of the file
            1 if left >= 16 => {
                reader.read_exact(&mut header)?;
                (16, u64::from_be_bytes(header))
            }
            size => (8, u64::from(size)),
        };
        if size < header_len || size > left {
            return Err(BoxTreeError::Size {
                kind: name(kind),
                offset,
                size,
            });
        }
        Ok(Self {
            kind,
            offset,
            header_len,
            size,
        })
    }

    /// The whole box with a short header that states its size.
    fn load<R: Read + Seek>(&self, reader: &mut R, len_max: u64) -> Result<Vec<u8>, BoxTreeError> {
        let content_len = self.size - self.header_len;
        let size = content_len + 8;
        let too_long = || BoxTreeError::Size {
            kind: name(self.kind),
            offset: self.offset,
            size: self.size,
        };
        if size > len_max {
            return Err(too_long());
        }
        let short = u32::try_from(size).map_err(|_| too_long())?;
        let mut bytes = short.to_be_bytes().to_vec();
        bytes.extend(self.kind);
        reader.seek(SeekFrom::Start(self.offset + self.header_len))?;
        reader.take(content_len).read_to_end(&mut bytes)?;
        if bytes.len() as u64 != size {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        Ok(bytes)
    }
}
