//! From frames to RTP packets, one packetiser per track: the inverse of `depacketise`, and as pure.
//!
//! It stands in `media` because it knows nothing of recordings or clients: live relay and replay use the same, and so may a test or a
//! simulated camera. `pictures` and `sound` know the payload formats, `format` describes a track to a client, `packets` is what comes
//! out: one buffer per access unit that any number of viewers share, with one SSRC, one row of sequence numbers and one clock for all.
//!
//! What a receiver puts together again are the stored bytes: the same NAL units in the same order, the same sound frames, the same
//! documents. Only parameter sets may come on top: before a key frame that brings none of its own, and at a place where the viewer starts
//! (`Packetiser::restart`), those of the run that the key frame lacks.

mod chain;
mod format;
mod packets;
mod pictures;
mod sound;

pub use format::PayloadFormat;
pub use packets::{FRAMING_LEN, HEADER_LEN, PACKET_LEN_MAX, Packets};

use super::{
    Codec, Frame, FrameKind, RtpClock, Track, TrackId, aac_config::AacConfig,
    replay_extension::ReplayExtension,
};
use crate::base::UnixMicros;
use bytes::Bytes;
use packets::PacketWriter;
use pictures::MissingSets;

/// The packet length used where nothing else is configured: fits Ethernet through the usual tunnels (WireGuard leaves 1420 bytes, of which
/// IPv6 and UDP take 48).
pub const PACKET_LEN_DEFAULT: usize = 1_372;
/// The shortest packet length that can be configured: what every link must carry (RFC 791), without IP and UDP headers.
pub const PACKET_LEN_MIN: usize = 548;

/// AAC frames share a packet while their times are within one part in so many of a second of where their lengths put them.
const AAC_TOLERANCE: u32 = 1_000;

/// A track or frame that cannot be sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PacketiseError {
    /// The track's parameters are of no use.
    #[error("the {} track cannot be sent: {why}", codec.name())]
    Track {
        /// Its codec.
        codec: Codec,
        /// What is wrong.
        why: &'static str,
    },
    /// A later run has another kind of track.
    #[error("the track turned from {} to {}, which the session does not describe; open a new session", before.name(), now.name())]
    Changed {
        /// The codec before.
        before: Codec,
        /// The codec now.
        now: Codec,
    },
    /// The lengths before the NAL units do not add up.
    #[error(
        "the NAL units of a frame of {len} bytes cannot be told apart at {at}; the frame is left out"
    )]
    Units {
        /// Where.
        at: usize,
        /// Length of the frame.
        len: usize,
    },
    /// Too long for the payload format, or empty.
    #[error("{} frame of {len} bytes cannot be sent (the format takes 1 to {max}); it is left out", codec.name())]
    Length {
        /// Its codec.
        codec: Codec,
        /// Its length.
        len: usize,
        /// The longest that can be sent.
        max: usize,
    },
}

/// The numbers of an outgoing track. SSRC, first sequence number and offset are random in each session (RFC 3550 §5.1, §8.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacketiserOptions {
    /// Synchronisation source.
    pub ssrc: u32,
    /// Sequence number of the first packet.
    pub first_sequence: u16,
    /// RTP timestamp of the beginning of 1970.
    pub timestamp_offset: u32,
    /// RTSP channel in the framing of each packet.
    pub channel: u8,
    /// Most bytes of a packet, RTP header included; raised to `PACKET_LEN_MIN` and lowered to `PACKET_LEN_MAX`.
    pub packet_len_max: usize,
}

/// When a frame is shown, and what its header extension says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// The time its RTP timestamp stands for: its own, or another where gaps are closed or the pace is not that of the recording.
    pub at: UnixMicros,
    /// The extension of its first packet.
    pub extension: Option<ReplayExtension>,
}

impl Timing {
    /// At its own time, without an extension.
    pub fn live(frame: &Frame) -> Self {
        Self {
            at: frame.time,
            extension: None,
        }
    }
}

/// The packetiser of one track.
#[derive(Debug)]
pub struct Packetiser {
    id: TrackId,
    track: Track,
    format: PayloadFormat,
    options: PacketiserOptions,
    clock: RtpClock,
    sequence: u16,
    /// Ticks of an AAC access unit.
    duration: u32,
    starts: bool,
}

impl Packetiser {
    /// For a track of a run.
    ///
    /// # Errors
    /// When the track's parameters cannot be read.
    pub fn new(
        id: TrackId,
        track: &Track,
        options: PacketiserOptions,
    ) -> Result<Self, PacketiseError> {
        let options = PacketiserOptions {
            packet_len_max: options.packet_len_max.clamp(PACKET_LEN_MIN, PACKET_LEN_MAX),
            ..options
        };
        Ok(Self {
            id,
            format: PayloadFormat::of(id, track)?,
            options,
            clock: RtpClock::new(track.clock_rate, options.timestamp_offset),
            sequence: options.first_sequence,
            duration: aac_duration(track),
            track: track.clone(),
            starts: true,
        })
    }

    /// The format the client is told.
    pub fn format(&self) -> &PayloadFormat {
        &self.format
    }

    /// The clock of its timestamps.
    pub fn clock(&self) -> RtpClock {
        self.clock
    }

    /// Its synchronisation source.
    pub fn ssrc(&self) -> u32 {
        self.options.ssrc
    }

    /// Sequence number of the next packet.
    pub fn next_sequence(&self) -> u16 {
        self.sequence
    }

    /// What follows belongs to another run: its parameter sets are in force.
    ///
    /// # Errors
    /// When the run's track is not of the kind the client was told.
    pub fn set_track(&mut self, track: &Track) -> Result<(), PacketiseError> {
        self.format = self.format_of(track)?;
        self.track = track.clone();
        self.starts = true;
        Ok(())
    }

    /// How frames of `track` would be sent.
    ///
    /// # Errors
    /// As `set_track`, of which this is the part that changes nothing.
    pub fn format_of(&self, track: &Track) -> Result<PayloadFormat, PacketiseError> {
        let format = PayloadFormat::of(self.id, track)?;
        if format.continues(&self.format) {
            return Ok(format);
        }
        Err(PacketiseError::Changed {
            before: self.track.codec,
            now: track.codec,
        })
    }

    /// What follows does not continue what was sent: the next key frame brings all parameter sets, the next sound packet is marked.
    pub fn restart(&mut self) {
        self.starts = true;
    }

    /// The packets of one frame.
    ///
    /// # Errors
    /// When the frame cannot be sent; nothing changes then.
    pub fn push(&mut self, frame: &Frame, timing: Timing) -> Result<Packets, PacketiseError> {
        let timestamp = self.clock.timestamp(timing.at);
        let mut writer = self.writer(timestamp, frame.data.len());
        writer.set_extension(timing.extension);
        self.write(&[(timestamp, frame)], &mut writer)?;
        Ok(self.finish(writer, frame.kind))
    }

    /// The packets of several frames at their own times; AAC frames share packets.
    ///
    /// # Errors
    /// When one of them cannot be sent; nothing changes then.
    pub fn push_all(&mut self, frames: &[Frame]) -> Result<Packets, PacketiseError> {
        let timed: Vec<_> = frames
            .iter()
            .map(|frame| (self.clock.timestamp(frame.time), frame))
            .collect();
        let first = timed.first().map_or(0, |(timestamp, _)| *timestamp);
        let len = frames.iter().map(|frame| frame.data.len()).sum();
        let mut writer = self.writer(first, len);
        self.write(&timed, &mut writer)?;
        let key = frames.iter().find(|frame| frame.kind == FrameKind::Key);
        Ok(self.finish(writer, key.map_or(FrameKind::Reference, |key| key.kind)))
    }

    fn writer(&self, timestamp: u32, len: usize) -> PacketWriter {
        let payload_type = self.format.payload_type;
        PacketWriter::new(self.options, payload_type, self.sequence, timestamp, len)
    }

    fn finish(&mut self, writer: PacketWriter, kind: FrameKind) -> Packets {
        let (packets, sequence) = writer.finish();
        self.sequence = sequence;
        self.starts &= kind != FrameKind::Key;
        packets
    }

    fn write(
        &self,
        frames: &[(u32, &Frame)],
        writer: &mut PacketWriter,
    ) -> Result<(), PacketiseError> {
        if self.track.codec == Codec::Aac {
            let tolerance = self.clock.rate() / AAC_TOLERANCE;
            return sound::write_aac(frames, self.duration, tolerance, writer);
        }
        let mut starts = self.starts;
        for &(timestamp, frame) in frames {
            writer.set_timestamp(timestamp);
            self.write_one(timestamp, frame, starts, writer)?;
            starts &= frame.kind != FrameKind::Key;
        }
        Ok(())
    }

    fn write_one(
        &self,
        timestamp: u32,
        frame: &Frame,
        starts: bool,
        writer: &mut PacketWriter,
    ) -> Result<(), PacketiseError> {
        let (codec, data) = (self.track.codec, &frame.data);
        match codec {
            Codec::H264 | Codec::H265 => {
                let missing = match (frame.kind == FrameKind::Key, starts) {
                    (false, _) => MissingSets::Leave,
                    (true, false) => MissingSets::FillBare,
                    (true, true) => MissingSets::Fill,
                };
                pictures::write(codec, data, self.parameter_sets(), missing, writer)?;
            }
            Codec::PcmMu | Codec::PcmA => {
                let channels = self.format.channels.unwrap_or(1);
                sound::write_samples(timestamp, data, channels, writer);
            }
            Codec::Opaque if self.format.kind == "application" => {
                sound::write_document(data, writer);
            }
            Codec::Aac | Codec::Opus | Codec::Opaque => sound::write_whole(codec, data, writer)?,
        }
        // The start of a talk spurt, RFC 3551 §4.1.
        if starts && matches!(codec, Codec::PcmMu | Codec::PcmA | Codec::Opus) {
            writer.mark_first();
        }
        Ok(())
    }

    fn parameter_sets(&self) -> &[Bytes] {
        self.track
            .video
            .as_ref()
            .map_or(&[], |video| &video.parameter_sets)
    }
}

/// Ticks of an AAC access unit; 0 for other tracks.
fn aac_duration(track: &Track) -> u32 {
    let config = track.audio.as_ref().map(|audio| &audio.config[..]);
    let config = config.and_then(|config| AacConfig::parse(config).ok());
    config
        .and_then(|config| config.ticks(track.clock_rate))
        .unwrap_or(0)
}
