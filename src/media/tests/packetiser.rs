//! The sender's side of RFC 6184 and RFC 7798, for tests: single NAL units, aggregates and fragments.

use super::encoded::Encoded;
use crate::media::{Codec, RtpPacket};
use bytes::Bytes;

/// How the marker bit is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Marker {
    /// On the last packet of the access unit.
    Right,
    /// Never.
    Never,
    /// On the last packet of every NAL unit.
    EveryNal,
}

/// How to send.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packetiser {
    pub(super) codec: Codec,
    /// Most payload bytes per packet.
    pub(super) payload_max: usize,
    /// Whether small neighbours share a packet.
    pub(super) aggregate: bool,
    pub(super) marker: Marker,
}

/// A packet and the access unit (index) it belongs to.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub(super) packet: RtpPacket,
    pub(super) unit: usize,
}

impl Packetiser {
    /// The packets of a stream, from sequence number 65,500 on so that it wraps.
    pub(super) fn send(&self, units: &[Encoded]) -> Vec<Sent> {
        let mut sent = Vec::new();
        for (unit, encoded) in units.iter().enumerate() {
            let payloads = self.payloads(&encoded.nals);
            let last = payloads.len() - 1;
            for (index, (payload, ends_nal)) in payloads.into_iter().enumerate() {
                let marker = match self.marker {
                    Marker::Right => index == last,
                    Marker::Never => false,
                    Marker::EveryNal => ends_nal,
                };
                let packet = RtpPacket {
                    sequence: 65_500u16.wrapping_add(sent.len() as u16),
                    timestamp: encoded.pts,
                    marker,
                    payload: Bytes::from(payload),
                    lost_before: 0,
                };
                sent.push(Sent { packet, unit });
            }
        }
        sent
    }

    fn payloads(&self, nals: &[Vec<u8>]) -> Vec<(Vec<u8>, bool)> {
        let mut payloads = Vec::new();
        let mut waiting: Vec<&Vec<u8>> = Vec::new();
        let mut waiting_len = 0;
        for nal in nals {
            if self.aggregate && nal.len() + waiting_len + 4 <= self.payload_max {
                waiting.push(nal);
                waiting_len += nal.len() + 2;
                continue;
            }
            self.flush_aggregate(&mut waiting, &mut payloads);
            waiting_len = 0;
            if nal.len() <= self.payload_max {
                payloads.push((nal.clone(), true));
            } else {
                self.fragment(nal, &mut payloads);
            }
        }
        self.flush_aggregate(&mut waiting, &mut payloads);
        payloads
    }

    fn flush_aggregate(&self, waiting: &mut Vec<&Vec<u8>>, payloads: &mut Vec<(Vec<u8>, bool)>) {
        match waiting.as_slice() {
            [] => {}
            [one] => payloads.push(((*one).clone(), true)),
            several => {
                let mut payload = match self.codec {
                    Codec::H264 => vec![0x60 | 24],
                    _ => vec![48 << 1, 1],
                };
                for nal in several {
                    payload.extend_from_slice(&(nal.len() as u16).to_be_bytes());
                    payload.extend_from_slice(nal);
                }
                payloads.push((payload, true));
            }
        }
        waiting.clear();
    }

    fn fragment(&self, nal: &[u8], payloads: &mut Vec<(Vec<u8>, bool)>) {
        let (header_len, overhead) = if self.codec == Codec::H264 {
            (1, 2)
        } else {
            (2, 3)
        };
        let chunks: Vec<&[u8]> = nal[header_len..]
            .chunks(self.payload_max - overhead)
            .collect();
        for (index, chunk) in chunks.iter().enumerate() {
            let end = index == chunks.len() - 1;
            let flags = u8::from(index == 0) << 7 | u8::from(end) << 6;
            let mut payload = match self.codec {
                Codec::H264 => vec![nal[0] & 0xe0 | 28, flags | nal[0] & 0x1f],
                _ => vec![nal[0] & 0x81 | 49 << 1, nal[1], flags | nal[0] >> 1 & 0x3f],
            };
            payload.extend_from_slice(chunk);
            payloads.push((payload, end));
        }
    }
}

/// The packets that arrive when those of `lost` (by index) do not.
pub(super) fn without(sent: &[Sent], lost: &[usize]) -> Vec<RtpPacket> {
    let mut arrived = Vec::new();
    let mut lost_before = 0;
    for (index, sent) in sent.iter().enumerate() {
        if lost.contains(&index) {
            lost_before += 1;
        } else {
            let mut packet = sent.packet.clone();
            packet.lost_before = std::mem::take(&mut lost_before);
            arrived.push(packet);
        }
    }
    arrived
}
