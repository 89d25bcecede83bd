//! Sound and documents as packets: AAC (RFC 3640, AAC-hbr), G.711 (RFC 3551 §4.5.14), Opus (RFC 7587), ONVIF metadata, and what else
//! was stored packet by packet.

use super::{
    PacketiseError,
    chain::Chain,
    format::AAC_SIZE_BITS,
    packets::{HEADER_LEN, PACKET_LEN_MAX, PacketWriter},
};
use crate::media::{Codec, Frame, FrameData, replay_extension::REPLAY_EXTENSION_LEN};

/// The longest AAC access unit that AAC-hbr can tell.
const AAC_LEN_MAX: usize = (1 << AAC_SIZE_BITS) - 1;
/// The longest payload of a packet.
const PAYLOAD_LEN_MAX: usize = PACKET_LEN_MAX - HEADER_LEN - REPLAY_EXTENSION_LEN;
/// The most AAC access units in a packet: the field that tells the length of their headers has 16 bits.
const AAC_UNITS_MAX: usize = 64;

/// AAC access units; those that follow one another without a step share packets. `tolerance`: how many ticks a timestamp may be off the sum
/// of the lengths before it, since stored times are rounded to microseconds.
pub(super) fn write_aac(
    frames: &[(u32, &Frame)],
    duration: u32,
    tolerance: u32,
    writer: &mut PacketWriter,
) -> Result<(), PacketiseError> {
    for (_, frame) in frames {
        check_len(Codec::Aac, &frame.data, AAC_LEN_MAX)?;
    }
    let mut rest = frames;
    while let Some(((timestamp, first), _)) = rest.split_first() {
        writer.set_timestamp(*timestamp);
        let room = writer.room();
        let mut count = 0;
        let mut len = 2;
        for (index, (time, frame)) in rest.iter().take(AAC_UNITS_MAX).enumerate() {
            let expected = timestamp.wrapping_add(duration.wrapping_mul(index as u32));
            let off = time.wrapping_sub(expected) as i32;
            if off.unsigned_abs() > tolerance || len + 2 + frame.data.len() > room {
                break;
            }
            len += 2 + frame.data.len();
            count = index + 1;
        }
        let (together, after) = rest.split_at(count.max(1));
        rest = after;
        if count == 0 {
            write_aac_fragments(&first.data, writer);
            continue;
        }
        writer.open();
        let header_bits = (16 * count) as u16;
        writer
            .payload()
            .extend_from_slice(&header_bits.to_be_bytes());
        for (_, frame) in together {
            writer.payload().extend_from_slice(&aac_header(&frame.data));
        }
        for (_, frame) in together {
            put(&frame.data, writer);
        }
        writer.close();
        // Every packet that ends an access unit is marked, RFC 3640 §3.1.
        writer.mark();
    }
    Ok(())
}

/// Size in 13 bits, index in 3 that are zero. The size was checked.
fn aac_header(data: &FrameData) -> [u8; 2] {
    ((data.len() as u16) << 3).to_be_bytes()
}

fn write_aac_fragments(data: &FrameData, writer: &mut PacketWriter) {
    let mut chain = Chain::new(data.parts());
    while chain.left() > 0 {
        let len = (writer.room() - 4).min(chain.left());
        writer.open();
        writer.payload().extend_from_slice(&16u16.to_be_bytes());
        writer.payload().extend_from_slice(&aac_header(data));
        chain.copy(len, writer.payload());
        writer.close();
    }
    writer.mark();
}

/// G.711: cut between samples where it does not fit a packet.
pub(super) fn write_samples(
    mut timestamp: u32,
    data: &FrameData,
    channels: u8,
    writer: &mut PacketWriter,
) {
    let channels = usize::from(channels.max(1));
    let mut chain = Chain::new(data.parts());
    while chain.left() > 0 {
        let len = (writer.room() / channels * channels).min(chain.left());
        writer.set_timestamp(timestamp);
        writer.open();
        chain.copy(len, writer.payload());
        writer.close();
        timestamp = timestamp.wrapping_add((len / channels) as u32);
    }
}

/// A packet as it is: nobody here knows how to cut it, so it may be longer than the limit, and the network cuts it.
pub(super) fn write_whole(
    codec: Codec,
    data: &FrameData,
    writer: &mut PacketWriter,
) -> Result<(), PacketiseError> {
    check_len(codec, data, PAYLOAD_LEN_MAX)?;
    writer.open();
    put(data, writer);
    writer.close();
    Ok(())
}

/// A document over as many packets as it takes, the last one marked (ONVIF Streaming Specification §5.1.2.1.1).
pub(super) fn write_document(data: &FrameData, writer: &mut PacketWriter) {
    let mut chain = Chain::new(data.parts());
    while chain.left() > 0 {
        let len = writer.room().min(chain.left());
        writer.open();
        chain.copy(len, writer.payload());
        writer.close();
    }
    writer.mark();
}

fn put(data: &FrameData, writer: &mut PacketWriter) {
    for part in data.parts() {
        writer.payload().extend_from_slice(part);
    }
}

fn check_len(codec: Codec, data: &FrameData, max: usize) -> Result<(), PacketiseError> {
    let len = data.len();
    if len == 0 || len > max {
        return Err(PacketiseError::Length { codec, len, max });
    }
    Ok(())
}
