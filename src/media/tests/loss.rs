//! After a loss: what lost a packet is dropped and counted, what follows is marked until the next key frame, nothing else changes.

use super::{
    depacketise,
    encoded::{Encoded, encode},
    nals_of,
    packetiser::{Marker, Packetiser, without},
};
use crate::media::{AccessUnit, Codec, Depacketiser, FrameKind};

/// Goal: each packet of a stream lost in turn costs exactly its own access unit, and marks exactly the rest of its GOP.
/// Method: compare with the run without loss, access unit by access unit.
fn each_packet_lost_in_turn(encoding: &str, codec: Codec, options: &str) {
    let units = encode(codec, "320x240", 48, options);
    for aggregate in [false, true] {
        let packetiser = Packetiser {
            codec,
            payload_max: 700,
            aggregate,
            marker: Marker::Right,
        };
        let sent = packetiser.send(&units);
        let whole = run(encoding, &without(&sent, &[]));
        assert_eq!(whole.1.len(), units.len());
        let warm_up = units.iter().take(20).map(|_| 1).sum::<usize>();
        let first = sent.iter().position(|sent| sent.unit == warm_up).unwrap();
        for lost in first..sent.len() - 1 {
            let unit = sent[lost].unit;
            let (depacketiser, out) = run(encoding, &without(&sent, &[lost]));
            let what = format!("{encoding} aggregate={aggregate} packet {lost} of unit {unit}");
            check(&units, &whole.1, &out, unit, &what);
            let counters = depacketiser.counters();
            assert_eq!(counters.lost_packets, 1, "{what}");
            assert_eq!(counters.errors, 0, "{what}");
            let alone = sent.iter().filter(|sent| sent.unit == unit).count() == 1;
            assert_eq!(counters.dropped_incomplete, u64::from(!alone), "{what}");
        }
    }
}

fn run(encoding: &str, packets: &[crate::media::RtpPacket]) -> (Depacketiser, Vec<AccessUnit>) {
    let mut depacketiser = Depacketiser::new(encoding, 90_000, None, None).unwrap();
    let out = depacketise(&mut depacketiser, packets);
    (depacketiser, out)
}

fn check(units: &[Encoded], whole: &[AccessUnit], out: &[AccessUnit], lost: usize, what: &str) {
    assert_eq!(out.len(), units.len() - 1, "{what}");
    let mut damaged = false;
    let mut got = out.iter();
    for (index, encoded) in units.iter().enumerate() {
        if index == lost {
            damaged = true;
            continue;
        }
        let unit = got.next().unwrap();
        assert!(nals_of(unit) == encoded.nals, "{what}: unit {index}");
        let expected = whole[index].kind;
        if expected == FrameKind::Key {
            damaged = false;
        }
        // Without its key frame a picture can no longer be told to lead it by time; H.265 names its leading pictures.
        let expected = match expected {
            FrameKind::Reference | FrameKind::Disposable if damaged => FrameKind::Damaged,
            FrameKind::Leading if whole[lost].kind == FrameKind::Key && damaged => {
                assert!(
                    matches!(unit.kind, FrameKind::Damaged | FrameKind::Leading),
                    "{what}"
                );
                unit.kind
            }
            kind => kind,
        };
        assert_eq!(unit.kind, expected, "{what}: unit {index}");
    }
}

#[test]
fn each_packet_of_h264_lost_in_turn() {
    each_packet_lost_in_turn(
        "H264",
        Codec::H264,
        "-c:v libx264 -preset veryfast -g 12 -bf 2 -x264-params open-gop=1:slices=2",
    );
}

#[test]
fn each_packet_of_h265_lost_in_turn() {
    each_packet_lost_in_turn(
        "H265",
        Codec::H265,
        "-c:v libx265 -preset ultrafast -x265-params keyint=12:min-keyint=12:bframes=3:open-gop=1:repeat-headers=1:aud=1:log-level=none",
    );
}
