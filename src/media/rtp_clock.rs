//! From the recorder's time to RTP timestamps: a pure function, so that nothing adds up and nobody keeps a count.
//!
//! `timestamp = offset + round(Unix microseconds * clock rate / 1,000,000)`, modulo 2^32. Two frames are as far apart in ticks as their
//! stored times are, rounded once, after an hour as after a month. Tracks of a session share the Unix clock, so that sound and
//! pictures stay together even for a receiver that never reads a sender report. The offset is random (RFC 3550 §5.1).

use crate::base::UnixMicros;

/// The clock of one outgoing track.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RtpClock {
    rate: u32,
    offset: u32,
}

impl RtpClock {
    /// A clock of `rate` ticks per second that shows `offset` at the beginning of 1970.
    pub fn new(rate: u32, offset: u32) -> Self {
        Self { rate, offset }
    }

    /// Ticks per second.
    pub fn rate(self) -> u32 {
        self.rate
    }

    /// The timestamp of `time`.
    pub fn timestamp(self, time: UnixMicros) -> u32 {
        let ticks = (i128::from(time.0) * i128::from(self.rate) + 500_000).div_euclid(1_000_000);
        // The low 32 bits are the remainder modulo 2^32, also of what is negative.
        (ticks as u32).wrapping_add(self.offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Micros, seed::Seed};

    #[test]
    fn a_month_later_no_tick_is_missing() {
        let start: UnixMicros = "2026-11-23T14:00:00.123456Z".parse().unwrap();
        for rate in [8_000, 44_100, 48_000, 90_000] {
            let clock = RtpClock::new(rate, 0xffff_fff0);
            for days in [0, 1, 30] {
                let later = start + Micros::from_secs(days * 86_400);
                let ticks = clock.timestamp(later).wrapping_sub(clock.timestamp(start));
                assert_eq!(ticks, (days * 86_400 * i64::from(rate)) as u32);
            }
        }
    }

    #[test]
    fn steps_in_ticks_are_steps_in_time_rounded_once() {
        let seed = 6184;
        println!("SEED={seed}");
        let mut seed = Seed::new(seed);
        for _ in 0..10_000 {
            let clock = RtpClock::new(90_000, seed.next() as u32);
            let time = UnixMicros(seed.below(4 << 50) as i64 - (1 << 50));
            let step = seed.below(10_000_000) as i64;
            let ticks = clock
                .timestamp(time + Micros(step))
                .wrapping_sub(clock.timestamp(time));
            let exact = step as f64 * 0.09;
            assert!((f64::from(ticks) - exact).abs() <= 1.0, "{time:?} + {step}");
        }
    }
}
