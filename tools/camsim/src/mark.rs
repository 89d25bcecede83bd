//! Marks: every access unit that the simulator sends says who it is, so that a reader can prove what it got.
//!
//! A mark is one SEI NAL unit of type `user_data_unregistered` (H.264 §D.1.7, H.265 §D.2.7) before the first slice. Behind the UUID
//! stands fixed-width ASCII text; no byte of it is zero, so emulation prevention never applies and the text can be patched in place.
//!
//! | offset | size | field  | meaning                                                                |
//! |-------:|-----:|--------|------------------------------------------------------------------------|
//! |      0 |   16 | uuid   | `nvring-camsim-v1`                                                     |
//! |     16 |   16 | name   | the camera's name, filled up with `_`                                  |
//! |     32 |   16 | frame  | hexadecimal: the camera's frame number in decoding order, from 0       |
//! |     48 |   16 | time   | hexadecimal: Unix microseconds at which the frame was due to be sent   |
//! |     64 |    8 | slices | hexadecimal: CRC-32 of the access unit's slices                        |
//! |     72 |    8 | others | hexadecimal: CRC-32 of its other NAL units, without the mark           |
//! |     80 |    8 | check  | hexadecimal: CRC-32 of the 64 bytes of text before                     |
//!
//! A checksum runs over each unit's length (32 bits, big-endian) and bytes, in order: it does not depend on start codes, nor on
//! zeros behind a unit, which never belong to it (H.264 §7.4.1; FFmpeg's H.265 parser leaves one). There are two, because a
//! container may keep parameter sets elsewhere without touching a picture.

use crate::nal::{self, Codec};

const UUID: &[u8; 16] = b"nvring-camsim-v1";
const TEXT_LEN: usize = 88;
const NAME_MAX: usize = 16;

/// What a mark says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The camera's name, for instance `cam3` or `h264b/0`.
    pub name: String,
    /// The camera's frame number in decoding order.
    pub frame: u64,
    /// Unix microseconds at which the frame was due to be sent.
    pub time_us: u64,
    /// CRC-32 of the slices.
    pub slices: u32,
    /// CRC-32 of the other NAL units.
    pub others: u32,
}

/// What became of an access unit on its way here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every byte is as it was sent.
    Identical(Mark),
    /// The slices are; the other units (parameter sets, SEI) are not all there or were changed, or zeros were put behind a unit.
    SlicesIdentical(Mark),
    /// A slice was changed or is missing.
    Damaged(Mark),
    /// There is no readable mark in it.
    Unmarked,
}

/// The text of a mark, ready to be patched into prepared packets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MarkText([u8; TEXT_LEN]);

impl MarkText {
    /// Writes the mark's text; names longer than 16 bytes are cut, foreign bytes become `?`.
    pub(crate) fn new(name: &str, frame: u64, time_us: u64, slices: u32, others: u32) -> Self {
        let mut text = [b'_'; TEXT_LEN];
        text[..16].copy_from_slice(UUID);
        for (to, byte) in text[16..32].iter_mut().zip(name.bytes()) {
            *to = if byte.is_ascii_graphic() { byte } else { b'?' };
        }
        put_hex(&mut text[32..48], frame);
        put_hex(&mut text[48..64], time_us);
        put_hex(&mut text[64..72], u64::from(slices));
        put_hex(&mut text[72..80], u64::from(others));
        let check = crc32fast::hash(&text[16..80]);
        put_hex(&mut text[80..88], u64::from(check));
        Self(text)
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The whole NAL unit, and where in it the text stands.
    pub(crate) fn nal(&self, codec: Codec) -> (Vec<u8>, usize) {
        let mut nal = match codec {
            Codec::H264 => vec![6],
            Codec::H265 => vec![39 << 1, 1],
        };
        nal.extend([5, TEXT_LEN as u8]);
        let at = nal.len();
        nal.extend(self.0);
        nal.push(0x80);
        (nal, at)
    }
}

/// The mark in an access unit, in either framing (start codes or 4-byte lengths); `None` if there is none or it is damaged.
pub fn find(unit: &[u8]) -> Option<Mark> {
    let mut at = 0;
    while let Some(found) = unit[at..].windows(16).position(|window| window == UUID) {
        let begin = at + found;
        if let Some(mark) = unit.get(begin..begin + TEXT_LEN).and_then(parse) {
            return Some(mark);
        }
        at = begin + 16;
    }
    None
}

/// Compares an access unit, in either framing, with what its mark says was sent.
pub fn verify(codec: Codec, unit: &[u8]) -> Verdict {
    let ranges = match nal::length_prefixed(unit) {
        Some(ranges) if !unit.starts_with(&[0, 0, 0, 1]) => ranges,
        _ => nal::annexb(unit),
    };
    let nals: Vec<&[u8]> = ranges
        .into_iter()
        .filter_map(|range| unit.get(range))
        .collect();
    verify_nals(codec, &nals)
}

/// Compares the NAL units of one access unit with what its mark says was sent.
pub fn verify_nals(codec: Codec, nals: &[&[u8]]) -> Verdict {
    let is_mark = |nal: &&[u8]| codec.is_sei(nal) && find(nal).is_some();
    let Some(mark) = nals.iter().copied().find(is_mark).and_then(find) else {
        return Verdict::Unmarked;
    };
    let (slices, others) = checksums(codec, nals.iter().copied().filter(|nal| !is_mark(nal)));
    if slices != mark.slices {
        Verdict::Damaged(mark)
    } else if others != mark.others || nals.iter().any(|nal| trimmed(nal).len() < nal.len()) {
        Verdict::SlicesIdentical(mark)
    } else {
        Verdict::Identical(mark)
    }
}

/// The checksums of an access unit: its slices, its other units.
pub(crate) fn checksums<'a>(codec: Codec, nals: impl Iterator<Item = &'a [u8]>) -> (u32, u32) {
    let mut sums = [crc32fast::Hasher::new(), crc32fast::Hasher::new()];
    for nal in nals.map(trimmed) {
        let sum = &mut sums[usize::from(!codec.is_slice(nal))];
        sum.update(&(nal.len() as u32).to_be_bytes());
        sum.update(nal);
    }
    let [slices, others] = sums;
    (slices.finalize(), others.finalize())
}

/// The unit without zeros behind it.
fn trimmed(nal: &[u8]) -> &[u8] {
    let end = nal
        .iter()
        .rposition(|byte| *byte != 0)
        .map_or(0, |last| last + 1);
    &nal[..end]
}

fn parse(text: &[u8]) -> Option<Mark> {
    let check = u32::try_from(hex(&text[80..88])?).ok()?;
    if crc32fast::hash(&text[16..80]) != check {
        return None;
    }
    let name = std::str::from_utf8(&text[16..16 + NAME_MAX]).ok()?;
    Some(Mark {
        name: name.trim_end_matches('_').to_owned(),
        frame: hex(&text[32..48])?,
        time_us: hex(&text[48..64])?,
        slices: hex(&text[64..72])? as u32,
        others: hex(&text[72..80])? as u32,
    })
}

fn put_hex(to: &mut [u8], mut value: u64) {
    for digit in to.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(value & 15) as usize];
        value >>= 4;
    }
}

/// Lower-case digits only, so that no other text stands for the same mark.
fn hex(text: &[u8]) -> Option<u64> {
    text.iter().try_fold(0, |value, digit| match digit {
        b'0'..=b'9' => Some(value << 4 | u64::from(digit - b'0')),
        b'a'..=b'f' => Some(value << 4 | u64::from(digit - b'a' + 10)),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(lengths: bool) -> Vec<u8> {
        let slice: &[u8] = &[0x65, 0x88, 1, 2, 3];
        let sps: &[u8] = &[0x67, 9];
        let (slices, others) = checksums(Codec::H264, [sps, slice].into_iter());
        let (mark, _) =
            MarkText::new("cam7", 42, 1_700_000_000_000_000, slices, others).nal(Codec::H264);
        let mut unit = Vec::new();
        for nal in [sps, &mark, slice] {
            let length = (nal.len() as u32).to_be_bytes();
            unit.extend(if lengths { length } else { [0, 0, 0, 1] });
            unit.extend(nal);
        }
        unit
    }

    #[test]
    fn both_framings_give_the_mark_and_the_same_verdict() {
        for lengths in [true, false] {
            let Verdict::Identical(mark) = verify(Codec::H264, &unit(lengths)) else {
                panic!("lengths: {lengths}");
            };
            assert_eq!((mark.name.as_str(), mark.frame), ("cam7", 42));
        }
    }

    /// Goal: no flipped bit passes for what was sent. Method: flip each bit outside the framing and the mark's header.
    #[test]
    fn every_flipped_bit_is_seen() {
        let good = unit(true);
        let framing: Vec<usize> = nal::length_prefixed(&good)
            .unwrap()
            .iter()
            .flat_map(|r| r.start - 4..r.start)
            .collect();
        for at in (0..good.len()).filter(|at| !framing.contains(at)) {
            for bit in 0..8 {
                let mut bad = good.clone();
                bad[at] ^= 1 << bit;
                let same = matches!(verify(Codec::H264, &bad), Verdict::Identical(_));
                // The SEI's own header, size and stop bit are the only bytes no checksum covers.
                let header = (10..13).contains(&at) || at == 13 + TEXT_LEN;
                assert!(!same || header, "byte {at} bit {bit}");
            }
        }
    }

    #[test]
    fn a_mark_needs_no_emulation_prevention() {
        let (nal, _) = MarkText::new("", 0, 0, 0, 0).nal(Codec::H265);
        assert!(!nal.contains(&0));
    }
}
