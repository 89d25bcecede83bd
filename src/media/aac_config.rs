//! The AudioSpecificConfig of AAC, as far as packets and players need it: how long an access unit lasts, and how it sounds.

use super::bits::{BitReader, BitsError};

/// What the AudioSpecificConfig says, ISO 14496-3 §1.6.2.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AacConfig {
    /// Samples per second as decoded (with SBR: the doubled rate).
    pub sample_rate: u32,
    /// Samples per second of the core coder.
    pub core_rate: u32,
    /// Samples of the core coder per access unit.
    pub samples: u32,
    /// 0 when the stream itself tells.
    pub channels: u8,
}

impl AacConfig {
    /// Reads the config.
    pub fn parse(bytes: &[u8]) -> Result<Self, BitsError> {
        let mut bits = BitReader::new(bytes);
        let mut object = object_type(&mut bits)?;
        let core_rate = rate(&mut bits)?;
        let channels = match bits.bits(4)? as u8 {
            7 | 12 | 14 => 8,
            11 => 7,
            channels @ 0..=6 => channels,
            _ => 0,
        };
        let mut sample_rate = core_rate;
        if matches!(object, 5 | 29) {
            sample_rate = rate(&mut bits)?;
            object = object_type(&mut bits)?;
        }
        // GASpecificConfig starts with frameLengthFlag, ISO 14496-3 §4.4.1; low delay (23, 39) has half the length.
        let short = bits.flag().unwrap_or(false);
        let samples = match (matches!(object, 23 | 39), short) {
            (false, false) => 1024,
            (false, true) => 960,
            (true, false) => 512,
            (true, true) => 480,
        };
        Ok(Self {
            sample_rate,
            core_rate,
            samples,
            channels,
        })
    }

    /// Ticks of an RTP clock per access unit; `None` when there is no such number.
    pub fn ticks(&self, clock_rate: u32) -> Option<u32> {
        let ticks = u64::from(self.samples) * u64::from(clock_rate);
        u32::try_from(ticks.checked_div(u64::from(self.core_rate))?).ok()
    }
}

fn object_type(bits: &mut BitReader<'_>) -> Result<u32, BitsError> {
    match bits.bits(5)? {
        31 => Ok(32 + bits.bits(6)?),
        object => Ok(object),
    }
}

/// samplingFrequencyIndex, ISO 14496-3 Table 1.18.
fn rate(bits: &mut BitReader<'_>) -> Result<u32, BitsError> {
    const RATES: [u32; 13] = [
        96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025,
        8_000, 7_350,
    ];
    let at = bits.position();
    let index = bits.bits(4)?;
    let rate = if index == 15 {
        bits.bits(24)?
    } else {
        RATES.get(index as usize).copied().unwrap_or(0)
    };
    if rate == 0 {
        return Err(BitsError { at });
    }
    Ok(rate)
}
