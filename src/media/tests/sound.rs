//! Sound and metadata: each frame comes out once, with its own time and length, and nothing half received passes for whole.

use super::depacketise;
use crate::media::{AccessUnit, Codec, Depacketiser, DepacketiserError, RtpPacket};
use bytes::Bytes;

const AAC_HBR: &str = "streamtype=5;profile-level-id=1;mode=AAC-hbr;sizelength=13;indexlength=3;indexdeltalength=3;config=1190";

fn packet(timestamp: u32, marker: bool, payload: &[u8]) -> RtpPacket {
    RtpPacket {
        sequence: 0,
        timestamp,
        marker,
        payload: Bytes::copy_from_slice(payload),
        lost_before: 0,
    }
}

fn lost(mut packet: RtpPacket) -> RtpPacket {
    packet.lost_before = 1;
    packet
}

fn times_and_bytes(units: &[AccessUnit]) -> Vec<(u32, Vec<u8>)> {
    let row = |unit: &AccessUnit| (unit.rtp_timestamp, unit.data.to_bytes().to_vec());
    units.iter().map(row).collect()
}

/// The high bit-rate form of RFC 3640 §3.3.6: 13 bits of size, 3 of index, two access units in one packet.
#[test]
fn aac_units_of_one_packet_are_a_frame_length_apart() {
    let mut aac = Depacketiser::new("MPEG4-GENERIC", 48_000, Some(2), Some(AAC_HBR)).unwrap();
    let payload = [0, 32, 0, 3 << 3, 0, 2 << 3, 1, 2, 3, 4, 5];
    let out = depacketise(&mut aac, &[packet(u32::MAX - 1023, true, &payload)]);
    assert_eq!(
        times_and_bytes(&out),
        [(u32::MAX - 1023, vec![1, 2, 3]), (0, vec![4, 5])]
    );
    assert_eq!(out[0].duration, Some(1024));
    let track = aac.track().unwrap();
    let audio = track.audio.unwrap();
    assert_eq!((track.codec, track.clock_rate), (Codec::Aac, 48_000));
    assert_eq!((audio.sample_rate, audio.channels), (48_000, 2));
    assert_eq!(audio.config, Bytes::from_static(&[0x11, 0x90]));
}

#[test]
fn aac_unit_over_several_packets_is_whole_or_absent() {
    let header = [0, 16, 0, 6 << 3];
    let part =
        |timestamp, marker, bytes: &[u8]| packet(timestamp, marker, &[&header[..], bytes].concat());
    let mut aac = Depacketiser::new("mpeg4-generic", 16_000, None, Some(AAC_HBR)).unwrap();
    let out = depacketise(
        &mut aac,
        &[
            part(7, false, &[1, 2]),
            part(7, false, &[3, 4]),
            part(7, true, &[5, 6]),
        ],
    );
    assert_eq!(times_and_bytes(&out), [(7, vec![1, 2, 3, 4, 5, 6])]);
    for broken in [
        vec![part(7, false, &[1, 2]), lost(part(7, true, &[5, 6]))],
        vec![part(7, false, &[1, 2]), part(8, false, &[3, 4])],
        vec![part(7, false, &[1, 2])],
    ] {
        let mut aac = Depacketiser::new("mpeg4-generic", 16_000, None, Some(AAC_HBR)).unwrap();
        assert!(depacketise(&mut aac, &broken).is_empty());
        assert!(aac.counters().dropped_incomplete > 0);
    }
}

#[test]
fn aac_configurations_are_read_or_refused() {
    let audio = |format: &str| {
        let aac = Depacketiser::new("mpeg4-generic", 48_000, None, Some(format));
        aac.map(|aac| aac.track().unwrap().audio.unwrap())
    };
    // HE-AAC with explicit SBR: core 24 kHz mono, decoded at 48 kHz (ISO 14496-3 §1.6.5).
    let sbr = audio("mode=AAC-hbr;config=2B098800").unwrap();
    assert_eq!((sbr.sample_rate, sbr.channels), (48_000, 1));
    for refused in [
        "mode=AAC-hbr",
        "mode=AAC-hbr;config=1",
        "mode=AAC-hbr;config=17ff",
        "mode=AAC-hbr;config=1190;sizelength=99",
        "mode=AAC-hbr;config=1190;ctsdeltalength=7",
    ] {
        assert!(
            matches!(audio(refused), Err(DepacketiserError::Mode { .. })),
            "{refused}"
        );
    }
}

#[test]
fn telephone_sound_lasts_one_tick_per_byte() {
    for (encoding, codec) in [("PCMU", Codec::PcmMu), ("PCMA", Codec::PcmA)] {
        let mut sound = Depacketiser::new(encoding, 8000, None, None).unwrap();
        let out = depacketise(&mut sound, &[packet(160, true, &[0xd5; 160])]);
        assert_eq!(out[0].duration, Some(160));
        let track = sound.track().unwrap();
        assert_eq!(track.codec, codec);
        assert_eq!(track.audio.unwrap().channels, 1);
    }
}

/// Frame lengths of RFC 6716 Table 2 in ticks of 48 kHz.
#[test]
fn opus_packets_tell_their_length() {
    let cases: [(&[u8], Option<u32>); 9] = [
        (&[0, 1], Some(480)),
        (&[3 << 3, 1], Some(2880)),
        (&[13 << 3, 1], Some(960)),
        (&[16 << 3, 1], Some(120)),
        (&[31 << 3 | 1, 1], Some(1920)),
        (&[31 << 3 | 3, 6, 1], Some(5760)),
        (&[31 << 3 | 3, 7, 1], None),
        (&[31 << 3 | 3], None),
        (&[], None),
    ];
    for (payload, ticks) in cases {
        let mut opus = Depacketiser::new("opus", 48_000, Some(2), None).unwrap();
        let out = depacketise(&mut opus, &[packet(0, false, payload)]);
        assert_eq!(
            out.first().and_then(|unit| unit.duration),
            ticks,
            "{payload:?}"
        );
        assert_eq!(opus.counters().errors, u64::from(ticks.is_none()));
    }
}

#[test]
fn metadata_documents_are_whole_or_absent() {
    let new = || Depacketiser::new("vnd.onvif.metadata", 90_000, None, None).unwrap();
    let first = [packet(1, false, b"<?xml a"), packet(1, true, b"b>")];
    let second = [packet(2, false, b"<?xml c"), packet(2, true, b"d>")];
    let all = [first.clone(), second.clone()].concat();
    let mut metadata = new();
    let out = depacketise(&mut metadata, &all);
    assert_eq!(
        times_and_bytes(&out),
        [(1, b"<?xml ab>".to_vec()), (2, b"<?xml cd>".to_vec())]
    );
    assert_eq!(metadata.track().unwrap().encoding, "vnd.onvif.metadata");
    // The end of the first is lost: the second starts as documents do and is whole.
    let out = depacketise(
        &mut new(),
        &[first[0].clone(), lost(second[0].clone()), second[1].clone()],
    );
    assert_eq!(times_and_bytes(&out), [(2, b"<?xml cd>".to_vec())]);
    // The start of the second is lost: what is left does not pass for a document.
    let out = depacketise(
        &mut new(),
        &[first[0].clone(), first[1].clone(), lost(second[1].clone())],
    );
    assert_eq!(times_and_bytes(&out), [(1, b"<?xml ab>".to_vec())]);
    // A camera without markers.
    let out = depacketise(
        &mut new(),
        &[packet(1, false, b"<a>"), packet(2, false, b"<b>")],
    );
    assert_eq!(
        times_and_bytes(&out),
        [(1, b"<a>".to_vec()), (2, b"<b>".to_vec())]
    );
}

#[test]
fn unknown_encodings_are_kept_packet_by_packet() {
    let mut other = Depacketiser::new("L16", 44_100, Some(2), None).unwrap();
    let out = depacketise(&mut other, &[packet(5, false, &[1, 2, 3, 4])]);
    assert_eq!(times_and_bytes(&out), [(5, vec![1, 2, 3, 4])]);
    let track = other.track().unwrap();
    assert_eq!(
        (track.codec, track.encoding.as_str()),
        (Codec::Opaque, "l16")
    );
    assert!(Depacketiser::new("L16", 0, None, None).is_err());
}
