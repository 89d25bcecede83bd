//! How a recorder is set up, what is promised of it, and the volumes it starts from: formatting them, opening them, and what a crash
//! leaves of them.

use crate::memory::{IndexFile, Remains};
use nvring::{
    base::{Clock, Micros, SimulatedClock, seed::Seed, units::ByteSize},
    disk::{
        SlabOptions,
        sim::{Faults, Pace, SimDisk},
    },
    format::{PAGE, index::IndexLayout, superblock::Superblock},
    store::{
        index::IndexMemory,
        tail::TailLimits,
        volume::{self, Access, FormatOptions, Opened, VolumeError},
        writer::WriterOptions,
    },
};
use std::{path::Path, sync::Arc};

/// How a recorder is set up.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) volumes: usize,
    pub(crate) segment_len: u64,
    pub(crate) segments: u64,
    pub(crate) slots: usize,
    pub(crate) writer: WriterOptions,
    pub(crate) limits: TailLimits,
    pub(crate) budget: u64,
    /// The writers look for due blocks so often.
    pub(crate) beat: Micros,
    /// Whether completions wake the writers.
    pub(crate) wakes: bool,
    pub(crate) faults: Faults,
}

/// What is to be true of what is recorded; a fault of some kind takes some of it away.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Promises {
    /// What is durable is found again.
    pub(crate) durable: bool,
    /// Loss is bounded by the intervals (L1).
    pub(crate) bounded: bool,
    /// No disk dies.
    pub(crate) alive: bool,
    /// What is listed can be read.
    pub(crate) readable: bool,
    /// The listing does not depend on the index.
    pub(crate) same: bool,
}

/// Which recordings a restart finds.
#[derive(Clone)]
pub(crate) struct Left {
    pub(crate) disks: Vec<SimDisk>,
    pub(crate) indexes: Vec<IndexFile>,
}

/// Formats the volumes of `setup`.
pub(crate) fn format(setup: &Setup, clock: &Arc<SimulatedClock>, seed: &mut Seed) -> Left {
    let batch = setup.segment_len / 4 / PAGE * PAGE;
    let slab = SlabOptions {
        slots: setup.slots,
        slot_len: batch as usize,
    };
    let made = (0..setup.volumes).map(|number| {
        let disk = SimDisk::new(slab, Arc::clone(clock), Faults::none(), seed.split());
        disk.set_pace(Pace::Immediate);
        let options = FormatOptions {
            size: ByteSize(setup.segment_len * setup.segments),
            segment_len: ByteSize(setup.segment_len),
            pool: "main".to_owned(),
            volume: [number as u8 + 1; 16],
        };
        volume::format(&disk, &options, clock.now().0, &mut |_, _| ()).expect("a sound geometry");
        disk.set_faults(|faults| *faults = setup.faults.clone());
        disk
    });
    let disks: Vec<SimDisk> = made.collect();
    let indexes = disks.iter().map(|_| IndexFile::default()).collect();
    Left { disks, indexes }
}

/// Opens one volume.
pub(crate) fn open(
    disk: &SimDisk,
    index: &IndexFile,
    access: Access,
) -> Result<Opened, VolumeError> {
    disk.set_pace(Pace::Immediate);
    let memory = |superblock: &Superblock| -> std::io::Result<Box<dyn IndexMemory>> {
        // Few records to begin with, so that the file has to grow.
        let len = IndexLayout::new(superblock.segment_count).len(16);
        Ok(Box::new(index.map(len)))
    };
    let clock = Arc::clone(disk.clock());
    volume::open(
        Arc::new(disk.clone()),
        Path::new("simulated"),
        access,
        clock,
        memory,
        &mut |_, _| (),
    )
}

impl Left {
    /// The same once more, with what is left of the index; what is done to it leaves this one as it is.
    pub(crate) fn copy(&self, remains: Remains, seed: &mut Seed) -> Self {
        Self {
            disks: self.disks.iter().map(|disk| disk.kill(seed)).collect(),
            indexes: self
                .indexes
                .iter()
                .map(|index| index.remains(remains, seed))
                .collect(),
        }
    }
}
