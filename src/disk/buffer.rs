//! Memory for one read: aligned as O_DIRECT wants it, and handed on to readers without a copy.
//!
//! A `Vec<u8>` is not aligned to a page, and the kernel answers O_DIRECT into it with EINVAL. So each read owns one of these:
//! page aligned, a whole number of pages long. It grows never and is shared only after it was turned into `Bytes`, which nobody can write.
//!
//! Fresh memory costs a page fault and a clearing for each page, a sixth of the time of an export; so what readers are done with is kept by
//! `SpareBuffers` for the next read. It still holds the bytes of an earlier one: a failed read's buffer must be given to nobody (the reader
//! looks at the result first, and then verifies every byte).

use std::{
    alloc::{self, Layout},
    fmt,
    ops::{Deref, DerefMut},
    ptr::NonNull,
    slice,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use bytes::Bytes;

use crate::disk::ALIGNMENT;

/// Heap memory that starts on a page and is a whole number of pages long.
pub struct AlignedBuffer {
    memory: Memory,
    len: usize,
    /// Who takes the memory back.
    home: Option<Weak<SpareBuffers>>,
}

/// Initialised memory that starts on a page; whoever holds the value owns the memory alone.
#[derive(Clone, Copy)]
struct Memory {
    start: NonNull<u8>,
    capacity: usize,
}

// SAFETY: memory of the heap is not bound to a thread, and a `Memory` has one owner (it is copied only to be handed over).
unsafe impl Send for Memory {}

// SAFETY: the buffer owns its memory alone, as a `Box<[u8]>` does; nothing about it is bound to a thread.
unsafe impl Send for AlignedBuffer {}
// SAFETY: a shared buffer can only be read (`&self` gives `&[u8]`).
unsafe impl Sync for AlignedBuffer {}

impl AlignedBuffer {
    /// `len` bytes of zeroes. Panics unless `len` is a multiple of `ALIGNMENT` and not 0.
    pub fn new(len: usize) -> Self {
        Self {
            memory: Memory::zeroed(len),
            len,
            home: None,
        }
    }

    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        // SAFETY: `start` points at `len` initialised bytes that live as long as `self`; `&self` forbids writing.
        unsafe { slice::from_raw_parts(self.memory.start.as_ptr(), self.len) }
    }

    /// The bytes, to be written.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        // SAFETY: as above, and `&mut self` makes this the only view.
        unsafe { slice::from_raw_parts_mut(self.memory.start.as_ptr(), self.len) }
    }

    /// The same memory, shared and read-only, freed when the last view of it goes.
    pub fn into_bytes(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl Drop for AlignedBuffer {
    fn drop(&mut self) {
        match self.home.take().and_then(|home| home.upgrade()) {
            Some(home) => home.keep(self.memory),
            None => self.memory.free(),
        }
    }
}

impl Memory {
    fn zeroed(capacity: usize) -> Self {
        let layout = Self::layout(capacity);
        // SAFETY: `layout` checked that the size is not zero.
        let start = unsafe { alloc::alloc_zeroed(layout) };
        match NonNull::new(start) {
            Some(start) => Self { start, capacity },
            None => alloc::handle_alloc_error(layout),
        }
    }

    fn free(self) {
        // SAFETY: allocated in `zeroed` with this very layout, and the owner is done with it.
        unsafe { alloc::dealloc(self.start.as_ptr(), Self::layout(self.capacity)) }
    }

    fn layout(len: usize) -> Layout {
        assert!(
            len > 0 && len.is_multiple_of(ALIGNMENT),
            "a read is a whole number of pages, not {len} bytes (D5)"
        );
        match Layout::from_size_align(len, ALIGNMENT) {
            Ok(layout) => layout,
            Err(_) => panic!("{len} bytes are more than the address space"),
        }
    }
}

/// Memory of reads that are over, for the reads to come: at most a number of buffers, each as long as a read was.
pub struct SpareBuffers {
    max: usize,
    spare: Mutex<Vec<Memory>>,
}

/// Spare memory is made in steps of this many bytes, so that what held one block holds the next.
const STEP: usize = 256 << 10;

impl SpareBuffers {
    /// Keeps at most `max` buffers.
    pub fn new(max: usize) -> Arc<Self> {
        Arc::new(Self {
            max,
            spare: Mutex::new(Vec::with_capacity(max)),
        })
    }

    /// `len` bytes of whatever an earlier read left, or of zeroes. Panics unless `len` is a multiple of `ALIGNMENT` and not 0.
    pub fn take(self: &Arc<Self>, len: usize) -> AlignedBuffer {
        let capacity = len.next_multiple_of(STEP);
        let found = {
            let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
            let index = spare.iter().position(|memory| memory.capacity == capacity);
            index.map(|index| spare.swap_remove(index))
        };
        assert!(
            len > 0 && len.is_multiple_of(ALIGNMENT),
            "a read is a whole number of pages, not {len} bytes (D5)"
        );
        AlignedBuffer {
            memory: found.unwrap_or_else(|| Memory::zeroed(capacity)),
            len,
            home: Some(Arc::downgrade(self)),
        }
    }

    /// Takes memory back. When there is enough, the oldest goes: its length is the one least asked for.
    fn keep(&self, memory: Memory) {
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        let too_much = (spare.len() == self.max).then(|| spare.remove(0));
        spare.push(memory);
        drop(spare);
        if let Some(memory) = too_much {
            memory.free();
        }
    }
}

impl Drop for SpareBuffers {
    fn drop(&mut self) {
        let spare = self.spare.get_mut().unwrap_or_else(PoisonError::into_inner);
        for memory in spare.drain(..) {
            memory.free();
        }
    }
}

impl fmt::Debug for SpareBuffers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SpareBuffers(at most {})", self.max)
    }
}

impl Deref for AlignedBuffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.as_slice()
    }
}

impl DerefMut for AlignedBuffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        self.as_mut_slice()
    }
}

impl AsRef<[u8]> for AlignedBuffer {
    fn as_ref(&self) -> &[u8] {
        self.as_slice()
    }
}

impl From<AlignedBuffer> for Bytes {
    fn from(buffer: AlignedBuffer) -> Self {
        buffer.into_bytes()
    }
}

impl fmt::Debug for AlignedBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AlignedBuffer({} bytes)", self.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_aligned_and_zeroed() {
        for pages in [1, 3, 256] {
            let buffer = AlignedBuffer::new(pages * ALIGNMENT);
            assert_eq!(buffer.as_ptr() as usize % ALIGNMENT, 0);
            assert_eq!(buffer.len(), pages * ALIGNMENT);
            assert!(buffer.iter().all(|byte| *byte == 0));
        }
    }

    #[test]
    fn sharing_copies_nothing() {
        let mut buffer = AlignedBuffer::new(ALIGNMENT);
        buffer[17] = 0xa5;
        let place = buffer.as_ptr() as usize;
        let bytes = buffer.into_bytes();
        assert_eq!(bytes.as_ptr() as usize, place);
        let piece = bytes.slice(17..18);
        drop(bytes);
        assert_eq!(&piece[..], &[0xa5]);
    }

    #[test]
    fn memory_is_used_again_and_no_more_is_kept_than_agreed() {
        let spare = SpareBuffers::new(2);
        let (first, second, third) = (spare.take(4096), spare.take(8192), spare.take(4096));
        let places = [second.as_ptr() as usize, third.as_ptr() as usize];
        drop((first, second, third));
        let again = spare.take(300_000 / 4096 * 4096);
        assert!(
            !places.contains(&(again.as_ptr() as usize)),
            "it is too short"
        );
        let mut second_user = spare.take(12_288);
        assert!(places.contains(&(second_user.as_ptr() as usize)));
        assert_eq!(second_user.len(), 12_288);
        second_user[12_287] = 1;
        let shared = second_user.into_bytes();
        drop(spare);
        assert_eq!(shared[12_287], 1, "readers outlive the keeper");
    }

    #[test]
    #[should_panic(expected = "D5")]
    fn odd_lengths_are_refused() {
        AlignedBuffer::new(ALIGNMENT + 512);
    }
}
