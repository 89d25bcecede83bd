//! Tracks where a packet is a frame (G.711, Opus, unknown encodings) or a run of packets up to the marker is one (ONVIF metadata).

use super::picture::{FRAME_LEN_MAX, PARTS_MAX};
use crate::media::{
    AccessUnit, AudioParameters, Codec, DepacketiserCounters, FrameData, FrameKind, RtpPacket,
};

/// How packets become frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// Each packet is a frame of as many ticks as it has bytes per channel, RFC 3551 §4.5.14.
    Samples { channels: u8 },
    /// Each packet is an Opus packet, RFC 7587 §4.2.
    Opus,
    /// Each packet is a frame of unknown length.
    Packet,
    /// A document ends with the marker bit (ONVIF Streaming Specification §5.1.2.1.1).
    Document,
}

/// The depacketiser of such a track.
#[derive(Debug)]
pub(super) struct PacketDepacketiser {
    codec: Codec,
    framing: Framing,
    parameters: Option<AudioParameters>,
    encoding: String,
    document: FrameData,
    document_timestamp: u32,
    /// The document lost a packet or grew over its limit: skipped to its end.
    skipping: bool,
    marker_seen: bool,
    counters: DepacketiserCounters,
}

impl PacketDepacketiser {
    pub(super) fn sound(codec: Codec, framing: Framing, parameters: AudioParameters) -> Self {
        Self {
            parameters: Some(parameters),
            ..Self::opaque(codec, framing, String::new())
        }
    }

    pub(super) fn opaque(codec: Codec, framing: Framing, encoding: String) -> Self {
        Self {
            codec,
            framing,
            parameters: None,
            encoding,
            document: FrameData::new(),
            document_timestamp: 0,
            skipping: false,
            marker_seen: false,
            counters: DepacketiserCounters::default(),
        }
    }

    pub(super) fn codec(&self) -> Codec {
        self.codec
    }

    pub(super) fn parameters(&self) -> Option<&AudioParameters> {
        self.parameters.as_ref()
    }

    pub(super) fn encoding(&self) -> &str {
        &self.encoding
    }

    pub(super) fn counters(&self) -> &DepacketiserCounters {
        &self.counters
    }

    pub(super) fn push(&mut self, packet: RtpPacket, out: &mut Vec<AccessUnit>) {
        self.counters.packets += 1;
        self.counters.lost_packets += u64::from(packet.lost_before);
        if self.framing == Framing::Document {
            return self.push_document(packet, out);
        }
        let duration = match self.framing {
            Framing::Samples { channels } => {
                Some(packet.payload.len() as u32 / u32::from(channels.max(1)))
            }
            Framing::Opus => opus_duration(&packet.payload),
            _ => None,
        };
        let understood = self.framing != Framing::Opus || duration.is_some();
        if packet.payload.is_empty() || !understood {
            self.counters.errors += 1;
            return;
        }
        self.give(packet.timestamp, packet.payload.into(), duration, out);
    }

    /// The stream ends: a document without its marker is not known to be whole.
    pub(super) fn flush(&mut self, out: &mut Vec<AccessUnit>) {
        self.end_document(!self.marker_seen, out);
    }

    fn push_document(&mut self, packet: RtpPacket, out: &mut Vec<AccessUnit>) {
        if packet.lost_before > 0 {
            // Whose packets are missing cannot be told: the document before, this one, or whole documents between.
            self.end_document(false, out);
            self.skipping =
                self.document_timestamp == packet.timestamp || !starts_document(&packet.payload);
        }
        if packet.timestamp != self.document_timestamp {
            // A camera that never sets the marker tells documents apart by their times.
            self.end_document(!self.marker_seen, out);
            if packet.lost_before == 0 {
                self.skipping = false;
            }
        }
        self.document_timestamp = packet.timestamp;
        self.marker_seen |= packet.marker;
        let len = self.document.len() + packet.payload.len();
        if !self.skipping && (len > FRAME_LEN_MAX || self.document.parts().len() >= PARTS_MAX) {
            self.counters.errors += 1;
            self.end_document(false, out);
            self.skipping = true;
        }
        if self.skipping {
            if packet.marker {
                self.skipping = false;
                self.counters.dropped_incomplete += 1;
            }
            return;
        }
        self.document.push(packet.payload);
        if packet.marker {
            self.end_document(true, out);
        }
    }

    fn end_document(&mut self, whole: bool, out: &mut Vec<AccessUnit>) {
        let document = std::mem::take(&mut self.document);
        if document.is_empty() {
            return;
        }
        if whole {
            self.give(self.document_timestamp, document, None, out);
        } else {
            self.counters.dropped_incomplete += 1;
        }
    }

    fn give(
        &mut self,
        rtp_timestamp: u32,
        data: FrameData,
        duration: Option<u32>,
        out: &mut Vec<AccessUnit>,
    ) {
        self.counters.access_units += 1;
        self.counters.keys += 1;
        out.push(AccessUnit {
            kind: FrameKind::Key,
            rtp_timestamp,
            data,
            new_parameters: None,
            recovery_frames: 0,
            duration,
        });
    }
}

/// Whether a payload looks like the start of an XML document, a gzip stream (RFC 1952 §2.3.1) or an EXI body.
fn starts_document(payload: &[u8]) -> bool {
    payload.starts_with(b"<?xml")
        || payload.starts_with(b"<tt:MetadataStream")
        || payload.starts_with(&[0x1f, 0x8b])
        || payload.starts_with(b"$EXI")
}

/// The length of an Opus packet in ticks of 48 kHz from its first bytes, RFC 6716 §3.1; `None` when it is no Opus packet.
fn opus_duration(payload: &[u8]) -> Option<u32> {
    /// The longest packet, RFC 6716 §3.2.5 (R5).
    const TICKS_MAX: u32 = 5760;
    let &toc = payload.first()?;
    let config = toc >> 3;
    let frame = match config {
        0..=11 => [480, 960, 1920, 2880][usize::from(config & 3)],
        12..=15 => [480, 960][usize::from(config & 1)],
        _ => [120, 240, 480, 960][usize::from(config & 3)],
    };
    let frames = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => u32::from(payload.get(1)? & 0x3f),
    };
    let ticks = frame * frames;
    (1..=TICKS_MAX).contains(&ticks).then_some(ticks)
}
