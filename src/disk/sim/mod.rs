//! The simulated disk: files in memory, completions on a virtual clock, faults from a seed.
//!
//! Nothing completes until the test lets it: `step` completes the next request and moves the clock to its time, so whole days
//! of recording run in a second, every interleaving repeats from its seed, and a power cut can be put between any two steps.
//! `crash` answers with the disk as the next start would find it after a power cut, `kill` after the death of the process; both
//! leave this disk as it is, so one run can be cut after every single step.
//!
//! It asserts what callers owe the contract (D5, D6): a test that breaks it stops at the line that did.

mod faults;
mod image;
mod queue;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    fmt, io,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

pub use faults::{BadRange, Crash, Fault, Faults, FirstLap, Kind, Latency, Planned};

use crate::{
    base::{Clock, Micros, SimulatedClock, seed::Seed},
    disk::{Disk, DiskError, FileId, Properties, Request, Slab, SlabOptions, folder, name},
};
use image::Image;
use queue::Queue;

/// When requests complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// When the test calls `step` or one of its like.
    Stepped,
    /// Inside `submit`, on the caller's thread, without letting time pass: for code that waits for its own requests, such as
    /// opening a volume. The caller must not hold a lock that `done` takes.
    Immediate,
}

/// How often the disk was asked for what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Reads submitted.
    pub reads: u64,
    /// Writes submitted.
    pub writes: u64,
    /// Syncs submitted.
    pub syncs: u64,
    /// Files created, or tried to.
    pub creates: u64,
    /// Bytes of completed writes.
    pub bytes_written: u64,
    /// Bytes of completed reads.
    pub bytes_read: u64,
    /// Faults that struck.
    pub faults: u64,
}

/// A simulated disk. Clones are the same disk.
#[derive(Clone)]
pub struct SimDisk {
    shared: Arc<Shared>,
}

/// Holds the simulated folder's lock until dropped.
#[derive(Debug)]
pub struct SimLock {
    disk: SimDisk,
}

struct Shared {
    slab: Slab,
    clock: Arc<SimulatedClock>,
    state: Mutex<State>,
}

struct State {
    faults: Faults,
    /// Draws what goes wrong and what remains.
    fate: Seed,
    pace: Pace,
    files: BTreeMap<String, Image>,
    /// The name behind each `FileId`; `None` once removed.
    open: Vec<Option<String>>,
    queue: Queue,
    counters: Counters,
    locked: bool,
    stopped: bool,
}

impl SimDisk {
    /// An empty disk whose chance comes from `seed`.
    pub fn new(
        slab: SlabOptions,
        clock: Arc<SimulatedClock>,
        faults: Faults,
        mut seed: Seed,
    ) -> Self {
        let slab = Slab::new(slab).expect("memory for a simulated slab");
        let queue = Queue::new(seed.split());
        let state = State {
            faults,
            fate: seed,
            pace: Pace::Stepped,
            files: BTreeMap::new(),
            open: Vec::new(),
            queue,
            counters: Counters::default(),
            locked: false,
            stopped: false,
        };
        Self {
            shared: Arc::new(Shared {
                slab,
                clock,
                state: Mutex::new(state),
            }),
        }
    }

    /// When requests complete from now on.
    pub fn set_pace(&self, pace: Pace) {
        self.shared.lock().pace = pace;
    }

    /// Changes what goes wrong from now on.
    pub fn set_faults(&self, change: impl FnOnce(&mut Faults)) {
        change(&mut self.shared.lock().faults);
    }

    /// The clock the disk lives by.
    pub fn clock(&self) -> &Arc<SimulatedClock> {
        &self.shared.clock
    }

    /// How often the disk was asked for what.
    pub fn counters(&self) -> Counters {
        self.shared.lock().counters
    }

    /// Requests submitted and not completed.
    pub fn in_flight(&self) -> usize {
        self.shared.lock().queue.len()
    }

    /// When the next request completes, on the monotonic clock.
    pub fn next_due(&self) -> Option<Micros> {
        self.shared.lock().queue.next_due()
    }

    /// Completes the next request, moving the clock to its time; false when there is none.
    pub fn step(&self) -> bool {
        let Some(due) = self.next_due() else {
            return false;
        };
        let behind = due.0 - self.shared.clock.elapsed().0;
        if behind > 0 {
            self.shared.clock.advance(Micros(behind));
        }
        self.shared.complete_next(due)
    }

    /// Completes what is due up to `time` of the monotonic clock, and moves the clock there.
    pub fn run_until(&self, time: Micros) {
        while self.next_due().is_some_and(|due| due <= time) {
            self.step();
        }
        let behind = time.0 - self.shared.clock.elapsed().0;
        if behind > 0 {
            self.shared.clock.advance(Micros(behind));
        }
    }

    /// Completes everything, also what is submitted by completions.
    pub fn run_idle(&self) {
        while self.step() {}
    }

    /// The disk as the next start finds it after a power cut at this moment. This disk goes on as if nothing had been.
    pub fn crash(&self, seed: &mut Seed) -> Self {
        let state = self.shared.lock();
        let crash = state.faults.crash;
        let mut after = BTreeMap::new();
        for (name, image) in &state.files {
            let in_flight = state.queue.writes(name);
            after.insert(name.clone(), image.after_power_cut(in_flight, crash, seed));
        }
        self.successor(&state, after, seed)
    }

    /// The disk as the next start finds it after the process died at this moment: completed writes are all there though
    /// not yet durable, those in flight went through or did not. This disk goes on as if nothing had been.
    pub fn kill(&self, seed: &mut Seed) -> Self {
        let state = self.shared.lock();
        let mut after = state.files.clone();
        for (name, image) in &mut after {
            for (offset, bytes) in state.queue.writes(name) {
                if seed.chance(0.5) {
                    image.write(offset, bytes, || u8::MAX);
                }
            }
        }
        self.successor(&state, after, seed)
    }

    /// Ends this disk as its process ended: what is pending and whatever comes fails with EIO once it is stepped.
    pub fn stop(&self) {
        self.shared.lock().stopped = true;
    }

    /// Takes the folder's lock, or says that it is taken.
    pub fn lock(&self) -> Result<SimLock, DiskError> {
        let mut state = self.shared.lock();
        if state.locked {
            let source = io::Error::new(
                io::ErrorKind::WouldBlock,
                "the volume is in use by another nvring process",
            );
            return Err(error("lock", name::LOCK, source));
        }
        state.locked = true;
        Ok(SimLock { disk: self.clone() })
    }

    /// Flips `flips` random bits in `range` of a file, durably. Answers how many lay in bytes that were ever written.
    pub fn rot(&self, file: &str, range: std::ops::Range<u64>, flips: u32, seed: &mut Seed) -> u32 {
        let mut state = self.shared.lock();
        let image = state.files.get_mut(file).expect("a file to damage");
        (0..flips)
            .map(|_| {
                let offset = range.start + seed.below(range.end - range.start);
                u32::from(image.flip(offset, seed.below(8) as u32))
            })
            .sum()
    }

    /// Overwrites bytes of a file durably, as a stray program would; any alignment. Makes the file's other writes durable too.
    pub fn poke(&self, file: &str, offset: u64, bytes: &[u8]) {
        let mut state = self.shared.lock();
        let image = state.files.get_mut(file).expect("a file to damage");
        image.poke(offset, bytes);
    }

    /// A disk with the files `after`, the same clock and the same faults, but no fault planned by number.
    fn successor(&self, state: &State, after: BTreeMap<String, Image>, seed: &mut Seed) -> Self {
        let mut faults = state.faults.clone();
        faults.planned.clear();
        let clock = Arc::clone(&self.shared.clock);
        let disk = Self::new(self.shared.slab.options(), clock, faults, seed.split());
        disk.shared.lock().files = after;
        disk
    }

    fn now(&self) -> Micros {
        self.shared.clock.elapsed()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Completes the request that is due first, if it is due by `time`.
    fn complete_next(&self, time: Micros) -> bool {
        let mut state = self.lock();
        let Some(pending) = state.queue.pop_due(time) else {
            return false;
        };
        let Request {
            file,
            operation,
            done,
        } = pending.request;
        let completion = state.perform(file, operation, pending.plan, self.clock.elapsed());
        drop(state);
        done(completion);
        true
    }
}

impl Drop for Shared {
    /// D1 holds to the end: what is still pending fails.
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        while let Some(pending) = state.queue.pop_due(Micros(i64::MAX)) {
            let Request {
                operation, done, ..
            } = pending.request;
            done(operation.complete(Err(eio())));
        }
    }
}

impl State {
    fn check_alive(&self, now: Micros) -> io::Result<()> {
        let dead = self.faults.dead_at.is_some_and(|time| now >= time);
        if dead || self.stopped {
            return Err(eio());
        }
        Ok(())
    }

    fn name_of(&self, file: FileId) -> io::Result<String> {
        let name = self.open.get(file.0 as usize).cloned().flatten();
        name.ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::NotFound,
                "the file was removed or never opened",
            )
        })
    }

    fn open_id(&mut self, name: &str) -> FileId {
        let known = self
            .open
            .iter()
            .position(|open| open.as_deref() == Some(name));
        let index = known.unwrap_or_else(|| {
            self.open.push(Some(name.to_owned()));
            self.open.len() - 1
        });
        FileId(index as u32)
    }

    /// The number of this operation of its kind, and what goes wrong with it.
    fn count(&mut self, kind: Kind) -> Option<Fault> {
        let counter = match kind {
            Kind::Read => &mut self.counters.reads,
            Kind::Write => &mut self.counters.writes,
            Kind::Sync => &mut self.counters.syncs,
            Kind::Create => &mut self.counters.creates,
        };
        *counter += 1;
        let nth = *counter;
        self.faults.decide(kind, nth, &mut self.fate)
    }
}

impl Disk for SimDisk {
    fn create(&self, name: &str, len: u64) -> Result<FileId, DiskError> {
        let mut state = self.shared.lock();
        let fault = state.count(Kind::Create);
        let allocated: u64 = state.files.values().map(Image::len).sum();
        let check = || {
            name::check(name)?;
            state.check_alive(self.now())?;
            if state.files.contains_key(name) {
                return Err(io::Error::from_raw_os_error(libc::EEXIST));
            }
            folder::check_file_len(len)?;
            if fault.is_some() || len > state.faults.space.saturating_sub(allocated) {
                return Err(io::Error::from_raw_os_error(libc::ENOSPC));
            }
            Ok(())
        };
        check().map_err(|source| error("create", name, source))?;
        state.files.insert(name.to_owned(), Image::new(len));
        Ok(state.open_id(name))
    }

    fn open(&self, name: &str) -> Result<(FileId, u64), DiskError> {
        let now = self.now();
        let mut state = self.shared.lock();
        let alive = name::check(name).and_then(|()| state.check_alive(now));
        alive.map_err(|source| error("open", name, source))?;
        let Some(image) = state.files.get_mut(name) else {
            let source = io::Error::from_raw_os_error(libc::ENOENT);
            return Err(error("open", name, source));
        };
        image.sync(u64::MAX);
        let len = image.len();
        Ok((state.open_id(name), len))
    }

    fn list(&self) -> Result<Vec<String>, DiskError> {
        let state = self.shared.lock();
        let alive = state.check_alive(self.now());
        alive.map_err(|source| error("list", "", source))?;
        Ok(state.files.keys().cloned().collect())
    }

    fn remove(&self, name: &str) -> Result<(), DiskError> {
        let mut state = self.shared.lock();
        let check = || {
            name::check(name)?;
            state.check_alive(self.now())?;
            if !state.files.contains_key(name) {
                return Err(io::Error::from_raw_os_error(libc::ENOENT));
            }
            if state.queue.uses(name) {
                return Err(io::Error::from_raw_os_error(libc::EBUSY));
            }
            Ok(())
        };
        check().map_err(|source| error("remove", name, source))?;
        state.files.remove(name);
        for open in &mut state.open {
            open.take_if(|open| open == name);
        }
        Ok(())
    }

    fn submit(&self, request: Request) {
        request.operation.check();
        let mut state = self.shared.lock();
        let now = self.now();
        state.enqueue(request, now);
        let immediate = state.pace == Pace::Immediate;
        drop(state);
        if immediate {
            while self.shared.complete_next(Micros(i64::MAX)) {}
        }
    }

    fn slab(&self) -> &Slab {
        &self.shared.slab
    }

    fn properties(&self) -> Properties {
        Properties {
            engine: "simulated",
            direct: true,
            registered: false,
            notes: Vec::new(),
        }
    }
}

impl Drop for SimLock {
    fn drop(&mut self) {
        self.disk.shared.lock().locked = false;
    }
}

impl fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.shared.lock();
        f.debug_struct("SimDisk")
            .field("files", &state.files.len())
            .field("in_flight", &state.queue.len())
            .field("counters", &state.counters)
            .finish_non_exhaustive()
    }
}

fn eio() -> io::Error {
    io::Error::from_raw_os_error(libc::EIO)
}

fn error(action: &'static str, name: &str, source: io::Error) -> DiskError {
    DiskError {
        action,
        path: PathBuf::from("simulated").join(name),
        source,
    }
}
