//! What must be true: every frame that was pushed, when, and where it is known to be durable.

use crate::listing::{Listing, SeenBlock};
use bytes::Bytes;
use nvring::{
    base::{Micros, UnixMicros},
    format::place::Generation,
    media::{Frame, FrameKind, StreamId, TrackId},
    store::tail::TailCounters,
};
use std::collections::{BTreeMap, HashMap, VecDeque};

/// Where a frame is durable: volume and life of a segment.
pub(crate) type Home = (usize, Generation);

/// A frame that the engine took.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) run: UnixMicros,
    pub(crate) kind: FrameKind,
    pub(crate) time: UnixMicros,
    pub(crate) bytes: Bytes,
    pub(crate) arrived: Micros,
    pub(crate) homes: Vec<Home>,
}

/// What is known of one stream.
#[derive(Clone, Debug, Default)]
pub(crate) struct StreamModel {
    pub(crate) frames: Vec<Known>,
    keys: HashMap<(UnixMicros, TrackId, UnixMicros), usize>,
    /// Frames of this session that are not durable, oldest first.
    pub(crate) pending: VecDeque<usize>,
    durable_bytes: u64,
}

/// All streams.
#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    pub(crate) streams: BTreeMap<StreamId, StreamModel>,
}

impl StreamModel {
    /// A frame that was taken into `run`.
    pub(crate) fn push(&mut self, run: UnixMicros, frame: &Frame, arrived: Micros) {
        let index = self.frames.len();
        let before = self.keys.insert((run, frame.track, frame.time), index);
        assert!(
            before.is_none(),
            "the harness gives each frame of a run a time of its own"
        );
        self.frames.push(Known {
            run,
            kind: frame.kind,
            time: frame.time,
            bytes: frame.data.to_bytes(),
            arrived,
            homes: Vec::new(),
        });
        self.pending.push_back(index);
    }

    /// What the tail says is durable is so, in the segment that is open now.
    pub(crate) fn durable(&mut self, counters: &TailCounters, home: Home) {
        let bytes = counters.bytes - counters.held;
        while let Some(index) = self.pending.front().copied() {
            let frame = &mut self.frames[index];
            let len = frame.bytes.len() as u64;
            if self.durable_bytes + len > bytes {
                break;
            }
            self.durable_bytes += len;
            frame.homes.push(home);
            self.pending.pop_front();
        }
        assert_eq!(
            self.durable_bytes, bytes,
            "whole frames become durable, oldest first"
        );
        let Some(watermark) = counters.durable else {
            return;
        };
        for index in &self.pending {
            let frame = &self.frames[*index];
            assert!(
                frame.time >= watermark,
                "the durable watermark {watermark:?} covers a frame of {:?} that is not durable",
                frame.time
            );
        }
    }

    /// The process ended: what was in memory only is gone.
    pub(crate) fn end_session(&mut self) {
        self.pending.clear();
        self.durable_bytes = 0;
    }

    /// The frames of a block as numbers in `frames`, in the order in which they came. Panics when one was never pushed so.
    pub(crate) fn frames_of(&self, run: UnixMicros, block: &SeenBlock) -> Vec<usize> {
        let mut numbers: Vec<usize> = block
            .frames
            .iter()
            .map(|(entry, bytes)| {
                let key = (run, entry.track, entry.time);
                let number = self.keys.get(&key).copied();
                let number = number.unwrap_or_else(|| {
                    panic!("a frame is listed that was never pushed: {entry:?}")
                });
                let frame = &self.frames[number];
                assert_eq!(entry.kind, frame.kind, "the kind of {entry:?}");
                assert!(
                    *bytes == frame.bytes,
                    "other bytes are served for {entry:?}"
                );
                number
            })
            .collect();
        numbers.sort_unstable();
        numbers
    }
}

impl Model {
    /// Nothing false is listed, everything listed hangs together, and each frame that `must` names is there. Gives the places in
    /// which frames were found.
    pub(crate) fn check(
        &self,
        listing: &Listing,
        must: &mut dyn FnMut(StreamId, &Known) -> Option<String>,
    ) {
        let mut found: HashMap<StreamId, Vec<bool>> = HashMap::new();
        let mut before: Option<(StreamId, UnixMicros, u32, usize)> = None;
        for ((stream, run, number), block) in &listing.blocks {
            let model = &self.streams[stream];
            let numbers = model.frames_of(*run, block);
            let (Some(first), Some(last)) = (numbers.first(), numbers.last()) else {
                panic!("an empty block is listed: {run:?} {number}");
            };
            assert_eq!(
                last - first + 1,
                numbers.len(),
                "a block holds the frames of a stretch, each once"
            );
            if let Some((_, _, _, end)) = before
                .filter(|before| (before.0, before.1, before.2 + 1) == (*stream, *run, *number))
            {
                assert_eq!(
                    *first,
                    end,
                    "no frame is missing between blocks {} and {number} of a run",
                    number - 1
                );
            }
            let earliest = block.frames.iter().map(|(entry, _)| entry.time).min();
            let latest = block.frames.iter().map(|(entry, _)| entry.time).max();
            assert_eq!(earliest, Some(block.first), "the first time of a block");
            assert!(latest < Some(block.end), "the end of a block");
            before = Some((*stream, *run, *number, last + 1));
            let seen = found
                .entry(*stream)
                .or_insert_with(|| vec![false; model.frames.len()]);
            numbers.iter().for_each(|number| seen[*number] = true);
        }
        for (stream, model) in &self.streams {
            let seen = found.get(stream);
            for (number, frame) in model.frames.iter().enumerate() {
                if seen.is_some_and(|seen| seen[number]) {
                    continue;
                }
                if let Some(why) = must(*stream, frame) {
                    panic!(
                        "frame {number} of {stream} (run {:?}, time {:?}, arrived {:?}, homes {:?}) is lost: {why}",
                        frame.run, frame.time, frame.arrived, frame.homes
                    );
                }
            }
        }
    }

    /// After a restart: what was found is durable where it was found, what was not is gone for good.
    pub(crate) fn settle(
        &mut self,
        listing: &Listing,
        trusted: &dyn Fn(Home) -> bool,
        live: &dyn Fn(Home) -> bool,
    ) {
        for model in self.streams.values_mut() {
            model.end_session();
            for frame in &mut model.frames {
                frame.homes.retain(|home| live(*home));
            }
        }
        for ((stream, run, _), block) in &listing.blocks {
            let Some(model) = self.streams.get_mut(stream) else {
                continue;
            };
            for number in model.frames_of(*run, block) {
                let new: Vec<Home> = block
                    .homes
                    .iter()
                    .copied()
                    .filter(|home| trusted(*home))
                    .collect();
                let homes = &mut model.frames[number].homes;
                homes.extend(new);
                homes.sort_unstable();
                homes.dedup();
            }
        }
    }
}
