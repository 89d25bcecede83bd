//! One simulated file: what a read finds now, what survives a power cut, and the writes between the two.
//!
//! Pages are shared and copied on write, so that an image of the whole disk at any moment costs little. A page that is not
//! there reads as zeroes and counts as never written (an unwritten extent).

use std::{collections::BTreeMap, ops::Range, sync::Arc};

use super::faults::{Crash, FirstLap};
use crate::{base::seed::Seed, disk::ALIGNMENT};

/// The unit that reaches the platter whole (measured on ext4 and virtio: an unsynced overwrite is torn at this size).
pub(super) const SECTOR: usize = 512;

const SECTORS_PER_PAGE: usize = ALIGNMENT / SECTOR;
const _: () = assert!(SECTORS_PER_PAGE == u8::BITS as usize, "a mask is one byte");

const ALL_SECTORS: u8 = u8::MAX;

type Page = Arc<[u8; ALIGNMENT]>;
type Pages = BTreeMap<u64, Page>;

/// A write that completed and that no sync has covered yet.
#[derive(Clone, Debug)]
struct Unsynced {
    /// Its number in the order of completion within the file, from 1.
    number: u64,
    pages: Vec<MaskedPage>,
}

#[derive(Clone, Debug)]
struct MaskedPage {
    index: u64,
    page: Page,
    /// The sectors that were written: bit n is sector n.
    mask: u8,
}

/// A file. Cloning it copies no page.
#[derive(Clone, Debug)]
pub(super) struct Image {
    len: u64,
    newest: Pages,
    durable: Pages,
    unsynced: Vec<Unsynced>,
    completed: u64,
}

impl Image {
    /// A file of `len` bytes, allocated and never written.
    pub(super) fn new(len: u64) -> Self {
        Self {
            len,
            newest: Pages::new(),
            durable: Pages::new(),
            unsynced: Vec::new(),
            completed: 0,
        }
    }

    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// The number of the last completed write: what a sync submitted now covers (D3).
    pub(super) fn completed(&self) -> u64 {
        self.completed
    }

    /// Fills `bytes` with the newest data at `offset`; both are multiples of a page.
    pub(super) fn read(&self, offset: u64, bytes: &mut [u8]) {
        assert!(offset + bytes.len() as u64 <= self.len);
        for (index, piece) in (first_page(offset)..).zip(bytes.chunks_exact_mut(ALIGNMENT)) {
            match self.newest.get(&index) {
                Some(page) => piece.copy_from_slice(&page[..]),
                None => piece.fill(0),
            }
        }
    }

    /// Completes a write of those sectors of each page that `mask` names.
    pub(super) fn write(&mut self, offset: u64, bytes: &[u8], mask: impl FnMut() -> u8) {
        assert!(offset + bytes.len() as u64 <= self.len);
        let pages = masked_pages(offset, bytes, mask);
        for masked in &pages {
            masked.apply(&mut self.newest);
        }
        self.completed += 1;
        self.unsynced.push(Unsynced {
            number: self.completed,
            pages,
        });
    }

    /// Makes durable every write up to number `upto`.
    pub(super) fn sync(&mut self, upto: u64) {
        for write in self.covered(upto) {
            for masked in &write.pages {
                masked.apply(&mut self.durable);
            }
        }
    }

    /// A sync of every write up to number `upto` failed: some of it reached the platter, the rest never will.
    pub(super) fn lose(&mut self, upto: u64, crash: Crash, seed: &mut Seed) {
        for write in self.covered(upto) {
            settle(
                &write.pages,
                Progress::Completed,
                &mut self.durable,
                crash,
                seed,
            );
        }
    }

    /// The file as it is found after a power cut at this moment, with `in_flight` the writes not yet completed.
    pub(super) fn after_power_cut<'a>(
        &self,
        in_flight: impl Iterator<Item = (u64, &'a [u8])>,
        crash: Crash,
        seed: &mut Seed,
    ) -> Self {
        let mut durable = self.durable.clone();
        for write in &self.unsynced {
            settle(&write.pages, Progress::Completed, &mut durable, crash, seed);
        }
        for (offset, bytes) in in_flight {
            let pages = masked_pages(offset, bytes, || ALL_SECTORS);
            settle(&pages, Progress::InFlight, &mut durable, crash, seed);
        }
        Self {
            len: self.len,
            newest: durable.clone(),
            durable,
            unsynced: Vec::new(),
            completed: 0,
        }
    }

    /// Flips bit `bit` of the byte at `offset` wherever it is kept; false when nothing was ever written there.
    pub(super) fn flip(&mut self, offset: u64, bit: u32) -> bool {
        let (index, byte) = (first_page(offset), (offset % ALIGNMENT as u64) as usize);
        let unsynced = self.unsynced.iter_mut().flat_map(|write| &mut write.pages);
        let pages = unsynced
            .filter(|masked| masked.index == index)
            .map(|masked| &mut masked.page)
            .chain(self.newest.get_mut(&index))
            .chain(self.durable.get_mut(&index));
        let mut found = false;
        for page in pages {
            Arc::make_mut(page)[byte] ^= 1 << bit;
            found = true;
        }
        found
    }

    /// Puts `bytes` at `offset` (of any alignment), durably, past all queues.
    pub(super) fn poke(&mut self, offset: u64, bytes: &[u8]) {
        assert!(offset + bytes.len() as u64 <= self.len);
        self.sync(u64::MAX);
        for (at, byte) in (offset..).zip(bytes) {
            for pages in [&mut self.newest, &mut self.durable] {
                let page = pages.entry(first_page(at)).or_insert_with(zeroes);
                Arc::make_mut(page)[(at % ALIGNMENT as u64) as usize] = *byte;
            }
        }
    }

    /// Takes the unsynced writes up to number `upto` out, in order.
    fn covered(&mut self, upto: u64) -> Vec<Unsynced> {
        let end = self.unsynced.partition_point(|write| write.number <= upto);
        self.unsynced.drain(..end).collect()
    }
}

impl MaskedPage {
    fn apply(&self, pages: &mut Pages) {
        match self.mask {
            0 => {}
            ALL_SECTORS => {
                pages.insert(self.index, Arc::clone(&self.page));
            }
            mask => {
                let target = Arc::make_mut(pages.entry(self.index).or_insert_with(zeroes));
                for sector in sectors(mask) {
                    target[sector.clone()].copy_from_slice(&self.page[sector]);
                }
            }
        }
    }
}

/// How far a write had come when the power went.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Progress {
    Completed,
    InFlight,
}

fn masked_pages(offset: u64, bytes: &[u8], mut mask: impl FnMut() -> u8) -> Vec<MaskedPage> {
    (first_page(offset)..)
        .zip(bytes.chunks_exact(ALIGNMENT))
        .map(|(index, piece)| {
            let mut page = [0; ALIGNMENT];
            page.copy_from_slice(piece);
            MaskedPage {
                index,
                page: Arc::new(page),
                mask: mask(),
            }
        })
        .collect()
}

/// Decides what one write that no sync covered left on the platter. An extent is marked written only after its write
/// completed, so one in flight into unwritten blocks leaves zeroes whatever reached the platter.
fn settle(
    write: &[MaskedPage],
    progress: Progress,
    durable: &mut Pages,
    crash: Crash,
    seed: &mut Seed,
) {
    let keep_whole = seed.chance(crash.keep);
    let drop_whole = seed.chance(crash.drop / (1.0 - crash.keep).max(f64::EPSILON));
    let first_lap_kept = keep_whole || (!drop_whole && seed.chance(crash.sector));
    for masked in write {
        let unwritten = !durable.contains_key(&masked.index);
        let torn = random_mask(crash.sector, seed);
        let mask = match (keep_whole, drop_whole) {
            _ if unwritten && crash.first_lap == FirstLap::Zeroes => {
                if first_lap_kept && progress == Progress::Completed {
                    ALL_SECTORS
                } else {
                    0
                }
            }
            (true, _) => ALL_SECTORS,
            (false, true) => 0,
            (false, false) => torn,
        };
        MaskedPage {
            mask: masked.mask & mask,
            ..masked.clone()
        }
        .apply(durable);
    }
}

/// Each sector of a page with probability `chance`.
pub(super) fn random_mask(chance: f64, seed: &mut Seed) -> u8 {
    (0..u8::BITS).fold(0, |mask, bit| mask | u8::from(seed.chance(chance)) << bit)
}

/// The sectors that `mask` names, as byte ranges of a page.
pub(super) fn sectors(mask: u8) -> impl Iterator<Item = Range<usize>> {
    (0..SECTORS_PER_PAGE)
        .filter(move |sector| mask & 1 << sector != 0)
        .map(|sector| sector * SECTOR..(sector + 1) * SECTOR)
}

fn first_page(offset: u64) -> u64 {
    offset / ALIGNMENT as u64
}

fn zeroes() -> Page {
    Arc::new([0; ALIGNMENT])
}
