//! Packets: an access unit cut into RTP packets once, then copied and patched for every receiver.
//!
//! A [`Wire`] holds the packets of one access unit exactly as they go over RTSP's TCP connection (RFC 2326 §10.12: `$`, channel, length,
//! then the RTP packet). Sending to a receiver is one copy and a few patched bytes per packet; over UDP the first four bytes are left out.
//! Cutting follows RFC 6184 (H.264: single NAL, STAP-A, FU-A), RFC 7798 (H.265: single NAL, AP, FU) and RFC 3640 (AAC-hbr).

use crate::mark::MarkText;
use crate::nal::Codec;
use std::ops::Range;

/// Bytes before the RTP packet: `$`, channel, length.
pub(crate) const FRAMING_LEN: usize = 4;
/// Bytes of an RTP header without extensions.
pub(crate) const HEADER_LEN: usize = 12;
/// Payload type of video.
pub(crate) const VIDEO_TYPE: u8 = 96;
/// Payload type of AAC audio.
pub(crate) const AAC_TYPE: u8 = 97;
/// Payload type of G.711 A-law audio (RFC 3551 §6).
pub(crate) const PCMA_TYPE: u8 = 8;

/// The packets of one access unit, prepared.
#[derive(Debug, Default)]
pub(crate) struct Wire {
    bytes: Vec<u8>,
    /// Where each framed packet starts; the last entry is the end of `bytes`.
    starts: Vec<usize>,
    /// Where the mark's text stands, if there is one.
    mark_at: Option<usize>,
}

/// What differs from receiver to receiver.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stamp {
    pub(crate) channel: u8,
    /// Sequence number of the first packet.
    pub(crate) sequence: u16,
    pub(crate) timestamp: u32,
    pub(crate) ssrc: u32,
}

/// How NAL units become packets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cutting {
    pub(crate) codec: Codec,
    /// The longest RTP payload in bytes.
    pub(crate) payload_max: usize,
    /// Put the small units at the front of an access unit into one packet.
    pub(crate) aggregate: bool,
}

impl Wire {
    /// The packets of one video access unit. `mark` says which unit is the mark, and where its text stands in it.
    pub(crate) fn video(cutting: Cutting, nals: &[&[u8]], mark: (usize, usize)) -> Self {
        let mut wire = Self::default();
        let mut at = 0;
        while at < nals.len() {
            let together = if cutting.aggregate {
                cutting.fitting(&nals[at..])
            } else {
                1
            };
            if together > 1 {
                wire.push_aggregate(cutting.codec, &nals[at..at + together], mark, at);
            } else if nals[at].len() <= cutting.payload_max {
                wire.open(VIDEO_TYPE);
                if mark.0 == at {
                    wire.mark_at = Some(wire.bytes.len() + mark.1);
                }
                wire.bytes.extend_from_slice(nals[at]);
            } else {
                wire.push_fragments(cutting, nals[at]);
            }
            at += together.max(1);
        }
        wire.close();
        wire
    }

    /// One AAC frame with its 16-bit header (RFC 3640 §3.3.6).
    pub(crate) fn aac(frame: &[u8]) -> Self {
        let mut wire = Self::default();
        wire.open(AAC_TYPE);
        wire.bytes.extend(16u16.to_be_bytes());
        wire.bytes.extend(((frame.len() as u16) << 3).to_be_bytes());
        wire.bytes.extend_from_slice(frame);
        wire.close();
        wire
    }

    /// One packet of G.711 samples.
    pub(crate) fn pcma(samples: &[u8]) -> Self {
        let mut wire = Self::default();
        wire.open(PCMA_TYPE);
        wire.bytes.extend_from_slice(samples);
        wire.close();
        wire
    }

    /// Number of packets.
    pub(crate) fn count(&self) -> usize {
        self.starts.len() - 1
    }

    /// Bytes of all framed packets.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The framed packets, as ranges of what [`Wire::stamp_into`] appended.
    pub(crate) fn packets(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        self.starts.windows(2).map(|pair| pair[0]..pair[1])
    }

    /// Appends the packets, patched for one receiver.
    pub(crate) fn stamp_into(&self, out: &mut Vec<u8>, stamp: Stamp, mark: Option<&MarkText>) {
        let base = out.len();
        out.extend_from_slice(&self.bytes);
        let copy = &mut out[base..];
        let (timestamp, ssrc) = (stamp.timestamp.to_be_bytes(), stamp.ssrc.to_be_bytes());
        for (index, start) in self.starts[..self.count()].iter().enumerate() {
            let sequence = stamp.sequence.wrapping_add(index as u16).to_be_bytes();
            let head = &mut copy[*start..start + FRAMING_LEN + HEADER_LEN];
            head[1] = stamp.channel;
            head[6..8].copy_from_slice(&sequence);
            head[8..12].copy_from_slice(&timestamp);
            head[12..16].copy_from_slice(&ssrc);
        }
        if let (Some(at), Some(mark)) = (self.mark_at, mark) {
            copy[at..at + mark.bytes().len()].copy_from_slice(mark.bytes());
        }
    }

    fn open(&mut self, payload_type: u8) {
        self.starts.push(self.bytes.len());
        self.bytes.extend([b'$', 0, 0, 0, 0x80, payload_type]);
        self.bytes.extend([0; 10]);
    }

    /// Fills in the lengths and sets the marker bit of the last packet.
    fn close(&mut self) {
        self.starts.push(self.bytes.len());
        for pair in self.starts.windows(2) {
            let length = (pair[1] - pair[0] - FRAMING_LEN) as u16;
            self.bytes[pair[0] + 2..pair[0] + 4].copy_from_slice(&length.to_be_bytes());
        }
        let last = self.starts[self.starts.len() - 2];
        self.bytes[last + 5] |= 0x80;
    }

    /// STAP-A (RFC 6184 §5.7.1) or AP (RFC 7798 §4.4.2).
    fn push_aggregate(&mut self, codec: Codec, nals: &[&[u8]], mark: (usize, usize), first: usize) {
        self.open(VIDEO_TYPE);
        match codec {
            Codec::H264 => {
                let importance = nals.iter().map(|nal| nal[0] & 0x60).max().unwrap_or(0);
                self.bytes.push(importance | 24);
            }
            Codec::H265 => self.bytes.extend([48 << 1, 1]),
        }
        for (index, nal) in nals.iter().enumerate() {
            self.bytes.extend((nal.len() as u16).to_be_bytes());
            if first + index == mark.0 {
                self.mark_at = Some(self.bytes.len() + mark.1);
            }
            self.bytes.extend_from_slice(nal);
        }
    }

    /// FU-A (RFC 6184 §5.8) or FU (RFC 7798 §4.4.3).
    fn push_fragments(&mut self, cutting: Cutting, nal: &[u8]) {
        let (indicator, kind, header): (Vec<u8>, u8, usize) = match cutting.codec {
            Codec::H264 => (vec![nal[0] & 0xe0 | 28], nal[0] & 31, 1),
            Codec::H265 => (vec![nal[0] & 0x81 | 49 << 1, nal[1]], nal[0] >> 1 & 63, 2),
        };
        let body = &nal[header..];
        let piece_max = cutting.payload_max - indicator.len() - 1;
        let pieces = body.chunks(piece_max).count();
        for (index, piece) in body.chunks(piece_max).enumerate() {
            let start = if index == 0 { 0x80 } else { 0 };
            let end = if index + 1 == pieces { 0x40 } else { 0 };
            self.open(VIDEO_TYPE);
            self.bytes.extend_from_slice(&indicator);
            self.bytes.push(start | end | kind);
            self.bytes.extend_from_slice(piece);
        }
    }
}

impl Cutting {
    /// How many units from the front fit together into one packet; slices always travel alone.
    fn fitting(self, nals: &[&[u8]]) -> usize {
        let mut size = 2;
        let small = |nal: &&&[u8]| {
            size += 2 + nal.len();
            !self.codec.is_slice(nal) && size <= self.payload_max
        };
        nals.iter().take_while(small).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAMP: Stamp = Stamp {
        channel: 2,
        sequence: 65_535,
        timestamp: 0x0102_0304,
        ssrc: 0xa0b0_c0d0,
    };

    /// Goal: what is cut can be put together again, byte for byte. Method: undo FU-A by hand.
    #[test]
    fn fragments_join_to_the_unit() {
        let nal: Vec<u8> = std::iter::once(0x65)
            .chain((0..5000).map(|i| i as u8))
            .collect();
        let cutting = Cutting {
            codec: Codec::H264,
            payload_max: 1400,
            aggregate: false,
        };
        let wire = Wire::video(cutting, &[&nal], (usize::MAX, 0));
        let mut out = Vec::new();
        wire.stamp_into(&mut out, STAMP, None);
        let mut joined = vec![nal[0]];
        for (index, packet) in wire.packets().enumerate() {
            let packet = &out[packet];
            assert_eq!(packet[..2], [b'$', 2]);
            assert_eq!(
                usize::from(u16::from_be_bytes([packet[2], packet[3]])),
                packet.len() - 4
            );
            assert_eq!(
                u16::from_be_bytes([packet[6], packet[7]]),
                65_535u16.wrapping_add(index as u16)
            );
            assert_eq!(packet[5] & 0x80 != 0, index + 1 == wire.count());
            assert_eq!((packet[16], packet[17] & 31), (0x7c, 5));
            joined.extend_from_slice(&packet[18..]);
        }
        assert_eq!(joined, nal);
    }

    #[test]
    fn the_mark_is_found_and_patched_inside_an_aggregate() {
        let empty = MarkText::new("", 0, 0, 0, 0);
        let (mark, text_at) = empty.nal(Codec::H265);
        let nals: [&[u8]; 3] = [&[64, 1, 9], &mark, &[2, 1, 0x80, 7]];
        let cutting = Cutting {
            codec: Codec::H265,
            payload_max: 1400,
            aggregate: true,
        };
        let wire = Wire::video(cutting, &nals, (1, text_at));
        assert_eq!(wire.count(), 2);
        let mut out = Vec::new();
        wire.stamp_into(&mut out, STAMP, Some(&MarkText::new("roof", 77, 1, 2, 3)));
        let mark = crate::mark::find(&out).unwrap();
        assert_eq!((mark.name.as_str(), mark.frame), ("roof", 77));
    }
}
