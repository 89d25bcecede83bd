//! Goal: frames that go out as RTP packets come back as the same bytes, times and order, through our own depacketisers.
//! Method: real encoders' streams and made-up sound, frames cut into random chains of slices, at random packet lengths.

use super::{
    encoded::{Encoded, encode},
    nals_of,
};
use crate::{
    base::{Micros, UnixMicros, seed::Seed},
    media::{
        AccessUnit, AudioParameters, Codec, Depacketiser, Frame, FrameData, FrameKind, Packetiser,
        PacketiserOptions, Packets, PayloadFormat, ReceivedPacket, ReplayExtension, Timing, Track,
        TrackId,
        packetise::{HEADER_LEN, PACKET_LEN_MIN, PacketiseError},
    },
};
use bytes::Bytes;

const START: UnixMicros = UnixMicros(1_795_000_000_123_457);

fn options(seed: &mut Seed) -> PacketiserOptions {
    PacketiserOptions {
        ssrc: seed.next() as u32,
        first_sequence: 65_500,
        timestamp_offset: seed.next() as u32,
        channel: 2 * seed.below(4) as u8,
        packet_len_max: seed.between(PACKET_LEN_MIN as u64, 9_000) as usize,
    }
}

/// The bytes cut at random, as they come from the network.
fn chain(bytes: &[u8], seed: &mut Seed) -> FrameData {
    let mut data = FrameData::new();
    let mut rest = Bytes::copy_from_slice(bytes);
    while !rest.is_empty() {
        let len = seed.between(1, 3_000).min(rest.len() as u64) as usize;
        data.push(rest.split_to(len));
    }
    data
}

fn length_prefixed(nals: &[Vec<u8>]) -> Vec<u8> {
    let unit = |nal: &Vec<u8>| [&(nal.len() as u32).to_be_bytes(), &nal[..]].concat();
    nals.iter().flat_map(unit).collect()
}

fn frames_of(units: &[Encoded], seed: &mut Seed) -> Vec<Frame> {
    let frame = |unit: &Encoded| Frame {
        track: TrackId(0),
        kind: if unit.key {
            FrameKind::Key
        } else {
            FrameKind::Reference
        },
        time: START + Micros(i64::from(unit.pts) * 100 / 9),
        data: chain(&length_prefixed(&unit.nals), seed),
    };
    units.iter().map(frame).collect()
}

/// The receiver that a session description would set up.
fn receiver(format: &PayloadFormat) -> Depacketiser {
    let channels = format.channels.map(u16::from);
    let parameters = Some(format.parameters.as_str());
    Depacketiser::new(&format.encoding, format.clock_rate, channels, parameters).unwrap()
}

/// What the receiver makes of packets, which must follow one another without a loss.
fn receive(receiver: &mut Depacketiser, sent: &[Packets]) -> Vec<AccessUnit> {
    let mut out = Vec::new();
    let mut next = sent.first().map_or(0, Packets::first_sequence);
    for packet in sent.iter().flat_map(Packets::iter) {
        let received = ReceivedPacket::parse(&Bytes::copy_from_slice(packet)).unwrap();
        assert_eq!(received.packet.sequence, next);
        next = next.wrapping_add(1);
        receiver.push(received.packet, &mut out);
    }
    receiver.flush(&mut out);
    out
}

fn track(codec: Codec, clock_rate: u32) -> Track {
    Track {
        codec,
        clock_rate,
        video: None,
        audio: None,
        encoding: String::new(),
    }
}

/// The track that a stream's own parameter sets make.
fn video_track(codec: Codec, units: &[Encoded]) -> Track {
    let mut sets = crate::media::ParameterSets::new(codec);
    for nal in units.iter().flat_map(|unit| &unit.nals) {
        let _ = sets.insert(nal);
    }
    Track {
        video: sets.video_parameters(None),
        ..track(codec, 90_000)
    }
}

const STREAMS: [(Codec, &str); 4] = [
    (
        Codec::H264,
        "-c:v libx264 -preset ultrafast -g 20 -bf 0 -x264-params repeat-headers=1",
    ),
    (
        Codec::H264,
        "-c:v libx264 -preset veryfast -g 20 -bf 2 -x264-params slices=4:aud=1:repeat-headers=1",
    ),
    (
        Codec::H265,
        "-c:v libx265 -preset ultrafast -x265-params keyint=20:bframes=3:repeat-headers=1:log-level=none",
    ),
    (
        Codec::H265,
        "-c:v libx265 -preset ultrafast -x265-params keyint=15:bframes=0:slices=3:aud=1:repeat-headers=1:log-level=none",
    ),
];

#[test]
fn pictures_come_back_byte_for_byte_at_their_times() {
    let number = 6184;
    println!("SEED={number}");
    let mut seed = Seed::new(number);
    for (codec, encoder) in STREAMS {
        let units = encode(codec, "320x240", 50, encoder);
        for _ in 0..20 {
            let options = options(&mut seed);
            let mut packetiser =
                Packetiser::new(TrackId(0), &video_track(codec, &units), options).unwrap();
            let frames = frames_of(&units, &mut seed);
            let clock = packetiser.clock();
            let mut sent = Vec::new();
            for frame in &frames {
                sent.push(packetiser.push(frame, Timing::live(frame)).unwrap());
            }
            let out = receive(&mut receiver(packetiser.format()), &sent);
            let what = format!("{encoder} {options:?}");
            assert_eq!(out.len(), units.len(), "{what}");
            for ((unit, encoded), frame) in out.iter().zip(&units).zip(&frames) {
                assert!(nals_of(unit) == encoded.nals, "{what}");
                assert_eq!(unit.rtp_timestamp, clock.timestamp(frame.time), "{what}");
                assert_eq!(unit.kind == FrameKind::Key, encoded.key, "{what}");
            }
            check_packets(&sent, &options, &what);
        }
    }
}

/// Packets keep the limit, carry the numbers they were given, and only the last of an access unit is marked.
fn check_packets(sent: &[Packets], options: &PacketiserOptions, what: &str) {
    for packets in sent {
        let all: Vec<&[u8]> = packets.iter().collect();
        assert_eq!(all.len(), packets.count(), "{what}");
        let mut payload_len = 0;
        for (index, packet) in all.iter().enumerate() {
            assert!(packet.len() <= options.packet_len_max, "{what}");
            let received = ReceivedPacket::parse(&Bytes::copy_from_slice(packet)).unwrap();
            assert_eq!(received.ssrc, options.ssrc, "{what}");
            assert_eq!(received.packet.timestamp, packets.timestamp(), "{what}");
            assert_eq!(received.packet.marker, index + 1 == all.len(), "{what}");
            payload_len += received.packet.payload.len();
        }
        assert_eq!(payload_len, packets.payload_len(), "{what}");
        // Fragments of one unit are of one length but for the last: what segmentation offload asks for.
        let framed = packets.framed();
        let other = packets.framed_for(options.channel + 1);
        assert_eq!(framed.len(), other.len());
        let differing = framed.iter().zip(&other).filter(|(a, b)| a != b).count();
        assert_eq!(differing, all.len(), "one channel byte for each packet");
    }
}

#[test]
fn small_units_share_a_packet_and_fragments_fill_theirs() {
    let number = 7798;
    println!("SEED={number}");
    let mut seed = Seed::new(number);
    for (codec, encoder) in STREAMS {
        let units = encode(codec, "640x480", 2, encoder);
        let options = PacketiserOptions {
            packet_len_max: 1_000,
            ..options(&mut seed)
        };
        let mut packetiser =
            Packetiser::new(TrackId(0), &video_track(codec, &units), options).unwrap();
        let frames = frames_of(&units, &mut seed);
        let packets = packetiser
            .push(&frames[0], Timing::live(&frames[0]))
            .unwrap();
        let lens: Vec<usize> = packets.iter().map(<[u8]>::len).collect();
        assert!(lens.len() > 3, "{lens:?}");
        let first = packets.iter().next().unwrap()[HEADER_LEN];
        let aggregate = match codec {
            Codec::H264 => first & 0x1f == 24,
            _ => first >> 1 & 0x3f == 48,
        };
        assert!(
            aggregate,
            "parameter sets share the first packet: {first:x}"
        );
        let full = lens.iter().filter(|len| **len == 1_000).count();
        let nals = units[0].nals.iter().filter(|nal| nal.len() > 1_000).count();
        assert!(full >= lens.len() - 2 - 2 * nals, "{lens:?}");
    }
}

/// Parameter sets that a key frame lacks go before it: where it brings none, always; otherwise only where a viewer starts.
#[test]
fn a_viewer_has_all_parameter_sets_before_the_first_slice() {
    let number = 7;
    println!("SEED={number}");
    let mut seed = Seed::new(number);
    for (codec, encoder) in STREAMS {
        let mut units = encode(codec, "320x240", 41, encoder);
        let track = video_track(codec, &units);
        let sets = track.video.clone().unwrap().parameter_sets;
        let is_set = |nal: &Vec<u8>| sets.iter().any(|set| set == nal);
        let delimited = units[0].nals[0][0] == 0x09 || units[0].nals[0][0] == 35 << 1;
        for unit in units
            .iter_mut()
            .filter(|unit| unit.pts > 100_000 + 3_600 * 20)
        {
            unit.nals.retain(|nal| !is_set(nal));
        }
        // The first key frame brings all but one set.
        let left_out = sets.last().unwrap().to_vec();
        units[0].nals.retain(|nal| *nal != left_out);
        let mut packetiser = Packetiser::new(TrackId(0), &track, options(&mut seed)).unwrap();
        for (index, frame) in frames_of(&units, &mut seed).iter().enumerate() {
            let sent = packetiser.push(frame, Timing::live(frame)).unwrap();
            let out = receive(&mut receiver(packetiser.format()), &[sent]);
            let mut expected = units[index].nals.clone();
            if units[index].key && index == 0 {
                expected.insert(usize::from(delimited), left_out.clone());
            } else if units[index].key && !expected.iter().any(is_set) {
                let at = usize::from(delimited);
                expected.splice(at..at, sets.iter().map(|set| set.to_vec()));
            }
            if frame.kind == FrameKind::Key {
                assert!(nals_of(&out[0]) == expected, "{encoder}: {index}");
            }
        }
        packetiser.restart();
        let lacking = &frames_of(&units, &mut seed)[0];
        let sent = packetiser.push(lacking, Timing::live(lacking)).unwrap();
        let again = packetiser.push(lacking, Timing::live(lacking)).unwrap();
        assert!(
            sent.payload_len() > again.payload_len(),
            "only where a viewer starts"
        );
    }
}

/// Headers that no encoder makes were stored when a camera sent them in fragments; they come back in fragments.
#[test]
fn nal_units_with_the_numbers_of_packet_types_survive() {
    let mut seed = Seed::new(24);
    for (codec, heads) in [
        (Codec::H264, [[0x78, 7], [0x7c, 7], [0x00, 7]]),
        (Codec::H265, [[0x60, 1], [0x62, 1], [0x7e, 1]]),
    ] {
        let slice = match codec {
            Codec::H264 => vec![0x65, 0x88, 0x80, 0x10],
            _ => vec![0x26, 1, 0xaf, 0x10],
        };
        let mut packetiser =
            Packetiser::new(TrackId(0), &track(codec, 90_000), options(&mut seed)).unwrap();
        let mut nals: Vec<Vec<u8>> = heads.map(|head| [&head[..], &[1, 2, 3]].concat()).into();
        nals.insert(0, slice);
        let data: FrameData = Bytes::from(length_prefixed(&nals)).into();
        let frame = Frame {
            track: TrackId(0),
            kind: FrameKind::Reference,
            time: START,
            data,
        };
        let sent = packetiser.push(&frame, Timing::live(&frame)).unwrap();
        let mut depacketiser = receiver(packetiser.format());
        receive(&mut depacketiser, &[sent]);
        assert_eq!(depacketiser.counters().errors, 0, "{codec:?}");
    }
}

#[test]
fn lengths_that_do_not_add_up_are_refused_and_change_nothing() {
    let mut seed = Seed::new(1);
    let options = options(&mut seed);
    let mut packetiser = Packetiser::new(TrackId(0), &track(Codec::H264, 90_000), options).unwrap();
    for bytes in [&[0, 0, 0][..], &[0, 0, 0, 2, 0x65], &[0, 0, 0, 1, 0x65, 9]] {
        let frame = Frame {
            track: TrackId(0),
            kind: FrameKind::Key,
            time: START,
            data: Bytes::copy_from_slice(bytes).into(),
        };
        let error = packetiser.push(&frame, Timing::live(&frame)).unwrap_err();
        assert!(matches!(error, PacketiseError::Units { .. }), "{error}");
    }
    assert_eq!(packetiser.next_sequence(), options.first_sequence);
}

fn sound(codec: Codec, clock_rate: u32, channels: u8, config: &'static [u8]) -> Track {
    let audio = AudioParameters {
        sample_rate: clock_rate,
        channels,
        config: Bytes::from_static(config),
    };
    Track {
        audio: Some(audio),
        ..track(codec, clock_rate)
    }
}

/// Random frames `step_us` apart.
fn sound_frames(seed: &mut Seed, step_us: f64, len_max: u64) -> Vec<Frame> {
    let mut frames = Vec::new();
    for index in 0..60 {
        let mut bytes = vec![0; seed.between(1, len_max) as usize];
        seed.fill(&mut bytes);
        // A valid first byte for Opus: one frame of 20 ms.
        bytes[0] = 0x78;
        frames.push(Frame {
            track: TrackId(1),
            kind: FrameKind::Key,
            time: START + Micros((f64::from(index) * step_us).round() as i64),
            data: chain(&bytes, seed),
        });
    }
    frames
}

fn bytes_of(units: &[AccessUnit]) -> Vec<Bytes> {
    units.iter().map(|unit| unit.data.to_bytes()).collect()
}

#[test]
fn aac_frames_share_packets_and_come_back_one_by_one() {
    let number = 3640;
    println!("SEED={number}");
    let mut seed = Seed::new(number);
    for _ in 0..50 {
        let step = 1024.0 * 1e6 / 44_100.0;
        let frames = sound_frames(&mut seed, step, 8_191);
        let mut packetiser = Packetiser::new(
            TrackId(1),
            &sound(Codec::Aac, 44_100, 2, &[0x12, 0x10]),
            options(&mut seed),
        )
        .unwrap();
        let (mut sent, mut count) = (Vec::new(), 0);
        let mut rest = &frames[..];
        while !rest.is_empty() {
            let together = seed.between(1, 9).min(rest.len() as u64) as usize;
            sent.push(packetiser.push_all(&rest[..together]).unwrap());
            count += sent.last().unwrap().count();
            rest = &rest[together..];
        }
        let out = receive(&mut receiver(packetiser.format()), &sent);
        let expected: Vec<Bytes> = frames.iter().map(|frame| frame.data.to_bytes()).collect();
        assert!(bytes_of(&out) == expected);
        for (unit, frame) in out.iter().zip(&frames) {
            let exact = packetiser.clock().timestamp(frame.time);
            let off = unit.rtp_timestamp.wrapping_sub(exact) as i32;
            assert!(off.abs() <= 1, "{off} ticks");
        }
        let small = sound_frames(&mut seed, step, 100);
        let packets = packetiser.push_all(&small).unwrap();
        assert!(
            packets.count() < 20,
            "60 small frames in {}",
            packets.count()
        );
        assert!(count > 0);
    }
}

#[test]
fn aac_frames_with_a_step_between_them_do_not_share_a_packet() {
    let mut seed = Seed::new(5);
    let frames = sound_frames(&mut seed, 30_000.0, 20);
    let mut packetiser = Packetiser::new(
        TrackId(1),
        &sound(Codec::Aac, 44_100, 2, &[0x12, 0x10]),
        options(&mut seed),
    )
    .unwrap();
    assert_eq!(packetiser.push_all(&frames).unwrap().count(), frames.len());
}

#[test]
fn other_sound_and_documents_come_back() {
    let number = 7587;
    println!("SEED={number}");
    let mut seed = Seed::new(number);
    let metadata = Track {
        encoding: "vnd.onvif.metadata".into(),
        ..track(Codec::Opaque, 90_000)
    };
    let cases = [
        (sound(Codec::PcmA, 8_000, 1, &[]), 400, true),
        (sound(Codec::PcmMu, 16_000, 2, &[]), 200, false),
        (sound(Codec::Opus, 48_000, 2, &[]), 1_275, true),
        (metadata, 20_000, true),
    ];
    for (track, len_max, whole) in cases {
        let frames = sound_frames(&mut seed, 20_000.0, len_max);
        let mut packetiser = Packetiser::new(TrackId(1), &track, options(&mut seed)).unwrap();
        let sent: Vec<Packets> = frames
            .iter()
            .map(|frame| packetiser.push(frame, Timing::live(frame)).unwrap())
            .collect();
        let out = receive(&mut receiver(packetiser.format()), &sent);
        let expected: Vec<Bytes> = frames.iter().map(|frame| frame.data.to_bytes()).collect();
        if whole {
            assert!(bytes_of(&out) == expected, "{track:?}");
        }
        assert_eq!(bytes_of(&out).concat(), expected.concat(), "{track:?}");
    }
}

/// Long G.711 frames are cut between samples, and each piece has the time of its first.
#[test]
fn a_long_g711_frame_is_cut_between_samples() {
    let mut seed = Seed::new(8);
    let options = PacketiserOptions {
        packet_len_max: PACKET_LEN_MIN,
        ..options(&mut seed)
    };
    let track = sound(Codec::PcmA, 16_000, 2, &[]);
    let mut packetiser = Packetiser::new(TrackId(1), &track, options).unwrap();
    let frame = Frame {
        track: TrackId(1),
        kind: FrameKind::Key,
        time: START,
        data: Bytes::from(vec![7; 1_300]).into(),
    };
    let sent = packetiser.push(&frame, Timing::live(&frame)).unwrap();
    let out = receive(&mut receiver(packetiser.format()), &[sent]);
    let ticks: Vec<(u32, usize)> = out
        .iter()
        .map(|unit| {
            let start = packetiser.clock().timestamp(START);
            (unit.rtp_timestamp.wrapping_sub(start), unit.data.len())
        })
        .collect();
    assert_eq!(ticks, [(0, 536), (268, 536), (536, 228)]);
}

#[test]
fn the_replay_extension_goes_with_the_first_packet_alone() {
    let mut seed = Seed::new(0xabac);
    let extension = ReplayExtension {
        time: START,
        clean_point: true,
        end_of_section: false,
        discontinuity: true,
        terminal: false,
        sequence: 9,
    };
    let timing = Timing {
        at: START + Micros::from_secs(5),
        extension: Some(extension),
    };
    let mut packetiser =
        Packetiser::new(TrackId(0), &track(Codec::H264, 90_000), options(&mut seed)).unwrap();
    let mut nal = vec![0; 50_000];
    seed.fill(&mut nal);
    nal[0] = 0x65;
    let frame = Frame {
        track: TrackId(0),
        kind: FrameKind::Key,
        time: START,
        data: chain(&length_prefixed(&[nal]), &mut seed),
    };
    let sent = packetiser.push(&frame, timing).unwrap();
    assert!(sent.count() > 4);
    let found: Vec<_> = sent.iter().map(ReplayExtension::of_packet).collect();
    assert_eq!(found[0], Some(extension));
    assert!(found[1..].iter().all(Option::is_none));
    assert_eq!(sent.timestamp(), packetiser.clock().timestamp(timing.at));
}

#[test]
fn a_later_run_goes_on_only_with_the_same_kind_of_track() {
    let mut seed = Seed::new(2);
    let aac = sound(Codec::Aac, 44_100, 2, &[0x12, 0x10]);
    let mut packetiser = Packetiser::new(TrackId(1), &aac, options(&mut seed)).unwrap();
    assert!(packetiser.set_track(&aac).is_ok());
    let other = sound(Codec::Aac, 44_100, 1, &[0x12, 0x08]);
    assert!(packetiser.set_track(&other).is_err());
    assert!(
        packetiser
            .set_track(&sound(Codec::Opus, 48_000, 2, &[]))
            .is_err()
    );
    let unreadable = sound(Codec::Aac, 44_100, 2, &[0xff]);
    assert!(Packetiser::new(TrackId(1), &unreadable, options(&mut seed)).is_err());
}

#[test]
fn formats_say_what_the_rfcs_want() {
    let units = encode(Codec::H264, "320x240", 1, STREAMS[0].1);
    let h264 = PayloadFormat::of(TrackId(0), &video_track(Codec::H264, &units)).unwrap();
    assert_eq!((h264.kind, h264.payload_type), ("video", 96));
    assert_eq!(h264.map(), "H264/90000");
    assert!(
        h264.parameters.starts_with(
            "packetization-mode=1;profile-level-id=42C00D;sprop-parameter-sets=Z0LADd"
        ),
        "{}",
        h264.parameters
    );
    let units = encode(Codec::H265, "320x240", 1, STREAMS[2].1);
    let h265 = PayloadFormat::of(TrackId(0), &video_track(Codec::H265, &units)).unwrap();
    for name in ["sprop-vps=QAEMAf", "sprop-sps=QgEB", "sprop-pps=RAH"] {
        assert!(h265.parameters.contains(name), "{}", h265.parameters);
    }
    let pcma = PayloadFormat::of(TrackId(1), &sound(Codec::PcmA, 8_000, 1, &[])).unwrap();
    assert_eq!((pcma.payload_type, pcma.map().as_str()), (8, "PCMA/8000"));
    let stereo = PayloadFormat::of(TrackId(1), &sound(Codec::PcmA, 8_000, 2, &[])).unwrap();
    assert_eq!(
        (stereo.payload_type, stereo.map().as_str()),
        (97, "PCMA/8000/2")
    );
    let opus = PayloadFormat::of(TrackId(2), &sound(Codec::Opus, 48_000, 1, &[])).unwrap();
    assert_eq!(
        (opus.payload_type, opus.map().as_str()),
        (98, "opus/48000/2")
    );
}
