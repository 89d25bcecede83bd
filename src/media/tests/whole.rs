//! Without loss every NAL unit of every access unit comes out, byte for byte and in order, however it was sent.

use super::{
    depacketise,
    encoded::{Encoded, encode},
    nals_of,
    packetiser::{Marker, Packetiser, without},
};
use crate::media::{AccessUnit, Codec, Depacketiser, FrameKind};

const H264_PLAIN: &str = "-c:v libx264 -preset ultrafast -g 20 -bf 0";
const H264_SLICES: &str = "-c:v libx264 -preset veryfast -g 20 -bf 2 -x264-params slices=4:aud=1:open-gop=1:b-pyramid=none";
const H265_OPEN: &str = "-c:v libx265 -preset ultrafast -x265-params keyint=20:min-keyint=20:bframes=3:open-gop=1:repeat-headers=1:log-level=none";
const H265_SLICES: &str = "-c:v libx265 -preset ultrafast -x265-params keyint=15:bframes=2:open-gop=0:slices=3:aud=1:repeat-headers=1:log-level=none";

fn new(codec: Codec) -> Depacketiser {
    let encoding = if codec == Codec::H264 { "H264" } else { "H265" };
    Depacketiser::new(encoding, 90_000, None, None).unwrap()
}

fn assert_same(units: &[Encoded], out: &[AccessUnit], what: &str) {
    assert_eq!(units.len(), out.len(), "{what}");
    for (index, (encoded, unit)) in units.iter().zip(out).enumerate() {
        assert!(nals_of(unit) == encoded.nals, "{what}: access unit {index}");
        assert_eq!(unit.rtp_timestamp, encoded.pts, "{what}: {index}");
        assert_eq!(
            unit.kind == FrameKind::Key,
            encoded.key,
            "{what}: {index} is {:?}",
            unit.kind
        );
    }
}

#[test]
fn every_way_of_sending_gives_the_same_bytes() {
    for (codec, options) in [
        (Codec::H264, H264_PLAIN),
        (Codec::H264, H264_SLICES),
        (Codec::H265, H265_OPEN),
        (Codec::H265, H265_SLICES),
    ] {
        let units = encode(codec, "320x240", 60, options);
        for payload_max in [100, 1400, 60_000] {
            for aggregate in [false, true] {
                for marker in [Marker::Right, Marker::Never, Marker::EveryNal] {
                    let packetiser = Packetiser {
                        codec,
                        payload_max,
                        aggregate,
                        marker,
                    };
                    let what = format!("{options} {packetiser:?}");
                    let mut depacketiser = new(codec);
                    let packets = without(&packetiser.send(&units), &[]);
                    let out = depacketise(&mut depacketiser, &packets);
                    // Where the marker says nothing, nobody knows that the last access unit is over.
                    let known = match marker {
                        Marker::Right => units.len(),
                        Marker::Never => units.len() - 1,
                        Marker::EveryNal => out.len().max(units.len() - 1),
                    };
                    assert_same(&units[..known], &out, &what);
                    let counters = depacketiser.counters();
                    assert_eq!(counters.errors, 0, "{what}");
                    assert_eq!(counters.damaged, 0, "{what}");
                    assert_eq!(counters.parameter_changes, 1, "{what}");
                    assert!(out[0].new_parameters.is_some(), "{what}");
                    let video = depacketiser.track().unwrap().video.unwrap();
                    assert_eq!((video.width, video.height), (320, 240), "{what}");
                }
            }
        }
    }
}
