//! Whole streams through the depacketisers: made by libx264 and libx265, packetised here by the RFCs' rules, damaged on purpose.
//!
//! Goal: what comes out is byte for byte what the encoder wrote, whatever the packetisation; what is lost is said.

mod boundaries;
mod clock;
mod encoded;
mod hostile;
mod loss;
mod packetiser;
mod round_trip;
mod sound;
mod syntax;
mod whole;

use super::{AccessUnit, Depacketiser, RtpPacket};

/// All access units of `packets`, the last one flushed.
fn depacketise(depacketiser: &mut Depacketiser, packets: &[RtpPacket]) -> Vec<AccessUnit> {
    let mut out = Vec::new();
    for packet in packets {
        depacketiser.push(packet.clone(), &mut out);
    }
    depacketiser.flush(&mut out);
    out
}

/// The NAL units behind their lengths.
fn nals_of(unit: &AccessUnit) -> Vec<Vec<u8>> {
    let bytes = unit.data.to_bytes();
    let mut rest = &bytes[..];
    let mut nals = Vec::new();
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let (nal, after) = after.split_at(u32::from_be_bytes(*length) as usize);
        nals.push(nal.to_vec());
        rest = after;
    }
    nals
}
