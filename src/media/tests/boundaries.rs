//! Where access units begin and end, and what they are, in the cases that encoders here do not produce.

use super::{depacketise, encoded::encode, nals_of};
use crate::media::{AccessUnit, Codec, Depacketiser, FrameKind, RtpPacket};
use bytes::Bytes;

/// SPS and PPS of a progressive and of a field-coded stream; slices below are made of their first fields only.
fn sets(options: &str) -> Vec<Vec<u8>> {
    let unit = &encode(Codec::H264, "320x240", 1, options)[0];
    let set = |nal: &&Vec<u8>| matches!(nal[0] & 0x1f, 7 | 8);
    unit.nals.iter().filter(set).cloned().collect()
}

fn progressive() -> Vec<Vec<u8>> {
    sets("-c:v libx264 -preset ultrafast -profile:v baseline")
}

/// first_mb 0, slice_type as given (all slices alike), pps 0; then bytes that tell slices apart.
fn slice(header: u8, intra: bool, first: bool, tag: u8) -> Vec<u8> {
    // ue(0)=1 or ue(1)=010; ue(7)=0001000 for I, ue(5)=00110 for P; ue(0)=1.
    let bits = match (first, intra) {
        (true, true) => 0b1000_1000_1000_0000u16,
        (true, false) => 0b1001_1010_0000_0000,
        (false, true) => 0b0100_0010_0010_0000,
        (false, false) => 0b0100_0110_1000_0000,
    };
    let [high, low] = bits.to_be_bytes();
    vec![header, high, low | 1, 0x11, tag]
}

const IDR: u8 = 0x65;
const REFERENCE: u8 = 0x41;
const NON_REFERENCE: u8 = 0x01;

fn send(rows: &[(u32, bool, Vec<u8>)]) -> (Depacketiser, Vec<AccessUnit>) {
    let mut depacketiser = Depacketiser::new("H264", 90_000, None, None).unwrap();
    let packets: Vec<RtpPacket> = rows
        .iter()
        .map(|(timestamp, marker, payload)| RtpPacket {
            sequence: 0,
            timestamp: *timestamp,
            marker: *marker,
            payload: Bytes::copy_from_slice(payload),
            lost_before: 0,
        })
        .collect();
    let out = depacketise(&mut depacketiser, &packets);
    (depacketiser, out)
}

/// A key frame at time 0 with its sets.
fn key_frame() -> Vec<(u32, bool, Vec<u8>)> {
    let mut rows: Vec<_> = progressive()
        .into_iter()
        .map(|nal| (0, false, nal))
        .collect();
    rows.push((0, true, slice(IDR, true, true, 7)));
    rows
}

fn kinds(out: &[AccessUnit]) -> Vec<FrameKind> {
    out.iter().map(|unit| unit.kind).collect()
}

#[test]
fn pictures_with_one_timestamp_are_told_apart_by_marker_and_first_slice() {
    let mut rows = key_frame();
    for tag in 1..=20 {
        rows.push((9, false, slice(REFERENCE, false, true, tag)));
        rows.push((9, true, slice(REFERENCE, false, false, tag)));
    }
    let (_, out) = send(&rows);
    assert_eq!(out.len(), 21);
    assert!(out[1..].iter().all(|unit| nals_of(unit).len() == 2));
}

#[test]
fn parameter_sets_with_the_time_of_the_picture_before_belong_to_the_next() {
    let mut rows = key_frame();
    rows.push((3600, true, slice(REFERENCE, false, true, 1)));
    rows.extend(progressive().into_iter().map(|nal| (3600, true, nal)));
    rows.push((7200, true, slice(IDR, true, true, 2)));
    let (depacketiser, out) = send(&rows);
    assert_eq!(
        kinds(&out),
        [FrameKind::Key, FrameKind::Reference, FrameKind::Key]
    );
    assert_eq!(nals_of(&out[1]).len(), 1);
    assert_eq!(nals_of(&out[2]).len(), 3);
    assert_eq!(out[2].rtp_timestamp, 7200);
    assert!(
        out[2].new_parameters.is_none(),
        "the same sets are no change"
    );
    assert_eq!(depacketiser.counters().errors, 0);
}

#[test]
fn a_marker_that_starts_to_lie_costs_one_picture_and_is_never_trusted_again() {
    let mut rows = key_frame();
    let mut time = 0;
    for tag in 0..12 {
        time += 3600;
        rows.push((time, true, slice(REFERENCE, false, true, tag)));
    }
    for tag in 0..5 {
        time += 3600;
        rows.push((time, true, slice(REFERENCE, false, true, tag)));
        rows.push((time, true, slice(REFERENCE, false, false, tag)));
    }
    time += 3600;
    rows.push((time, true, slice(IDR, true, true, 0)));
    rows.push((time + 3600, true, slice(REFERENCE, false, true, 0)));
    let (depacketiser, out) = send(&rows);
    let counters = depacketiser.counters();
    assert_eq!(
        (counters.errors, counters.dropped_incomplete),
        (1, 2),
        "{counters:?}"
    );
    let damaged = kinds(&out)
        .iter()
        .filter(|kind| **kind == FrameKind::Damaged)
        .count();
    assert_eq!(damaged, 4);
    assert_eq!(kinds(&out).last(), Some(&FrameKind::Key));
}

#[test]
fn disposable_pictures_are_those_nobody_refers_to() {
    let mut rows = key_frame();
    rows.push((3600, true, slice(NON_REFERENCE, false, true, 1)));
    rows.push((7200, true, slice(REFERENCE, false, true, 2)));
    rows.push((10_800, true, slice(REFERENCE, false, true, 3)));
    let (_, out) = send(&rows);
    assert_eq!(
        kinds(&out),
        [
            FrameKind::Key,
            FrameKind::Disposable,
            FrameKind::Reference,
            FrameKind::Reference
        ]
    );
}

/// recovery_frame_cnt 0 on an I picture is a key frame; on a P picture, or above 0, only where nothing else comes for 10 s.
#[test]
fn recovery_points_are_key_frames_only_where_decoding_can_start() {
    let exact = vec![6, 6, 1, 0xc4, 0x80];
    let gradual = vec![6, 6, 2, 0b0000_1100, 0b1100_0100, 0x80];
    let mut rows = key_frame();
    let mut expected = vec![FrameKind::Key];
    for (time, sei, intra) in [
        (90_000, &exact, true),
        (180_000, &exact, false),
        (270_000, &gradual, false),
        (90_000 * 12, &gradual, false),
    ] {
        rows.push((time, false, sei.clone()));
        rows.push((time, true, slice(REFERENCE, intra, true, 1)));
        let key = intra || time > 90_000 * 11;
        expected.push(if key {
            FrameKind::Key
        } else {
            FrameKind::Reference
        });
    }
    // Shown before the first recovery point, sent after it: an open GOP's leading picture.
    rows.insert(5, (80_000, true, slice(NON_REFERENCE, false, true, 9)));
    expected.insert(2, FrameKind::Leading);
    rows.push((90_000 * 13, true, slice(REFERENCE, false, true, 1)));
    expected.push(FrameKind::Reference);
    let (_, out) = send(&rows);
    assert_eq!(kinds(&out), expected);
    assert_eq!(out[5].recovery_frames, 24);
    assert_eq!(out[1].recovery_frames, 0);
}

#[test]
fn nothing_comes_out_before_a_key_frame_with_its_parameter_sets() {
    let mut rows = vec![
        (0, true, slice(REFERENCE, false, true, 1)),
        (3600, true, slice(IDR, true, true, 1)),
        (7200, true, slice(REFERENCE, false, true, 1)),
    ];
    rows.extend(
        key_frame()
            .into_iter()
            .map(|(_, marker, nal)| (10_800, marker, nal)),
    );
    let (depacketiser, out) = send(&rows);
    assert_eq!(kinds(&out), [FrameKind::Key]);
    let video = out[0].new_parameters.clone().unwrap();
    assert_eq!((video.width, video.height), (320, 240));
    assert_eq!(video.parameter_sets, progressive());
    assert_eq!(depacketiser.counters().dropped_before_key, 3);
}

#[test]
fn other_parameter_sets_at_a_key_frame_are_announced_once() {
    let mut rows = key_frame();
    let larger = encode(Codec::H264, "640x480", 1, "-c:v libx264 -preset ultrafast");
    for time in [3600, 7200] {
        let nals = &larger[0].nals;
        for (index, nal) in nals.iter().enumerate() {
            rows.push((time, index + 1 == nals.len(), nal.clone()));
        }
    }
    let (depacketiser, out) = send(&rows);
    let changes: Vec<_> = out
        .iter()
        .map(|unit| unit.new_parameters.as_ref().map(|video| video.width))
        .collect();
    assert_eq!(changes, [Some(320), Some(640), None]);
    assert_eq!(depacketiser.track().unwrap().video.unwrap().height, 480);
}

/// What opens the next picture goes with it, also where both have one timestamp.
#[test]
fn delimiter_after_the_marker_goes_with_the_next_picture() {
    let mut rows = key_frame();
    rows.push((0, false, vec![9, 0x30]));
    rows.push((0, false, vec![6, 5, 1, 0xaa, 0x80]));
    rows.push((0, true, slice(REFERENCE, false, true, 1)));
    let (_, out) = send(&rows);
    assert_eq!(out.len(), 2);
    assert_eq!(nals_of(&out[0]).len(), 3);
    let opening: Vec<u8> = nals_of(&out[1]).iter().map(|nal| nal[0]).collect();
    assert_eq!(opening, [9, 6, REFERENCE]);
}

/// Cameras that send parameter sets and key frame as one "NAL unit" with start codes inside, whole or in fragments.
#[test]
fn a_byte_stream_in_a_nal_unit_is_taken_apart() {
    let nals: Vec<Vec<u8>> = key_frame().into_iter().map(|(_, _, nal)| nal).collect();
    let bundle = nals.join(&[0, 0, 0, 1][..]);
    let fragment = |flags: u8, bytes: &[u8]| [&[0x7c, flags | bundle[0] & 0x1f], bytes].concat();
    let middle = bundle.len() / 2;
    for rows in [
        vec![(0, true, bundle.clone())],
        vec![
            (0, false, fragment(0x80, &bundle[1..middle])),
            (0, true, fragment(0x40, &bundle[middle..])),
        ],
    ] {
        let (depacketiser, out) = send(&rows);
        assert_eq!(kinds(&out), [FrameKind::Key]);
        assert_eq!(nals_of(&out[0]), nals);
        assert_eq!(depacketiser.counters().errors, 0);
    }
}

/// PAFF: both fields of a frame with one timestamp and a marker each are one access unit.
#[test]
fn two_fields_with_one_timestamp_are_one_frame() {
    let mut rows: Vec<_> = sets("-c:v libx264 -flags +ildct+ilme -x264-params interlaced=1")
        .into_iter()
        .map(|nal| (0, false, nal))
        .collect();
    // first_mb ue(0), slice type ue(7) or ue(5), pps ue(0), frame_num u(4) = 0, field_pic_flag, bottom_field_flag.
    let field = |header: u8, bits: u16, tag: u8| {
        let [high, low] = bits.to_be_bytes();
        vec![header, high, low, 0x11, tag]
    };
    rows.push((0, true, field(0x65, 0b1000_1000_1000_0101, 1)));
    rows.push((0, true, field(0x41, 0b1001_1010_0001_1100, 2)));
    // Often enough that the marker would be trusted.
    for time in 1..=12 {
        rows.push((time * 3600, true, field(0x41, 0b1001_1010_0011_0100, 3)));
        rows.push((time * 3600, true, field(0x41, 0b1001_1010_0011_1100, 4)));
    }
    let (_, out) = send(&rows);
    assert_eq!(kinds(&out)[0], FrameKind::Key);
    let slices: Vec<usize> = out
        .iter()
        .map(|unit| nals_of(unit).iter().filter(|nal| nal.len() == 5).count())
        .collect();
    assert_eq!(slices, [2; 13]);
}
