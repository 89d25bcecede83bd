//! The RTP header extension of ONVIF replay: when the recorder took the frame, and how it stands to its neighbours.
//!
//! It goes with the first packet of each access unit (ONVIF Streaming Specification, "RTP header extension"):
//!
//! | offset | size | field     | meaning                                                                        |
//! |-------:|-----:|-----------|--------------------------------------------------------------------------------|
//! |      0 |    2 | profile   | 0xABAC                                                                         |
//! |      2 |    2 | length    | 3 words follow (RFC 3550 §5.3.1)                                               |
//! |      4 |    8 | time      | NTP timestamp of the frame on the recorder's clock                             |
//! |     12 |    1 | bits      | 0x80 C clean point, 0x40 E end of a section, 0x20 D discontinuity, 0x10 T last |
//! |     13 |    1 | sequence  | low byte of the CSeq of the PLAY that asked for it                             |
//! |     14 |    2 | padding   | zero                                                                           |

use crate::base::UnixMicros;

/// Bytes of the extension in a packet.
pub const REPLAY_EXTENSION_LEN: usize = 16;
const PROFILE: [u8; 2] = [0xab, 0xac];
const CLEAN_POINT: u8 = 0x80;
const END: u8 = 0x40;
const DISCONTINUITY: u8 = 0x20;
const TERMINAL: u8 = 0x10;

/// What the extension of one frame says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplayExtension {
    /// When the frame was taken, on the recorder's clock: the stored time, to the microsecond.
    pub time: UnixMicros,
    /// Decoding can start here.
    pub clean_point: bool,
    /// The last access unit before a gap or before the end of the recording.
    pub end_of_section: bool,
    /// What follows does not continue what was sent before.
    pub discontinuity: bool,
    /// The last access unit of the answer.
    pub terminal: bool,
    /// The low byte of the CSeq of the PLAY request.
    pub sequence: u8,
}

impl ReplayExtension {
    /// The extension as it stands behind the fixed header.
    pub fn encode(&self) -> [u8; REPLAY_EXTENSION_LEN] {
        let mut bytes = [0; REPLAY_EXTENSION_LEN];
        bytes[..2].copy_from_slice(&PROFILE);
        bytes[3] = 3;
        bytes[4..12].copy_from_slice(&self.time.to_ntp().to_be_bytes());
        let bit = |set: bool, bit: u8| if set { bit } else { 0 };
        bytes[12] = bit(self.clean_point, CLEAN_POINT)
            | bit(self.end_of_section, END)
            | bit(self.discontinuity, DISCONTINUITY)
            | bit(self.terminal, TERMINAL);
        bytes[13] = self.sequence;
        bytes
    }

    /// Reads the extension of an RTP packet; `None` where there is none or another one.
    pub fn of_packet(packet: &[u8]) -> Option<Self> {
        let &first = packet.first()?;
        if first & 0xd0 != 0x90 {
            return None;
        }
        let rest = packet.get(12 + 4 * usize::from(first & 0x0f)..)?;
        let bytes: &[u8; REPLAY_EXTENSION_LEN] = rest.first_chunk()?;
        let &[
            p0,
            p1,
            l0,
            l1,
            n0,
            n1,
            n2,
            n3,
            n4,
            n5,
            n6,
            n7,
            bits,
            sequence,
            _,
            _,
        ] = bytes;
        let length = u16::from_be_bytes([l0, l1]);
        ([p0, p1] == PROFILE && length >= 3).then_some(Self {
            time: UnixMicros::from_ntp(u64::from_be_bytes([n0, n1, n2, n3, n4, n5, n6, n7])),
            clean_point: bits & CLEAN_POINT != 0,
            end_of_section: bits & END != 0,
            discontinuity: bits & DISCONTINUITY != 0,
            terminal: bits & TERMINAL != 0,
            sequence,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::seed::Seed;

    #[test]
    fn each_field_stands_where_the_table_says() {
        let extension = ReplayExtension {
            time: UnixMicros::from_ntp(0xe000_0000_8000_0000),
            clean_point: true,
            end_of_section: false,
            discontinuity: true,
            terminal: false,
            sequence: 0x7f,
        };
        let expected = [
            0xab, 0xac, 0, 3, 0xe0, 0, 0, 0, 0x80, 0, 0, 0, 0xa0, 0x7f, 0, 0,
        ];
        assert_eq!(extension.encode(), expected);
    }

    #[test]
    fn every_time_and_bit_comes_back_and_nothing_short_is_read() {
        let seed = 0xabac;
        println!("SEED={seed}");
        let mut seed = Seed::new(seed);
        for _ in 0..5_000 {
            let bits = seed.next();
            let extension = ReplayExtension {
                time: UnixMicros(seed.below(4_000_000_000_000_000) as i64),
                clean_point: bits & 1 != 0,
                end_of_section: bits & 2 != 0,
                discontinuity: bits & 4 != 0,
                terminal: bits & 8 != 0,
                sequence: (bits >> 8) as u8,
            };
            let mut packet = vec![0x90, 96];
            packet.resize(12, 0);
            packet.extend_from_slice(&extension.encode());
            assert_eq!(ReplayExtension::of_packet(&packet), Some(extension));
            packet.truncate(seed.below(28) as usize);
            assert_eq!(ReplayExtension::of_packet(&packet), None);
        }
        assert_eq!(
            ReplayExtension::of_packet(&[0x80; 40]),
            None,
            "no extension bit"
        );
    }
}
