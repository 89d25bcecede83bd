//! The packets of an access unit in one buffer, one behind the other as RTSP interleaves them: made once, sent to every viewer.
//!
//! ```text
//! packets := per packet: `$`, byte channel, 16-bit length        RFC 2326 §10.12
//!            RTP header (12 bytes), [replay extension (16)]      RFC 3550 §5.1
//!            payload
//! ```
//! So a viewer over TCP gets an access unit by one write of shared bytes, and one over UDP by one system call with a slice per packet. The
//! price is one copy of each byte for all viewers together; the received chunks of a live frame are let go with it. `benches/packetise.rs`
//! measures it against packets as chains of slices.

use super::PacketiserOptions;
use crate::media::replay_extension::{REPLAY_EXTENSION_LEN, ReplayExtension};
use bytes::{Bytes, BytesMut};

/// Bytes before each packet: `$`, channel, length.
pub const FRAMING_LEN: usize = 4;
/// Bytes of an RTP header without extension.
pub const HEADER_LEN: usize = 12;
/// The longest packet the 16-bit length can tell.
pub const PACKET_LEN_MAX: usize = u16::MAX as usize;

/// The packets of one access unit, or of several sound frames.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packets {
    bytes: Bytes,
    channel: u8,
    first_sequence: u16,
    timestamp: u32,
    count: usize,
    payload_len: usize,
}

impl Packets {
    /// All packets with their framing, for the interleaved channel they were made for.
    pub fn framed(&self) -> &Bytes {
        &self.bytes
    }

    /// The same for another channel: a copy, unless it is the one they were made for.
    pub fn framed_for(&self, channel: u8) -> Bytes {
        if channel == self.channel {
            return self.bytes.clone();
        }
        let mut copy = BytesMut::from(&self.bytes[..]);
        let mut at = 0;
        for packet in self.iter() {
            if let Some(byte) = copy.get_mut(at + 1) {
                *byte = channel;
            }
            at += FRAMING_LEN + packet.len();
        }
        copy.freeze()
    }

    /// Each packet without its framing.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = &self.bytes[..];
        std::iter::from_fn(move || {
            let (&[_, _, high, low], after) = rest.split_first_chunk::<FRAMING_LEN>()?;
            let (packet, after) =
                after.split_at_checked(usize::from(u16::from_be_bytes([high, low])))?;
            rest = after;
            Some(packet)
        })
    }

    /// How many.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Bytes of all payloads, as sender reports count (RFC 3550 §6.4.1).
    pub fn payload_len(&self) -> usize {
        self.payload_len
    }

    /// Sequence number of the first.
    pub fn first_sequence(&self) -> u16 {
        self.first_sequence
    }

    /// RTP timestamp of the first.
    pub fn timestamp(&self) -> u32 {
        self.timestamp
    }
}

/// Writes packets behind one another.
#[derive(Debug)]
pub(super) struct PacketWriter {
    bytes: BytesMut,
    options: PacketiserOptions,
    payload_type: u8,
    sequence: u16,
    timestamp: u32,
    first_timestamp: u32,
    /// Goes with the next packet.
    extension: Option<ReplayExtension>,
    count: usize,
    payload_len: usize,
    /// Where the packet being written starts (its framing), and its payload.
    start: usize,
    payload_start: usize,
}

impl PacketWriter {
    /// `len`: about how many bytes will be written.
    pub(super) fn new(
        options: PacketiserOptions,
        payload_type: u8,
        sequence: u16,
        timestamp: u32,
        len: usize,
    ) -> Self {
        let packets = len / options.packet_len_max.max(1) + 2;
        Self {
            bytes: BytesMut::with_capacity(
                len + packets * (FRAMING_LEN + HEADER_LEN + 3) + REPLAY_EXTENSION_LEN,
            ),
            options,
            payload_type,
            sequence,
            timestamp,
            first_timestamp: timestamp,
            extension: None,
            count: 0,
            payload_len: 0,
            start: 0,
            payload_start: 0,
        }
    }

    pub(super) fn set_extension(&mut self, extension: Option<ReplayExtension>) {
        self.extension = extension;
    }

    /// The timestamp of the packets that follow.
    pub(super) fn set_timestamp(&mut self, timestamp: u32) {
        self.timestamp = timestamp;
    }

    /// Most payload bytes of the next packet.
    pub(super) fn room(&self) -> usize {
        let extension = self.extension.map_or(0, |_| REPLAY_EXTENSION_LEN);
        self.options.packet_len_max - HEADER_LEN - extension
    }

    /// Opens a packet.
    pub(super) fn open(&mut self) {
        self.start = self.bytes.len();
        self.bytes
            .extend_from_slice(&[b'$', self.options.channel, 0, 0]);
        let extension = self.extension.take();
        let first = if extension.is_some() { 0x90 } else { 0x80 };
        self.bytes.extend_from_slice(&[first, self.payload_type]);
        self.bytes.extend_from_slice(&self.sequence.to_be_bytes());
        self.bytes.extend_from_slice(&self.timestamp.to_be_bytes());
        self.bytes
            .extend_from_slice(&self.options.ssrc.to_be_bytes());
        if let Some(extension) = extension {
            self.bytes.extend_from_slice(&extension.encode());
        }
        self.payload_start = self.bytes.len();
    }

    /// Where payload bytes of the open packet go.
    pub(super) fn payload(&mut self) -> &mut BytesMut {
        &mut self.bytes
    }

    /// Closes the open packet.
    ///
    /// # Panics
    /// When the packet is longer than `PACKET_LEN_MAX`: callers check what they put in.
    pub(super) fn close(&mut self) {
        let len = self.bytes.len() - self.start - FRAMING_LEN;
        let len = u16::try_from(len).expect("payloads are checked before they are written");
        self.bytes[self.start + 2..self.start + FRAMING_LEN].copy_from_slice(&len.to_be_bytes());
        self.payload_len += self.bytes.len() - self.payload_start;
        self.sequence = self.sequence.wrapping_add(1);
        self.count += 1;
    }

    /// Sets the marker bit of the packet closed last.
    pub(super) fn mark(&mut self) {
        if self.count > 0 {
            self.bytes[self.start + FRAMING_LEN + 1] |= 0x80;
        }
    }

    /// Sets the marker bit of the first packet.
    pub(super) fn mark_first(&mut self) {
        if let Some(byte) = self.bytes.get_mut(FRAMING_LEN + 1) {
            *byte |= 0x80;
        }
    }

    /// The packets, and the next sequence number.
    pub(super) fn finish(self) -> (Packets, u16) {
        let packets = Packets {
            bytes: self.bytes.freeze(),
            channel: self.options.channel,
            first_sequence: self.sequence.wrapping_sub(self.count as u16),
            timestamp: self.first_timestamp,
            count: self.count,
            payload_len: self.payload_len,
        };
        (packets, self.sequence)
    }
}
