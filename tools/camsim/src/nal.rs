//! NAL units: what the simulator must know of H.264 and H.265 to cut a stream into access units and to place a mark.
//!
//! Only the unit's type and the first bit of the slice header are read (ITU-T H.264 §7.4.1.2.4, H.265 §7.4.2.4.5).

use std::ops::Range;

/// The video codecs that cameras send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    /// ITU-T H.264, AVC.
    H264,
    /// ITU-T H.265, HEVC.
    H265,
}

impl Codec {
    /// The unit's type (H.264 `nal_unit_type` 0–31, H.265 0–63).
    pub fn kind(self, nal: &[u8]) -> u8 {
        let first = nal.first().copied().unwrap_or(0);
        match self {
            Codec::H264 => first & 31,
            Codec::H265 => first >> 1 & 63,
        }
    }

    /// A coded slice.
    pub fn is_slice(self, nal: &[u8]) -> bool {
        let kind = self.kind(nal);
        match self {
            Codec::H264 => (1..=5).contains(&kind),
            Codec::H265 => kind < 32,
        }
    }

    /// A coded slice that is the first of its picture (`first_mb_in_slice` 0; `first_slice_segment_in_pic_flag`).
    pub fn starts_picture(self, nal: &[u8]) -> bool {
        let header = match self {
            Codec::H264 => 1,
            Codec::H265 => 2,
        };
        self.is_slice(nal) && nal.get(header).is_some_and(|byte| byte & 0x80 != 0)
    }

    /// A slice of a picture at which decoding can start: IDR, or any H.265 IRAP picture.
    pub fn is_random_access(self, nal: &[u8]) -> bool {
        let kind = self.kind(nal);
        match self {
            Codec::H264 => kind == 5,
            Codec::H265 => (16..=23).contains(&kind),
        }
    }

    /// A slice of a picture that no later picture looks behind (IDR).
    pub fn is_closed(self, nal: &[u8]) -> bool {
        let kind = self.kind(nal);
        match self {
            Codec::H264 => kind == 5,
            Codec::H265 => kind == 19 || kind == 20,
        }
    }

    /// A parameter set: SPS, PPS, H.265 VPS.
    pub fn is_parameter_set(self, nal: &[u8]) -> bool {
        let kind = self.kind(nal);
        match self {
            Codec::H264 => kind == 7 || kind == 8,
            Codec::H265 => (32..=34).contains(&kind),
        }
    }

    /// Supplemental enhancement information that stands before the slices.
    pub fn is_sei(self, nal: &[u8]) -> bool {
        self.kind(nal)
            == match self {
                Codec::H264 => 6,
                Codec::H265 => 39,
            }
    }

    /// A unit that follows the slices of its access unit: end of sequence, filler, suffix SEI.
    fn trails(self, nal: &[u8]) -> bool {
        let kind = self.kind(nal);
        match self {
            Codec::H264 => (10..=12).contains(&kind),
            Codec::H265 => (36..=38).contains(&kind) || kind == 40,
        }
    }
}

/// The NAL units of an Annex B byte stream, as ranges of `stream`, without start codes and trailing zeros (H.264 Annex B).
pub fn annexb(stream: &[u8]) -> Vec<Range<usize>> {
    let mut units = Vec::new();
    let mut begin = None;
    let mut at = 0;
    while let Some(found) = find_start_code(&stream[at..]) {
        let code = at + found;
        if let Some(begin) = begin {
            push_trimmed(stream, begin..code, &mut units);
        }
        at = code + 3;
        begin = Some(at);
    }
    if let Some(begin) = begin {
        push_trimmed(stream, begin..stream.len(), &mut units);
    }
    units
}

fn find_start_code(bytes: &[u8]) -> Option<usize> {
    let mut at = 2;
    while at < bytes.len() {
        match bytes[at] {
            1 if bytes[at - 1] == 0 && bytes[at - 2] == 0 => return Some(at - 2),
            0 => at += 1,
            // Neither this byte nor the two before can belong to a start code that ends before at + 3.
            2.. => at += 3,
            1 => at += 3,
        }
    }
    None
}

fn push_trimmed(stream: &[u8], mut unit: Range<usize>, units: &mut Vec<Range<usize>>) {
    while unit.end > unit.start && stream[unit.end - 1] == 0 {
        unit.end -= 1;
    }
    if !unit.is_empty() {
        units.push(unit);
    }
}

/// The NAL units of an access unit whose units each follow a 4-byte length; `None` when the lengths do not add up.
pub fn length_prefixed(unit: &[u8]) -> Option<Vec<Range<usize>>> {
    let mut units = Vec::new();
    let mut at = 0;
    while at < unit.len() {
        let length = unit.get(at..at + 4)?;
        let length = u32::from_be_bytes([length[0], length[1], length[2], length[3]]) as usize;
        let end = (at + 4).checked_add(length)?;
        if length == 0 || end > unit.len() {
            return None;
        }
        units.push(at + 4..end);
        at = end;
    }
    Some(units)
}

/// Groups the units of a stream, in order, into access units: lists of indices into `nals`.
pub fn access_units<'a>(codec: Codec, nals: impl Iterator<Item = &'a [u8]>) -> Vec<Range<usize>> {
    let mut units: Vec<Range<usize>> = Vec::new();
    let (mut begin, mut has_slice, mut end) = (0, false, 0);
    let mut count = 0;
    for (index, nal) in nals.enumerate() {
        count = index + 1;
        if has_slice && (codec.starts_picture(nal)) {
            units.push(begin..end);
            begin = end;
            has_slice = false;
        }
        if codec.is_slice(nal) {
            has_slice = true;
            end = index + 1;
        } else if codec.trails(nal) && end == index {
            end = index + 1;
        }
    }
    if has_slice {
        units.push(begin..count);
    }
    units
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_codes_of_both_lengths_are_found_and_zeros_trimmed() {
        let stream = [
            0, 0, 0, 1, 9, 0xf0, 0, 0, 1, 0x65, 0x88, 0, 1, 0, 0, 0, 0, 1, 0x41,
        ];
        let units: Vec<&[u8]> = annexb(&stream).into_iter().map(|r| &stream[r]).collect();
        assert_eq!(units, [&[9, 0xf0][..], &[0x65, 0x88, 0, 1], &[0x41]]);
    }

    #[test]
    fn parameter_sets_go_with_the_picture_behind_them_and_filler_with_the_one_before() {
        let nals: [&[u8]; 7] = [
            &[7],
            &[8],
            &[0x65, 0x80],
            &[0x65, 0x10],
            &[12, 0xff],
            &[6, 5],
            &[0x41, 0x80],
        ];
        let units = access_units(Codec::H264, nals.into_iter());
        assert_eq!(units, [0..5, 5..7]);
    }

    #[test]
    fn lengths_that_do_not_add_up_are_refused() {
        assert_eq!(
            length_prefixed(&[0, 0, 0, 1, 9, 0, 0, 0, 2, 1, 2]),
            Some(vec![4..5, 9..11])
        );
        assert_eq!(length_prefixed(&[0, 0, 0, 2, 9]), None);
        assert_eq!(length_prefixed(&[0, 0, 0, 0]), None);
    }
}
