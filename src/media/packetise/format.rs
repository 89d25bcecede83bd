//! How a track is described to a client: the lines `m=`, `a=rtpmap` and `a=fmtp` of a session description, without the session.
//!
//! Payload types are the static ones of RFC 3551 where the track is exactly what they mean, else 96 and the number of the track.

use super::PacketiseError;
use crate::media::{
    Codec, ParameterSets, SetKind, Track, TrackId, VideoParameters, aac_config::AacConfig,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use std::fmt::Write;

/// First dynamic payload type (RFC 3551 §6).
const DYNAMIC: u8 = 96;
/// How many there are.
const DYNAMIC_COUNT: u8 = 32;
/// Clock rate of the static payload types of G.711.
const G711_RATE: u32 = 8_000;
/// Bits of an access unit's length in AAC-hbr, RFC 3640 §3.3.6.
pub(super) const AAC_SIZE_BITS: u32 = 13;

/// A track as a session description tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PayloadFormat {
    /// `video`, `audio` or `application`.
    pub kind: &'static str,
    /// RTP payload type.
    pub payload_type: u8,
    /// Encoding name.
    pub encoding: String,
    /// RTP ticks per second.
    pub clock_rate: u32,
    /// Channels, for sound.
    pub channels: Option<u8>,
    /// What stands behind the payload type in `a=fmtp`; empty where there is nothing to say.
    pub parameters: String,
}

impl PayloadFormat {
    /// The format of a track.
    ///
    /// # Errors
    /// When the track's parameters cannot be read.
    pub fn of(id: TrackId, track: &Track) -> Result<Self, PacketiseError> {
        if track.clock_rate == 0 {
            return Err(PacketiseError::Track {
                codec: track.codec,
                why: "its clock rate is 0",
            });
        }
        let channels = track.audio.as_ref().map_or(1, |audio| audio.channels);
        let (kind, encoding, told, parameters) = match track.codec {
            Codec::H264 => ("video", "H264", None, h264(track.video.as_ref())),
            Codec::H265 => ("video", "H265", None, h265(track.video.as_ref())),
            Codec::Aac => ("audio", "MPEG4-GENERIC", Some(channels), aac(track)?),
            Codec::PcmMu => ("audio", "PCMU", Some(channels), String::new()),
            Codec::PcmA => ("audio", "PCMA", Some(channels), String::new()),
            // Two channels always, RFC 7587 §7; what is in them is told apart.
            Codec::Opus => {
                let stereo = if channels > 1 { "sprop-stereo=1" } else { "" };
                ("audio", "opus", Some(2), stereo.to_owned())
            }
            Codec::Opaque => (
                kind_of(&track.encoding),
                track.encoding.as_str(),
                None,
                String::new(),
            ),
        };
        let payload_type = match track.codec {
            Codec::PcmMu if (track.clock_rate, channels) == (G711_RATE, 1) => 0,
            Codec::PcmA if (track.clock_rate, channels) == (G711_RATE, 1) => 8,
            _ => DYNAMIC + id.0.min(DYNAMIC_COUNT - 1),
        };
        Ok(Self {
            kind,
            payload_type,
            encoding: encoding.to_owned(),
            clock_rate: track.clock_rate,
            channels: told,
            parameters,
        })
    }

    /// Whether frames of `self` can go on in a session described by `other`: all but the parameter sets of pictures, which are repeated
    /// in band, must be the same.
    pub fn continues(&self, other: &Self) -> bool {
        let same_parameters = self.kind == "video" || self.parameters == other.parameters;
        same_parameters
            && (self.payload_type, &self.encoding, self.clock_rate)
                == (other.payload_type, &other.encoding, other.clock_rate)
            && self.channels == other.channels
    }

    /// What stands behind the payload type in `a=rtpmap`.
    pub fn map(&self) -> String {
        match self.channels {
            Some(channels) if channels > 1 => {
                format!("{}/{}/{channels}", self.encoding, self.clock_rate)
            }
            _ => format!("{}/{}", self.encoding, self.clock_rate),
        }
    }
}

/// Cameras offer as `application` what is registered by a vendor; every other encoding without pictures is sound.
fn kind_of(encoding: &str) -> &'static str {
    if encoding.starts_with("vnd.") {
        "application"
    } else {
        "audio"
    }
}

fn list<'a>(nals: impl Iterator<Item = &'a bytes::Bytes>) -> String {
    let encoded: Vec<String> = nals.map(|nal| STANDARD.encode(nal)).collect();
    encoded.join(",")
}

/// RFC 6184 §8.1.
fn h264(video: Option<&VideoParameters>) -> String {
    let mut text = "packetization-mode=1".to_owned();
    let Some(video) = video else { return text };
    let sets = ParameterSets::of(Codec::H264, video);
    // Profile, constraints and level stand behind the header of the SPS (H.264 §7.3.2.1.1).
    let first = sets.nals(SetKind::Sps).next();
    if let Some([_, profile, constraints, level, ..]) = first.map(|sps| &sps[..]) {
        let id = format!(";profile-level-id={profile:02X}{constraints:02X}{level:02X}");
        text.push_str(&id);
    }
    let all = list(sets.nals(SetKind::Sps).chain(sets.nals(SetKind::Pps)));
    if !all.is_empty() {
        // Writing to a string cannot fail.
        let _ = write!(text, ";sprop-parameter-sets={all}");
    }
    text
}

/// RFC 7798 §7.1.
fn h265(video: Option<&VideoParameters>) -> String {
    let Some(video) = video else {
        return String::new();
    };
    let sets = ParameterSets::of(Codec::H265, video);
    let kinds = [
        ("sprop-vps", SetKind::Vps),
        ("sprop-sps", SetKind::Sps),
        ("sprop-pps", SetKind::Pps),
    ];
    let told = kinds.map(|(name, kind)| (name, list(sets.nals(kind))));
    let told = told.iter().filter(|(_, sets)| !sets.is_empty());
    let told: Vec<String> = told.map(|(name, sets)| format!("{name}={sets}")).collect();
    told.join(";")
}

/// RFC 3640 §4.1 and §3.3.6.
fn aac(track: &Track) -> Result<String, PacketiseError> {
    let unreadable = PacketiseError::Track {
        codec: Codec::Aac,
        why: "its AudioSpecificConfig cannot be read",
    };
    let config = track.audio.as_ref().map(|audio| &audio.config[..]);
    let config = config.filter(|config| AacConfig::parse(config).is_ok());
    let config = config.ok_or(unreadable)?;
    let mut text =
        format!("streamtype=5;profile-level-id=1;mode=AAC-hbr;sizelength={AAC_SIZE_BITS};");
    text.push_str("indexlength=3;indexdeltalength=3;config=");
    for byte in config {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02X}");
    }
    Ok(text)
}
