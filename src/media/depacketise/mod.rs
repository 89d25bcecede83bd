//! From RTP packets to access units, one depacketiser per track: pure, bounded, and never silent about what it drops.
//!
//! `picture` gathers NAL units, `video` judges pictures, `h264` and `h265` know their payload formats; the rest are sound and
//! everything else. The bytes that come out are the camera's own, in order (see `media::frame`).

mod h264;
mod h265;
mod picture;
mod video;

pub use picture::{FRAME_LEN_MAX, NALS_MAX, PARTS_MAX};
pub use video::{MARKER_TRUST, REFRESH_AFTER_SECONDS};

use super::{
    AccessUnit, Codec, DepacketiserCounters, RtpPacket, Track, fmtp, parameter_sets::ParameterSets,
};
use video::VideoDepacketiser;

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
    /// An encoding that is not known.
    #[error("the camera sends a track as {encoding}, which cannot be recorded")]
    Encoding {
        /// The RTP encoding name.
        encoding: String,
    },
    /// A mode of the payload format that is not supported.
    #[error(
        "the camera sends {encoding} with {parameter}={value}, which is not supported; choose another mode in the camera"
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

/// The depacketiser of one track.
#[derive(Debug)]
pub struct Depacketiser(Kind);

#[derive(Debug)]
enum Kind {
    H264(VideoDepacketiser<h264::H264>),
    H265(VideoDepacketiser<h265::H265>),
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
        let fmtp = fmtp.unwrap_or("");
        let _ = channels;
        let mode = |parameter| DepacketiserError::Mode {
            encoding: encoding.to_owned(),
            parameter,
            value: fmtp::value(fmtp, parameter).unwrap_or("").to_owned(),
        };
        Ok(Self(match encoding.to_ascii_lowercase().as_str() {
            "h264" => {
                if fmtp::value(fmtp, "packetization-mode").is_some_and(|mode| mode == "2") {
                    return Err(mode("packetization-mode"));
                }
                Kind::H264(VideoDepacketiser::new(
                    clock_rate,
                    fmtp::parameter_sets(Codec::H264, fmtp),
                ))
            }
            "h265" => {
                if fmtp::value(fmtp, "sprop-max-don-diff").is_some_and(|diff| diff != "0") {
                    return Err(mode("sprop-max-don-diff"));
                }
                Kind::H265(VideoDepacketiser::new(
                    clock_rate,
                    fmtp::parameter_sets(Codec::H265, fmtp),
                ))
            }
            _ => {
                return Err(DepacketiserError::Encoding {
                    encoding: encoding.to_owned(),
                });
            }
        }))
    }

    /// The track as far as known: for pictures, `None` until parameter sets have come.
    pub fn track(&self) -> Option<Track> {
        match &self.0 {
            Kind::H264(video) => video.track(),
            Kind::H265(video) => video.track(),
        }
    }

    /// Takes the next packet in order and appends what became whole to `out`.
    pub fn push(&mut self, packet: RtpPacket, out: &mut Vec<AccessUnit>) {
        match &mut self.0 {
            Kind::H264(video) => video.push(packet, out),
            Kind::H265(video) => video.push(packet, out),
        }
    }

    /// The stream ends here: appends what is known to be whole to `out`.
    pub fn flush(&mut self, out: &mut Vec<AccessUnit>) {
        match &mut self.0 {
            Kind::H264(video) => video.flush(out),
            Kind::H265(video) => video.flush(out),
        }
    }

    /// What became of the packets.
    pub fn counters(&self) -> &DepacketiserCounters {
        match &self.0 {
            Kind::H264(video) => video.counters(),
            Kind::H265(video) => video.counters(),
        }
    }

    /// Every parameter set known now; `None` for tracks without pictures.
    pub fn parameter_sets(&self) -> Option<&ParameterSets> {
        match &self.0 {
            Kind::H264(video) => Some(video.parameter_sets()),
            Kind::H265(video) => Some(video.parameter_sets()),
        }
    }
}
