//! What a simulated disk does wrong, when, and how slowly it works.
//!
//! Three ways to ask for a fault: by chance (every operation draws), by plan (the n-th operation of a kind), and by place (bad
//! ranges of a file). All chance comes from the disk's seed, so a run repeats from its printed number.

use std::ops::Range;

use crate::base::{Micros, seed::Seed};

/// Kinds of operation that can be made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `Operation::Read`.
    Read,
    /// `Operation::Write`.
    Write,
    /// `Operation::Sync`.
    Sync,
    /// `Disk::create`.
    Create,
}

/// What goes wrong with one operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The operation answers EIO (a create: ENOSPC). A write leaves any of its sectors behind. A sync loses what it covered: each
    /// write is settled as at a power cut, reads still find the newest bytes, and the next sync succeeds (law L6).
    Error,
    /// A sync answers Ok and does nothing.
    Lie,
    /// A write stops short and says so (D2).
    Short,
    /// A write lands at another offset of the same file and answers Ok.
    Misdirected,
    /// A read first finds one bit of its range flipped, for good.
    Rot,
}

/// A fault of the n-th operation of a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Planned {
    /// Of which kind.
    pub kind: Kind,
    /// Which one, counted from 1 since the disk was made, in the order of submission.
    pub nth: u64,
    /// What goes wrong.
    pub fault: Fault,
}

/// A range of a file that can no longer be read or written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadRange {
    /// The file.
    pub name: String,
    /// Offsets in it.
    pub range: Range<u64>,
    /// What fails there: `Kind::Read` or `Kind::Write`.
    pub kind: Kind,
}

/// How long operations take: uniform in `min..=max`, and now and then much longer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Latency {
    /// Shortest.
    pub min: Micros,
    /// Longest of the usual ones.
    pub max: Micros,
    /// Probability of a slow one.
    pub slow_chance: f64,
    /// How long a slow one takes.
    pub slow: Micros,
}

/// What an unsynced write into blocks never written before looks like after a power cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstLap {
    /// All of it or zeroes, as ext4 and XFS unwritten extents do: the extent is marked written only after the data came.
    Zeroes,
    /// A mixture of new sectors and zeroes, as on preallocation without unwritten extents.
    Torn,
}

/// What a power cut does to each write that no sync covered.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Crash {
    /// Probability that all of it is kept.
    pub keep: f64,
    /// Probability that all of it is lost. What remains to 1 is the probability that it is torn.
    pub drop: f64,
    /// In a torn write, the probability of each 512-byte sector to be kept.
    pub sector: f64,
    /// Blocks never written before.
    pub first_lap: FirstLap,
}

/// All that is wrong with a disk. Probabilities are per operation.
#[derive(Clone, Debug, PartialEq)]
pub struct Faults {
    /// EIO on a read.
    pub read_error: f64,
    /// EIO on a write.
    pub write_error: f64,
    /// EIO on a sync.
    pub sync_error: f64,
    /// A sync that lies.
    pub sync_lie: f64,
    /// A write that comes up short.
    pub short_write: f64,
    /// A write to another place.
    pub misdirected_write: f64,
    /// A bit that flips in what is read.
    pub rot: f64,
    /// Faults by number.
    pub planned: Vec<Planned>,
    /// Faults by place.
    pub bad: Vec<BadRange>,
    /// From this time of the clock on (monotonic), everything answers EIO.
    pub dead_at: Option<Micros>,
    /// Bytes that can be allocated; past them `create` answers ENOSPC.
    pub space: u64,
    /// How long operations take.
    pub latency: Latency,
    /// What a power cut does.
    pub crash: Crash,
}

impl Faults {
    /// A disk that does nothing wrong until its power is cut, and then loses, keeps and tears unsynced writes at even chance.
    pub fn none() -> Self {
        Self {
            read_error: 0.0,
            write_error: 0.0,
            sync_error: 0.0,
            sync_lie: 0.0,
            short_write: 0.0,
            misdirected_write: 0.0,
            rot: 0.0,
            planned: Vec::new(),
            bad: Vec::new(),
            dead_at: None,
            space: u64::MAX,
            latency: Latency {
                min: Micros(100),
                max: Micros(5_000),
                slow_chance: 0.0,
                slow: Micros::ZERO,
            },
            crash: Crash {
                keep: 0.25,
                drop: 0.25,
                sector: 0.5,
                first_lap: FirstLap::Zeroes,
            },
        }
    }

    /// What happens to the `nth` operation of `kind`. Draws the same number of times whatever the outcome.
    pub(super) fn decide(&self, kind: Kind, nth: u64, seed: &mut Seed) -> Option<Fault> {
        let chances: &[(f64, Fault)] = match kind {
            Kind::Read => &[(self.read_error, Fault::Error), (self.rot, Fault::Rot)],
            Kind::Write => &[
                (self.write_error, Fault::Error),
                (self.short_write, Fault::Short),
                (self.misdirected_write, Fault::Misdirected),
            ],
            Kind::Sync => &[(self.sync_error, Fault::Error), (self.sync_lie, Fault::Lie)],
            Kind::Create => &[],
        };
        let mut drawn = None;
        for (chance, fault) in chances {
            if seed.chance(*chance) {
                drawn = drawn.or(Some(*fault));
            }
        }
        let planned = self
            .planned
            .iter()
            .find(|planned| planned.kind == kind && planned.nth == nth);
        planned.map_or(drawn, |planned| Some(planned.fault))
    }

    /// Whether `kind` fails somewhere in `range` of `name`.
    pub(super) fn is_bad(&self, kind: Kind, name: &str, range: &Range<u64>) -> bool {
        self.bad.iter().any(|bad| {
            bad.kind == kind
                && bad.name == name
                && bad.range.start < range.end
                && range.start < bad.range.end
        })
    }
}

impl Latency {
    /// The longest that an operation may take.
    pub fn longest(&self) -> Micros {
        if self.slow_chance > 0.0 {
            self.max.max(self.slow)
        } else {
            self.max
        }
    }

    /// One operation's time.
    pub(super) fn draw(&self, seed: &mut Seed) -> Micros {
        assert!(Micros::ZERO <= self.min && self.min <= self.max);
        let usual = seed.between(self.min.0 as u64, self.max.0 as u64) as i64;
        if seed.chance(self.slow_chance) {
            self.slow.max(Micros(usual))
        } else {
            Micros(usual)
        }
    }
}
