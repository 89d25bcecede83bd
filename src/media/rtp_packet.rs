//! One RTP packet as a value: what depacketisers take, whatever carried it.
//!
//! Over TCP the RTSP client fills it; over UDP and in tests it is read from raw bytes. The payload stays the received slice, so
//! that nothing is copied between the socket and the disk writer's slab.

use bytes::Bytes;

/// One RTP packet, in order within its stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RtpPacket {
    /// Sequence number, RFC 3550 §5.1.
    pub sequence: u16,
    /// Sampling instant in ticks of the track's clock rate.
    pub timestamp: u32,
    /// For pictures: the last packet of an access unit, if the camera tells the truth. For sound: the start of a talk spurt.
    pub marker: bool,
    /// The payload without padding, CSRCs and header extension.
    pub payload: Bytes,
    /// How many packets are missing directly before this one.
    pub lost_before: u16,
}

/// A packet as it came from the network, not yet put in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceivedPacket {
    /// Synchronisation source: the sender's number, which changes when a camera restarts.
    pub ssrc: u32,
    /// What the payload is, an index into the session description.
    pub payload_type: u8,
    /// The packet; `lost_before` is 0 until the reorder window fills it in.
    pub packet: RtpPacket,
}

/// Bytes that are no RTP packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RtpError {
    /// Too short for what the header promises.
    #[error("RTP packet of {length} bytes ends inside its {part}; the packet is dropped")]
    Short {
        /// Length of the packet in bytes.
        length: usize,
        /// The part that does not fit.
        part: &'static str,
    },
    /// Not version 2.
    #[error("RTP version {version} is not 2; the packet is dropped")]
    Version {
        /// The version found.
        version: u8,
    },
    /// The padding count is zero or larger than the payload.
    #[error(
        "RTP padding of {padding} bytes does not fit a payload of {payload}; the packet is dropped"
    )]
    Padding {
        /// Claimed padding in bytes.
        padding: usize,
        /// Payload in bytes, padding included.
        payload: usize,
    },
}

/// Length of the fixed header in bytes, RFC 3550 §5.1.
const HEADER_LEN: usize = 12;

impl ReceivedPacket {
    /// Reads one packet, RFC 3550 §5.1 and §5.3.1; the payload is a slice of `bytes`, not a copy.
    pub fn parse(bytes: &Bytes) -> Result<Self, RtpError> {
        let length = bytes.len();
        let short = |part| RtpError::Short { length, part };
        let Some(&[first, second, s0, s1, t0, t1, t2, t3, c0, c1, c2, c3]) =
            bytes.first_chunk::<HEADER_LEN>()
        else {
            return Err(short("fixed header"));
        };
        let version = first >> 6;
        if version != 2 {
            return Err(RtpError::Version { version });
        }
        let mut start = HEADER_LEN + 4 * usize::from(first & 0x0f);
        if start > length {
            return Err(short("CSRC list"));
        }
        if first & 0x10 != 0 {
            let Some(&[_, _, high, low]) = bytes.get(start..).and_then(|rest| rest.first_chunk())
            else {
                return Err(short("header extension"));
            };
            start += 4 + 4 * usize::from(u16::from_be_bytes([high, low]));
            if start > length {
                return Err(short("header extension"));
            }
        }
        let mut end = length;
        if first & 0x20 != 0 {
            let payload = length - start;
            let padding = usize::from(bytes.last().copied().unwrap_or(0));
            if padding == 0 || padding > payload {
                return Err(RtpError::Padding { padding, payload });
            }
            end -= padding;
        }
        Ok(Self {
            ssrc: u32::from_be_bytes([c0, c1, c2, c3]),
            payload_type: second & 0x7f,
            packet: RtpPacket {
                sequence: u16::from_be_bytes([s0, s1]),
                timestamp: u32::from_be_bytes([t0, t1, t2, t3]),
                marker: second & 0x80 != 0,
                payload: bytes.slice(start..end),
                lost_before: 0,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::seed::Seed;

    #[test]
    fn header_with_csrc_extension_and_padding_is_read() {
        // V=2 P=1 X=1 CC=1, M=1 PT=96, one CSRC, ONVIF replay extension 0xABAC of 1 word, payload 3 bytes, padding 2.
        let raw: &[u8] = &[
            0xb1, 0xe0, 0x12, 0x34, 0, 0, 0, 9, 0xde, 0xad, 0xbe, 0xef, 1, 2, 3, 4, 0xab, 0xac, 0,
            1, 9, 9, 9, 9, 0x65, 0x88, 0x80, 0, 2,
        ];
        let received = ReceivedPacket::parse(&Bytes::from_static(raw)).unwrap();
        assert_eq!((received.ssrc, received.payload_type), (0xdead_beef, 96));
        assert_eq!(
            received.packet,
            RtpPacket {
                sequence: 0x1234,
                timestamp: 9,
                marker: true,
                payload: Bytes::from_static(&[0x65, 0x88, 0x80]),
                lost_before: 0
            }
        );
    }

    #[test]
    fn damaged_packets_are_refused_with_the_reason() {
        let plain: Vec<u8> = [0x80, 96].into_iter().chain([0; 10]).collect();
        for length in 0..12 {
            let cut = Bytes::copy_from_slice(&plain[..length]);
            assert!(matches!(
                ReceivedPacket::parse(&cut),
                Err(RtpError::Short { .. })
            ));
        }
        let with_first = |first: u8, tail: &[u8]| {
            let mut bytes = plain.clone();
            bytes[0] = first;
            bytes.extend_from_slice(tail);
            ReceivedPacket::parse(&bytes.into())
        };
        assert_eq!(with_first(0x40, &[]), Err(RtpError::Version { version: 1 }));
        assert!(
            with_first(0x8f, &[1; 59]).is_err(),
            "15 CSRCs need 60 bytes"
        );
        assert!(with_first(0x90, &[0xab, 0xac, 0xff, 0xff]).is_err());
        assert_eq!(
            with_first(0xa0, &[7]),
            Err(RtpError::Padding {
                padding: 7,
                payload: 1
            })
        );
        assert!(with_first(0xa0, &[1]).unwrap().packet.payload.is_empty());
    }

    #[test]
    fn random_bytes_never_panic() {
        let mut seed = Seed::new(3550);
        for _ in 0..20_000 {
            let mut bytes = vec![0; seed.below(80) as usize];
            seed.fill(&mut bytes);
            if let Some(first) = bytes.first_mut() {
                *first = 0x80 | (*first & 0x3f);
            }
            let _ = ReceivedPacket::parse(&bytes.into());
        }
    }
}
