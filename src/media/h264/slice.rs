//! The first fields of an H.264 slice header: which picture a slice belongs to and what it refers to (H.264 §7.3.3).

use super::{Sps, nal_type};
use crate::media::bits::{BitReader, BitsError, unescape};

/// The longest that the fields read here can be, with emulation prevention: four 32-bit codes and a frame number.
pub const SLICE_PEEK_LEN: usize = 48;

/// What the start of a slice tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SliceHeader {
    /// first_mb_in_slice is 0: the picture starts here (unless slices come in arbitrary order, which no camera does).
    pub first: bool,
    /// The slice is I or SI: it needs no other picture.
    pub intra: bool,
    /// pic_parameter_set_id.
    pub pps_id: u8,
    /// For a field: frame_num and whether it is the bottom field. `None` for frames, and while the SPS is unknown.
    pub field: Option<(u16, bool)>,
}

impl SliceHeader {
    /// Reads the start of a slice NAL unit (types 1, 2, 5); `sps_of` finds the SPS of a PPS id, which only field streams need.
    pub fn peek<'s>(
        nal: &[u8],
        sps_of: impl FnOnce(u8) -> Option<&'s Sps>,
    ) -> Result<Self, BitsError> {
        let bytes = unescape(nal.get(..SLICE_PEEK_LEN).unwrap_or(nal));
        let mut bits = BitReader::new(&bytes);
        bits.skip(8)?;
        let first = bits.ue()? == 0;
        // Table 7-6: 0..=4 for this slice, 5..=9 when all slices of the picture are alike. I is 2 and 7, SI is 4 and 9.
        let intra = matches!(bits.ue_at_most(9)?, 2 | 4 | 7 | 9);
        let pps_id = bits.ue_at_most(255)? as u8;
        let mut header = Self {
            first,
            intra,
            pps_id,
            field: None,
        };
        if let Some(sps) = sps_of(pps_id).filter(|sps| !sps.frames_only) {
            if sps.separate_planes {
                bits.skip(2)?;
            }
            let frame_num = bits.bits(u32::from(sps.log2_max_frame_num))? as u16;
            if bits.flag()? {
                header.field = Some((frame_num, bits.flag()?));
            }
        }
        Ok(header)
    }

    /// Whether a NAL unit of this type starts with a slice header.
    pub fn in_nal_type(nal_type: u8) -> bool {
        matches!(
            nal_type,
            nal_type::SLICE | nal_type::PARTITION_A | nal_type::IDR
        )
    }
}
