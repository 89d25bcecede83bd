//! The memory of an index as a mapped file behaves: what the engine sees, what the last flush made durable, and what a crash leaves of
//! the difference, page cache written back or not, 512 bytes at a time.

use nvring::{
    base::seed::Seed,
    store::index::{Flusher, IndexMemory},
};
use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

const PAGE: usize = 4096;
const SECTOR: usize = 512;

/// What the next start finds of the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Remains {
    /// Everything: the process died, the machine did not.
    Current,
    /// What the last flush wrote.
    Stale,
    /// The last flush and some sectors of what changed since.
    Torn,
    /// The file is gone.
    Lost,
}

impl Remains {
    pub(crate) const ALL: [Self; 4] = [Self::Current, Self::Stale, Self::Torn, Self::Lost];
}

/// The harness's view of one index memory.
#[derive(Clone, Debug, Default)]
pub(crate) struct IndexFile {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    durable: Vec<u8>,
    /// Pages that differ from `durable`, as of the last look.
    changed: Vec<(usize, Vec<u8>)>,
    len: usize,
}

/// The engine's side of it.
#[derive(Debug)]
pub(crate) struct SimulatedMemory {
    live: Vec<u8>,
    file: IndexFile,
}

impl IndexFile {
    /// A file that holds `bytes`, all durable.
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        let state = State {
            len: bytes.len(),
            durable: bytes,
            changed: Vec::new(),
        };
        Self {
            state: Arc::new(Mutex::new(state)),
        }
    }

    /// The memory of an engine that maps this file, at least `len` bytes long.
    pub(crate) fn map(&self, len: usize) -> SimulatedMemory {
        let mut state = self.lock();
        let len = len.max(state.durable.len());
        state.durable.resize(len, 0);
        state.len = len;
        SimulatedMemory {
            live: state.durable.clone(),
            file: self.clone(),
        }
    }

    /// What a start finds after a crash at the moment of the last look (`IndexMemory::flusher`).
    pub(crate) fn remains(&self, remains: Remains, seed: &mut Seed) -> Self {
        let state = self.lock();
        let mut bytes = state.durable.clone();
        match remains {
            Remains::Lost => return Self::default(),
            Remains::Stale => return Self::new(bytes),
            Remains::Current | Remains::Torn => bytes.resize(state.len, 0),
        }
        for (page, changed) in &state.changed {
            let target = &mut bytes[page * PAGE..page * PAGE + changed.len()];
            for (to, from) in target.chunks_mut(SECTOR).zip(changed.chunks(SECTOR)) {
                if remains == Remains::Current || seed.chance(0.5) {
                    to.copy_from_slice(from);
                }
            }
        }
        Self::new(bytes)
    }

    /// Whether no checkpoint was ever written.
    pub(crate) fn is_blank(&self) -> bool {
        self.lock()
            .durable
            .iter()
            .take(2 * PAGE)
            .all(|byte| *byte == 0)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl IndexMemory for SimulatedMemory {
    fn bytes(&self) -> &[u8] {
        &self.live
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.live
    }

    /// Looks at what changed. What is made durable is what was there at this moment.
    fn flusher(&self) -> Flusher {
        let mut state = self.file.lock();
        state.len = self.live.len();
        let durable = &state.durable;
        let changed: Vec<(usize, Vec<u8>)> = self
            .live
            .chunks(PAGE)
            .enumerate()
            .filter(|(page, bytes)| {
                durable.get(page * PAGE..page * PAGE + bytes.len()) != Some(bytes)
            })
            .map(|(page, bytes)| (page, bytes.to_vec()))
            .collect();
        state.changed = changed.clone();
        let (file, len) = (self.file.clone(), self.live.len());
        Box::new(move || {
            let mut state = file.lock();
            let len = len.max(state.durable.len());
            state.durable.resize(len, 0);
            for (page, bytes) in &changed {
                state.durable[page * PAGE..page * PAGE + bytes.len()].copy_from_slice(bytes);
            }
            Ok(())
        })
    }

    fn grow(&mut self, len: usize) -> io::Result<()> {
        self.live.resize(len, 0);
        Ok(())
    }
}
