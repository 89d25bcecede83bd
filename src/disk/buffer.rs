//! Memory for one read: aligned as O_DIRECT wants it, and handed on to readers without a copy.
//!
//! A `Vec<u8>` is not aligned to a page, and the kernel answers O_DIRECT into it with EINVAL. So each read owns one of these:
//! page aligned, a whole number of pages long, zeroed when made (no byte of another read can shine through a failed one).
//! It grows never and is shared only after it was turned into `Bytes`, which nobody can write.

use std::{
    alloc::{self, Layout},
    fmt,
    ops::{Deref, DerefMut},
    ptr::NonNull,
    slice,
};

use bytes::Bytes;

use crate::disk::ALIGNMENT;

/// Zeroed heap memory that starts on a page and is a whole number of pages long.
pub struct AlignedBuffer {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: the buffer owns its memory alone, as a `Box<[u8]>` does; nothing about it is bound to a thread.
unsafe impl Send for AlignedBuffer {}
// SAFETY: a shared buffer can only be read (`&self` gives `&[u8]`).
unsafe impl Sync for AlignedBuffer {}

impl AlignedBuffer {
    /// `len` bytes of zeroes. Panics unless `len` is a multiple of `ALIGNMENT` and not 0.
    pub fn new(len: usize) -> Self {
        let layout = Self::layout(len);
        // SAFETY: `layout` checked that the size is not zero.
        let start = unsafe { alloc::alloc_zeroed(layout) };
        match NonNull::new(start) {
            Some(start) => Self { start, len },
            None => alloc::handle_alloc_error(layout),
        }
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

    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        // SAFETY: `start` points at `len` initialised bytes that live as long as `self`; `&self` forbids writing.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }

    /// The bytes, to be written.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        // SAFETY: as above, and `&mut self` makes this the only view.
        unsafe { slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }

    /// The same memory, shared and read-only, freed when the last view of it goes.
    pub fn into_bytes(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl Drop for AlignedBuffer {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with this very layout, and freed only here.
        unsafe { alloc::dealloc(self.start.as_ptr(), Self::layout(self.len)) }
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
    #[should_panic(expected = "D5")]
    fn odd_lengths_are_refused() {
        AlignedBuffer::new(ALIGNMENT + 512);
    }
}
