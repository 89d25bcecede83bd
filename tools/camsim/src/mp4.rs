//! The video samples of an MP4 file, progressive or fragmented (ISO 14496-12 §8): just enough to verify a recording.
//!
//! Written apart from the recorder's own boxes on purpose: a mistake common to writer and reader would hide itself.

use crate::nal::Codec;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};

/// A file's table of contents must fit into memory.
const INDEX_LEN_MAX: u64 = 1 << 30;

/// Where the video's samples are.
#[derive(Debug)]
pub(crate) struct Video {
    pub(crate) codec: Codec,
    /// Bytes of the length before each NAL unit: 1, 2 or 4.
    pub(crate) length_size: usize,
    /// Offset and size of each sample, in decoding order.
    pub(crate) samples: Vec<(u64, u32)>,
    track: u32,
    default_size: u32,
}

impl Video {
    /// Reads the tables of the first H.264 or H.265 track. Media that is cut off is no error here.
    pub(crate) fn open(file: &mut (impl Read + Seek)) -> io::Result<Self> {
        let end = file.seek(SeekFrom::End(0))?;
        let (mut at, mut video) = (0, None::<Self>);
        while at + 8 <= end {
            let (kind, header, size) = box_header(file, at, end)?;
            if &kind == b"moov" || &kind == b"moof" {
                if size > INDEX_LEN_MAX {
                    return Err(invalid("a table of contents of more than 1 GiB"));
                }
                let mut body = vec![0; (size - header) as usize];
                file.seek(SeekFrom::Start(at + header))?;
                file.read_exact(&mut body)?;
                match (&kind, &mut video) {
                    (b"moov", _) => {
                        video = Some(
                            parse_movie(&body)
                                .ok_or_else(|| invalid("no readable H.264 or H.265 track"))?,
                        )
                    }
                    (_, Some(video)) => video
                        .add_fragment(&body, at)
                        .ok_or_else(|| invalid("a broken fragment"))?,
                    (_, None) => return Err(invalid("a fragment before the movie box")),
                }
            }
            at = at.saturating_add(size);
        }
        video.ok_or_else(|| invalid("no movie box"))
    }

    /// The samples of one movie fragment (§8.8.7, §8.8.8).
    fn add_fragment(&mut self, fragment: &[u8], start: u64) -> Option<()> {
        for traf in children(fragment, b"traf") {
            let head = child(traf, b"tfhd")?;
            let flags = number(head, 0, 4)? as u32;
            if number(head, 4, 4)? as u32 != self.track {
                continue;
            }
            let (mut at, mut base, mut default_size) = (8, start, self.default_size);
            if flags & 0x1 != 0 {
                base = number(head, at, 8)?;
                at += 8;
            }
            at += if flags & 0x2 != 0 { 4 } else { 0 } + if flags & 0x8 != 0 { 4 } else { 0 };
            if flags & 0x10 != 0 {
                default_size = number(head, at, 4)? as u32;
            }
            let mut place = base;
            for run in children(traf, b"trun") {
                let flags = number(run, 0, 4)? as u32;
                let count = number(run, 4, 4)?;
                let mut at = 8;
                if flags & 0x1 != 0 {
                    place =
                        base.checked_add_signed(i64::from(number(run, at, 4)? as u32 as i32))?;
                    at += 4;
                }
                at += if flags & 0x4 != 0 { 4 } else { 0 };
                let before = if flags & 0x100 != 0 { 4 } else { 0 };
                let after =
                    if flags & 0x400 != 0 { 4 } else { 0 } + if flags & 0x800 != 0 { 4 } else { 0 };
                for _ in 0..count {
                    at += before;
                    let mut size = default_size;
                    if flags & 0x200 != 0 {
                        size = number(run, at, 4)? as u32;
                        at += 4;
                    }
                    at += after;
                    self.samples.push((place, size));
                    place = place.checked_add(u64::from(size))?;
                }
            }
        }
        Some(())
    }
}

/// Type, header length and whole length of the box at `at`.
fn box_header(file: &mut (impl Read + Seek), at: u64, end: u64) -> io::Result<([u8; 4], u64, u64)> {
    let mut head = [0; 16];
    file.seek(SeekFrom::Start(at))?;
    file.read_exact(&mut head[..8])?;
    let kind = [head[4], head[5], head[6], head[7]];
    let (header, size) = match u32::from_be_bytes([head[0], head[1], head[2], head[3]]) {
        0 => (8, end - at),
        1 => {
            file.read_exact(&mut head[8..])?;
            (16, number(&head, 8, 8).unwrap_or(0))
        }
        small => (8, u64::from(small)),
    };
    // The media box of a download that broke off promises more than there is; what is there can be read.
    let cut = at.saturating_add(size) > end && &kind != b"mdat";
    if size < header || cut {
        return Err(invalid(
            "a box that does not fit into the file; was it cut off?",
        ));
    }
    Ok((kind, header, size))
}

fn parse_movie(movie: &[u8]) -> Option<Video> {
    children(movie, b"trak").find_map(|trak| parse_track(movie, trak))
}

fn parse_track(movie: &[u8], trak: &[u8]) -> Option<Video> {
    let head = child(trak, b"tkhd")?;
    let track = number(head, if head.first() == Some(&1) { 20 } else { 12 }, 4)? as u32;
    let table = child(child(child(trak, b"mdia")?, b"minf")?, b"stbl")?;
    let entries = child(table, b"stsd")?.get(8..)?;
    let (codec, length_size) = boxes(entries).find_map(|(kind, entry)| {
        // A visual sample entry's own fields are 78 bytes; in avcC byte 4, in hvcC byte 21 ends with the length size minus one.
        let inner = entry.get(78..)?;
        match &kind {
            b"avc1" | b"avc3" => Some((Codec::H264, child(inner, b"avcC")?.get(4)? & 3)),
            b"hvc1" | b"hev1" => Some((Codec::H265, child(inner, b"hvcC")?.get(21)? & 3)),
            _ => None,
        }
    })?;
    let extends = child(movie, b"mvex")
        .map(|mvex| children(mvex, b"trex").collect::<Vec<_>>())
        .unwrap_or_default();
    let own = extends
        .iter()
        .find(|trex| number(trex, 4, 4) == Some(u64::from(track)));
    Some(Video {
        codec,
        length_size: usize::from(length_size) + 1,
        samples: parse_samples(table)?,
        track,
        default_size: own.and_then(|trex| number(trex, 16, 4)).unwrap_or(0) as u32,
    })
}

/// The samples of the progressive part: sizes, chunks, and how they fit together (§8.7).
fn parse_samples(table: &[u8]) -> Option<Vec<(u64, u32)>> {
    let sizes = child(table, b"stsz")?;
    let (fixed, count) = (number(sizes, 4, 4)? as u32, number(sizes, 8, 4)? as usize);
    let size = |index: usize| {
        if fixed != 0 {
            Some(fixed)
        } else {
            number(sizes, 12 + 4 * index, 4).map(|n| n as u32)
        }
    };
    let (offsets, width) = match child(table, b"co64") {
        Some(offsets) => (offsets, 8),
        None => (child(table, b"stco")?, 4),
    };
    let chunks = number(offsets, 4, 4)? as usize;
    let groups = child(table, b"stsc")?;
    let group_count = number(groups, 4, 4)? as usize;
    let mut samples = Vec::new();
    for group in 0..group_count {
        let first = number(groups, 8 + 12 * group, 4)? as usize;
        let per_chunk = number(groups, 12 + 12 * group, 4)?;
        let next = if group + 1 < group_count {
            number(groups, 20 + 12 * group, 4)? as usize
        } else {
            chunks + 1
        };
        for chunk in first..next {
            let mut place = number(offsets, 8 + width * chunk.checked_sub(1)?, width)?;
            for _ in 0..per_chunk {
                if samples.len() == count {
                    return Some(samples);
                }
                let size = size(samples.len())?;
                samples.push((place, size));
                place += u64::from(size);
            }
        }
    }
    (samples.len() == count).then_some(samples)
}

/// The boxes in `bytes`, with their bodies; stops at the first that does not fit.
fn boxes(bytes: &[u8]) -> impl Iterator<Item = ([u8; 4], &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let size = number(rest, 0, 4)? as usize;
        let kind = rest.get(4..8)?.try_into().ok()?;
        let body = rest.get(8..size)?;
        rest = rest.get(size..)?;
        Some((kind, body))
    })
}

fn children<'a>(bytes: &'a [u8], wanted: &'static [u8; 4]) -> impl Iterator<Item = &'a [u8]> {
    boxes(bytes)
        .filter(move |(kind, _)| kind == wanted)
        .map(|(_, body)| body)
}

fn child<'a>(bytes: &'a [u8], wanted: &'static [u8; 4]) -> Option<&'a [u8]> {
    children(bytes, wanted).next()
}

/// A big-endian number of `width` bytes.
fn number(bytes: &[u8], at: usize, width: usize) -> Option<u64> {
    let field = bytes.get(at..at.checked_add(width)?)?;
    Some(
        field
            .iter()
            .fold(0, |value, byte| value << 8 | u64::from(*byte)),
    )
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what.to_owned())
}
