//! Goal: there is no moment between two writes or syncs at which a power cut, or the death of the process, loses what was durable, shows
//! anything false, or leaves a volume that cannot be opened (L1, L2, L3, L8, L11).
//! Method: one short recording, always the same, of some laps of a small ring, with runs that end and a stop at its end. It is run again
//! and again, and cut when the first operation was submitted, when it was completed, when the next one was, and so on to the last.
//! At each cut the disk is left in every way a cut can leave it (`REMAINS_OF_DISK`), each with a lost index and one of the ways a crash
//! can leave one; both must list the same, and that is held against the model. Then the next opening is cut at each of its own writes
//! and syncs; then it comes to its end, records on, over what was torn, and is cut once more.

use crate::{
    camera::{Camera, Habits},
    case::Case,
    listing::Listing,
    memory::Remains,
    profile::Profile,
    setup::{Left, Setup, format, open},
    site::Site,
};
use nvring::{
    base::{Clock, Micros, SimulatedClock, UnixMicros, seed::Seed},
    disk::sim::{Crash, Fault, Faults, FirstLap, Kind, Latency, Planned, SimDisk},
    media::GapCause,
    store::{tail::TailLimits, volume::Access, writer::WriterOptions},
};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// The recording's seed: it is one and the same.
const SEED: u64 = 2;
/// Segments of the ring.
const SEGMENTS: u64 = 4;

/// What a power cut leaves of writes that no sync covered.
const REMAINS_OF_DISK: [Crash; 5] = [
    remains(0.0, 1.0, 0.0, FirstLap::Zeroes),
    remains(1.0, 0.0, 1.0, FirstLap::Torn),
    remains(0.0, 0.0, 0.5, FirstLap::Zeroes),
    remains(0.0, 0.0, 0.5, FirstLap::Torn),
    remains(0.3, 0.3, 0.9, FirstLap::Torn),
];

/// What it leaves of the index, unless that is lost.
const INDEX_LEFT: [Remains; 3] = [Remains::Current, Remains::Stale, Remains::Torn];

const fn remains(keep: f64, drop: f64, sector: f64, first_lap: FirstLap) -> Crash {
    Crash {
        keep,
        drop,
        sector,
        first_lap,
    }
}

/// What a run over all cuts went through.
#[derive(Clone, Copy, Debug, Default)]
struct Cuts {
    /// Moments at which power was cut.
    moments: u64,
    /// Of these, after the ring came round.
    later_laps: u64,
    /// Of these, while the recorder was being stopped.
    stopping: u64,
    /// Volumes opened and read after a cut.
    recoveries: u64,
    /// Openings that were cut.
    openings: u64,
    failed: u64,
}

#[test]
fn power_may_go_after_every_single_write_and_sync() {
    if let Some(moment) = std::env::var("NVRING_CUT")
        .ok()
        .and_then(|text| text.parse().ok())
    {
        println!("{:?}", cut(moment));
        return;
    }
    let next = AtomicU64::new(0);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut sum = Cuts::default();
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(|| work(&next))).collect();
        for worker in workers {
            sum.add(&worker.join().expect("workers catch what fails"));
        }
    });
    println!("{sum:?}");
    assert_eq!(sum.failed, 0, "cuts failed; each is printed above");
    assert!(sum.moments - sum.later_laps > 50, "the first lap was cut");
    assert!(sum.later_laps > 50, "later laps were cut");
    assert!(sum.stopping > 3, "the stop was cut");
}

impl Cuts {
    fn add(&mut self, other: &Self) {
        self.moments += other.moments;
        self.later_laps += other.later_laps;
        self.stopping += other.stopping;
        self.recoveries += other.recoveries;
        self.openings += other.openings;
        self.failed += other.failed;
    }
}

fn work(next: &AtomicU64) -> Cuts {
    let mut sum = Cuts::default();
    loop {
        let moment = next.fetch_add(1, Ordering::Relaxed);
        match catch_unwind(AssertUnwindSafe(|| cut(moment))) {
            Ok(Some(cuts)) => sum.add(&cuts),
            Ok(None) => return sum,
            Err(_) => {
                println!("NVRING_CUT={moment} cargo test --test simulation power_may_go");
                sum.failed += 1;
            }
        }
    }
}

/// The recording, cut at its `moment`-th change of the disk; `None` when it ends before.
fn cut(moment: u64) -> Option<Cuts> {
    let mut case = recorder();
    let stopping = record(&mut case, moment)?;
    let taken = case.site.volumes[0].shared.metrics.segments_taken.get();
    let mut cuts = Cuts {
        moments: 1,
        later_laps: u64::from(taken > SEGMENTS),
        stopping: u64::from(stopping),
        ..Cuts::default()
    };
    for (number, crash) in (moment..).zip(REMAINS_OF_DISK) {
        let index = INDEX_LEFT[number as usize % INDEX_LEFT.len()];
        power_cut(&mut case, crash, index, &mut cuts);
    }
    kill(&mut case, &mut cuts);
    record_on(&mut case, moment, &mut cuts);
    Some(cuts)
}

/// A recorder of three cameras on one volume that it has just formatted.
pub(crate) fn recorder() -> Case {
    let mut random = Seed::new(SEED);
    let mut faults = Faults::none();
    faults.latency = Latency {
        min: Micros(200),
        max: Micros(6_000),
        slow_chance: 0.0,
        slow: Micros::ZERO,
    };
    let setup = Setup {
        volumes: 1,
        segment_len: 64 << 10,
        segments: SEGMENTS,
        slots: 4,
        writer: WriterOptions {
            commit_interval: Micros::from_millis(200),
            sync_interval: Micros::from_millis(300),
            depth: 3,
        },
        limits: TailLimits {
            waiting_max: 128 << 10,
            block_len_max: 6 << 10,
            frame_len_max: 12 << 10,
        },
        budget: 1 << 20,
        beat: Micros::from_millis(10),
        wakes: true,
        faults,
    };
    let habits = |interval, gop, size| Habits {
        interval: Micros::from_millis(interval),
        gop,
        reordered: gop > 1,
        sound: (gop > 1).then(|| Micros::from_millis(50)),
        size,
        size_max: 12 << 10,
        huge: 0.0,
    };
    let clock = Arc::new(SimulatedClock::new(UnixMicros(1_795_000_000_000_000)));
    let cameras = [
        habits(40, 13, 700),
        habits(60, 7, 1_200),
        habits(400, 1, 900),
    ];
    let cameras = (0..)
        .zip(cameras)
        .map(|(number, habits)| Camera::new(number, habits, random.split()))
        .collect();
    let left = format(&setup, &clock, &mut random);
    let site = Site::new(
        setup,
        Profile::Sound.promises(),
        clock,
        cameras,
        random.split(),
    );
    let mut case = Case::with(Profile::Sound, site, random);
    case.begin(left, GapCause::Enrolled);
    case
}

/// Records until the disk has changed `moment` times; whether that was while stopping. `None` when it has not so often.
pub(crate) fn record(case: &mut Case, moment: u64) -> Option<bool> {
    let mut left = moment;
    let mut before = state(&case.site);
    let mut reached = false;
    let mut stop = |site: &Site| {
        let now = state(site);
        if now != before {
            before = now;
            reached = left == 0;
            left = left.saturating_sub(1);
        }
        reached
    };
    let site = &mut case.site;
    for piece in 0..4 {
        site.run(Micros::from_millis(1_800 * (piece + 1)), &mut stop);
        if stop(site) {
            return Some(false);
        }
        match piece {
            0 => site.begin(0, GapCause::CameraRestarted),
            1 => {
                site.tails[1].end(GapCause::CameraLost);
                let back = site.clock.elapsed() + Micros::from_millis(700);
                site.begin(1, GapCause::CameraLost);
                site.cameras[1].silence_until(back);
            }
            2 => site.begin(2, GapCause::ParametersChanged),
            _ => {}
        }
    }
    site.flush(&mut stop);
    stop(site).then_some(true)
}

/// How far the disk has come: each operation changes it when it is submitted and when it is completed.
fn state(site: &Site) -> (u64, usize) {
    let disk = &site.volumes[0].disk;
    let counters = disk.counters();
    (counters.writes + counters.syncs, disk.in_flight())
}

fn power_cut(case: &mut Case, crash: Crash, index: Remains, cuts: &mut Cuts) {
    case.site.volumes[0]
        .disk
        .set_faults(|faults| faults.crash = crash);
    let mut random = case.random.split();
    let left = case.site.left(true, &mut random);
    let base = looks(case, &left, [Remains::Lost, index], true, cuts);
    if index == Remains::Current && crash.keep < 1.0 && crash.drop < 1.0 {
        cut_opening(case, &left, &base, cuts);
    }
}

fn kill(case: &mut Case, cuts: &mut Cuts) {
    let mut random = case.random.split();
    let left = case.site.left(false, &mut random);
    looks(case, &left, [Remains::Lost, Remains::Current], false, cuts);
}

/// Opens what is left with either of `remains` of the index; both must list the same.
fn looks(
    case: &mut Case,
    left: &Left,
    remains: [Remains; 2],
    power_cut: bool,
    cuts: &mut Cuts,
) -> Listing {
    cuts.recoveries += 2;
    let [base, other] = remains.map(|remains| case.look(left, remains, power_cut));
    base.assert_same(
        &other,
        &format!("index {:?} instead of {:?}", remains[1], remains[0]),
    );
    base
}

/// Cuts the next opening at each of its writes and syncs, which leaves any sectors of the one that was under way.
fn cut_opening(case: &mut Case, left: &Left, base: &Listing, cuts: &mut Cuts) {
    let writes = (1..=4).map(|nth| (Kind::Write, nth));
    let syncs = (1..=3).map(|nth| (Kind::Sync, nth));
    for (kind, nth) in writes.chain(syncs) {
        let mut random = case.random.split();
        let copy = left.copy(Remains::Current, &mut random);
        copy.disks[0].set_faults(|faults| {
            faults.planned.push(Planned {
                kind,
                nth,
                fault: Fault::Error,
            });
        });
        drop(open(&copy.disks[0], &copy.indexes[0], Access::Write));
        let disks: Vec<SimDisk> = vec![copy.disks[0].crash(&mut random)];
        let again = Left {
            disks,
            indexes: copy.indexes,
        };
        cuts.openings += 1;
        let other = case.look(&again, Remains::Stale, true);
        base.assert_same(&other, &format!("opening cut at {kind:?} {nth}"));
    }
}

/// The next life: what it writes over what was torn must do no harm.
fn record_on(case: &mut Case, moment: u64, cuts: &mut Cuts) {
    let crash = REMAINS_OF_DISK[moment as usize % REMAINS_OF_DISK.len()];
    case.site.volumes[0]
        .disk
        .set_faults(|faults| faults.crash = crash);
    let left = case.finish(moment % 6 != 5);
    case.begin(left, GapCause::Restart);
    let end = case.site.clock.elapsed() + Micros::from_millis(900);
    case.site.run(end, &mut |_| false);
    case.finish(true);
    cuts.recoveries += 2;
}
