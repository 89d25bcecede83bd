//! The plain disk: pread, pwrite and fdatasync on a few threads, for filesystems and kernels where io_uring cannot run.
//!
//! Writes, reads and syncs have threads of their own, so that reading never stands before recording (design law L4). The
//! queues hold what callers submit; these bound themselves: writes by the slots of the slab, reads by what the reader allows.

use std::{
    collections::VecDeque,
    io,
    os::unix::fs::FileExt as _,
    panic::{self, AssertUnwindSafe},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
};

use crate::disk::{
    Completion, Disk, DiskError, FileId, Operation, Properties, READ_DEPTH, Request, SYNC_DEPTH,
    Slab, WRITE_DEPTH, check_inside, check_progress,
    folder::{Folder, OpenFile},
};

/// A disk on a folder, worked by threads.
#[derive(Debug)]
pub(in crate::disk) struct PlainDisk {
    folder: Arc<Folder>,
    slab: Slab,
    notes: Vec<String>,
    writes: Arc<Lane>,
    reads: Arc<Lane>,
    syncs: Arc<Lane>,
    threads: Vec<JoinHandle<()>>,
}

/// A queue and who waits for it.
#[derive(Debug, Default)]
struct Lane {
    state: Mutex<LaneState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct LaneState {
    queue: VecDeque<(io::Result<Arc<OpenFile>>, Request)>,
    closed: bool,
}

impl PlainDisk {
    /// Starts the threads. `notes` are passed on to `properties`.
    pub(in crate::disk) fn start(
        folder: Arc<Folder>,
        slab: Slab,
        notes: Vec<String>,
    ) -> io::Result<Self> {
        let mut disk = Self {
            folder,
            slab,
            notes,
            writes: Arc::default(),
            reads: Arc::default(),
            syncs: Arc::default(),
            threads: Vec::new(),
        };
        let lanes = [
            (Arc::clone(&disk.writes), WRITE_DEPTH, "disk-write"),
            (Arc::clone(&disk.reads), READ_DEPTH, "disk-read"),
            (Arc::clone(&disk.syncs), SYNC_DEPTH, "disk-sync"),
        ];
        for (lane, depth, name) in lanes {
            for _ in 0..depth {
                let lane = Arc::clone(&lane);
                // Each thread holds the folder, and with it its lock, until its last transfer has ended.
                let folder = Arc::clone(&disk.folder);
                let work = move || {
                    lane.work();
                    drop(folder);
                };
                let thread = thread::Builder::new().name(name.to_owned()).spawn(work)?;
                disk.threads.push(thread);
            }
        }
        Ok(disk)
    }
}

impl Disk for PlainDisk {
    fn create(&self, name: &str, len: u64) -> Result<FileId, DiskError> {
        self.folder.create(name, len)
    }

    fn open(&self, name: &str) -> Result<(FileId, u64), DiskError> {
        self.folder.open_file(name)
    }

    fn list(&self) -> Result<Vec<String>, DiskError> {
        self.folder.list()
    }

    fn remove(&self, name: &str) -> Result<(), DiskError> {
        self.folder.remove(name)
    }

    fn submit(&self, request: Request) {
        request.operation.check();
        let lane = match request.operation {
            Operation::Write { .. } => &self.writes,
            Operation::Read { .. } => &self.reads,
            Operation::Sync => &self.syncs,
        };
        let file = self.folder.file(request.file);
        lane.lock().queue.push_back((file, request));
        lane.changed.notify_one();
    }

    fn slab(&self) -> &Slab {
        &self.slab
    }

    fn properties(&self) -> Properties {
        Properties {
            engine: "plain",
            direct: self.folder.is_direct(),
            registered: false,
            notes: self.notes.clone(),
        }
    }
}

impl Drop for PlainDisk {
    /// Ends when everything submitted has completed.
    fn drop(&mut self) {
        for lane in [&self.writes, &self.reads, &self.syncs] {
            lane.lock().closed = true;
            lane.changed.notify_all();
        }
        for thread in self.threads.drain(..) {
            // A completion may own the last handle of the disk: that thread cannot wait for itself and ends by itself.
            if thread.thread().id() != thread::current().id() {
                let _ = thread.join();
            }
        }
    }
}

impl Lane {
    fn lock(&self) -> MutexGuard<'_, LaneState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        loop {
            let mut state = self.lock();
            let next = loop {
                if let Some(next) = state.queue.pop_front() {
                    break next;
                }
                if state.closed {
                    return;
                }
                state = self
                    .changed
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
            };
            drop(state);
            let (
                file,
                Request {
                    operation, done, ..
                },
            ) = next;
            let completion = match file {
                // The file is let go before the caller hears of it, so that it may remove it then.
                Ok(file) => perform(&file, operation),
                Err(source) => operation.complete(Err(source)),
            };
            // A caller that panics must not take the others' thread along; the panic was reported where it happened.
            let _ = panic::catch_unwind(AssertUnwindSafe(|| done(completion)));
        }
    }
}

fn perform(file: &OpenFile, mut operation: Operation) -> Completion {
    let result = match &mut operation {
        Operation::Write { offset, slot, len } => write(file, *offset, &slot[..*len]),
        Operation::Read { offset, buffer } => read(file, *offset, buffer),
        Operation::Sync => file.file.sync_data(),
    };
    operation.complete(result)
}

fn write(file: &OpenFile, offset: u64, bytes: &[u8]) -> io::Result<()> {
    check_inside(offset, bytes.len(), file.len)?;
    let mut done = 0;
    while done < bytes.len() {
        let left = &bytes[done..];
        let moved = file.file.write_at(left, offset + done as u64);
        done += check_progress(moved, left.len())?;
    }
    Ok(())
}

fn read(file: &OpenFile, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
    check_inside(offset, bytes.len(), file.len)?;
    let mut done = 0;
    while done < bytes.len() {
        let left = &mut bytes[done..];
        let left_len = left.len();
        let moved = file.file.read_at(left, offset + done as u64);
        done += check_progress(moved, left_len)?;
    }
    Ok(())
}
