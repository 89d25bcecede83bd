//! The description of a camera's media (RFC 4566), with the parameter sets and configurations that receivers need at once.

use crate::clip::Clip;
use crate::nal::Codec;
use crate::packet::{AAC_TYPE, PCMA_TYPE, VIDEO_TYPE};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::net::IpAddr;

/// The session description of a camera that plays `clip`, served at `address`; with `order`, one that tells of decoding order numbers.
pub(crate) fn describe(name: &str, clip: &Clip, address: IpAddr, order: bool) -> String {
    let version = if address.is_ipv4() { "IP4" } else { "IP6" };
    let rate = crate::clip::VIDEO_HZ as f64 / clip.period as f64;
    let mut sdp = format!(
        "v=0\r\no=- 1 1 IN {version} {address}\r\ns={name}\r\nc=IN {version} {address}\r\nt=0 0\r\na=control:*\r\na=range:npt=now-\r\n\
         m=video 0 RTP/AVP {VIDEO_TYPE}\r\na=rtpmap:{VIDEO_TYPE} {}/90000\r\na=fmtp:{VIDEO_TYPE} {}\r\na=framerate:{rate}\r\n\
         a=control:trackID=0\r\na=recvonly\r\n",
        match clip.codec {
            Codec::H264 => "H264",
            Codec::H265 => "H265",
        },
        video_format(clip, order),
    );
    if let Some(sound) = &clip.sound {
        let hz = sound.hz;
        if sound.config.is_empty() {
            sdp += &format!("m=audio 0 RTP/AVP {PCMA_TYPE}\r\na=rtpmap:{PCMA_TYPE} PCMA/{hz}\r\n");
        } else {
            let config: String = sound
                .config
                .iter()
                .map(|byte| format!("{byte:02X}"))
                .collect();
            sdp += &format!(
                "m=audio 0 RTP/AVP {AAC_TYPE}\r\na=rtpmap:{AAC_TYPE} mpeg4-generic/{hz}/1\r\n\
                 a=fmtp:{AAC_TYPE} streamtype=5;profile-level-id=1;mode=AAC-hbr;sizelength=13;indexlength=3;indexdeltalength=3;config={config}\r\n",
            );
        }
        sdp += "a=control:trackID=1\r\na=recvonly\r\n";
    }
    sdp
}

/// The `fmtp` of the video (RFC 6184 §8.1, RFC 7798 §7.1).
fn video_format(clip: &Clip, order: bool) -> String {
    let sets = |kind: u8| {
        let of_kind = clip
            .parameter_sets
            .iter()
            .filter(|set| clip.codec.kind(set) == kind);
        of_kind
            .map(|set| STANDARD.encode(set))
            .collect::<Vec<_>>()
            .join(",")
    };
    match clip.codec {
        Codec::H264 => {
            let sps = clip
                .parameter_sets
                .iter()
                .find(|set| Codec::H264.kind(set) == 7);
            let profile: String = sps
                .iter()
                .flat_map(|sps| &sps[1..4])
                .map(|byte| format!("{byte:02X}"))
                .collect();
            format!(
                "packetization-mode={};profile-level-id={profile};sprop-parameter-sets={},{}",
                if order { 2 } else { 1 },
                sets(7),
                sets(8)
            )
        }
        Codec::H265 => format!(
            "{}sprop-vps={};sprop-sps={};sprop-pps={}",
            if order { "sprop-max-don-diff=4;" } else { "" },
            sets(32),
            sets(33),
            sets(34)
        ),
    }
}
