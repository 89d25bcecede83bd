//! The slab: the fixed number of aligned write slots of one volume, and with it the bound on what is in flight (law L8).
//!
//! One anonymous mapping on huge pages is cut into slots of one length. A writer takes a slot, fills it from any thread,
//! and hands it to `Disk::submit`; it comes back with the completion and returns itself when dropped. A slot's bytes are
//! whatever its last user left there: who writes a slot to disk fills all of what is written.
//! The whole region is registered with the ring as few fixed buffers, so a write pins no page and copies no byte.

use std::{
    fmt, io,
    ops::{Deref, DerefMut},
    ptr::NonNull,
    slice,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use memmap2::{Advice, MmapMut};

use crate::disk::ALIGNMENT;

/// The size of a huge page on x86-64 and of 4 KiB-page arm64: the region and every slot of at least this length start on one.
const HUGE_PAGE: usize = 2 << 20;

/// How a slab is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlabOptions {
    /// How many slots.
    pub slots: usize,
    /// Bytes in each: a multiple of `ALIGNMENT`.
    pub slot_len: usize,
}

/// A bounded store of slots. Clones share it.
#[derive(Clone)]
pub struct Slab {
    region: Arc<Region>,
}

/// One slot of a slab: exclusive aligned memory that returns itself when dropped.
pub struct Slot {
    region: Arc<Region>,
    index: usize,
}

struct Region {
    /// Keeps the memory mapped; reached only through `start`.
    _map: MmapMut,
    start: NonNull<u8>,
    stride: usize,
    options: SlabOptions,
    /// Indexes of the slots nobody holds; the last returned is the first taken, as it is the warmest.
    free: Mutex<Vec<usize>>,
}

// SAFETY: `start` points into `_map`, which `Region` owns and never remaps; the slots cut from it are disjoint and each is
// held by one `Slot` at a time, which the mutex around `free` ensures.
unsafe impl Send for Region {}
// SAFETY: as above.
unsafe impl Sync for Region {}

impl Slab {
    /// Maps `slots` slots of `slot_len` bytes. Panics when either is 0 or `slot_len` is not a multiple of `ALIGNMENT`.
    /// Fails when the memory is not to be had.
    pub fn new(options: SlabOptions) -> io::Result<Self> {
        let SlabOptions { slots, slot_len } = options;
        assert!(slots > 0, "a slab has slots");
        assert!(
            slot_len > 0 && slot_len.is_multiple_of(ALIGNMENT),
            "a slot is a whole number of pages, not {slot_len} bytes (D5)"
        );
        let stride = if slot_len < HUGE_PAGE {
            slot_len
        } else {
            slot_len.next_multiple_of(HUGE_PAGE)
        };
        let too_large = || io::Error::from(io::ErrorKind::OutOfMemory);
        let len = stride.checked_mul(slots).ok_or_else(too_large)?;
        let mut map = MmapMut::map_anon(len.checked_add(HUGE_PAGE).ok_or_else(too_large)?)?;
        let skip = map.as_ptr().align_offset(HUGE_PAGE);
        assert!(skip < HUGE_PAGE);
        if len >= HUGE_PAGE {
            // A refusal costs speed only: the kernel may be built without huge pages.
            let _ = map.advise_range(Advice::HugePage, skip, len);
        }
        // The pointer is made from the mapping's own, so that it may reach all of it.
        let start = NonNull::new(map.as_mut_ptr().wrapping_add(skip))
            .ok_or_else(|| io::Error::from(io::ErrorKind::OutOfMemory))?;
        Ok(Self {
            region: Arc::new(Region {
                _map: map,
                start,
                stride,
                options,
                free: Mutex::new((0..slots).rev().collect()),
            }),
        })
    }

    /// A slot, or `None` while all are held.
    pub fn take(&self) -> Option<Slot> {
        let index = self.region.lock().pop()?;
        Some(Slot {
            region: Arc::clone(&self.region),
            index,
        })
    }

    /// How many slots are held.
    pub fn in_use(&self) -> usize {
        self.region.options.slots - self.region.lock().len()
    }

    /// How many slots there are.
    pub fn slots(&self) -> usize {
        self.region.options.slots
    }

    /// Bytes in each slot.
    pub fn slot_len(&self) -> usize {
        self.region.options.slot_len
    }

    /// How the slab is cut.
    pub fn options(&self) -> SlabOptions {
        self.region.options
    }

    /// The whole region, for registration.
    pub(in crate::disk) fn region(&self) -> (*mut u8, usize) {
        (
            self.region.start.as_ptr(),
            self.region.stride * self.region.options.slots,
        )
    }

    /// Bytes from one slot to the next.
    pub(in crate::disk) fn stride(&self) -> usize {
        self.region.stride
    }

    /// Whether `slot` was cut from this slab.
    pub(in crate::disk) fn owns(&self, slot: &Slot) -> bool {
        Arc::ptr_eq(&self.region, &slot.region)
    }
}

impl Region {
    fn lock(&self) -> MutexGuard<'_, Vec<usize>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    /// The slot's number in its slab.
    pub fn index(&self) -> usize {
        self.index
    }

    fn start(&self) -> *mut u8 {
        // SAFETY: `index` is below `slots`, so the result lies inside the mapping.
        unsafe {
            self.region
                .start
                .as_ptr()
                .add(self.index * self.region.stride)
        }
    }
}

impl Deref for Slot {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the slot's `slot_len` bytes are mapped and initialised (anonymous memory is zero) as long as `region`
        // lives, and no other `Slot` has this index.
        unsafe { slice::from_raw_parts(self.start(), self.region.options.slot_len) }
    }
}

impl DerefMut for Slot {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and `&mut self` makes this the only view.
        unsafe { slice::from_raw_parts_mut(self.start(), self.region.options.slot_len) }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut free = self.region.lock();
        assert!(
            free.len() < self.region.options.slots,
            "a slot came back twice"
        );
        free.push(self.index);
    }
}

impl fmt::Debug for Slab {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slab")
            .field("slots", &self.slots())
            .field("slot_len", &self.slot_len())
            .field("in_use", &self.in_use())
            .finish()
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Slot({})", self.index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{collections::BTreeSet, thread};

    fn slab(slots: usize, slot_len: usize) -> Slab {
        Slab::new(SlabOptions { slots, slot_len }).unwrap()
    }

    #[test]
    fn slots_are_aligned_disjoint_and_bounded() {
        for slot_len in [ALIGNMENT, 64 << 10, 3 << 20] {
            let slab = slab(5, slot_len);
            let mut held: Vec<Slot> = std::iter::from_fn(|| slab.take()).collect();
            assert_eq!((held.len(), slab.in_use()), (5, 5));
            for slot in &mut held {
                let mark = slot.index() as u8 + 1;
                assert_eq!(slot.as_ptr() as usize % ALIGNMENT, 0);
                assert_eq!(slot.len(), slot_len);
                slot.fill(mark);
            }
            for slot in &held {
                let mark = slot.index() as u8 + 1;
                assert!(slot.iter().all(|byte| *byte == mark), "slots overlap");
            }
            drop(held);
            assert_eq!(slab.in_use(), 0);
        }
    }

    #[test]
    fn big_slots_start_on_huge_pages() {
        let slab = slab(2, 3 << 20);
        assert_eq!(slab.take().unwrap().as_ptr() as usize % HUGE_PAGE, 0);
    }

    /// Goal: no slot is ever held twice, and each comes back, whichever thread drops it. Method: threads take, mark, check,
    /// and send their slots to others that check again and drop.
    #[test]
    fn a_slot_is_held_once_across_threads() {
        let slab = slab(7, ALIGNMENT);
        let held = Mutex::new(BTreeSet::new());
        let (sender, receiver) = std::sync::mpsc::channel::<(u8, Slot)>();
        thread::scope(|scope| {
            for mark in 1..=4u8 {
                let (slab, held, sender) = (slab.clone(), &held, sender.clone());
                scope.spawn(move || {
                    for _ in 0..2_000 {
                        let Some(mut slot) = slab.take() else {
                            thread::yield_now();
                            continue;
                        };
                        assert!(held.lock().unwrap().insert(slot.index()), "held twice");
                        slot.fill(mark);
                        sender.send((mark, slot)).unwrap();
                    }
                });
            }
            drop(sender);
            for (mark, slot) in receiver {
                assert!(slot.iter().all(|byte| *byte == mark));
                held.lock().unwrap().remove(&slot.index());
            }
        });
        assert_eq!(slab.in_use(), 0);
    }
}
