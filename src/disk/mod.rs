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

pub mod lock;
pub mod probe;

mod folder;
mod plain;
#[cfg(test)]
mod refusals;
mod uring;

pub mod map;
mod readonly;
pub mod sim;

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
};

pub use buffer::{AlignedBuffer, SpareBuffers};
pub use folder::make_folder;
pub use map::MappedFile;
pub use readonly::{ReadLock, open_file_to_read, open_folder_to_read};
pub use slab::{Slab, SlabOptions, Slot};

use folder::Folder;
use plain::PlainDisk;
use uring::UringDisk;

/// All transfers are multiples of this: the physical sector of present disks and the page of the machine.
pub const ALIGNMENT: usize = 4096;

/// Transfers of a kind that a disk has in flight at once; the rest waits its turn. Two to four saturate every disk measured,
/// more only adds latency, and reads that wait in the kernel would stand before writes (design law L4).
const WRITE_DEPTH: usize = 4;
const READ_DEPTH: usize = 4;
/// Syncs of different files go together; two are enough for a segment and what is beside it.
const SYNC_DEPTH: usize = 2;

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

/// How far one transfer of `left` bytes came, in whole pages, given the kernel's answer; the caller goes on with the rest.
/// None at all is an error (D2).
fn check_progress(moved: io::Result<usize>, left: usize) -> io::Result<usize> {
    match moved {
        Ok(moved) if moved == left => Ok(moved),
        Ok(moved) if moved > left => Err(io::Error::other("more bytes moved than were asked for")),
        // A partial page is moved again with the rest: O_DIRECT goes on at a page only.
        Ok(moved) if moved >= ALIGNMENT => Ok(moved - moved % ALIGNMENT),
        Ok(moved) => Err(io::Error::new(
            io::ErrorKind::WriteZero,
            format!("the transfer came up short: {moved} bytes moved, {left} wanted"),
        )),
        Err(source) if source.kind() == io::ErrorKind::Interrupted => Ok(0),
        Err(source) => Err(source),
    }
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

/// Which engine works a folder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EngineChoice {
    /// io_uring, or plain with a note where the system refuses it.
    #[default]
    Auto,
    /// io_uring or an error.
    Uring,
    /// Plain.
    Plain,
}

/// Opens a folder, which must exist, locks it for this process, and maps its slab. Blocks up to 2 s for the lock.
/// Dropping the disk waits for what is in flight.
pub fn open_folder(
    path: &Path,
    slab: SlabOptions,
    engine: EngineChoice,
) -> Result<Arc<dyn Disk>, DiskError> {
    let fail = |action| {
        let path = path.to_owned();
        move |source| DiskError {
            action,
            path,
            source,
        }
    };
    let folder = Arc::new(Folder::open(path)?);
    let slab = Slab::new(slab).map_err(fail("map memory for"))?;
    let mut notes = folder.notes();
    if engine != EngineChoice::Plain {
        let started = UringDisk::start(Arc::clone(&folder), slab.clone(), notes.clone());
        match started {
            Ok(disk) => return Ok(Arc::new(disk)),
            Err(source) if engine == EngineChoice::Uring => return Err(fail("start io_uring for")(source)),
            Err(refusal) => notes.push(format!(
                "io_uring is refused by this system ({refusal}), so plain reads and writes are used, which cost more CPU; \
                 see kernel.io_uring_disabled and the seccomp rules of the container or unit"
            )),
        }
    }
    let disk = PlainDisk::start(folder, slab, notes).map_err(fail("start threads for"))?;
    Ok(Arc::new(disk))
}
