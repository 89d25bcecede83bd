//! From RTP packets to access units, one depacketiser per track: pure, bounded, and never silent about what it drops.
//!
//! `picture` gathers NAL units, `video` judges pictures, `h264` and `h265` know their payload formats; the rest are sound and
//! everything else. The bytes that come out are the camera's own, in order (see `media::frame`).

mod aac;
mod h264;
mod h265;
mod packets;
mod picture;
mod video;

pub use picture::{FRAME_LEN_MAX, NALS_MAX, PARTS_MAX};
pub use video::{MARKER_TRUST, REFRESH_AFTER_SECONDS};

use super::{
    AccessUnit, AudioParameters, Codec, DepacketiserCounters, RtpPacket, Track, fmtp,
    parameter_sets::ParameterSets,
};
use aac::AacDepacketiser;
use bytes::Bytes;
use packets::{Framing, PacketDepacketiser};
use video::{VideoDepacketiser, VideoSyntax};

/// A track that cannot be taken as described.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DepacketiserError {
    /// The clock rate is zero.
    #[error(
        "the camera describes a {encoding} track with a clock rate of 0; the track cannot be recorded"
    )]
    ClockRate {
        /// The RTP encoding name.
        encoding: String,
    },
    /// A mode of the payload format that is not supported.
    #[error(
        "the camera sends {encoding} with {parameter}={value}, which puts packets in another order than that of decoding and is not supported; choose another mode in the camera"
    )]
    Mode {
        /// The RTP encoding name.
        encoding: String,
        /// The format parameter.
        parameter: &'static str,
        /// Its value.
        value: String,
    },
}

impl DepacketiserError {
    fn mode(encoding: &str, parameter: &'static str, format: &str) -> Self {
        Self::Mode {
            encoding: encoding.to_owned(),
            parameter,
            value: fmtp::value(format, parameter).unwrap_or("").to_owned(),
        }
    }
}

/// The depacketiser of one track.
#[derive(Debug)]
pub struct Depacketiser {
    clock_rate: u32,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    H264(Box<VideoDepacketiser<h264::H264>>),
    H265(Box<VideoDepacketiser<h265::H265>>),
    Aac(AacDepacketiser),
    Packets(PacketDepacketiser),
}

impl Depacketiser {
    /// For a track as its session description tells it: `a=rtpmap` (encoding name in any case, clock rate, channels) and the
    /// parameters of `a=fmtp`. Encodings nobody knows here become opaque tracks. Parameter sets that cannot be read are left out:
    /// cameras repeat them in band.
    pub fn new(
        encoding: &str,
        clock_rate: u32,
        channels: Option<u16>,
        fmtp: Option<&str>,
    ) -> Result<Self, DepacketiserError> {
        if clock_rate == 0 {
            return Err(DepacketiserError::ClockRate {
                encoding: encoding.to_owned(),
            });
        }
        let format = fmtp.unwrap_or("");
        let encoding = encoding.to_ascii_lowercase();
        let sound = |codec, framing, default_channels: u16| {
            let parameters = AudioParameters {
                sample_rate: clock_rate,
                channels: channels.unwrap_or(default_channels).clamp(1, 255) as u8,
                config: Bytes::new(),
            };
            Kind::Packets(PacketDepacketiser::sound(codec, framing, parameters))
        };
        let samples = Framing::Samples {
            channels: channels.unwrap_or(1).clamp(1, 255) as u8,
        };
        let opaque = |framing| {
            let encoding = encoding.clone();
            Kind::Packets(PacketDepacketiser::opaque(Codec::Opaque, framing, encoding))
        };
        let kind = match encoding.as_str() {
            "h264" => Kind::H264(video(Codec::H264, clock_rate, format)?),
            "h265" => Kind::H265(video(Codec::H265, clock_rate, format)?),
            "mpeg4-generic" => Kind::Aac(AacDepacketiser::new(clock_rate, channels, format)?),
            "pcmu" => sound(Codec::PcmMu, samples, 1),
            "pcma" => sound(Codec::PcmA, samples, 1),
            "opus" => sound(Codec::Opus, Framing::Opus, 2),
            metadata if metadata.starts_with("vnd.onvif.metadata") => opaque(Framing::Document),
            _ => opaque(Framing::Packet),
        };
        Ok(Self { clock_rate, kind })
    }

    /// The track as far as known: for pictures, `None` until parameter sets have come.
    pub fn track(&self) -> Option<Track> {
        let sound = |codec, parameters: Option<&AudioParameters>, encoding: &str| Track {
            codec,
            clock_rate: self.clock_rate,
            video: None,
            audio: parameters.cloned(),
            encoding: encoding.to_owned(),
        };
        match &self.kind {
            Kind::H264(video) => video.track(),
            Kind::H265(video) => video.track(),
            Kind::Aac(aac) => Some(sound(Codec::Aac, Some(aac.parameters()), "")),
            Kind::Packets(packets) => Some(sound(
                packets.codec(),
                packets.parameters(),
                packets.encoding(),
            )),
        }
    }

    /// RTP ticks per second.
    pub fn clock_rate(&self) -> u32 {
        self.clock_rate
    }

    /// Takes the next packet in order and appends what became whole to `out`.
    pub fn push(&mut self, packet: RtpPacket, out: &mut Vec<AccessUnit>) {
        match &mut self.kind {
            Kind::H264(video) => video.push(packet, out),
            Kind::H265(video) => video.push(packet, out),
            Kind::Aac(aac) => aac.push(packet, out),
            Kind::Packets(packets) => packets.push(packet, out),
        }
    }

    /// The stream ends here: appends what is known to be whole to `out`.
    pub fn flush(&mut self, out: &mut Vec<AccessUnit>) {
        match &mut self.kind {
            Kind::H264(video) => video.flush(out),
            Kind::H265(video) => video.flush(out),
            Kind::Aac(aac) => aac.flush(),
            Kind::Packets(packets) => packets.flush(out),
        }
    }

    /// What became of the packets.
    pub fn counters(&self) -> &DepacketiserCounters {
        match &self.kind {
            Kind::H264(video) => video.counters(),
            Kind::H265(video) => video.counters(),
            Kind::Aac(aac) => aac.counters(),
            Kind::Packets(packets) => packets.counters(),
        }
    }

    /// Every parameter set known now; `None` for tracks without pictures.
    pub fn parameter_sets(&self) -> Option<&ParameterSets> {
        match &self.kind {
            Kind::H264(video) => Some(video.parameter_sets()),
            Kind::H265(video) => Some(video.parameter_sets()),
            Kind::Aac(_) | Kind::Packets(_) => None,
        }
    }
}

/// A video depacketiser with the parameter sets of its session description; an error for modes with decoding order numbers.
fn video<S: VideoSyntax>(
    codec: Codec,
    clock_rate: u32,
    format: &str,
) -> Result<Box<VideoDepacketiser<S>>, DepacketiserError> {
    let set = |name| fmtp::value(format, name).is_some_and(|value| value != "0");
    if codec == Codec::H264 && fmtp::value(format, "packetization-mode") == Some("2") {
        return Err(DepacketiserError::mode(
            "H264",
            "packetization-mode",
            format,
        ));
    }
    if codec == Codec::H265 && set("sprop-max-don-diff") {
        return Err(DepacketiserError::mode(
            "H265",
            "sprop-max-don-diff",
            format,
        ));
    }
    let sets = fmtp::parameter_sets(codec, format);
    Ok(Box::new(VideoDepacketiser::new(clock_rate, sets)))
}
