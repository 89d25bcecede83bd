//! Puts UDP packets back into order: waits for a missing packet for a bounded time and number of packets, then counts it as lost.
//!
//! Pure: time is given in. A camera that restarts jumps in sequence number or changes its SSRC; the window then starts anew, and
//! says so, because timestamps do not continue either.

use super::{ReceivedPacket, RtpPacket};
use crate::base::Micros;
use std::collections::{BTreeMap, btree_map::Entry};

/// Most packets that wait for a missing one.
pub const REORDER_PACKETS_MAX: usize = 512;
/// Longest that a packet waits for a missing one, when the caller has no other wish.
pub const REORDER_WAIT_DEFAULT: Micros = Micros::from_millis(200);
/// A sequence number this far ahead is a restart, not a loss (MAX_DROPOUT, RFC 3550 §A.1).
const AHEAD_MAX: u16 = 3000;
/// A packet this far behind is late; further behind is a restart (MAX_MISORDER of RFC 3550 §A.1 is 100; slow links need more).
const BEHIND_MAX: u16 = 1000;
/// So many packets in a row must agree on a far-off sequence number before the window follows them.
const RESTART_PACKETS: u16 = 2;

/// What happened to the packets of one stream. All numbers only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReorderCounters {
    /// Packets given in.
    pub received: u64,
    /// Packets that came out of order and were put back.
    pub reordered: u64,
    /// Packets that came after they had been given up, and duplicates; both are dropped.
    pub late: u64,
    /// Packets that never came in time.
    pub lost: u64,
    /// Times the sender started anew.
    pub restarts: u64,
}

/// The reorder window of one stream.
#[derive(Debug)]
pub struct ReorderWindow {
    wait: Micros,
    packets_max: usize,
    /// Sequence number that comes next, extended over wraps; `None` before the first packet.
    next: Option<u64>,
    ssrc: u32,
    waiting: BTreeMap<u64, (Micros, RtpPacket)>,
    /// A far-off sequence number that a restart would continue with, and how many packets agreed.
    candidate: Option<(u32, u16, u16)>,
    counters: ReorderCounters,
}

/// Whether the sender went on or started anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Continuity {
    /// As before.
    Same,
    /// Another SSRC or a far-off sequence number: timestamps do not continue, the run ends (camera restarted).
    Restarted,
}

impl ReorderWindow {
    /// A window in which packets wait at most `wait`, and at most `packets_max` of them.
    ///
    /// # Panics
    /// When `packets_max` is above `REORDER_PACKETS_MAX`.
    pub fn new(wait: Micros, packets_max: usize) -> Self {
        assert!(packets_max <= REORDER_PACKETS_MAX);
        Self {
            wait,
            packets_max,
            next: None,
            ssrc: 0,
            waiting: BTreeMap::new(),
            candidate: None,
            counters: ReorderCounters::default(),
        }
    }

    /// Takes a packet received at `now` (monotonic) and appends to `out` what is in order now. On a restart nothing of the old
    /// stream follows: it was appended before.
    pub fn push(
        &mut self,
        received: ReceivedPacket,
        now: Micros,
        out: &mut Vec<RtpPacket>,
    ) -> Continuity {
        self.counters.received += 1;
        let ReceivedPacket { ssrc, packet, .. } = received;
        let sequence = packet.sequence;
        let Some(next) = self.next else {
            self.start(ssrc, packet, out);
            return Continuity::Same;
        };
        let ahead = sequence.wrapping_sub(next as u16);
        let near = ahead < AHEAD_MAX || ahead.wrapping_neg() <= BEHIND_MAX;
        if ssrc != self.ssrc || !near {
            return self.consider_restart(ssrc, packet, out);
        }
        self.candidate = None;
        if ahead >= AHEAD_MAX {
            self.counters.late += 1;
            return Continuity::Same;
        }
        let extended = next + u64::from(ahead);
        if ahead == 0 {
            self.counters.reordered += u64::from(!self.waiting.is_empty());
            self.give(packet, 0, out);
        } else {
            match self.waiting.entry(extended) {
                Entry::Vacant(place) => _ = place.insert((now, packet)),
                Entry::Occupied(_) => self.counters.late += 1,
            }
        }
        self.release(now, out);
        Continuity::Same
    }

    /// Gives up what has been waited for long enough at `now` (monotonic). Call it on every beat, so that a quiet camera's last
    /// packets come out.
    pub fn release(&mut self, now: Micros, out: &mut Vec<RtpPacket>) {
        while let (Some(next), Some((&first, (since, _)))) =
            (self.next, self.waiting.first_key_value())
        {
            let in_order = first == next;
            let overdue = now - *since >= self.wait || self.waiting.len() > self.packets_max;
            if !in_order && !overdue {
                break;
            }
            let (_, (_, packet)) = self.waiting.pop_first().expect("just seen");
            self.give(packet, first - next, out);
        }
    }

    /// Everything that waits, in order: the stream ends.
    pub fn flush(&mut self, out: &mut Vec<RtpPacket>) {
        while let (Some(next), Some((first, (_, packet)))) = (self.next, self.waiting.pop_first()) {
            self.give(packet, first - next, out);
        }
    }

    /// When `release` should be called at the latest, if anything waits.
    pub fn deadline(&self) -> Option<Micros> {
        self.waiting
            .values()
            .map(|(since, _)| *since)
            .min()
            .map(|since| since + self.wait)
    }

    /// What happened so far.
    pub fn counters(&self) -> &ReorderCounters {
        &self.counters
    }

    fn start(&mut self, ssrc: u32, packet: RtpPacket, out: &mut Vec<RtpPacket>) {
        self.ssrc = ssrc;
        // Far from zero, so that nothing behind the first packet underflows.
        self.next = Some(u64::from(packet.sequence) + (1 << 16));
        self.candidate = None;
        self.give(packet, 0, out);
    }

    fn give(&mut self, mut packet: RtpPacket, lost: u64, out: &mut Vec<RtpPacket>) {
        self.counters.lost += lost;
        packet.lost_before = u16::try_from(lost).expect("below AHEAD_MAX");
        self.next = self.next.map(|next| next + lost + 1);
        out.push(packet);
    }

    /// One stray packet (another sender, a damaged header) must not move the window; `RESTART_PACKETS` in a row do. The packets
    /// before the last of them are lost: a restart begins with a gap anyway.
    fn consider_restart(
        &mut self,
        ssrc: u32,
        packet: RtpPacket,
        out: &mut Vec<RtpPacket>,
    ) -> Continuity {
        let agreed = match self.candidate {
            Some((other, expected, agreed)) if (other, expected) == (ssrc, packet.sequence) => {
                agreed + 1
            }
            _ => 1,
        };
        if agreed < RESTART_PACKETS {
            self.counters.late += 1;
            self.candidate = Some((ssrc, packet.sequence.wrapping_add(1), agreed));
            return Continuity::Same;
        }
        self.flush(out);
        self.counters.restarts += 1;
        self.start(ssrc, packet, out);
        if let Some(first) = out.last_mut() {
            first.lost_before = agreed - 1;
        }
        Continuity::Restarted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::seed::Seed;
    use bytes::Bytes;

    fn packet(sequence: u16) -> ReceivedPacket {
        ReceivedPacket {
            ssrc: 1,
            payload_type: 96,
            packet: RtpPacket {
                sequence,
                timestamp: 0,
                marker: false,
                payload: Bytes::new(),
                lost_before: 0,
            },
        }
    }

    fn window() -> ReorderWindow {
        ReorderWindow::new(Micros::from_millis(50), 16)
    }

    fn rows(out: &[RtpPacket]) -> Vec<(u16, u16)> {
        out.iter()
            .map(|packet| (packet.sequence, packet.lost_before))
            .collect()
    }

    #[test]
    fn swapped_and_doubled_packets_come_out_once_and_in_order_over_the_wrap() {
        let mut window = window();
        let mut out = Vec::new();
        for sequence in [65_534, 0, 65_535, 65_535, 0, 2, 1] {
            window.push(packet(sequence), Micros::ZERO, &mut out);
        }
        assert_eq!(
            rows(&out),
            [(65_534, 0), (65_535, 0), (0, 0), (1, 0), (2, 0)]
        );
        let counters = window.counters();
        assert_eq!(
            (counters.late, counters.lost, counters.reordered),
            (2, 0, 2)
        );
    }

    #[test]
    fn a_missing_packet_is_waited_for_only_so_long_and_so_many() {
        let mut window = window();
        let mut out = Vec::new();
        window.push(packet(1), Micros::ZERO, &mut out);
        window.push(packet(4), Micros::from_millis(1), &mut out);
        assert_eq!(window.deadline(), Some(Micros::from_millis(51)));
        window.release(Micros::from_millis(50), &mut out);
        assert_eq!(rows(&out), [(1, 0)]);
        window.release(Micros::from_millis(51), &mut out);
        assert_eq!(rows(&out), [(1, 0), (4, 2)]);
        assert_eq!(
            window.push(packet(3), Micros::from_millis(52), &mut out),
            Continuity::Same
        );
        assert_eq!(window.counters().late, 1);
        for sequence in 6..=22 {
            window.push(packet(sequence), Micros::from_millis(53), &mut out);
        }
        assert_eq!(rows(&out[2..])[0], (6, 1), "17 packets waited where 16 may");
        assert_eq!(out.len(), 2 + 17);
    }

    #[test]
    fn a_restart_is_followed_but_one_stray_packet_is_not() {
        let mut window = window();
        let mut out = Vec::new();
        window.push(packet(100), Micros::ZERO, &mut out);
        assert_eq!(
            window.push(packet(40_000), Micros::ZERO, &mut out),
            Continuity::Same
        );
        assert_eq!(
            window.push(packet(101), Micros::ZERO, &mut out),
            Continuity::Same
        );
        assert_eq!(
            window.push(packet(40_000), Micros::ZERO, &mut out),
            Continuity::Same
        );
        assert_eq!(
            window.push(packet(40_001), Micros::ZERO, &mut out),
            Continuity::Restarted
        );
        assert_eq!(rows(&out), [(100, 0), (101, 0), (40_001, 1)]);
        let mut other = packet(40_002);
        other.ssrc = 2;
        window.push(other.clone(), Micros::ZERO, &mut out);
        other.packet.sequence += 1;
        assert_eq!(
            window.push(other, Micros::ZERO, &mut out),
            Continuity::Restarted
        );
    }

    /// Goal: whatever the network does, packets come out in rising order, each once, and every missing one is counted.
    #[test]
    fn random_networks_keep_the_account() {
        for number in 0..300 {
            let mut seed = Seed::new(number);
            let mut window = window();
            let mut out = Vec::new();
            let mut in_flight: Vec<(u64, u16)> = Vec::new();
            let start = seed.next() as u16;
            window.push(packet(start), Micros::ZERO, &mut out);
            for index in 1..400u16 {
                if !seed.chance(0.05) {
                    let delay = if seed.chance(0.2) {
                        seed.below(60_000)
                    } else {
                        0
                    };
                    in_flight.push((u64::from(index) * 1000 + delay, start.wrapping_add(index)));
                }
            }
            in_flight.sort();
            for (time, sequence) in in_flight {
                window.push(packet(sequence), Micros(time as i64), &mut out);
            }
            window.flush(&mut out);
            let mut expected = start;
            for (index, packet) in out.iter().enumerate() {
                assert_eq!(
                    packet.sequence,
                    expected.wrapping_add(packet.lost_before),
                    "SEED={number} packet {index}"
                );
                expected = packet.sequence.wrapping_add(1);
            }
            let counters = window.counters();
            let span = u64::from(expected.wrapping_sub(start));
            assert_eq!(out.len() as u64 + counters.lost, span, "SEED={number}");
            assert_eq!(
                counters.received,
                out.len() as u64 + counters.late,
                "SEED={number}"
            );
        }
    }
}
