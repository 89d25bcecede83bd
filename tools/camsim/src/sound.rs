//! Sound: a clip's audio, cut into packets that repeat on their own, independently of the pictures' length.

use crate::packet::Wire;

/// Samples in one G.711 packet: 20 ms.
const PCMA_SAMPLES: u64 = 160;
/// Samples in one AAC frame (ISO 14496-3, AAC-LC).
const AAC_SAMPLES: u64 = 1024;

/// Prepared audio packets.
#[derive(Debug)]
pub(crate) struct Sound {
    /// Samples per second, and the RTP clock.
    pub(crate) hz: u64,
    /// Samples in each packet.
    pub(crate) samples: u64,
    pub(crate) wires: Vec<Wire>,
    /// AudioSpecificConfig of AAC; empty for G.711.
    pub(crate) config: Vec<u8>,
}

impl Sound {
    /// AAC-LC in ADTS frames (ISO 13818-7 §6.2), all with the header of the first.
    pub(crate) fn aac(adts: &[u8]) -> Self {
        const RATES: [u64; 13] = [
            96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025,
            8_000, 7_350,
        ];
        let (mut wires, mut at) = (Vec::new(), 0);
        let profile = (adts[2] >> 6) + 1;
        let rate_index = adts[2] >> 2 & 15;
        let channels = (adts[2] & 1) << 2 | adts[3] >> 6;
        while at + 7 <= adts.len() {
            let header = if adts[at + 1] & 1 == 1 { 7 } else { 9 };
            let length = usize::from(adts[at + 3] & 3) << 11
                | usize::from(adts[at + 4]) << 3
                | usize::from(adts[at + 5] >> 5);
            wires.push(Wire::aac(&adts[at + header..at + length]));
            at += length;
        }
        Self {
            hz: RATES[usize::from(rate_index)],
            samples: AAC_SAMPLES,
            wires,
            config: vec![
                profile << 3 | rate_index >> 1,
                (rate_index & 1) << 7 | channels << 3,
            ],
        }
    }

    /// G.711 A-law, 8 kHz, one channel.
    pub(crate) fn pcma(samples: &[u8]) -> Self {
        Self {
            hz: 8_000,
            samples: PCMA_SAMPLES,
            wires: samples
                .chunks_exact(PCMA_SAMPLES as usize)
                .map(Wire::pcma)
                .collect(),
            config: Vec::new(),
        }
    }

    /// Nanoseconds after the first packet at which packet `number` is due.
    pub(crate) fn due_ns(&self, number: u64) -> u64 {
        (u128::from(number * self.samples) * 1_000_000_000 / u128::from(self.hz)) as u64
    }

    /// The first packet due at or after `at_ns`.
    pub(crate) fn first_after(&self, at_ns: u64) -> u64 {
        let samples = (u128::from(at_ns) * u128::from(self.hz)).div_ceil(1_000_000_000) as u64;
        samples.div_ceil(self.samples)
    }
}
