//! All that volumes list and serve: every block of every stream, read through the engine's own readers.

use crate::model::Home;
use bytes::Bytes;
use nvring::{
    base::{Micros, TimeRange, UnixMicros, seed::Seed},
    media::{FrameEntry, StreamId},
    store::{
        reader::ReadError,
        recordings::{RecordedBlock, Recordings},
        runs::{Span, Timeline},
        volume::VolumeShared,
    },
};
use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::Arc,
    task::{Context, Poll, Waker},
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
        let home = (volume, block.place().expect("it is on a volume").generation);
        let key = (block.run.stream, block.run.run, block.number());
        match self.blocks.entry(key) {
            Entry::Vacant(entry) => drop(entry.insert(SeenBlock {
                first: block.first(),
                end: block.end(),
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
            Ok(timeline) => {
                check_ranges(&all, recorded.stream, timeline.runs.len() as u64);
                listing.timelines.insert(recorded.stream, timeline);
            }
            Err(error) => listing.errors.push(error.to_string()),
        }
    }
    listing
}

/// The timeline of a short range is a piece of the long one, though few chapters are looked at for it; and bounds are those of all pieces.
fn check_ranges(all: &Recordings, stream: StreamId, seed: u64) {
    let listed = all.listed(stream, TimeRange::ALL);
    let spans = listed
        .iter()
        .map(|piece| (piece.stretch.first, piece.stretch.end));
    let spans = spans.reduce(|all, one| (all.0.min(one.0), all.1.max(one.1)));
    assert_eq!(all.bounds(stream), spans, "bounds of {stream}");
    let Some((first, end)) = spans else { return };
    let wide = TimeRange {
        start: first - Micros::from_secs(2),
        end: end + Micros::from_secs(2),
    };
    let Ok(whole) = now(all.timeline(stream, wide)) else {
        return;
    };
    let mut random = Seed::new(seed);
    let length = wide.duration().0 as u64;
    for _ in 0..4 {
        let start = wide.start + Micros(random.below(length) as i64);
        let longest = if random.chance(0.5) { 300_000 } else { length };
        let end = start + Micros(1 + random.below(longest) as i64);
        let range = TimeRange {
            start,
            end: end.min(wide.end),
        };
        let part = now(all.timeline(stream, range)).expect("it was read before");
        let clamp = |time: UnixMicros| time.clamp(range.start, range.end);
        let runs = whole.runs.iter();
        let mut runs: Vec<Span> = runs
            .map(|run| Span::new(clamp(run.start), clamp(run.end)))
            .collect();
        runs.retain(|run| run.start < run.end);
        assert_eq!(part.runs, runs, "runs of {stream} in {range:?}");
        let mut gaps = whole.gaps.clone();
        for gap in &mut gaps {
            (gap.start, gap.end) = (clamp(gap.start), clamp(gap.end));
        }
        gaps.retain(|gap| gap.start < gap.end);
        assert_eq!(part.gaps, gaps, "gaps of {stream} in {range:?}");
    }
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

/// More often no read steps aside for others.
const TURNS_MAX: usize = 1_000_000;

/// The outcome of a read that waits for no disk; it may step aside for others.
fn now<T>(read: impl Future<Output = Result<T, ReadError>>) -> Result<T, ReadError> {
    let mut read = std::pin::pin!(read);
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..TURNS_MAX {
        if let Poll::Ready(outcome) = read.as_mut().poll(&mut context) {
            return outcome;
        }
    }
    panic!("a disk that completes at once");
}
