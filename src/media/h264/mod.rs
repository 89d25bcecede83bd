//! H.264 syntax (ITU-T H.264, 08/2021): the few structures a recorder must read to know pictures, key frames and parameters.
//!
//! Reads, never writes and never repairs: whatever cannot be read is still stored as it came.

pub mod sei;
pub mod slice;
pub mod sps;

pub use sei::recovery_frame_count;
pub use slice::SliceHeader;
pub use sps::Sps;

use super::bits::{BitReader, BitsError, unescape};

/// NAL unit types, H.264 Table 7-1.
pub mod nal_type {
    /// Coded slice of a non-IDR picture.
    pub const SLICE: u8 = 1;
    /// Coded slice data partition A, which holds the slice header.
    pub const PARTITION_A: u8 = 2;
    /// Coded slice of an IDR picture.
    pub const IDR: u8 = 5;
    /// Supplemental enhancement information.
    pub const SEI: u8 = 6;
    /// Sequence parameter set.
    pub const SPS: u8 = 7;
    /// Picture parameter set.
    pub const PPS: u8 = 8;
    /// Access unit delimiter.
    pub const DELIMITER: u8 = 9;
    /// Prefix NAL unit: the first of the types up to 18 that open an access unit.
    pub const PREFIX: u8 = 14;
    /// The last of the types from 14 that open an access unit.
    pub const RESERVED_18: u8 = 18;
}

/// The type of a NAL unit from its first byte.
pub fn nal_type_of(header: u8) -> u8 {
    header & 0x1f
}

/// A picture parameter set, as far as needed: H.264 §7.3.2.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pps {
    /// pic_parameter_set_id, 0..=255.
    pub id: u8,
    /// The sequence parameter set it belongs to, 0..=31.
    pub sps_id: u8,
}

impl Pps {
    /// Reads a whole PPS NAL unit.
    pub fn parse(nal: &[u8]) -> Result<Self, BitsError> {
        let bytes = unescape(nal.get(..16).unwrap_or(nal));
        let mut bits = BitReader::new(&bytes);
        bits.skip(8)?;
        Ok(Self {
            id: bits.ue_at_most(255)? as u8,
            sps_id: bits.ue_at_most(31)? as u8,
        })
    }
}
