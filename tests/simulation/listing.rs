//! All that volumes list and serve: every block of every stream, read through the engine's own readers.

use crate::model::Home;
use bytes::Bytes;
use futures_util::FutureExt;
use nvring::{
    base::{TimeRange, UnixMicros},
    media::{FrameEntry, StreamId},
    store::{
        reader::ReadError,
        recordings::{RecordedBlock, Recordings},
        runs::Timeline,
        volume::VolumeShared,
    },
};
use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::Arc,
};

/// A block as served.
#[derive(Clone, Debug)]
pub(crate) struct SeenBlock {
    pub(crate) first: UnixMicros,
    pub(crate) end: UnixMicros,
    pub(crate) frames: Vec<(FrameEntry, Bytes)>,
    /// Where its copies lie.
    pub(crate) homes: Vec<Home>,
}

/// Everything listed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Listing {
    pub(crate) blocks: BTreeMap<(StreamId, UnixMicros, u32), SeenBlock>,
    pub(crate) timelines: BTreeMap<StreamId, Timeline>,
    /// Reads that were refused.
    pub(crate) errors: Vec<String>,
}

impl Listing {
    /// Whether two listings say and serve the same.
    pub(crate) fn assert_same(&self, other: &Self, what: &str) {
        let keys = |listing: &Self| listing.blocks.keys().copied().collect::<Vec<_>>();
        assert_eq!(keys(self), keys(other), "blocks listed: {what}");
        for (key, block) in &self.blocks {
            let same = &other.blocks[key];
            assert_eq!(
                (block.first, block.end),
                (same.first, same.end),
                "times of {key:?}: {what}"
            );
            assert!(block.frames == same.frames, "frames of {key:?}: {what}");
        }
        assert_eq!(self.timelines, other.timelines, "timelines: {what}");
    }

    /// Notes a block that was read.
    fn add(&mut self, block: &RecordedBlock, volume: usize, frames: Vec<(FrameEntry, Bytes)>) {
        let home = (volume, block.row.place.generation);
        let key = (block.run.stream, block.run.run, block.row.number);
        match self.blocks.entry(key) {
            Entry::Vacant(entry) => drop(entry.insert(SeenBlock {
                first: block.row.first,
                end: block.row.end,
                frames,
                homes: vec![home],
            })),
            Entry::Occupied(mut entry) => {
                let seen = entry.get_mut();
                assert!(seen.frames == frames, "two copies of block {key:?} differ");
                seen.homes.push(home);
            }
        }
    }
}

/// Lists `volumes`, which are given with their numbers and complete what is asked of them at once.
pub(crate) fn list(volumes: &[(usize, Arc<VolumeShared>)]) -> Listing {
    let mut listing = Listing::default();
    for (number, volume) in volumes {
        let recordings = Recordings::new(vec![Arc::clone(volume)]);
        for recorded in recordings.streams() {
            list_stream(&recordings, recorded.stream, *number, &mut listing);
        }
    }
    let all = Recordings::new(
        volumes
            .iter()
            .map(|(_, volume)| Arc::clone(volume))
            .collect(),
    );
    for recorded in all.streams() {
        match now(all.timeline(recorded.stream, TimeRange::ALL)) {
            Ok(timeline) => drop(listing.timelines.insert(recorded.stream, timeline)),
            Err(error) => listing.errors.push(error.to_string()),
        }
    }
    listing
}

fn list_stream(recordings: &Recordings, stream: StreamId, volume: usize, listing: &mut Listing) {
    let pieces = match now(recordings.blocks(stream, TimeRange::ALL)) {
        Ok(pieces) => pieces,
        Err(error) => return listing.errors.push(error.to_string()),
    };
    for block in pieces.iter().flat_map(|piece| &piece.blocks) {
        match now(block.read()) {
            Ok(bytes) => {
                let frames = bytes.frames.iter().enumerate();
                let frames = frames
                    .map(|(index, entry)| (*entry, bytes.frame(index)))
                    .collect();
                listing.add(block, volume, frames);
            }
            Err(error) => {
                assert!(
                    !error.is_overwritten(),
                    "what is listed is not overwritten: {error}"
                );
                listing.errors.push(error.to_string());
            }
        }
    }
}

/// The outcome of a read that does not wait.
fn now<T>(read: impl Future<Output = Result<T, ReadError>>) -> Result<T, ReadError> {
    read.now_or_never().expect("a disk that completes at once")
}
