//! RTCP as senders and receivers speak it: reports, CNAME and BYE (RFC 3550 §6).
//!
//! `reception` keeps the account that a receiver reports of. Every packet sent is a compound one, as §6.1 wants: a report first, then the
//! CNAME. What comes in is untrusted: `parse` gives what can be read of whole packets and refuses the rest.

mod reception;

pub use reception::Reception;

use crate::base::UnixMicros;

const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
const SOURCE_DESCRIPTION: u8 = 202;
const BYE: u8 = 203;
/// Item of a source description, §6.5.1.
const CNAME: u8 = 1;
/// Longest CNAME: its length is a byte.
const CNAME_LEN_MAX: usize = 255;
/// Most report blocks looked at in one datagram; more sources than tracks of one session are nobody's.
const BLOCKS_MAX: usize = 64;
/// Most report blocks of one packet: the count has five bits.
const COUNT_MAX: u8 = 31;
/// Seconds from 1900 to 1970 are in `UnixMicros`; the fraction of a report block's times is 1/65536 s.
const SHORT_NTP_PER_SECOND: i64 = 65_536;

/// How the clock of a track stands to the recorder's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SenderReport {
    /// The track's synchronisation source.
    pub ssrc: u32,
    /// An instant on the recorder's clock and its RTP timestamp; `None` where the client sets the pace (ONVIF `Rate-Control: no`: both are
    /// sent as zero).
    pub instant: Option<(UnixMicros, u32)>,
    /// Packets sent since the beginning.
    pub packets: u32,
    /// Payload bytes sent since the beginning.
    pub octets: u32,
}

impl SenderReport {
    /// The compound packet: this report, the CNAME, and a BYE when the track ends.
    pub fn encode(&self, cname: &str, bye: bool) -> Vec<u8> {
        let mut out = Vec::with_capacity(96);
        let (ntp, rtp) = self
            .instant
            .map_or((0, 0), |(time, rtp)| (time.to_ntp(), rtp));
        out.extend_from_slice(&[0x80, SENDER_REPORT, 0, 6]);
        out.extend_from_slice(&self.ssrc.to_be_bytes());
        out.extend_from_slice(&ntp.to_be_bytes());
        for word in [rtp, self.packets, self.octets] {
            out.extend_from_slice(&word.to_be_bytes());
        }
        put_end(self.ssrc, cname, bye, &mut out);
        out
    }
}

/// What a receiver says of the tracks it receives, §6.4.2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiverReport {
    /// The receiver's own synchronisation source.
    pub ssrc: u32,
    /// Of each track; none before its first packet.
    pub blocks: Vec<ReportBlock>,
}

impl ReceiverReport {
    /// The compound packet: this report, the CNAME, and a BYE when the receiver leaves. Blocks beyond 31 have no place in it.
    pub fn encode(&self, cname: &str, bye: bool) -> Vec<u8> {
        let blocks = self.blocks.iter().take(usize::from(COUNT_MAX));
        let count = blocks.len() as u8;
        let mut out = Vec::with_capacity(64);
        out.extend_from_slice(&[0x80 | count, RECEIVER_REPORT, 0, 1 + 6 * count]);
        out.extend_from_slice(&self.ssrc.to_be_bytes());
        for block in blocks {
            block.encode(&mut out);
        }
        put_end(self.ssrc, cname, bye, &mut out);
        out
    }
}

/// What stands behind every report.
fn put_end(ssrc: u32, cname: &str, bye: bool, out: &mut Vec<u8>) {
    put_cname(ssrc, cname, out);
    if bye {
        out.extend_from_slice(&[0x81, BYE, 0, 1]);
        out.extend_from_slice(&ssrc.to_be_bytes());
    }
}

/// A source description with one chunk of one item, §6.5.
fn put_cname(ssrc: u32, cname: &str, out: &mut Vec<u8>) {
    let mut end = cname.len().min(CNAME_LEN_MAX);
    while !cname.is_char_boundary(end) {
        end -= 1;
    }
    let name = &cname.as_bytes()[..end];
    // Source, item head, text, and at least one zero that ends the list; the chunk fills whole words.
    let words = (4 + 2 + name.len()) / 4 + 1;
    let start = out.len();
    out.extend_from_slice(&[0x81, SOURCE_DESCRIPTION, 0, words as u8]);
    out.extend_from_slice(&ssrc.to_be_bytes());
    out.extend_from_slice(&[CNAME, name.len() as u8]);
    out.extend_from_slice(name);
    out.resize(start + 4 + 4 * words, 0);
}

/// What a receiver says of one of our tracks, §6.4.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReportBlock {
    /// The track.
    pub ssrc: u32,
    /// Share of packets lost since the report before, in 1/256.
    pub fraction_lost: u8,
    /// Packets lost since the beginning; below zero with duplicates.
    pub lost: i32,
    /// Highest sequence number received, with its wraps.
    pub highest_sequence: u32,
    /// Variation of arrival times in ticks.
    pub jitter: u32,
    /// The middle 32 bits of the NTP time of the last sender report received; 0 when there was none.
    pub last_report: u32,
    /// Time since that report in 1/65536 s.
    pub since_last_report: u32,
}

/// What a client tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// Its reports.
    pub blocks: Vec<ReportBlock>,
    /// It says that it leaves.
    pub bye: bool,
}

/// A datagram that is no RTCP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a datagram of {len} bytes is no RTCP packet at byte {at}; it is dropped")]
pub struct RtcpError {
    /// Its length.
    len: usize,
    /// Where it goes wrong.
    at: usize,
}

/// Reads a compound packet. A single receiver report, as some clients send it, is as good.
///
/// # Errors
/// When the bytes are not whole RTCP packets one behind the other, at least one.
pub fn parse(bytes: &[u8]) -> Result<Heard, RtcpError> {
    let mut heard = Heard::default();
    let mut rest = bytes;
    while !rest.is_empty() || bytes.is_empty() {
        let error = RtcpError {
            len: bytes.len(),
            at: bytes.len() - rest.len(),
        };
        let (&[first, kind, high, low], after) = rest.split_first_chunk().ok_or(error)?;
        let len = 4 * usize::from(u16::from_be_bytes([high, low]));
        let (body, after) = after.split_at_checked(len).ok_or(error)?;
        if first >> 6 != 2 {
            return Err(error);
        }
        rest = after;
        let skip = match kind {
            SENDER_REPORT => 24,
            RECEIVER_REPORT => 4,
            BYE => {
                heard.bye = true;
                continue;
            }
            _ => continue,
        };
        let blocks = body.get(skip..).ok_or(error)?;
        let (blocks, _) = blocks.as_chunks::<24>();
        let count = usize::from(first & 0x1f);
        if count > blocks.len() {
            return Err(error);
        }
        let room = BLOCKS_MAX - heard.blocks.len();
        let blocks = blocks.iter().take(count.min(room));
        heard.blocks.extend(blocks.map(ReportBlock::decode));
    }
    Ok(heard)
}

impl ReportBlock {
    fn encode(&self, out: &mut Vec<u8>) {
        let lost = u32::from(self.fraction_lost) << 24 | self.lost as u32 & 0xff_ffff;
        for word in [
            self.ssrc,
            lost,
            self.highest_sequence,
            self.jitter,
            self.last_report,
            self.since_last_report,
        ] {
            out.extend_from_slice(&word.to_be_bytes());
        }
    }

    fn decode(bytes: &[u8; 24]) -> Self {
        let (words, _) = bytes.as_chunks::<4>();
        let word = |index: usize| words.get(index).map_or(0, |word| u32::from_be_bytes(*word));
        Self {
            ssrc: word(0),
            fraction_lost: (word(1) >> 24) as u8,
            // 24 bits with a sign.
            lost: (word(1) << 8) as i32 >> 8,
            highest_sequence: word(2),
            jitter: word(3),
            last_report: word(4),
            since_last_report: word(5),
        }
    }
}

#[cfg(test)]
mod tests;
