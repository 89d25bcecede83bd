//! The recovery point SEI message, by which open-GOP and intra-refresh cameras say where decoding can start (H.264 §D.1.8).

use crate::media::bits::{BitReader, unescape};

/// How much of an SEI NAL unit is searched: other messages may stand before the recovery point.
pub const SEI_PEEK_LEN: usize = 2048;

/// payloadType of recovery_point, H.264 §D.1.1.
const RECOVERY_POINT: u32 = 6;

/// recovery_frame_cnt of the recovery point message in this SEI NAL unit (header byte included), if it holds one.
pub fn recovery_frame_count(nal: &[u8]) -> Option<u16> {
    let bytes = unescape(nal.get(..SEI_PEEK_LEN).unwrap_or(nal));
    let mut rest = bytes.get(1..)?;
    // The last byte is rbsp_trailing_bits: a message needs at least type, size and that byte.
    while rest.len() > 2 {
        let kind = take_number(&mut rest)?;
        let size = take_number(&mut rest)? as usize;
        let payload = rest.get(..size).unwrap_or(rest);
        if kind == RECOVERY_POINT {
            return BitReader::new(payload)
                .ue()
                .ok()
                .and_then(|count| count.try_into().ok());
        }
        rest = rest.get(size..)?;
    }
    None
}

/// payloadType and payloadSize: bytes of 255 add up, §7.3.2.3.1.
fn take_number(rest: &mut &[u8]) -> Option<u32> {
    let mut number = 0u32;
    loop {
        let (&byte, after) = rest.split_first()?;
        *rest = after;
        number = number.checked_add(u32::from(byte))?;
        if byte != 255 {
            return Some(number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recovery_point_is_found_behind_other_messages() {
        // Type 5 (user data) of 2 bytes, then type 6 with recovery_frame_cnt 0 and exact_match_flag: bits 1 1 0 00, padded.
        assert_eq!(
            recovery_frame_count(&[6, 5, 2, 0xaa, 0xbb, 6, 1, 0xc4, 0x80]),
            Some(0)
        );
        // recovery_frame_cnt 24 is the code 0000 11001.
        assert_eq!(
            recovery_frame_count(&[6, 6, 2, 0b0000_1100, 0b1100_0100, 0x80]),
            Some(24)
        );
        assert_eq!(recovery_frame_count(&[6, 5, 2, 6, 1, 0x80]), None);
        assert_eq!(recovery_frame_count(&[6, 255, 255]), None);
        assert_eq!(recovery_frame_count(&[]), None);
    }
}
