//! What a receiver knows of one source, and says of it in its reports (RFC 3550 §6.4.1, Appendix A.3 and A.8). Pure: time is given in.
//!
//! Some cameras stop sending to a client of whom they hear no report, some lower their bit rate by what is reported lost.

use super::{ReportBlock, SHORT_NTP_PER_SECOND};
use crate::base::Micros;

/// Losses are told in 24 bits with a sign.
const LOST_MAX: i64 = (1 << 23) - 1;
/// The jitter is kept in sixteenths of a tick (RFC 3550 §A.8).
const JITTER_SHIFT: u32 = 4;

/// The account of one source's packets.
#[derive(Clone, Debug)]
pub struct Reception {
    clock_rate: u32,
    source: Option<Source>,
    /// The middle 32 bits of the last sender report's NTP time, and when it came.
    last_report: Option<(u32, Micros)>,
}

#[derive(Clone, Copy, Debug)]
struct Source {
    ssrc: u32,
    /// First sequence number, and the highest so far with its wraps.
    first: u32,
    highest: u32,
    received: i64,
    /// Packets expected and received when the report before was made.
    told: (i64, i64),
    /// Arrival minus RTP timestamp of the packet before, in ticks.
    transit: u32,
    jitter: u32,
}

impl Reception {
    /// Of a track with so many ticks per second.
    pub fn new(clock_rate: u32) -> Self {
        Self {
            clock_rate,
            source: None,
            last_report: None,
        }
    }

    /// Takes in a packet that came at `now` (monotonic), in whatever order. Another source begins a new account.
    pub fn packet(&mut self, ssrc: u32, sequence: u16, timestamp: u32, now: Micros) {
        let arrival = i128::from(now.0) * i128::from(self.clock_rate) / 1_000_000;
        let transit = (arrival as u32).wrapping_sub(timestamp);
        let known = self.source.as_mut().filter(|source| source.ssrc == ssrc);
        match known {
            Some(source) => source.packet(sequence, transit),
            None => {
                self.source = Some(Source {
                    ssrc,
                    first: u32::from(sequence),
                    highest: u32::from(sequence),
                    received: 1,
                    told: (0, 0),
                    transit,
                    jitter: 0,
                });
            }
        }
    }

    /// Takes in the NTP time of a sender report that came at `now` (monotonic).
    pub fn sender_report(&mut self, ntp: u64, now: Micros) {
        self.last_report = Some(((ntp >> 16) as u32, now));
    }

    /// What is to be reported at `now` (monotonic); `None` before the first packet. The next one tells of the time since this one.
    pub fn report(&mut self, now: Micros) -> Option<ReportBlock> {
        let source = self.source.as_mut()?;
        let expected = i64::from(source.highest.wrapping_sub(source.first)) + 1;
        let lost = expected - source.received;
        let expected_lately = expected - source.told.0;
        let lost_lately = expected_lately - (source.received - source.told.1);
        source.told = (expected, source.received);
        let fraction = match expected_lately {
            ..=0 => 0,
            _ => (lost_lately.max(0) << 8) / expected_lately,
        };
        let (last_report, since) = self.last_report.unwrap_or((0, now));
        let since = (now - since).0.max(0) * SHORT_NTP_PER_SECOND / 1_000_000;
        Some(ReportBlock {
            ssrc: source.ssrc,
            fraction_lost: u8::try_from(fraction).unwrap_or(u8::MAX),
            lost: lost.clamp(-LOST_MAX - 1, LOST_MAX) as i32,
            highest_sequence: source.highest,
            jitter: source.jitter >> JITTER_SHIFT,
            last_report,
            since_last_report: u32::try_from(since).unwrap_or(u32::MAX),
        })
    }
}

impl Source {
    fn packet(&mut self, sequence: u16, transit: u32) {
        self.received += 1;
        let ahead = sequence.wrapping_sub(self.highest as u16);
        // What is more than half a round ahead is behind.
        if ahead < 0x8000 {
            self.highest = self.highest.wrapping_add(u32::from(ahead));
        }
        let apart = (transit.wrapping_sub(self.transit) as i32).unsigned_abs();
        self.transit = transit;
        let smoothed = (self.jitter + (1 << (JITTER_SHIFT - 1))) >> JITTER_SHIFT;
        self.jitter = self.jitter.saturating_add(apart).saturating_sub(smoothed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Micros {
        Micros::from_millis(ms)
    }

    #[test]
    fn losses_are_told_in_all_and_since_the_report_before() {
        let mut reception = Reception::new(90_000);
        assert_eq!(reception.report(at(0)), None);
        for (index, sequence) in [65_533u16, 65_534, 0, 1, 65_535].into_iter().enumerate() {
            reception.packet(7, sequence, 0, at(index as i64));
        }
        let block = reception.report(at(5)).unwrap();
        assert_eq!((block.lost, block.fraction_lost), (0, 0));
        assert_eq!(block.highest_sequence, 65_537, "one wrap");
        // Two of four are lost, then one comes twice.
        reception.packet(7, 3, 0, at(6));
        reception.packet(7, 5, 0, at(7));
        let block = reception.report(at(8)).unwrap();
        assert_eq!((block.lost, block.fraction_lost), (2, 128));
        reception.packet(7, 5, 0, at(9));
        let block = reception.report(at(9)).unwrap();
        assert_eq!((block.lost, block.fraction_lost), (1, 0));
        // Another source begins anew.
        reception.packet(8, 100, 0, at(10));
        let block = reception.report(at(10)).unwrap();
        assert_eq!(
            (block.ssrc, block.lost, block.highest_sequence),
            (8, 0, 100)
        );
    }

    /// RFC 3550 §A.8: packets that are late by 10 ms every other time settle at a mean deviation of 10 ms.
    #[test]
    fn jitter_is_the_mean_deviation_of_arrivals() {
        let mut reception = Reception::new(90_000);
        for number in 0..2_000u32 {
            let late = i64::from(number % 2) * 10;
            reception.packet(
                1,
                number as u16,
                number * 3_600,
                at(i64::from(number) * 40 + late),
            );
        }
        let jitter = reception.report(at(80_000)).unwrap().jitter;
        assert!((880..=900).contains(&jitter), "{jitter} ticks");
    }

    #[test]
    fn the_last_sender_report_and_its_age_are_told() {
        let mut reception = Reception::new(8_000);
        reception.packet(1, 1, 0, at(0));
        assert_eq!(reception.report(at(1)).unwrap().last_report, 0);
        reception.sender_report(0x1122_3344_5566_7788, at(1_000));
        let block = reception.report(at(2_500)).unwrap();
        assert_eq!(block.last_report, 0x3344_5566);
        assert_eq!(block.since_last_report, 65_536 * 3 / 2);
    }
}
