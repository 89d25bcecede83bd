//! What must be remembered of lists that change, so that each state of one goes on where the one before ended: the live lists by stream,
//! and those of ranges whose end is to come. Nothing is written down: `live_window` and `growing_list` say what that means for a restart.

use crate::{
    base::{TimeRange, UnixMicros},
    media::StreamId,
    playback::{
        growing_list::{GrowingList, Grown},
        live_window::LiveWindow,
    },
};
use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

/// Most ranges that are remembered, each with 40 KiB at most: those asked for last.
const RANGES_MAX: usize = 256;

/// A range of a stream.
type Key = (StreamId, TimeRange);

/// The lists that change.
#[derive(Debug, Default)]
pub struct ListMemory {
    live: Mutex<HashMap<StreamId, LiveWindow>>,
    growing: Mutex<HashMap<Key, Remembered>>,
}

#[derive(Debug)]
struct Remembered {
    list: GrowingList,
    asked: UnixMicros,
}

impl ListMemory {
    /// Works on the live list of a stream.
    pub(super) fn live<T>(&self, stream: StreamId, work: impl FnOnce(&mut LiveWindow) -> T) -> T {
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        work(live.entry(stream).or_default())
    }

    /// Whether the list of a range has begun.
    pub(super) fn knows(&self, key: Key) -> bool {
        let growing = self.growing.lock().unwrap_or_else(PoisonError::into_inner);
        growing
            .get(&key)
            .is_some_and(|known| known.list.has_begun())
    }

    /// Works on the list of a range.
    pub(super) fn grow(
        &self,
        key: Key,
        now: UnixMicros,
        work: impl FnOnce(&mut GrowingList) -> Grown,
    ) -> Grown {
        let mut growing = self.growing.lock().unwrap_or_else(PoisonError::into_inner);
        if !growing.contains_key(&key) && growing.len() >= RANGES_MAX {
            let oldest = growing.iter().min_by_key(|(_, known)| known.asked);
            if let Some(oldest) = oldest.map(|(key, _)| *key) {
                growing.remove(&oldest);
            }
        }
        let known = growing.entry(key).or_insert_with(|| Remembered {
            list: GrowingList::default(),
            asked: now,
        });
        known.asked = now;
        work(&mut known.list)
    }
}
