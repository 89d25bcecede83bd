//! Bytes nobody should send: whatever comes, nothing panics, limits hold, and every frame that comes out is well formed.

use super::{
    encoded::encode,
    packetiser::{Marker, Packetiser, without},
};
use crate::{
    base::seed::Seed,
    media::{
        AccessUnit, Codec, Depacketiser, ParameterSets, RtpPacket, depacketise::FRAME_LEN_MAX,
    },
};
use bytes::Bytes;

const ENCODINGS: [&str; 8] = [
    "H264",
    "H265",
    "mpeg4-generic",
    "opus",
    "PCMU",
    "PCMA",
    "vnd.onvif.metadata",
    "other",
];

fn new(encoding: &str) -> Depacketiser {
    let format = "mode=AAC-hbr;sizelength=13;indexlength=3;indexdeltalength=3;config=1190";
    Depacketiser::new(encoding, 48_000, None, Some(format)).unwrap()
}

/// Video frames are NAL units behind their lengths, to the last byte.
fn check(encoding: &str, units: &[AccessUnit], context: &str) {
    for unit in units {
        assert!(!unit.data.is_empty(), "{context}");
        assert!(unit.data.len() <= FRAME_LEN_MAX + (1 << 16), "{context}");
        if encoding.starts_with("H26") {
            let bytes = unit.data.to_bytes();
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                let (length, after) = rest.split_first_chunk::<4>().expect(context);
                let length = u32::from_be_bytes(*length) as usize;
                assert!(length > 0 && length <= after.len(), "{context}");
                rest = &after[length..];
            }
        }
    }
}

#[test]
fn random_payloads_never_panic() {
    for number in 0..4000 {
        let mut seed = Seed::new(number);
        let encoding = ENCODINGS[number as usize % ENCODINGS.len()];
        let mut depacketiser = new(encoding);
        let mut out = Vec::new();
        let mut timestamp = seed.next() as u32;
        for _ in 0..60 {
            let mut payload = vec![0; seed.below(60) as usize];
            seed.fill(&mut payload);
            timestamp = timestamp.wrapping_add(if seed.chance(0.3) { 3600 } else { 0 });
            let packet = RtpPacket {
                sequence: 0,
                timestamp,
                marker: seed.chance(0.3),
                payload: payload.into(),
                lost_before: if seed.chance(0.1) {
                    seed.next() as u16
                } else {
                    0
                },
            };
            depacketiser.push(packet, &mut out);
        }
        depacketiser.flush(&mut out);
        check(encoding, &out, &format!("SEED={number} {encoding}"));
        assert_eq!(depacketiser.counters().packets, 60);
        let _ = depacketiser.track();
    }
}

/// Real streams with flipped bits, cut, doubled, swapped and dropped packets.
#[test]
fn mutated_streams_never_panic_and_are_accounted_for() {
    for (codec, encoding, options) in [
        (
            Codec::H264,
            "H264",
            "-c:v libx264 -preset veryfast -g 8 -bf 2 -x264-params open-gop=1:slices=2",
        ),
        (
            Codec::H265,
            "H265",
            "-c:v libx265 -preset ultrafast -x265-params keyint=8:bframes=2:repeat-headers=1:log-level=none",
        ),
    ] {
        let units = encode(codec, "160x120", 24, options);
        let packetiser = Packetiser {
            codec,
            payload_max: 200,
            aggregate: true,
            marker: Marker::Right,
        };
        let packets = without(&packetiser.send(&units), &[]);
        for number in 0..1500 {
            let mut seed = Seed::new(number);
            let context = format!("SEED={number} {encoding}");
            let mut depacketiser = new(encoding);
            let mut out = Vec::new();
            let mut pushed = 0;
            for packet in &packets {
                let mut packet = packet.clone();
                if seed.chance(0.03) {
                    let mut bytes = packet.payload.to_vec();
                    for _ in 0..=seed.below(3) {
                        let at = seed.below(bytes.len().min(24) as u64) as usize;
                        bytes[at] ^= 1 << seed.below(8);
                    }
                    bytes.truncate(bytes.len() - seed.below(bytes.len() as u64 / 2 + 1) as usize);
                    packet.payload = bytes.into();
                }
                packet.marker ^= seed.chance(0.02);
                packet.lost_before = u16::from(seed.chance(0.02));
                if seed.chance(0.02) {
                    packet.timestamp = seed.next() as u32;
                }
                for _ in 0..1 + u64::from(seed.chance(0.01)) - u64::from(seed.chance(0.01)).min(1) {
                    pushed += 1;
                    depacketiser.push(packet.clone(), &mut out);
                }
            }
            depacketiser.flush(&mut out);
            check(encoding, &out, &context);
            let counters = depacketiser.counters();
            assert_eq!(counters.packets, pushed, "{context}");
            assert_eq!(counters.access_units, out.len() as u64, "{context}");
        }
    }
}

#[test]
fn mutated_parameter_sets_never_panic() {
    for (codec, options) in [
        (Codec::H264, "-c:v libx264 -preset veryfast"),
        (
            Codec::H265,
            "-c:v libx265 -preset ultrafast -x265-params log-level=none",
        ),
    ] {
        let units = encode(codec, "160x120", 2, options);
        for number in 0..20_000 {
            let mut seed = Seed::new(number);
            let mut sets = ParameterSets::new(codec);
            for nal in units[0].nals.iter().take(3) {
                let mut nal = nal.clone();
                for _ in 0..seed.below(6) {
                    let at = seed.below(nal.len() as u64) as usize;
                    nal[at] = seed.next() as u8;
                }
                nal.truncate(nal.len() - seed.below(nal.len() as u64) as usize);
                let _ = sets.insert(&nal);
            }
            let _ = (
                sets.video_parameters(None),
                sets.codec_string(),
                sets.reorder_frames_max(),
            );
        }
    }
}

/// A fragmented NAL unit that never ends, and one-byte fragments: the picture is given up, memory is not.
#[test]
fn endless_pictures_are_given_up_and_the_track_goes_on() {
    for piece in [1400, 1] {
        let mut depacketiser = new("H264");
        let mut out = Vec::new();
        let filler = Bytes::from(vec![0xaa; piece]);
        let mut push = |timestamp, marker, payload: Vec<u8>| {
            let packet = RtpPacket {
                sequence: 0,
                timestamp,
                marker,
                payload: payload.into(),
                lost_before: 0,
            };
            depacketiser.push(packet, &mut out);
        };
        for index in 0..70_000 {
            let start = u8::from(index == 0) << 7;
            push(1, false, [&[0x7c, start | 5], &filler[..]].concat());
        }
        for (timestamp, nals) in [(2, encode(Codec::H264, "160x120", 1, "-c:v libx264"))] {
            let nals = &nals[0].nals;
            for (index, nal) in nals.iter().enumerate() {
                push(timestamp, index + 1 == nals.len(), nal.clone());
            }
        }
        depacketiser.flush(&mut out);
        assert_eq!(depacketiser.counters().dropped_incomplete, 1);
        assert_eq!(out.len(), 1, "the key frame after it is whole");
    }
}

#[test]
fn more_parameter_sets_than_fit_are_errors_not_memory() {
    let mut sets = ParameterSets::new(Codec::H264);
    let mut refused = 0;
    for id in 0..32u32 {
        // seq_parameter_set_id as ue(v), then an SPS of 16x16 pixels, then 1 kB that nobody reads.
        let code = format!("{:b}", id + 1);
        let bits = format!("{}{code}11011111111010", "0".repeat(code.len() - 1));
        let mut nal = vec![0x67, 66, 0, 10];
        for chunk in bits.as_bytes().chunks(8) {
            let text = format!("{:0<8}", std::str::from_utf8(chunk).unwrap());
            nal.push(u8::from_str_radix(&text, 2).unwrap());
        }
        nal.resize(1024, 0x55);
        refused += u32::from(sets.insert(&nal).is_err());
    }
    assert!(
        refused >= 16,
        "{refused} of 32 kB refused where 16 kB may be kept"
    );
    assert!(sets.insert(&[0x67; 5000]).is_err());
}
