//! Property: no sequence of RTP payloads makes a depacketiser panic; every video frame is NAL units behind their lengths; the
//! counters account for every packet and frame.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use nvring::media::{Depacketiser, RtpPacket};

const ENCODINGS: [&str; 6] = [
    "h264",
    "h265",
    "mpeg4-generic",
    "opus",
    "pcmu",
    "vnd.onvif.metadata",
];
const FORMAT: &str = "mode=AAC-hbr;sizelength=13;indexlength=3;indexdeltalength=3;config=1190";

// Input: encoding, then packets as flags (marker, loss, new timestamp), a length and the payload.
fuzz_target!(|data: &[u8]| {
    let Some((&first, mut rest)) = data.split_first() else {
        return;
    };
    let encoding = ENCODINGS[usize::from(first) % ENCODINGS.len()];
    let mut depacketiser =
        Depacketiser::new(encoding, 90_000, None, Some(FORMAT)).expect("a known format");
    let mut out = Vec::new();
    let (mut timestamp, mut packets) = (0u32, 0);
    while let [flags, length, after @ ..] = rest {
        let (payload, after) = after.split_at(usize::from(*length).min(after.len()));
        rest = after;
        if flags & 4 != 0 {
            timestamp = timestamp.wrapping_add(u32::from(flags >> 3) * 900);
        }
        packets += 1;
        let packet = RtpPacket {
            sequence: packets as u16,
            timestamp,
            marker: flags & 1 != 0,
            payload: Bytes::copy_from_slice(payload),
            lost_before: u16::from(flags & 2 != 0),
        };
        depacketiser.push(packet, &mut out);
    }
    depacketiser.flush(&mut out);
    let counters = depacketiser.counters();
    assert_eq!(counters.packets, packets);
    assert_eq!(counters.access_units, out.len() as u64);
    let _ = depacketiser.track();
    if encoding.starts_with("h26") {
        for unit in &out {
            let bytes = unit.data.to_bytes();
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                let (length, after) = rest.split_first_chunk::<4>().expect("a length");
                rest = &after[u32::from_be_bytes(*length) as usize..];
            }
        }
    }
});
