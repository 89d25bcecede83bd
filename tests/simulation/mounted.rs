//! A volume in use: its writer, what the shell does beside it, and a watch over its ring and its index.

use crate::memory::IndexFile;
use nvring::{
    base::{Micros, TimeRange},
    disk::sim::{Pace, SimDisk},
    format::place::Generation,
    store::{
        index::PieceSource,
        ring::SegmentLife,
        volume::{Opened, VolumeShared},
        writer::{Writer, WriterOptions},
    },
};
use std::sync::{Arc, Mutex, PoisonError};

/// A volume in use.
pub(crate) struct Mounted {
    pub(crate) number: usize,
    pub(crate) shared: Arc<VolumeShared>,
    pub(crate) disk: SimDisk,
    pub(crate) index: IndexFile,
    pub(crate) lives: Vec<SegmentLife>,
    pub(crate) writer: Writer,
    seals: Arc<Mutex<Vec<Generation>>>,
    /// The cameras that record here.
    pub(crate) streams: Vec<usize>,
    pub(crate) moved: bool,
    /// Since when the index keeps chapters of a life that is over: until the next one is durable.
    dead_since: Option<Micros>,
}

/// Puts an opened volume to use.
pub(crate) fn mount(
    number: usize,
    opened: Opened,
    disk: SimDisk,
    index: IndexFile,
    options: WriterOptions,
) -> Mounted {
    let shared = Arc::clone(&opened.shared);
    let seals = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&seals);
    let on_seal = Box::new(move |covered| {
        told.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(covered)
    });
    let lives = shared.index().lives().to_vec();
    let writer = opened.into_writer(options, on_seal);
    disk.set_pace(Pace::Stepped);
    Mounted {
        number,
        shared,
        disk,
        index,
        lives,
        writer,
        seals,
        streams: Vec::new(),
        moved: false,
        dead_since: None,
    }
}

impl Mounted {
    /// The life of the newest segment: where what becomes durable lies.
    pub(crate) fn open(&self) -> Generation {
        self.lives
            .iter()
            .map(|life| life.generation)
            .max()
            .unwrap_or_default()
    }

    /// Makes the index durable up to the newest sealed segment, unless the shell is `late`.
    pub(crate) fn checkpoint(&mut self, late: bool) {
        if late {
            return;
        }
        let newest = self
            .seals
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .drain(..)
            .next_back();
        if let Some(covered) = newest {
            self.shared
                .checkpoint(covered)
                .expect("memory takes everything");
        }
    }

    /// The ring takes the oldest segment, in a life newer than all.
    pub(crate) fn watch_ring(&mut self) {
        let lives = self.shared.index().lives().to_vec();
        let newest = self.open();
        // One that could not be opened was left out on the way.
        let both = self.lives.iter().zip(&lives);
        let oldest = both
            .filter(|(old, new)| {
                !(old.quarantined || new.quarantined && new.generation == old.generation)
            })
            .map(|(old, _)| old.generation)
            .min();
        let changed: Vec<_> = lives
            .iter()
            .zip(&self.lives)
            .filter(|(new, old)| new.generation != old.generation)
            .collect();
        assert!(changed.len() <= 1, "one segment is taken at a time");
        for (new, old) in changed {
            assert!(
                new.generation > newest,
                "a generation is newer than all: {} after {newest}",
                new.generation
            );
            assert_eq!(
                Some(old.generation),
                oldest,
                "the oldest segment goes first"
            );
            assert!(!old.quarantined, "a segment that failed is not taken");
        }
        for (new, old) in lives.iter().zip(&self.lives) {
            let fails = self.shared.metrics.failures.get() > 0;
            assert!(
                new.quarantined == old.quarantined || (new.quarantined && fails),
                "only failures quarantine"
            );
        }
        self.lives = lives;
    }

    /// Chapter records in use are those of live chapters: the index does not grow with what the ring took.
    pub(crate) fn watch_index(&mut self, now: Micros) {
        let index = self.shared.index();
        let mut listed = 0;
        for (stream, _) in index.streams() {
            let pieces = index.pieces(stream, TimeRange::ALL);
            listed += pieces
                .iter()
                .filter(|piece| matches!(piece.source, PieceSource::Chapter(_)))
                .count();
        }
        if index.usage().0 as usize == listed {
            self.dead_since = None;
            return;
        }
        let since = *self.dead_since.get_or_insert(now);
        assert!(
            now - since < Micros::from_secs(1),
            "L8: {} chapter records are in use for {listed} chapters",
            index.usage().0
        );
    }
}
