//! The NAL units of a stored picture: each behind its length in 4 bytes (ISO 14496-15 §5.2.3), taken apart without trust.

/// The NAL units of `picture`, in order. Ends where the lengths no longer fit the bytes; units without bytes are left out.
pub fn nals(picture: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = picture;
    std::iter::from_fn(move || {
        loop {
            let (length, behind) = rest.split_first_chunk::<4>()?;
            let length = u32::from_be_bytes(*length) as usize;
            let (nal, behind) = behind.split_at_checked(length)?;
            rest = behind;
            if !nal.is_empty() {
                return Some(nal);
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_come_out_in_order_and_damage_ends_them() {
        let whole = [0, 0, 0, 2, 7, 8, 0, 0, 0, 0, 0, 0, 0, 1, 9];
        assert_eq!(nals(&whole).collect::<Vec<_>>(), [&[7, 8][..], &[9]]);
        for len in 0..whole.len() {
            assert!(nals(&whole[..len]).count() <= 1, "{len}");
        }
        assert_eq!(nals(&[0xff; 64]).count(), 0);
    }
}
