//! Timelines over virtual days: times follow the recorder's clock, keep the order of pictures, and hide no step.

use crate::{
    base::{Micros, UnixMicros, seed::Seed},
    media::{Arrival, ClockSource, SenderReport, Step, Timeline, TimelineLimits, TrackId},
};

const VIDEO: TrackId = TrackId(0);
const AUDIO: TrackId = TrackId(1);
const START_US: i64 = 1_790_000_000_000_000;
const TICKS_90K: ClockSource = ClockSource::Ticks { clock_rate: 90_000 };

fn timeline(tracks: &[ClockSource]) -> Timeline {
    Timeline::new(tracks, TimelineLimits::DEFAULT)
}

/// An arrival `at` microseconds after the start, on a monotonic clock that began 1000 s before.
fn arrival(track: TrackId, rtp_timestamp: u32, at: i64) -> Arrival {
    Arrival {
        track,
        rtp_timestamp,
        wall: UnixMicros(START_US + at),
        monotonic: Micros(1_000_000_000 + at),
    }
}

/// Goal: after days every frame time is within 100 ms of its time of capture, B-frames keep their order, no step is invented.
/// Method: 7 virtual days at 5 frames/s of a camera whose crystal errs by 80 ppm and wanders with the day's heat, over a network
/// with jitter and stalls of up to 3 s; the 32-bit timestamp wraps 12 times.
#[test]
fn seven_days_of_drift_jitter_and_stalls() {
    for number in [1, 2, 3] {
        let mut seed = Seed::new(number);
        let drift_ppm = [80.0, -80.0, 0.0][number as usize % 3];
        let mut timeline = timeline(&[TICKS_90K]);
        let mut camera_us = 0.0f64;
        let mut received_last = 0;
        let mut stall_until = 0;
        let mut group: Vec<(i64, UnixMicros)> = Vec::new();
        let mut worst = 0;
        let base = seed.next() as u32;
        for group_index in 0..7 * 86_400 * 5 / 4 {
            // Decode order of a group of four pictures: P, then the three before it.
            for place in [4, 1, 2, 3] {
                let capture = (group_index * 4 + place) * 200_000i64;
                let wander = 20.0 * (capture as f64 / 86_400e6 * std::f64::consts::TAU).sin();
                camera_us = if place == 4 {
                    camera_us + 800_000.0 * (1.0 + (drift_ppm + wander) / 1e6)
                } else {
                    camera_us
                };
                let media = camera_us - (4 - place) as f64 * 200_000.0;
                let sent = (group_index * 4 + 4) * 200_000 + (place % 4) * 30_000;
                if seed.below(100_000) == 0 {
                    stall_until = sent + seed.below(3_000_000) as i64;
                }
                let received = (sent + 2_000 + seed.below(40_000) as i64)
                    .max(stall_until)
                    .max(received_last);
                received_last = received;
                let ticks = base.wrapping_add((media * 0.09).round() as i64 as u32);
                let time = timeline
                    .place(&arrival(VIDEO, ticks, received))
                    .unwrap_or_else(|step| panic!("SEED={number} at {capture}: {step}"));
                worst = worst.max((time.0 - START_US - capture).abs());
                group.push((place, time));
            }
            group.sort();
            assert!(
                group.is_sorted_by(|a, b| a.1 < b.1),
                "SEED={number} {group:?}"
            );
            group.clear();
        }
        assert!(worst < 100_000, "SEED={number}: off by {worst} µs");
    }
}

#[test]
fn repeated_timestamps_still_give_rising_times() {
    let mut timeline = timeline(&[TICKS_90K]);
    let mut last = UnixMicros::MIN;
    for index in 0..200 {
        let ticks = (index / 4 * 4 * 3600) as u32;
        let time = timeline
            .place(&arrival(VIDEO, ticks, index * 40_000))
            .unwrap();
        assert!(time > last);
        last = time;
    }
}

#[test]
fn jumps_of_the_camera_and_of_the_wall_clock_are_steps() {
    let warm = |timeline: &mut Timeline| {
        for index in 0..100 {
            let frame = arrival(VIDEO, (index * 3600) as u32, index * 40_000);
            timeline.place(&frame).unwrap();
        }
    };
    for (jump, ahead) in [(90_000 * 2, true), (-90_000 * 2, false), (1 << 30, true)] {
        let mut timeline = timeline(&[TICKS_90K]);
        warm(&mut timeline);
        let frame = arrival(VIDEO, (100 * 3600 + jump) as u32, 4_000_000);
        let Err(Step::Ticks { track, by }) = timeline.place(&frame) else {
            panic!("a jump by {jump} ticks was hidden");
        };
        assert_eq!((track, by.0 > 0), (VIDEO, ahead));
    }
    let mut set = timeline(&[TICKS_90K]);
    warm(&mut set);
    let mut frame = arrival(VIDEO, 100 * 3600, 4_000_000);
    frame.wall = frame.wall + Micros::from_millis(501);
    assert_eq!(
        set.place(&frame),
        Err(Step::Wall {
            by: Micros::from_millis(501)
        })
    );
    // Ticks that stood still for 3 s: known as soon as the network can no longer be the reason.
    let mut paused = timeline(&[TICKS_90K]);
    warm(&mut paused);
    let steps = (100..200)
        .position(|index| {
            let frame = arrival(VIDEO, (index * 3600) as u32, index * 40_000 + 3_000_000);
            paused.place(&frame).is_err()
        })
        .expect("a pause of 3 s was hidden");
    assert!((50..60).contains(&steps), "{steps}");
}

/// Goal: sound and picture of one instant get the same time although sound takes 300 ms longer.
/// Method: sender reports of both tracks, with a camera clock 1 h behind.
#[test]
fn sender_reports_align_sound_with_pictures_and_tell_the_camera_clock() {
    let mut timeline = timeline(&[TICKS_90K, ClockSource::Ticks { clock_rate: 48_000 }]);
    let mut apart = i64::MAX;
    for index in 0..10_000i64 {
        let capture = index * 40_000;
        let video = arrival(VIDEO, 7_000 + (index * 3600) as u32, capture + 5_000);
        let audio = arrival(AUDIO, 900 + (index * 1920) as u32, capture + 305_000);
        let shown = timeline.place(&video).unwrap();
        let heard = timeline.place(&audio).unwrap();
        apart = heard.0 - shown.0;
        if index % 125 == 0 {
            for (frame, skew) in [(video, 0), (audio, 300_000)] {
                timeline.sender_report(&SenderReport {
                    track: frame.track,
                    ntp: UnixMicros(START_US + capture - 3_600_000_000).to_ntp(),
                    rtp_timestamp: frame.rtp_timestamp,
                    wall: frame.wall + Micros(skew),
                });
            }
        }
    }
    assert!(apart.abs() < 1_000, "{apart} µs apart");
    let offset = timeline.camera_offset().unwrap();
    assert!((offset.0 + 3_600_005_000).abs() < 1_000, "{offset}");
    timeline.sender_report(&SenderReport {
        track: VIDEO,
        ntp: 0,
        rtp_timestamp: 0,
        wall: UnixMicros(START_US),
    });
    assert_eq!(
        timeline.camera_offset(),
        Some(offset),
        "a camera without a clock"
    );
}

/// A camera that sends 1.8 s of cached pictures at once: observed first, they are timed when they were taken.
#[test]
fn a_burst_at_the_start_is_timed_right_when_it_was_observed() {
    let mut timeline = timeline(&[TICKS_90K]);
    let burst: Vec<Arrival> = (0..46)
        .map(|index| arrival(VIDEO, (index * 3600) as u32, index * 500))
        .collect();
    for frame in &burst {
        timeline.observe(frame);
    }
    let times: Vec<i64> = burst
        .iter()
        .map(|frame| timeline.place(frame).unwrap().0 - START_US)
        .collect();
    assert_eq!(times[45], 45 * 500);
    assert_eq!(times[0], 45 * 500 - 45 * 40_000);
}

#[test]
fn receipt_times_rise_even_when_packets_come_together() {
    let mut timeline = timeline(&[ClockSource::Receipt]);
    let times: Vec<i64> = [0, 0, 0, 5, 4]
        .iter()
        .map(|at| timeline.place(&arrival(VIDEO, 0, *at)).unwrap().0 - START_US)
        .collect();
    assert_eq!(times, [0, 1, 2, 5, 6]);
}

#[test]
fn random_arrivals_never_panic_and_never_repeat_a_time() {
    for number in 0..500 {
        let mut seed = Seed::new(number);
        let rate = [1, 8000, 90_000, u32::MAX][seed.below(4) as usize];
        let source = ClockSource::Ticks { clock_rate: rate };
        let mut timeline = timeline(&[source, source]);
        let mut seen = std::collections::HashSet::new();
        let mut ticks = seed.next() as u32;
        for _ in 0..300 {
            let track = TrackId(seed.below(2) as u8);
            ticks = ticks.wrapping_add(if seed.chance(0.1) {
                seed.next() as u32
            } else {
                seed.below(4000) as u32
            });
            let frame = arrival(track, ticks, seed.below(3_000_000) as i64);
            if seed.chance(0.2) {
                timeline.sender_report(&SenderReport {
                    track,
                    ntp: seed.next(),
                    rtp_timestamp: seed.next() as u32,
                    wall: frame.wall,
                });
            }
            timeline.observe(&frame);
            if let Ok(time) = timeline.place(&frame) {
                assert!(seen.insert((track, time)), "SEED={number}");
            }
        }
    }
}
