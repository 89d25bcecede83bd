//! The io_uring disk: one thread per volume that runs tokio-uring and does nothing but transfers.
//!
//! tokio-uring 0.5 hands its submissions to the kernel only when every task of its thread waits, so nothing here computes:
//! checksums and copies are the callers', on their threads. A dropped future would lose its result while the transfer goes on,
//! so no future is ever dropped: each lane's workers take one request after the other to its end, and the thread ends
//! only when all have. Ring set-up flags stay at their defaults (`defer_taskrun` hangs tokio-uring, `sqpoll` burns a core).
//!
//! Writes, reads and syncs are lanes of their own depth, writes first (design law L4); more than four in flight saturates no disk
//! we measured any better and only adds latency. What waits in a lane is bounded by its callers: writes by the slots of the
//! slab, reads by what the reader allows.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    io,
    os::fd::AsRawFd as _,
    panic::{self, AssertUnwindSafe},
    rc::Rc,
    sync::{Arc, mpsc as std_mpsc},
    thread::{self, JoinHandle},
};

use io_uring::{cqueue, opcode, squeue, types};
use tokio::{sync::mpsc, task::JoinSet};
use tokio_uring::{
    OneshotOutputTransform, UnsubmittedOneshot,
    buf::{IoBuf, IoBufMut, fixed::FixedBufRegistry},
};

use crate::disk::{
    Disk, DiskError, FileId, Operation, Properties, READ_DEPTH, Request, SYNC_DEPTH, Slab, Slot,
    WRITE_DEPTH, check_inside, check_progress,
    folder::{Folder, OpenFile},
};

/// Entries of the submission queue: far more than all lanes together ever use, as tokio-uring panics when it is full.
const RING_ENTRIES: u32 = 256;
const _: () = assert!(WRITE_DEPTH + READ_DEPTH + SYNC_DEPTH < RING_ENTRIES as usize);

/// The kernel registers at most this much as one buffer (`io_uring_register_buffers(3)`: 1 GiB).
const REGISTERED_PIECE_MAX: usize = 1 << 30;

/// A transfer's length is 32 bits wide; longer ones continue, as short ones do.
const TRANSFER_MAX: usize = 1 << 30;

/// How many requests are taken from the channel at once.
const INTAKE_MAX: usize = 64;

/// A disk on a folder, worked by a ring.
#[derive(Debug)]
pub(in crate::disk) struct UringDisk {
    folder: Arc<Folder>,
    slab: Slab,
    registered: bool,
    notes: Vec<String>,
    /// `None` only while dropping.
    requests: Option<mpsc::UnboundedSender<Job>>,
    thread: Option<JoinHandle<()>>,
}

struct Job {
    file: io::Result<Arc<OpenFile>>,
    request: Request,
}

impl UringDisk {
    /// Starts the ring's thread and registers the slab. Fails when the system does not let us have a ring.
    pub(in crate::disk) fn start(
        folder: Arc<Folder>,
        slab: Slab,
        mut notes: Vec<String>,
    ) -> io::Result<Self> {
        let (sender, receiver) = mpsc::unbounded_channel();
        let (ready, started) = std_mpsc::sync_channel(1);
        let (ring_slab, ring_folder) = (slab.clone(), Arc::clone(&folder));
        let work = move || {
            let runtime =
                match tokio_uring::Runtime::new(tokio_uring::builder().entries(RING_ENTRIES)) {
                    Ok(runtime) => runtime,
                    Err(refusal) => return drop(ready.send(Err(refusal))),
                };
            runtime.block_on(async {
                let registered = register(&ring_slab);
                let ring = Ring::new(ring_slab, registered.is_ok());
                if ready.send(Ok(registered)).is_ok() {
                    ring.serve(receiver).await;
                }
            });
            // The folder, and with it its lock, is held until the ring is gone.
            drop(runtime);
            drop(ring_folder);
        };
        let thread = thread::Builder::new()
            .name("disk-ring".to_owned())
            .spawn(work)?;
        let ended = |_| io::Error::other("the ring's thread ended while starting");
        let registered = started.recv().map_err(ended)??;
        if let Err(refusal) = &registered {
            notes.push(format!(
                "the slab of write slots is not registered with the kernel ({refusal}), which costs some CPU; \
                 raise the locked-memory limit (LimitMEMLOCK= of the unit) above the slab's size"
            ));
        }
        Ok(Self {
            folder,
            slab,
            registered: registered.is_ok(),
            notes,
            requests: Some(sender),
            thread: Some(thread),
        })
    }
}

impl Disk for UringDisk {
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
        let file = self.folder.file(request.file);
        let job = Job { file, request };
        let refused = match &self.requests {
            Some(requests) => requests.send(job).err().map(|refused| refused.0),
            None => Some(job),
        };
        if let Some(Job { request, .. }) = refused {
            let gone = io::Error::other("the ring's thread has ended");
            (request.done)(request.operation.complete(Err(gone)));
        }
    }

    fn slab(&self) -> &Slab {
        &self.slab
    }

    fn properties(&self) -> Properties {
        Properties {
            engine: "io_uring",
            direct: self.folder.is_direct(),
            registered: self.registered,
            notes: self.notes.clone(),
        }
    }
}

impl Drop for UringDisk {
    /// Ends when everything submitted has completed.
    fn drop(&mut self) {
        self.requests = None;
        if let Some(thread) = self.thread.take() {
            // A completion may own the last handle of the disk: the ring cannot wait for itself and ends by itself.
            if thread.thread().id() != thread::current().id() {
                let _ = thread.join();
            }
        }
    }
}

/// Lives on the ring's thread.
struct Ring {
    slab: Slab,
    registered: bool,
    /// Writes, syncs, reads: in this order, so that of what is due at once writes enter the ring first.
    lanes: [Lane; 3],
}

/// Requests that wait, and how many workers take from them.
struct Lane {
    queue: RefCell<VecDeque<Job>>,
    workers: Cell<usize>,
    depth: usize,
}

/// Counts a worker out, also when a completion panics.
struct Worker<'a>(&'a Lane);

impl Ring {
    fn new(slab: Slab, registered: bool) -> Rc<Self> {
        Rc::new(Self {
            slab,
            registered,
            lanes: [WRITE_DEPTH, SYNC_DEPTH, READ_DEPTH].map(Lane::new),
        })
    }

    /// Works until the disk is dropped and everything submitted has completed.
    async fn serve(self: Rc<Self>, mut requests: mpsc::UnboundedReceiver<Job>) {
        let mut workers = JoinSet::new();
        let mut taken = Vec::with_capacity(INTAKE_MAX);
        while requests.recv_many(&mut taken, INTAKE_MAX).await > 0 {
            for job in taken.drain(..) {
                let lane = &self.lanes[lane_of(&job.request.operation)];
                lane.queue.borrow_mut().push_back(job);
            }
            for (index, lane) in self.lanes.iter().enumerate() {
                let idle = lane.depth - lane.workers.get();
                for _ in 0..idle.min(lane.queue.borrow().len()) {
                    lane.workers.set(lane.workers.get() + 1);
                    let ring = Rc::clone(&self);
                    workers.spawn_local(async move { ring.work(&ring.lanes[index]).await });
                }
            }
            while workers.try_join_next().is_some() {}
        }
        while workers.join_next().await.is_some() {}
    }

    /// Takes one request of a lane after the other to its end, until none waits.
    async fn work(&self, lane: &Lane) {
        let _worker = Worker(lane);
        loop {
            let Some(Job { file, request }) = lane.queue.borrow_mut().pop_front() else {
                return;
            };
            let Request {
                operation, done, ..
            } = request;
            let (operation, result) = match file {
                Ok(file) => self.perform(file, operation).await,
                Err(source) => (operation, Err(source)),
            };
            // A caller that panics must not take the others' requests along; the panic was reported where it happened.
            let _ = panic::catch_unwind(AssertUnwindSafe(|| done(operation.complete(result))));
        }
    }

    /// Does what is asked. The file is let go before this returns, so that the caller may remove it then.
    async fn perform(
        &self,
        file: Arc<OpenFile>,
        operation: Operation,
    ) -> (Operation, io::Result<()>) {
        let held = Held { file, operation };
        let (held, result) = match &held.operation {
            Operation::Sync => {
                let sqe = opcode::Fsync::new(held.descriptor()).flags(types::FsyncFlags::DATASYNC);
                let (held, moved) = held.submit(sqe.build()).await;
                (held, moved.map(drop))
            }
            Operation::Write { offset, len, .. } => {
                let (offset, len) = (*offset, *len);
                self.transfer(held, offset, len).await
            }
            Operation::Read { offset, buffer } => {
                let (offset, len) = (*offset, buffer.len());
                self.transfer(held, offset, len).await
            }
        };
        (held.operation, result)
    }

    /// Moves all `len` bytes, in as many transfers as the kernel makes of it (D2).
    async fn transfer(&self, mut held: Held, offset: u64, len: usize) -> (Held, io::Result<()>) {
        if let Err(refusal) = check_inside(offset, len, held.file.len) {
            return (held, Err(refusal));
        }
        let mut done = 0;
        while done < len {
            let left = (len - done).min(TRANSFER_MAX);
            let sqe = self.entry(&mut held, offset + done as u64, done..done + left);
            let (back, moved) = held.submit(sqe).await;
            held = back;
            match check_progress(moved, left) {
                Ok(moved) => done += moved,
                Err(source) => return (held, Err(source)),
            }
        }
        (held, Ok(()))
    }

    /// The submission that moves the bytes `piece` of a request to or from `offset`.
    fn entry(&self, held: &mut Held, offset: u64, piece: std::ops::Range<usize>) -> squeue::Entry {
        let file = held.descriptor();
        match &mut held.operation {
            Operation::Write { slot, .. } => {
                let bytes = &slot[piece];
                let (start, len) = (bytes.as_ptr(), bytes.len() as u32);
                match self.registration_of(slot) {
                    Some(index) => opcode::WriteFixed::new(file, start, len, index)
                        .offset(offset)
                        .build(),
                    None => opcode::Write::new(file, start, len).offset(offset).build(),
                }
            }
            Operation::Read { buffer, .. } => {
                let bytes = &mut buffer[piece];
                let (start, len) = (bytes.as_mut_ptr(), bytes.len() as u32);
                opcode::Read::new(file, start, len).offset(offset).build()
            }
            Operation::Sync => unreachable!("a sync moves no bytes"),
        }
    }

    /// The registered buffer a slot lies in; `None` for a slot of another volume's slab, or when registration was refused.
    fn registration_of(&self, slot: &Slot) -> Option<u16> {
        let ours = self.registered && self.slab.owns(slot);
        ours.then(|| (slot.index() / slots_per_piece(&self.slab)) as u16)
    }
}

fn lane_of(operation: &Operation) -> usize {
    match operation {
        Operation::Write { .. } => 0,
        Operation::Sync => 1,
        Operation::Read { .. } => 2,
    }
}

impl Lane {
    fn new(depth: usize) -> Self {
        Self {
            queue: RefCell::default(),
            workers: Cell::new(0),
            depth,
        }
    }
}

impl Drop for Worker<'_> {
    fn drop(&mut self) {
        self.0.workers.set(self.0.workers.get() - 1);
    }
}

/// What the kernel works on during a transfer: tokio-uring keeps it until the completion, so the descriptor stays open, and
/// the memory of slot or buffer, neither of which moves with its handle, stays ours.
struct Held {
    file: Arc<OpenFile>,
    operation: Operation,
}

impl Held {
    fn descriptor(&self) -> types::Fd {
        types::Fd(self.file.file.as_raw_fd())
    }

    async fn submit(self, sqe: squeue::Entry) -> (Self, io::Result<usize>) {
        UnsubmittedOneshot::new(self, Outcome, sqe).submit().await
    }
}

/// Turns the kernel's answer into a result.
struct Outcome;

impl OneshotOutputTransform for Outcome {
    type Output = (Held, io::Result<usize>);
    type StoredData = Held;

    fn transform_oneshot_output(self, held: Held, entry: cqueue::Entry) -> Self::Output {
        let result = match entry.result() {
            error if error < 0 => Err(io::Error::from_raw_os_error(-error)),
            moved => Ok(moved as usize),
        };
        (held, result)
    }
}

/// A piece of the slab, as tokio-uring's registration wants it.
struct Piece {
    start: *mut u8,
    len: usize,
    /// Keeps the memory mapped.
    _slab: Slab,
}

// SAFETY: the piece lies in the slab's mapping, which does not move and lives as long as `_slab`; anonymous memory is
// initialised. Nobody reads or writes through this handle: the ring only learns the address range from it.
unsafe impl IoBuf for Piece {
    fn stable_ptr(&self) -> *const u8 {
        self.start
    }

    fn bytes_init(&self) -> usize {
        self.len
    }

    fn bytes_total(&self) -> usize {
        self.len
    }
}

// SAFETY: as above.
unsafe impl IoBufMut for Piece {
    fn stable_mut_ptr(&mut self) -> *mut u8 {
        self.start
    }

    unsafe fn set_init(&mut self, _len: usize) {}
}

/// Registers the whole slab with this thread's ring, in pieces of whole slots.
fn register(slab: &Slab) -> io::Result<()> {
    let (start, len) = slab.region();
    let piece_len = slots_per_piece(slab) * slab.stride();
    let pieces = (0..len).step_by(piece_len).map(|at| Piece {
        start: start.wrapping_add(at),
        len: piece_len.min(len - at),
        _slab: slab.clone(),
    });
    if pieces.len() > libc::UIO_MAXIOV as usize || slab.stride() > REGISTERED_PIECE_MAX {
        return Err(io::Error::from_raw_os_error(libc::E2BIG));
    }
    FixedBufRegistry::new(pieces).register()
}

fn slots_per_piece(slab: &Slab) -> usize {
    (REGISTERED_PIECE_MAX / slab.stride()).max(1)
}
