//! Codecs and codec parameters: what a decoder must know before the first frame.
//!
//! A `TrackSet` is the identity of a run: as soon as a camera sends another one, a new run begins. It keeps every parameter set
//! the camera ever sent for the run (several SPS and PPS ids are legal), because a recorder that keeps one of each is silently wrong.

use super::parameter_sets::ParameterSets;
use bytes::Bytes;

/// How a track is coded. The numbers are on disk (format v1): never renumber.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Codec {
    /// ITU-T H.264 | ISO 14496-10; frames are length-prefixed NAL units.
    H264 = 1,
    /// ITU-T H.265 | ISO 23008-2; frames are length-prefixed NAL units.
    H265 = 2,
    /// MPEG-4 AAC, raw access units without ADTS (RFC 3640).
    Aac = 3,
    /// G.711 µ-law, 8-bit samples (RFC 3551 §4.5.14).
    PcmMu = 4,
    /// G.711 A-law, 8-bit samples (RFC 3551 §4.5.14).
    PcmA = 5,
    /// Opus packets (RFC 7587).
    Opus = 6,
    /// Anything else, one RTP payload (or reassembled document) per frame, kept untouched.
    Opaque = 7,
}

impl Codec {
    /// The codec with this number on disk.
    pub fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::H264,
            2 => Self::H265,
            3 => Self::Aac,
            4 => Self::PcmMu,
            5 => Self::PcmA,
            6 => Self::Opus,
            7 => Self::Opaque,
            _ => return None,
        })
    }

    /// Whether frames are pictures.
    pub fn is_video(self) -> bool {
        matches!(self, Self::H264 | Self::H265)
    }

    /// Whether frames are sound.
    pub fn is_audio(self) -> bool {
        matches!(self, Self::Aac | Self::PcmMu | Self::PcmA | Self::Opus)
    }

    /// The name people know.
    pub fn name(self) -> &'static str {
        match self {
            Self::H264 => "H.264",
            Self::H265 => "H.265",
            Self::Aac => "AAC",
            Self::PcmMu => "G.711 µ-law",
            Self::PcmA => "G.711 A-law",
            Self::Opus => "Opus",
            Self::Opaque => "metadata",
        }
    }
}

/// What a video decoder needs first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct VideoParameters {
    /// Width of the shown picture in pixels (after cropping).
    pub width: u16,
    /// Height of the shown picture in pixels (after cropping).
    pub height: u16,
    /// Every parameter set in force, as whole NAL units without start code or length: VPS, then SPS, then PPS, each by rising id.
    pub parameter_sets: Vec<Bytes>,
}

/// What an audio decoder needs first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct AudioParameters {
    /// Samples per second per channel.
    pub sample_rate: u32,
    /// Number of channels.
    pub channels: u8,
    /// AAC: the AudioSpecificConfig (ISO 14496-3 §1.6.2.1). Otherwise empty.
    pub config: Bytes,
}

/// One track of a stream: exactly one of the parameter kinds, by codec.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Track {
    /// How it is coded.
    pub codec: Codec,
    /// RTP ticks per second, as the camera counts.
    pub clock_rate: u32,
    /// For pictures.
    pub video: Option<VideoParameters>,
    /// For sound.
    pub audio: Option<AudioParameters>,
    /// For opaque tracks: the RTP encoding name in lower case, such as `vnd.onvif.metadata`. Otherwise empty.
    pub encoding: String,
}

impl Track {
    /// The codec string of RFC 6381 for players; `None` where there is none, or the parameters do not tell.
    pub fn codec_string(&self) -> Option<String> {
        match self.codec {
            Codec::H264 | Codec::H265 => {
                ParameterSets::of(self.codec, self.video.as_ref()?).codec_string()
            }
            Codec::Aac => {
                let object_type = aac_object_type(&self.audio.as_ref()?.config)?;
                Some(format!("mp4a.40.{object_type}"))
            }
            Codec::Opus => Some("opus".to_owned()),
            Codec::PcmMu | Codec::PcmA | Codec::Opaque => None,
        }
    }
}

/// audioObjectType of an AudioSpecificConfig, ISO 14496-3 §1.6.2.1.
fn aac_object_type(config: &[u8]) -> Option<u8> {
    let first = *config.first()?;
    match first >> 3 {
        31 => Some(32 + ((first & 7) << 3 | config.get(1)? >> 5)),
        object_type => Some(object_type),
    }
}

/// The tracks of a stream during one run. `TrackId` indexes it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct TrackSet {
    /// Video first where there is video.
    pub tracks: Vec<Track>,
}

#[cfg(test)]
impl TrackSet {
    /// H.264, with G.711 or without.
    pub(crate) fn sample(sound: bool) -> Self {
        let pictures = Track {
            codec: Codec::H264,
            clock_rate: 90_000,
            video: Some(VideoParameters::default()),
            audio: None,
            encoding: String::new(),
        };
        let audio = Track {
            codec: Codec::PcmA,
            clock_rate: 8_000,
            video: None,
            audio: Some(AudioParameters {
                sample_rate: 8_000,
                channels: 1,
                config: Bytes::new(),
            }),
            encoding: String::new(),
        };
        let audio = sound.then_some(audio);
        Self {
            tracks: std::iter::once(pictures).chain(audio).collect(),
        }
    }
}
