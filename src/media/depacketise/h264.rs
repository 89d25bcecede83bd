//! H.264 over RTP: RFC 6184 packetization modes 0 and 1 (single NAL unit, STAP-A, FU-A) and the meaning of each NAL unit.
//!
//! The interleaved packets of mode 2 (STAP-B, MTAP, FU-B) need decoding order numbers that no camera sends; they are errors.

use super::{
    picture::{NalClass, NalHeader, Piece, Slice},
    video::{PayloadError, VideoSyntax},
};
use crate::media::{
    Codec,
    h264::{self, SliceHeader, nal_type, sei::SEI_PEEK_LEN, slice::SLICE_PEEK_LEN},
    parameter_sets::{PARAMETER_SET_LEN_MAX, ParameterSets},
};
use bytes::{Buf, Bytes};

/// STAP-A: several NAL units in one packet, RFC 6184 §5.7.1.
const STAP_A: u8 = 24;
/// FU-A: a fragment of a NAL unit, RFC 6184 §5.8.
const FU_A: u8 = 28;

/// H.264 as the video depacketiser sees it.
#[derive(Debug)]
pub(super) enum H264 {}

impl VideoSyntax for H264 {
    const CODEC: Codec = Codec::H264;

    fn unpack(payload: &Bytes, pieces: &mut Vec<Piece>) -> Result<(), PayloadError> {
        let &header = payload.first().ok_or(PayloadError::Empty)?;
        match h264::nal_type_of(header) {
            1..=23 => pieces.push(Piece::Whole(payload.clone())),
            STAP_A => unpack_aggregate(payload.slice(1..), pieces)?,
            FU_A => {
                let &fu = payload.get(1).ok_or(PayloadError::Short)?;
                pieces.push(Piece::Fragment {
                    header: NalHeader::h264(header & 0xe0 | fu & 0x1f),
                    data: payload.slice(2..),
                    start: fu & 0x80 != 0,
                    end: fu & 0x40 != 0,
                });
            }
            _ => return Err(PayloadError::Unsupported),
        }
        Ok(())
    }

    fn nal_type_of(header: u8) -> u8 {
        h264::nal_type_of(header)
    }

    fn peek_len(header: u8) -> usize {
        match h264::nal_type_of(header) {
            nal_type::SPS | nal_type::PPS => PARAMETER_SET_LEN_MAX,
            nal_type::SEI => SEI_PEEK_LEN,
            _ => SLICE_PEEK_LEN,
        }
    }

    fn may_be_bundle(nal_type: u8) -> bool {
        matches!(
            nal_type,
            nal_type::SPS | nal_type::PPS | nal_type::DELIMITER
        )
    }

    fn classify(nal: &[u8], sets: &ParameterSets) -> NalClass {
        let header = nal.first().copied().unwrap_or(0);
        match h264::nal_type_of(header) {
            kind if SliceHeader::in_nal_type(kind) => {
                let mut slice = Slice {
                    random_access: kind == nal_type::IDR,
                    reference: header & 0x60 != 0,
                    ..Slice::default()
                };
                if let Ok(read) = SliceHeader::peek(nal, |pps| sets.h264_sps_of(pps)) {
                    slice.first = read.first;
                    slice.intra = read.intra;
                    slice.pps_id = Some(read.pps_id);
                    slice.field = read.field;
                }
                NalClass::Slice(slice)
            }
            nal_type::SPS => NalClass::Set { sequence: true },
            nal_type::PPS => NalClass::Set { sequence: false },
            nal_type::SEI => {
                h264::recovery_frame_count(nal).map_or(NalClass::Opening, NalClass::Recovery)
            }
            nal_type::DELIMITER | nal_type::PREFIX..=nal_type::RESERVED_18 => NalClass::Opening,
            _ => NalClass::Other,
        }
    }
}

/// Takes an aggregate apart (also H.265 §4.4.2 of RFC 7798, which has the same form): 16-bit lengths and NAL units, to the end.
pub(super) fn unpack_aggregate(
    mut rest: Bytes,
    pieces: &mut Vec<Piece>,
) -> Result<(), PayloadError> {
    if rest.is_empty() {
        return Err(PayloadError::Short);
    }
    while !rest.is_empty() {
        let length = usize::from(rest.try_get_u16().map_err(|_| PayloadError::Short)?);
        if length == 0 || length > rest.len() {
            return Err(PayloadError::Short);
        }
        pieces.push(Piece::Whole(rest.split_to(length)));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6184 §5.8: F and NRI come from the indicator, the type from the FU header, so that every header survives.
    #[test]
    fn every_header_is_rebuilt_from_its_fragments() {
        for header in (0..=255u8).filter(|header| (1..24).contains(&(header & 0x1f))) {
            let payload = [header & 0xe0 | FU_A, 0x80 | header & 0x1f, 7];
            let mut pieces = Vec::new();
            H264::unpack(&Bytes::copy_from_slice(&payload), &mut pieces).unwrap();
            let expected = Piece::Fragment {
                header: NalHeader::h264(header),
                data: Bytes::from_static(&[7]),
                start: true,
                end: false,
            };
            assert_eq!(pieces, [expected]);
        }
    }

    #[test]
    fn broken_and_unsupported_payloads_are_errors() {
        for payload in [
            &[STAP_A][..],
            &[STAP_A, 0],
            &[STAP_A, 0, 0],
            &[STAP_A, 0, 2, 0x67],
            &[FU_A],
            &[0],
            &[25, 0, 0, 0, 1, 0x67],
            &[26, 0],
            &[27, 0],
            &[29, 0x85, 0, 0],
            &[30],
            &[31],
        ] {
            let result = H264::unpack(&Bytes::copy_from_slice(payload), &mut Vec::new());
            assert!(result.is_err(), "{payload:?}");
        }
    }
}
