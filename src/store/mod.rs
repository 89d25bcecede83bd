//! Volumes: where frames go, how they are found again, and what survives.
//!
//! The line of a frame: `tail` (memory, cut into blocks) → `writer` (batches, syncs) → `batch` (bytes) → disk → `index` (found again) →
//! `reader`. `ring` decides which segment is next; `walk` and `recovery` bring a volume back after a crash. Policy is pure or driven by
//! ticks; threads are only in `pool`.
//!
//! Kept here: L1 bounded loss, L2 nothing false, L3 ring, not delete, L5 one sick part stays one, L6 a failed sync is final, L7 every gap
//! has a cause, L8 bounded memory, L11 start-up does not grow with history, L12 a volume explains itself.

pub mod tail;

pub mod ring;

pub mod forecast;

pub mod batch;

pub mod index;

pub mod writer;

pub mod walk;

pub mod recovery;

pub mod volume;

pub mod volume_error;

pub mod reader;

mod chapter_cache;

pub mod runs;

pub mod days;

pub mod recordings;

pub mod lives;

pub mod metrics;

pub mod memory;

pub mod pool;

pub mod rebuild;

pub mod scrub;

mod remains;

pub(crate) mod io;

pub use crate::format::description::RunDescription;

pub use crate::format::row::{BlockRow, RunId};
