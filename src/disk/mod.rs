//! The one seam to storage: a folder of preallocated files that are written and read in aligned pieces.
//!
//! `Disk` has three twins: `uring` (production: tokio-uring, O_DIRECT), `plain` (pread/pwrite, for tmpfs and foreign kernels)
//! and `sim` (seeded faults on a virtual clock). One conformance suite holds all three to the contract written here. This
//! layer is the only one with raw I/O, and it knows nothing of what the bytes mean.
//!
//! The contract:
//! - D1 every submitted request completes exactly once, on any thread, with its buffer returned; nothing is cancelled.
//! - D2 a short transfer is never success: a write that came up short is an error that says so; a read past the end is too,
//!   and a write past the end (files never grow).
//! - D3 `Sync` covers every write to that file that completed before the sync was submitted, and promises nothing of later ones.
//! - D4 a failed sync is reported once and final: the caller must treat everything it covered as lost (design law L6).
//! - D5 offsets, lengths and buffers of `Write` and `Read` are multiples of `ALIGNMENT`.
//! - D6 requests in flight at once may complete in any order; no two writes in flight overlap (the caller's duty); a read that
//!   overlaps a write in flight finds any mixture of old and new sectors.

pub mod buffer;
pub mod slab;

mod name;
pub mod sim;

use std::{fmt, io, path::PathBuf};

pub use buffer::AlignedBuffer;
pub use slab::{Slab, SlabOptions, Slot};

/// All transfers are multiples of this: the physical sector of present disks and the page of the machine.
pub const ALIGNMENT: usize = 4096;

/// An open file of a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(pub u32);

/// What is to be done.
#[derive(Debug)]
pub enum Operation {
    /// Writes the first `len` bytes of the slot at `offset`.
    Write {
        /// Place in the file.
        offset: u64,
        /// The bytes; returned in the completion.
        slot: Slot,
        /// How many of them.
        len: usize,
    },
    /// Fills the buffer from `offset` on.
    Read {
        /// Place in the file.
        offset: u64,
        /// Where to; returned in the completion.
        buffer: AlignedBuffer,
    },
    /// Makes durable what was written (fdatasync).
    Sync,
}

impl Operation {
    /// Holds the caller to D5.
    fn check(&self) {
        let (offset, len) = match self {
            Self::Write { offset, slot, len } => {
                assert!(
                    *len > 0 && *len <= slot.len(),
                    "a write of {len} bytes (D5)"
                );
                (*offset, *len)
            }
            Self::Read { offset, buffer } => (*offset, buffer.len()),
            Self::Sync => return,
        };
        assert!(
            offset.is_multiple_of(ALIGNMENT as u64) && len.is_multiple_of(ALIGNMENT),
            "offset {offset} and length {len} are not both multiples of {ALIGNMENT} (D5)"
        );
    }

    /// The completion that hands the operation's memory back.
    fn complete(self, result: io::Result<()>) -> Completion {
        let (slot, buffer) = match self {
            Self::Write { slot, .. } => (Some(slot), None),
            Self::Read { buffer, .. } => (None, Some(buffer)),
            Self::Sync => (None, None),
        };
        Completion {
            result,
            slot,
            buffer,
        }
    }
}

/// Refuses a transfer that does not lie inside a file of `file_len` bytes (D2).
fn check_inside(offset: u64, len: usize, file_len: u64) -> io::Result<()> {
    if offset
        .checked_add(len as u64)
        .is_some_and(|end| end <= file_len)
    {
        return Ok(());
    }
    Err(io::Error::new(
        io::ErrorKind::UnexpectedEof,
        format!("{len} bytes at {offset} reach past the end of the file at {file_len}"),
    ))
}

/// What came of it.
#[derive(Debug)]
pub struct Completion {
    /// Whether all of it was done.
    pub result: io::Result<()>,
    /// The slot of a write.
    pub slot: Option<Slot>,
    /// The buffer of a read.
    pub buffer: Option<AlignedBuffer>,
}

/// An operation on a file and whom to tell.
pub struct Request {
    /// The file.
    pub file: FileId,
    /// What is to be done.
    pub operation: Operation,
    /// Called exactly once, on any thread; it must be quick and must not block.
    pub done: Box<dyn FnOnce(Completion) + Send>,
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("file", &self.file)
            .field("operation", &self.operation)
            .finish_non_exhaustive()
    }
}

/// How a disk works, for logs, `status` and `bench`.
#[derive(Clone, Debug)]
pub struct Properties {
    /// `io_uring`, `plain` or `simulated`.
    pub engine: &'static str,
    /// Whether transfers bypass the page cache (O_DIRECT).
    pub direct: bool,
    /// Whether the slab is registered with the kernel.
    pub registered: bool,
    /// What was refused and why, in words for the administrator.
    pub notes: Vec<String>,
}

/// A file operation that failed.
#[derive(Debug, thiserror::Error)]
#[error("{action} {path}: {source}")]
pub struct DiskError {
    /// `create`, `open`, …
    pub action: &'static str,
    /// What was acted on.
    pub path: PathBuf,
    /// What the system said.
    #[source]
    pub source: io::Error,
}

/// A folder of files. `create`, `open`, `list` and `remove` block and are for start-up and format; `submit` never blocks.
pub trait Disk: Send + Sync + 'static {
    /// Makes a new file of `len` bytes, all of them allocated, durable with its folder entry when this returns.
    /// Fails when the file exists or the space does not.
    fn create(&self, name: &str, len: u64) -> Result<FileId, DiskError>;

    /// Opens an existing file; answers with its length. Opening twice gives the same file.
    fn open(&self, name: &str) -> Result<(FileId, u64), DiskError>;

    /// The names in the folder, sorted. A name may hold one `/`: files live at most one folder deep, and folders are not listed.
    fn list(&self) -> Result<Vec<String>, DiskError>;

    /// Removes a file with nothing in flight, durably; its `FileId`, if it was open, is dead from then on (aborted format,
    /// administrative removal: never in recording).
    fn remove(&self, name: &str) -> Result<(), DiskError>;

    /// Queues a request. Each request's `done` is called exactly once.
    fn submit(&self, request: Request);

    /// The slab from which slots for writing are taken.
    fn slab(&self) -> &Slab;

    /// How this disk works.
    fn properties(&self) -> Properties;
}
