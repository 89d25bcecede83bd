//! One seed: a set-up, cameras, faults, and a few lives of a recorder, each ended by a power cut, a kill or a stop, and checked.

use crate::{
    camera::{Camera, Habits},
    listing::{Listing, list},
    memory::Remains,
    model::{Home, Known},
    site::{Left, Promises, Setup, Site, format, open},
};
use nvring::{
    base::{Clock, Micros, SimulatedClock, UnixMicros, seed::Seed},
    disk::sim::{Crash, Fault, Faults, FirstLap, Kind, Latency, Planned, SimDisk},
    media::{GapCause, StreamId},
    store::{
        tail::TailLimits,
        volume::{Access, VolumeShared},
        writer::WriterOptions,
    },
};
use std::sync::Arc;

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

/// How a life ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    PowerCut,
    Kill,
    Stop,
}

/// What a case went through, to see that the cases go through everything.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) failed: u64,
    pub(crate) frames: u64,
    pub(crate) taken: u64,
    pub(crate) listed: u64,
    pub(crate) served: u64,
    pub(crate) overwritten: u64,
    pub(crate) shed: u64,
    pub(crate) quarantined: u64,
    pub(crate) moved: u64,
    pub(crate) replayed: u64,
    pub(crate) rebuilt: u64,
    pub(crate) refused: u64,
}

impl Tally {
    pub(crate) fn add(&mut self, other: &Self) {
        self.failed += other.failed;
        self.frames += other.frames;
        self.taken += other.taken;
        self.listed += other.listed;
        self.served += other.served;
        self.overwritten += other.overwritten;
        self.shed += other.shed;
        self.quarantined += other.quarantined;
        self.moved += other.moved;
        self.replayed += other.replayed;
        self.rebuilt += other.rebuilt;
        self.refused += other.refused;
    }
}

impl Profile {
    fn of(seed: u64) -> Self {
        match seed % 10 {
            0..=4 => Self::Sound,
            5 | 6 => Self::Failing,
            7 => Self::Dying,
            8 => Self::Lying,
            _ => Self::Rotten,
        }
    }

    fn promises(self) -> Promises {
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

fn setup(profile: Profile, random: &mut Seed) -> Setup {
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

fn camera(number: u8, share: u64, setup: &Setup, random: &mut Seed) -> Camera {
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

/// One case under way.
pub(crate) struct Case {
    pub(crate) profile: Profile,
    pub(crate) site: Site,
    pub(crate) tally: Tally,
    random: Seed,
    stepped: bool,
}

impl Case {
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
        (
            Self {
                profile,
                site,
                tally: Tally::default(),
                random,
                stepped: false,
            },
            left,
        )
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

    fn begin(&mut self, left: Left, cause: GapCause) {
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
                self.stepped = true;
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
        let drained = self.site.flush();
        let healthy = self
            .site
            .volumes
            .iter()
            .any(|volume| !volume.shared.has_failed());
        assert!(
            drained || !healthy || self.profile == Profile::Rotten,
            "a stop makes everything durable"
        );
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
            self.tally.taken += volume.shared.metrics.segments_taken.get();
            self.tally.quarantined +=
                volume.lives.iter().filter(|life| life.quarantined).count() as u64;
            self.tally.moved += u64::from(volume.shared.has_failed());
        }
    }

    /// L1: how long a frame may be lost.
    fn loss_max(&self, power_cut: bool) -> Micros {
        let setup = &self.site.setup;
        let latency = setup.faults.latency.max.0 + if setup.wakes { 0 } else { setup.beat.0 };
        // Before a frame is written: a batch, a sync, the directory in pieces, its sync, a header, its sync; and as much again for its own.
        let steps = 12 * latency + 3 * setup.beat.0;
        let sync = if power_cut {
            setup.writer.sync_interval.0 + steps
        } else {
            0
        };
        Micros(setup.writer.commit_interval.0 + steps + sync)
    }

    /// Ends the life and checks what is left of it.
    fn finish(&mut self, power_cut: bool) -> Left {
        let left = self.site.left(power_cut, &mut self.random);
        self.spoil(&left);
        let base = self.check(&left, power_cut);
        let trusted = |home: Home| {
            power_cut
                || self
                    .site
                    .volumes
                    .iter()
                    .filter(|volume| volume.number == home.0)
                    .any(|volume| {
                        let index = volume.shared.index();
                        index
                            .segment_of(home.1)
                            .is_some_and(|segment| !index.lives()[segment as usize].quarantined)
                    })
        };
        let site = &self.site;
        let live: Vec<Home> = site
            .model
            .streams
            .values()
            .flat_map(|stream| &stream.frames)
            .flat_map(|frame| frame.homes.iter().copied())
            .filter(|home| site.is_live(*home))
            .collect();
        let live: std::collections::HashSet<Home> = live.into_iter().collect();
        let mut model = site.model.clone();
        if self.profile != Profile::Rotten && self.profile != Profile::Lying {
            model.settle(&base, &trusted, &|home| live.contains(&home));
        } else {
            model
                .streams
                .values_mut()
                .for_each(|stream| stream.end_session());
        }
        self.site.model = model;
        self.site.readers.clear();
        self.site.volumes.clear();
        let remains = Remains::ALL[self.random.below(4) as usize];
        left.copy(
            if power_cut {
                remains
            } else {
                if remains == Remains::Torn {
                    Remains::Current
                } else {
                    remains
                }
            },
            &mut self.random,
        )
    }

    /// Rot that came while the power was off.
    fn spoil(&mut self, left: &Left) {
        if self.profile != Profile::Rotten {
            return;
        }
        for disk in &left.disks {
            let segment = self.random.below(self.site.setup.segments) as u32;
            let name = nvring::format::segment::file_name(segment);
            let flips = self.random.below(20) as u32;
            disk.rot(
                &name,
                0..self.site.setup.segment_len,
                flips,
                &mut self.random,
            );
            if self.random.chance(0.5) {
                let copy = self.random.below(4) * 4096;
                disk.rot(
                    nvring::format::superblock::FILE,
                    copy..copy + 256,
                    3,
                    &mut self.random,
                );
            }
        }
    }

    /// Holds what is left against what was recorded, whatever is left of the index; gives the listing.
    fn check(&mut self, left: &Left, power_cut: bool) -> Listing {
        let all = [
            Remains::Current,
            Remains::Lost,
            Remains::Stale,
            Remains::Torn,
        ];
        let first = Remains::ALL[self.random.below(4) as usize];
        let base = self.look(left, first, power_cut);
        let mut tried = vec![first];
        for remains in all {
            if remains == first || self.random.chance(0.5) {
                continue;
            }
            let other = self.look(left, remains, power_cut);
            if self.site.promises.same {
                base.assert_same(&other, &format!("index {remains:?} instead of {first:?}"));
            }
            tried.push(remains);
        }
        if self.random.chance(0.3) {
            self.check_recovery(left, &base, power_cut);
        }
        self.tally.listed += base.blocks.len() as u64;
        base
    }

    /// Opens what is left for reading and checks what it lists.
    fn look(&mut self, left: &Left, remains: Remains, power_cut: bool) -> Listing {
        if std::env::var_os("NVRING_SEED").is_some() {
            let lives: Vec<_> = self
                .site
                .volumes
                .iter()
                .map(|volume| &volume.lives)
                .collect();
            println!(
                "{:?}, power cut: {power_cut}, index {remains:?}, lives {lives:?}",
                self.profile
            );
        }
        let copy = left.copy(remains, &mut self.random);
        let mut volumes: Vec<(usize, Arc<VolumeShared>)> = Vec::new();
        for (at, (disk, index)) in copy.disks.iter().zip(&copy.indexes).enumerate() {
            let number = self.site.volumes[at].number;
            match open(disk, index, Access::Read) {
                Ok(opened) => {
                    let report = opened.report;
                    self.tally.replayed += u64::from(report.replayed);
                    self.tally.rebuilt += u64::from(report.rebuilt);
                    let whole =
                        self.site.promises.same && remains == Remains::Current && !power_cut;
                    let fresh = self.site.volumes[at].shared.metrics.segments_taken.get() == 0;
                    assert!(
                        !whole || !report.rebuilt || fresh || index.is_blank(),
                        "L11: an index that was not damaged is not rebuilt"
                    );
                    volumes.push((number, opened.shared));
                }
                Err(error) => assert!(
                    !self.site.promises.same,
                    "a volume cannot be opened: {error}"
                ),
            }
            let counters = disk.counters();
            assert_eq!(
                (counters.writes, counters.syncs, counters.creates),
                (0, 0, 0),
                "reading changes nothing"
            );
        }
        let listing = list(&volumes);
        assert!(
            !self.site.promises.readable || listing.errors.is_empty(),
            "what is listed is read: {:?}",
            listing.errors
        );
        self.hold(&listing, &volumes, power_cut);
        listing
    }

    fn hold(&self, listing: &Listing, volumes: &[(usize, Arc<VolumeShared>)], power_cut: bool) {
        let (site, now) = (&self.site, self.site.clock.elapsed());
        let bound = self.loss_max(power_cut);
        let bounded = site.promises.bounded && site.shed == 0;
        let opened = |home: &Home| volumes.iter().any(|(number, _)| *number == home.0);
        let mut must = |stream: StreamId, frame: &Known| {
            if site.promises.durable
                && frame
                    .homes
                    .iter()
                    .any(|home| opened(home) && site.is_live(*home))
            {
                return Some("it was durable and was not overwritten".to_owned());
            }
            let pending = || {
                let model = &site.model.streams[&stream];
                model
                    .pending
                    .iter()
                    .any(|number| std::ptr::eq(&raw const model.frames[*number], frame))
            };
            (bounded && frame.homes.is_empty() && frame.arrived + bound < now && pending()).then(
                || {
                    format!(
                        "it came {:?} before the crash, allowed are {bound:?}",
                        now - frame.arrived
                    )
                },
            )
        };
        site.model.check(listing, &mut must);
    }

    /// A crash while a volume is being opened loses nothing, and opening twice changes nothing.
    fn check_recovery(&mut self, left: &Left, base: &Listing, power_cut: bool) {
        let copy = left.copy(Remains::Current, &mut self.random);
        for disk in &copy.disks {
            let kind = if self.random.chance(0.5) {
                Kind::Write
            } else {
                Kind::Sync
            };
            let planned = Planned {
                kind,
                nth: self.random.between(1, 4),
                fault: Fault::Error,
            };
            disk.set_faults(|faults| faults.planned.push(planned));
        }
        let mut disks: Vec<SimDisk> = Vec::new();
        for (disk, index) in copy.disks.iter().zip(&copy.indexes) {
            drop(open(disk, index, Access::Write));
            disks.push(if power_cut || self.random.chance(0.5) {
                disk.crash(&mut self.random)
            } else {
                disk.kill(&mut self.random)
            });
        }
        let again = Left {
            disks,
            indexes: copy.indexes,
        };
        let remains = if self.random.chance(0.5) {
            Remains::Current
        } else {
            Remains::Lost
        };
        let other = self.look(&again, remains, power_cut);
        if self.site.promises.same {
            base.assert_same(&other, "after a crash while opening");
        }
    }
}
