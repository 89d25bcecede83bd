//! One seed: a set-up, cameras, faults, and a few lives of a recorder, each ended by a power cut, a kill or a stop, and checked.

use crate::{
    profile::{Profile, camera, setup},
    setup::{Left, format},
    site::Site,
    tally::Tally,
};
use nvring::{
    base::{Clock, Micros, SimulatedClock, UnixMicros, seed::Seed},
    media::GapCause,
};
use std::sync::Arc;

/// How a life ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    PowerCut,
    Kill,
    Stop,
}
/// One case under way.
pub(crate) struct Case {
    pub(crate) profile: Profile,
    pub(crate) site: Site,
    pub(crate) tally: Tally,
    pub(crate) random: Seed,
}

impl Case {
    /// The case of a recorder that is not begun.
    pub(crate) fn with(profile: Profile, site: Site, random: Seed) -> Self {
        Self {
            profile,
            site,
            tally: Tally::default(),
            random,
        }
    }

    /// The case of `seed`.
    pub(crate) fn new(seed: u64) -> (Self, Left) {
        let mut random = Seed::new(seed);
        let profile = Profile::of(seed);
        let setup = setup(profile, &mut random);
        let clock = Arc::new(SimulatedClock::new(UnixMicros(1_795_000_000_000_000)));
        let count = random.between(1, 6);
        // A lap of the ring takes some seconds.
        let bytes_per_second = setup.segment_len * setup.segments / random.between(2, 6);
        let cameras = (0..count)
            .map(|number| camera(number as u8, bytes_per_second / count, &setup, &mut random));
        let cameras = cameras.collect();
        let left = format(&setup, &clock, &mut random);
        let site = Site::new(setup, profile.promises(), clock, cameras, random.split());
        (Self::with(profile, site, random), left)
    }

    /// Goes through the whole case.
    pub(crate) fn run(seed: u64) -> Tally {
        let (mut case, mut left) = Self::new(seed);
        let lives = case.random.between(2, 4);
        let mut cause = GapCause::Enrolled;
        for _ in 0..lives {
            case.begin(left, cause);
            left = case.live();
            cause = GapCause::Restart;
        }
        case.tally
    }

    /// Starts the recorder on what the life before left.
    pub(crate) fn begin(&mut self, left: Left, cause: GapCause) {
        let refused = self.site.start(left, cause);
        self.tally.refused += refused.len() as u64;
        let faulty = self.profile == Profile::Rotten
            || self.profile == Profile::Dying
            || self.profile == Profile::Failing;
        assert!(
            refused.is_empty() || faulty,
            "a volume cannot be opened: {}",
            refused[0]
        );
        if self.profile == Profile::Dying && self.random.chance(0.7) {
            let time = self.site.clock.elapsed() + Micros(self.random.below(6_000_000) as i64);
            if let Some(volume) = self.site.volumes.iter().find(|volume| volume.number == 0) {
                volume.disk.set_faults(|faults| faults.dead_at = Some(time));
            }
        }
    }

    /// One life of the recorder, its end, and the checks; gives what the next one finds.
    fn live(&mut self) -> Left {
        let pieces = self.random.between(1, 6);
        for _ in 0..pieces {
            let end = self.site.clock.elapsed() + Micros(self.random.below(2_000_000) as i64);
            let bound = self.loss_max(true);
            let promises = self.site.promises;
            self.site.run(end, &mut |site| {
                let late = promises.bounded && site.shed == 0 && site.lag() > bound;
                assert!(
                    !late,
                    "L1: a frame is not durable after {:?}, allowed are {bound:?}",
                    site.lag()
                );
                false
            });
            self.disturb();
        }
        let ending = match self.random.below(10) {
            0..=4 => Ending::PowerCut,
            5..=7 => Ending::Kill,
            _ => Ending::Stop,
        };
        if ending == Ending::Stop {
            self.stop();
        }
        self.count();
        let power_cut =
            ending == Ending::PowerCut || (ending == Ending::Stop && self.random.chance(0.5));
        self.finish(power_cut)
    }

    /// Things that happen to cameras and clocks.
    fn disturb(&mut self) {
        let number = self.random.below(self.site.cameras.len() as u64) as usize;
        match self.random.below(8) {
            0 => self.site.begin(number, GapCause::CameraRestarted),
            1 => {
                let time = self.site.clock.elapsed() + Micros(self.random.below(3_000_000) as i64);
                self.site.cameras[number].silence_until(time);
            }
            2 => {
                self.site.tails[number].end(GapCause::CameraLost);
                self.site.begin(number, GapCause::CameraLost);
            }
            3 => {
                let far = if self.random.chance(0.5) {
                    5_000_000_000
                } else {
                    3_000_000
                };
                let step = self.random.below(2 * far) as i64 - far as i64;
                self.site.clock.step(Micros(step));
                (0..self.site.cameras.len())
                    .for_each(|number| self.site.begin(number, GapCause::Clock));
            }
            _ => {}
        }
    }

    fn stop(&mut self) {
        let drained = self.site.flush(&mut |_| false);
        let healthy = self
            .site
            .volumes
            .iter()
            .any(|volume| !volume.shared.has_failed());
        assert!(
            drained || !healthy || self.profile == Profile::Rotten,
            "a stop makes everything durable"
        );
        for volume in &self.site.volumes {
            let metrics = &volume.shared.metrics;
            if drained && !volume.shared.has_failed() {
                assert_eq!(metrics.waiting_bytes.get(), 0, "the writer's queue");
                let reads = self.site.readers.of(&volume.shared) as i64;
                let queue = metrics.disk_requests.get();
                assert!((0..=reads).contains(&queue), "{queue} in the disk's queue");
            }
        }
        if drained && healthy {
            let pending = self
                .site
                .model
                .streams
                .values()
                .map(|stream| stream.pending.len())
                .sum::<usize>();
            assert_eq!(pending, 0, "a stop leaves no frame behind");
        }
    }

    fn count(&mut self) {
        self.tally.shed += self.site.shed;
        self.tally.served = self.site.readers.served;
        self.tally.overwritten = self.site.readers.overwritten;
        self.tally.frames = self
            .site
            .model
            .streams
            .values()
            .map(|stream| stream.frames.len() as u64)
            .sum();
        for volume in &self.site.volumes {
            self.tally.slow += u64::from(self.site.setup.faults.latency.slow_chance > 0.0);
            self.tally.taken += volume.shared.metrics.segments_taken.get();
            self.tally.quarantined +=
                volume.lives.iter().filter(|life| life.quarantined).count() as u64;
            self.tally.moved += u64::from(volume.shared.has_failed());
        }
    }

    /// L1: how long a frame may be lost.
    pub(crate) fn loss_max(&self, power_cut: bool) -> Micros {
        let setup = &self.site.setup;
        let latency = setup.faults.latency.longest().0 + if setup.wakes { 0 } else { setup.beat.0 };
        // Before a frame is written: a batch, a sync, the directory in pieces, its sync, a header, its sync; and as much again for its own.
        let steps = 12 * latency + 3 * setup.beat.0;
        let sync = if power_cut {
            setup.writer.sync_interval.0 + steps
        } else {
            0
        };
        Micros(setup.writer.commit_interval.0 + steps + sync)
    }
}
