//! What a life leaves behind, held against what was recorded: whatever remains of the index, after a further crash while the volumes are
//! being opened, and with rot that came while the power was off.

use crate::{
    case::Case,
    listing::{Listing, list},
    memory::Remains,
    model::{Home, Known},
    profile::Profile,
    setup::{Left, open},
};
use nvring::{
    base::Clock,
    disk::sim::{Fault, Kind, Planned, SimDisk},
    media::StreamId,
    store::volume::{Access, VolumeShared},
};
use std::sync::Arc;

impl Case {
    /// Ends the life and checks what is left of it.
    pub(crate) fn finish(&mut self, power_cut: bool) -> Left {
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
    pub(crate) fn look(&mut self, left: &Left, remains: Remains, power_cut: bool) -> Listing {
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
                    let index_is_there =
                        self.site.promises.same && remains != Remains::Lost && self.site.stopped;
                    assert!(
                        !index_is_there || (!report.rebuilt && report.replayed <= 1),
                        "L11: a start after a clean stop reads the open segment at most: {report:?}"
                    );
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
