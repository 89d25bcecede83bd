//! What goes wrong in a case, what is still promised then, and how a recorder is set up for it: all drawn from the case's seed.

use crate::{
    camera::{Camera, Habits},
    setup::{Promises, Setup},
};
use nvring::{
    base::{Micros, seed::Seed},
    disk::sim::{Crash, Faults, FirstLap, Latency},
    store::{tail::TailLimits, writer::WriterOptions},
};

/// What goes wrong in a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Profile {
    /// Nothing but crashes.
    Sound,
    /// Writes and syncs fail now and then.
    Failing,
    /// A disk dies; another is there.
    Dying,
    /// Syncs lie.
    Lying,
    /// Writes go astray, bits rot, reads fail.
    Rotten,
}

/// How many of the cases have a disk that now and then takes very long, as one that is worn or busy elsewhere does.
const SLOW_CASES: f64 = 0.3;

impl Profile {
    pub(crate) fn of(seed: u64) -> Self {
        match seed % 10 {
            0..=4 => Self::Sound,
            5 | 6 => Self::Failing,
            7 => Self::Dying,
            8 => Self::Lying,
            _ => Self::Rotten,
        }
    }

    pub(crate) fn promises(self) -> Promises {
        Promises {
            durable: matches!(self, Self::Sound | Self::Failing | Self::Dying),
            bounded: self == Self::Sound,
            alive: self != Self::Dying,
            readable: matches!(self, Self::Sound | Self::Failing | Self::Dying),
            same: self == Self::Sound,
        }
    }

    fn faults(self, random: &mut Seed) -> Faults {
        let mut faults = Faults::none();
        let keep = random.below(80) as f64 / 100.0;
        faults.crash = Crash {
            keep,
            drop: random.below(100 - (keep * 100.0) as u64) as f64 / 100.0,
            sector: random.below(101) as f64 / 100.0,
            first_lap: if random.chance(0.5) {
                FirstLap::Zeroes
            } else {
                FirstLap::Torn
            },
        };
        faults.latency = Latency {
            min: Micros(50),
            max: Micros(random.between(100, 12_000) as i64),
            slow_chance: 0.0,
            slow: Micros::ZERO,
        };
        if random.chance(SLOW_CASES) {
            faults.latency.slow_chance = random.between(1, 50) as f64 / 1000.0;
            faults.latency.slow = Micros::from_millis(random.between(20, 800) as i64);
        }
        let mut rate = |chance: f64, most: f64| {
            if random.chance(chance) {
                random.below(1000) as f64 / 1000.0 * most
            } else {
                0.0
            }
        };
        match self {
            Self::Sound => {}
            Self::Failing => {
                faults.write_error = rate(0.6, 0.03);
                faults.short_write = rate(0.4, 0.03);
                faults.sync_error = rate(0.6, 0.04);
            }
            Self::Dying => faults.sync_error = rate(0.3, 0.02),
            Self::Lying => faults.sync_lie = 0.02 + rate(1.0, 0.5),
            Self::Rotten => {
                faults.misdirected_write = rate(0.5, 0.03);
                faults.rot = rate(0.5, 0.01);
                faults.read_error = rate(0.5, 0.05);
            }
        }
        faults
    }
}

/// The set-up of a case.
pub(crate) fn setup(profile: Profile, random: &mut Seed) -> Setup {
    let segment_len = [64u64, 64, 128, 256][random.below(4) as usize] << 10;
    let batch = segment_len / 4;
    let frame_len_max = batch as usize - 3 * 1024;
    let commit = random.between(50, 1000) as i64;
    let slots = random.between(1, 6) as usize;
    Setup {
        volumes: if profile == Profile::Dying {
            2
        } else {
            random.between(1, 2) as usize
        },
        segment_len,
        segments: if random.chance(0.1) {
            random.between(12, 24)
        } else {
            random.between(3, 7)
        },
        slots,
        writer: WriterOptions {
            commit_interval: Micros::from_millis(commit),
            sync_interval: Micros::from_millis(random.between(50, 1500) as i64),
            depth: random.between(1, 4).min(slots as u64) as usize,
        },
        limits: TailLimits {
            waiting_max: random.between(2, 16) as usize * batch as usize,
            block_len_max: random.between(1024, frame_len_max as u64) as usize,
            frame_len_max,
        },
        budget: random.between(4, 40) * batch,
        beat: Micros::from_millis(random.between(1, 20) as i64),
        wakes: random.chance(0.8),
        faults: profile.faults(random),
    }
}

/// A camera that sends `share` bytes a second.
pub(crate) fn camera(number: u8, share: u64, setup: &Setup, random: &mut Seed) -> Camera {
    let interval = random.between(10, 120) as i64;
    let habits = Habits {
        interval: Micros::from_millis(interval),
        gop: 1 + 3 * random.between(0, 12) as u32,
        reordered: random.chance(0.4),
        sound: random
            .chance(0.4)
            .then(|| Micros::from_millis(random.between(15, 60) as i64)),
        size: (share * interval as u64 / 1000).max(1),
        size_max: setup.limits.frame_len_max as u64,
        huge: if random.chance(0.2) { 0.003 } else { 0.0 },
    };
    Camera::new(number, habits, random.split())
}
