//! Property: whatever datagrams come, the reorder window gives packets in rising order with their losses, within its limits, and
//! the timeline never gives a time twice.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use nvring::{
    base::{Micros, UnixMicros},
    media::{
        Arrival, ClockSource, Continuity, ReceivedPacket, ReorderWindow, Timeline, TimelineLimits,
        TrackId,
    },
};
use std::collections::HashSet;

// Input: datagrams behind a delay in milliseconds and a length.
fuzz_target!(|data: &[u8]| {
    let mut rest = data;
    let mut window = ReorderWindow::new(Micros::from_millis(100), 16);
    let ticks = ClockSource::Ticks { clock_rate: 90_000 };
    let mut timeline = Timeline::new(&[ticks], TimelineLimits::DEFAULT);
    let mut times = HashSet::new();
    let mut now = Micros::ZERO;
    let mut expected = None;
    while let [delay, length, after @ ..] = rest {
        let (datagram, after) = after.split_at(usize::from(*length).min(after.len()));
        rest = after;
        now = now + Micros::from_millis(i64::from(*delay));
        let Ok(received) = ReceivedPacket::parse(&Bytes::copy_from_slice(datagram)) else {
            continue;
        };
        let mut out = Vec::new();
        let restarted = window.push(received, now, &mut out) == Continuity::Restarted;
        for (index, packet) in out.iter().enumerate() {
            let first_of_restart = restarted && index + 1 == out.len();
            if let Some(expected) = expected
                && !first_of_restart
            {
                assert_eq!(packet.sequence, packet.lost_before.wrapping_add(expected));
            }
            expected = Some(packet.sequence.wrapping_add(1));
            let arrival = Arrival {
                track: TrackId(0),
                rtp_timestamp: packet.timestamp,
                wall: UnixMicros(1_790_000_000_000_000) + now,
                monotonic: now,
            };
            match timeline.place(&arrival) {
                Ok(time) => assert!(times.insert(time)),
                Err(_) => {
                    timeline = Timeline::new(&[ticks], TimelineLimits::DEFAULT);
                    times.clear();
                }
            }
        }
    }
});
