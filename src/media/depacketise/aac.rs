//! AAC over RTP: RFC 3640 in the modes AAC-hbr and AAC-lbr, several access units in a packet or one over several packets.
//!
//! Interleaving (an AU-Index above 0) is refused packet by packet: no camera was found that does it.

use super::{DepacketiserError, picture::FRAME_LEN_MAX};
use crate::media::{
    AccessUnit, AudioParameters, DepacketiserCounters, FrameData, FrameKind, RtpPacket,
    aac_config::AacConfig, bits::BitReader, fmtp,
};
use bytes::{Buf, Bytes};

/// AudioSpecificConfig of more bytes than this is not believed; those of cameras have 2 to 7.
const CONFIG_LEN_MAX: usize = 64;

#[derive(Debug)]
struct Fragment {
    timestamp: u32,
    size: usize,
    data: FrameData,
}

/// The depacketiser of an AAC track.
#[derive(Debug)]
pub(super) struct AacDepacketiser {
    parameters: AudioParameters,
    size_bits: u32,
    index_bits: u32,
    index_delta_bits: u32,
    /// Ticks per access unit.
    duration: u32,
    fragment: Option<Fragment>,
    counters: DepacketiserCounters,
}

impl AacDepacketiser {
    pub(super) fn new(
        clock_rate: u32,
        channels: Option<u16>,
        format: &str,
    ) -> Result<Self, DepacketiserError> {
        let mode_error = |parameter| DepacketiserError::mode("mpeg4-generic", parameter, format);
        let low_rate =
            fmtp::value(format, "mode").is_some_and(|mode| mode.eq_ignore_ascii_case("AAC-lbr"));
        let number = |name: &'static str, default: u32| match fmtp::value(format, name) {
            None => Ok(default),
            Some(text) => text
                .parse()
                .ok()
                .filter(|bits| *bits <= 32)
                .ok_or(mode_error(name)),
        };
        // The defaults of the two modes, RFC 3640 §3.3.5 and §3.3.6.
        let (size_bits, index_bits) = if low_rate { (6, 2) } else { (13, 3) };
        for unsupported in [
            "ctsdeltalength",
            "dtsdeltalength",
            "randomaccessindication",
            "streamstateindication",
            "auxiliarydatasizelength",
            "constantsize",
        ] {
            if number(unsupported, 0)? != 0 {
                return Err(mode_error(unsupported));
            }
        }
        let config = fmtp::value(format, "config")
            .and_then(hex)
            .filter(|config| config.len() <= CONFIG_LEN_MAX)
            .ok_or(mode_error("config"))?;
        let parsed = AacConfig::parse(&config).map_err(|_| mode_error("config"))?;
        let channels = match (parsed.channels, channels) {
            (0, Some(channels)) => channels.min(255) as u8,
            (0, None) => 2,
            (channels, _) => channels,
        };
        Ok(Self {
            parameters: AudioParameters {
                sample_rate: parsed.sample_rate,
                channels,
                config: config.into(),
            },
            size_bits: number("sizelength", size_bits)?,
            index_bits: number("indexlength", index_bits)?,
            index_delta_bits: number("indexdeltalength", index_bits)?,
            duration: parsed.ticks(clock_rate).ok_or(mode_error("config"))?,
            fragment: None,
            counters: DepacketiserCounters::default(),
        })
    }

    pub(super) fn parameters(&self) -> &AudioParameters {
        &self.parameters
    }

    pub(super) fn counters(&self) -> &DepacketiserCounters {
        &self.counters
    }

    pub(super) fn push(&mut self, packet: RtpPacket, out: &mut Vec<AccessUnit>) {
        self.counters.packets += 1;
        self.counters.lost_packets += u64::from(packet.lost_before);
        let another = self
            .fragment
            .as_ref()
            .is_some_and(|fragment| fragment.timestamp != packet.timestamp);
        if another || packet.lost_before > 0 {
            self.give_up_fragment();
        }
        if self.take(&packet, out).is_none() {
            self.counters.errors += 1;
            self.give_up_fragment();
        }
    }

    /// The stream ends: a fragment is not whole.
    pub(super) fn flush(&mut self) {
        self.give_up_fragment();
    }

    fn give_up_fragment(&mut self) {
        self.counters.dropped_incomplete += u64::from(self.fragment.take().is_some());
    }

    /// RFC 3640 §3.2; `None` when the payload is not of that form.
    fn take(&mut self, packet: &RtpPacket, out: &mut Vec<AccessUnit>) -> Option<()> {
        let mut data = packet.payload.clone();
        let header_bits = usize::from(data.try_get_u16().ok()?);
        let header_len = header_bits.div_ceil(8);
        if header_len > data.len() || self.size_bits == 0 {
            return None;
        }
        let headers = data.split_to(header_len);
        let mut bits = BitReader::new(&headers);
        let mut count = 0u32;
        while bits.position() < header_bits {
            let size = bits.bits(self.size_bits).ok()? as usize;
            let index_bits = if count == 0 {
                self.index_bits
            } else {
                self.index_delta_bits
            };
            let interleaved = bits.bits(index_bits).ok()? != 0;
            if interleaved || size == 0 || size > FRAME_LEN_MAX {
                return None;
            }
            let timestamp = packet
                .timestamp
                .wrapping_add(count.wrapping_mul(self.duration));
            count += 1;
            if size > data.len() {
                // A fragment stands alone in its packet, §3.2.3.1.
                let alone = count == 1 && bits.position() >= header_bits;
                return alone.then(|| self.take_fragment(timestamp, size, data, out))?;
            }
            if self.fragment.is_some() {
                let rest = data.split_to(size.min(data.len()));
                return self.take_fragment(timestamp, size, rest, out);
            }
            self.give(timestamp, data.split_to(size).into(), out);
        }
        (count > 0 && data.is_empty()).then_some(())
    }

    fn take_fragment(
        &mut self,
        timestamp: u32,
        size: usize,
        data: Bytes,
        out: &mut Vec<AccessUnit>,
    ) -> Option<()> {
        let mut fragment = self.fragment.take().unwrap_or(Fragment {
            timestamp,
            size,
            data: FrameData::new(),
        });
        if fragment.size != size || data.is_empty() || fragment.data.len() + data.len() > size {
            // Given up as a whole: what came before counts as dropped with it.
            self.fragment = Some(fragment);
            return None;
        }
        fragment.data.push(data);
        if fragment.data.len() == size {
            self.give(timestamp, fragment.data, out);
        } else {
            self.fragment = Some(fragment);
        }
        Some(())
    }

    fn give(&mut self, timestamp: u32, data: FrameData, out: &mut Vec<AccessUnit>) {
        self.counters.access_units += 1;
        self.counters.keys += 1;
        out.push(AccessUnit {
            kind: FrameKind::Key,
            rtp_timestamp: timestamp,
            data,
            new_parameters: None,
            recovery_frames: 0,
            duration: Some(self.duration),
        });
    }
}

/// Hexadecimal digits, in pairs.
fn hex(text: &str) -> Option<Vec<u8>> {
    if !text.is_ascii() || text.is_empty() || !text.len().is_multiple_of(2) {
        return None;
    }
    text.as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}
