//! H.265 over RTP: RFC 7798 (single NAL unit, AP, FU) and the meaning of each NAL unit.
//!
//! Decoding order numbers (sprop-max-don-diff above 0) are refused when the session is set up; PACI packets are errors.

use super::{
    h264::unpack_aggregate,
    picture::{NalClass, NalHeader, Piece, Slice},
    video::{PayloadError, VideoSyntax},
};
use crate::media::{
    Codec,
    h265::{self, SLICE_PEEK_LEN, SliceHeader, nal_type},
    parameter_sets::{PARAMETER_SET_LEN_MAX, ParameterSets},
};
use bytes::Bytes;

/// Aggregation packet, RFC 7798 §4.4.2.
const AP: u8 = 48;
/// Fragmentation unit, RFC 7798 §4.4.3.
const FU: u8 = 49;

/// H.265 as the video depacketiser sees it.
#[derive(Debug)]
pub(super) enum H265 {}

impl VideoSyntax for H265 {
    const CODEC: Codec = Codec::H265;

    fn unpack(payload: &Bytes, pieces: &mut Vec<Piece>) -> Result<(), PayloadError> {
        let Some(&[first, second]) = payload.first_chunk() else {
            return Err(if payload.is_empty() {
                PayloadError::Empty
            } else {
                PayloadError::Short
            });
        };
        match h265::nal_type_of(first) {
            0..AP => pieces.push(Piece::Whole(payload.clone())),
            AP => unpack_aggregate(payload.slice(2..), pieces)?,
            FU => {
                let &fu = payload.get(2).ok_or(PayloadError::Short)?;
                pieces.push(Piece::Fragment {
                    header: NalHeader::h265([first & 0x81 | (fu & 0x3f) << 1, second]),
                    data: payload.slice(3..),
                    start: fu & 0x80 != 0,
                    end: fu & 0x40 != 0,
                });
            }
            _ => return Err(PayloadError::Unsupported),
        }
        Ok(())
    }

    fn nal_type_of(header: u8) -> u8 {
        h265::nal_type_of(header)
    }

    fn peek_len(header: u8) -> usize {
        match h265::nal_type_of(header) {
            nal_type::VPS..=nal_type::PPS => PARAMETER_SET_LEN_MAX,
            _ => SLICE_PEEK_LEN,
        }
    }

    fn may_be_bundle(nal_type: u8) -> bool {
        (nal_type::VPS..=nal_type::DELIMITER).contains(&nal_type)
    }

    fn classify(nal: &[u8], sets: &ParameterSets) -> NalClass {
        let &[first, second, ..] = nal else {
            return NalClass::Other;
        };
        let layer = (first & 1) << 5 | second >> 3;
        if layer > 0 {
            // Enhancement layers ride along; the base layer says what the picture is.
            return NalClass::Other;
        }
        match h265::nal_type_of(first) {
            kind @ 0..=nal_type::VCL_LAST => {
                let read = SliceHeader::peek(nal).ok();
                let pps_id = read.map(|read| read.pps_id);
                let layers = pps_id
                    .and_then(|pps| sets.h265_sps_of(pps))
                    .map_or(1, |sps| sps.temporal_layers);

                let temporal_layer = second & 7;
                // A non-reference picture of a lower sub-layer may still serve higher ones (H.265 §3, SLNR picture).
                let disposable =
                    kind <= nal_type::RSV_VCL_N14 && kind % 2 == 0 && temporal_layer >= layers;
                NalClass::Slice(Slice {
                    first: read.is_some_and(|read| read.first),
                    intra: false,
                    random_access: h265::is_random_access(kind),
                    reference: !disposable,
                    leading: matches!(kind, nal_type::RASL_N | nal_type::RASL_R),
                    pps_id,
                    field: None,
                })
            }
            nal_type::VPS | nal_type::SPS => NalClass::Set { sequence: true },
            nal_type::PPS => NalClass::Set { sequence: false },
            nal_type::DELIMITER | nal_type::PREFIX_SEI | 41..=44 | 48..=55 => NalClass::Opening,
            _ => NalClass::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7798 §4.4.3: F, LayerId and TID come from the payload header, the type from the FU header, so that every header survives.
    #[test]
    fn every_header_is_rebuilt_from_its_fragments() {
        for header in 0..=u16::MAX {
            let [first, second] = header.to_be_bytes();
            let kind = first >> 1 & 0x3f;
            if kind >= AP {
                continue;
            }
            let payload = [first & 0x81 | FU << 1, second, 0x40 | kind, 7];
            let mut pieces = Vec::new();
            H265::unpack(&Bytes::copy_from_slice(&payload), &mut pieces).unwrap();
            let expected = Piece::Fragment {
                header: NalHeader::h265([first, second]),
                data: Bytes::from_static(&[7]),
                start: false,
                end: true,
            };
            assert_eq!(pieces, [expected]);
        }
    }

    #[test]
    fn broken_and_unsupported_payloads_are_errors() {
        for payload in [
            &[0x40][..],
            &[AP << 1, 1],
            &[AP << 1, 1, 0, 3, 0x40, 1],
            &[FU << 1, 1],
            &[50 << 1, 1, 0, 0],
            &[63 << 1, 1, 0, 0],
        ] {
            let result = H265::unpack(&Bytes::copy_from_slice(payload), &mut Vec::new());
            assert!(result.is_err(), "{payload:?}");
        }
    }
}
