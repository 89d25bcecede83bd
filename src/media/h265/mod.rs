//! H.265 syntax (ITU-T H.265, 09/2023): the few structures a recorder must read to know pictures, key frames and parameters.
//!
//! Reads, never writes and never repairs: whatever cannot be read is still stored as it came.

mod reference_sets;
pub mod sps;

pub use sps::{ProfileTierLevel, Sps};

use super::bits::{BitReader, BitsError, unescape};

/// NAL unit types, H.265 Table 7-1.
pub mod nal_type {
    /// The last of the types 0..=14 (even ones) that are sub-layer non-reference pictures.
    pub const RSV_VCL_N14: u8 = 14;
    /// Leading picture that cannot be decoded from its random access point, not referred to.
    pub const RASL_N: u8 = 8;
    /// Leading picture that cannot be decoded from its random access point, referred to.
    pub const RASL_R: u8 = 9;
    /// The first random access point type: BLA with leading pictures.
    pub const BLA_W_LP: u8 = 16;
    /// The last type kept for random access points.
    pub const RSV_IRAP_23: u8 = 23;
    /// The last type of coded slices.
    pub const VCL_LAST: u8 = 31;
    /// Video parameter set.
    pub const VPS: u8 = 32;
    /// Sequence parameter set.
    pub const SPS: u8 = 33;
    /// Picture parameter set.
    pub const PPS: u8 = 34;
    /// Access unit delimiter.
    pub const DELIMITER: u8 = 35;
    /// SEI that stands before the slices.
    pub const PREFIX_SEI: u8 = 39;
}

/// The longest that the slice fields read here can be, with emulation prevention.
pub const SLICE_PEEK_LEN: usize = 16;

/// The type of a NAL unit from its first byte.
pub fn nal_type_of(header: u8) -> u8 {
    header >> 1 & 0x3f
}

/// Whether pictures of this type are random access points (IRAP).
pub fn is_random_access(nal_type: u8) -> bool {
    (nal_type::BLA_W_LP..=nal_type::RSV_IRAP_23).contains(&nal_type)
}

/// vps_video_parameter_set_id, 0..=15, H.265 §7.3.2.1.
pub fn vps_id(nal: &[u8]) -> Result<u8, BitsError> {
    let mut bits = BitReader::new(nal);
    bits.skip(16)?;
    Ok(bits.bits(4)? as u8)
}

/// A picture parameter set, as far as needed: H.265 §7.3.2.3.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pps {
    /// pps_pic_parameter_set_id, 0..=63.
    pub id: u8,
    /// The sequence parameter set it belongs to, 0..=15.
    pub sps_id: u8,
}

impl Pps {
    /// Reads a whole PPS NAL unit.
    pub fn parse(nal: &[u8]) -> Result<Self, BitsError> {
        let bytes = unescape(nal.get(..16).unwrap_or(nal));
        let mut bits = BitReader::new(&bytes);
        bits.skip(16)?;
        Ok(Self {
            id: bits.ue_at_most(63)? as u8,
            sps_id: bits.ue_at_most(15)? as u8,
        })
    }
}

/// What the start of a slice segment tells, H.265 §7.3.6.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SliceHeader {
    /// first_slice_segment_in_pic_flag: the picture starts here.
    pub first: bool,
    /// slice_pic_parameter_set_id.
    pub pps_id: u8,
}

impl SliceHeader {
    /// Reads the start of a slice segment NAL unit.
    pub fn peek(nal: &[u8]) -> Result<Self, BitsError> {
        let bytes = unescape(nal.get(..SLICE_PEEK_LEN).unwrap_or(nal));
        let mut bits = BitReader::new(&bytes);
        let header = bits.bits(16)?;
        let first = bits.flag()?;
        if is_random_access(nal_type_of((header >> 8) as u8)) {
            bits.flag()?; // no_output_of_prior_pics_flag
        }
        let pps_id = bits.ue_at_most(63)? as u8;
        Ok(Self { first, pps_id })
    }
}
