//! Start codes where none belong: some cameras put a whole Annex B byte stream into one NAL unit of an RTP packet or of the session
//! description, always one that begins with a parameter set or a delimiter.
//!
//! No NAL unit may hold 00 00 01 (H.264 §7.4.1), so that taking such a bundle apart is never wrong for those kinds. Other kinds are
//! not searched: slices would cost time, and signed SEI without emulation prevention must stay as it came.

use bytes::Bytes;

/// Whether a start code stands in `bytes`.
pub fn has_start_code(bytes: &[u8]) -> bool {
    bytes.windows(3).any(|window| window == [0, 0, 1])
}

/// The NAL units between start codes (Annex B of both standards), as slices; zero bytes before and after them are filling.
pub fn nals(mut bytes: Bytes) -> impl Iterator<Item = Bytes> {
    std::iter::from_fn(move || {
        while !bytes.is_empty() {
            let at = bytes.windows(3).position(|window| window == [0, 0, 1]);
            let mut nal = bytes.split_to(at.unwrap_or(bytes.len()));
            let _ = bytes.split_to(bytes.len().min(3));
            // A NAL unit never ends with a zero byte.
            let end = nal.iter().rposition(|byte| *byte != 0);
            nal.truncate(end.map_or(0, |last| last + 1));
            if !nal.is_empty() {
                return Some(nal);
            }
        }
        None
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bundles_come_apart_at_start_codes_only() {
        let split = |bytes: &'static [u8]| nals(Bytes::from_static(bytes)).collect::<Vec<_>>();
        assert_eq!(
            split(&[
                0x67, 1, 0, 0, 0, 1, 0x68, 0, 2, 0, 0, 1, 0x65, 0, 0, 3, 1, 0, 0
            ]),
            [&[0x67, 1][..], &[0x68, 0, 2], &[0x65, 0, 0, 3, 1]]
        );
        assert_eq!(split(&[0, 0, 0, 1, 0x67, 1, 0, 0, 0, 1]), [&[0x67, 1][..]]);
        assert!(split(&[0, 0, 1, 0, 0, 1, 0]).is_empty());
        assert!(has_start_code(&[1, 0, 0, 1]));
        assert!(!has_start_code(&[0, 0, 3, 1, 0, 0]));
    }
}
