//! Parts: how a run is cut for HLS. Their names and bytes follow from the recording alone, never from who asks or when.
//!
//! The wall clock has a grid line every two seconds. A part begins at the first key frame at or after each line (the first part of a
//! run at its first key frame) and ends where the next begins or the run ends; it holds every frame that is stored between. So any two
//! lists name the same parts, caches work, and a part that has ended never changes (decision 13).
//!
//! Whoever reads from the middle of a run cannot know whether the first key frame it sees is the first after a line: `PartScan` waits
//! for the next line. The same holds where the ring has taken the beginning of a run. Pure: sees frame tables, never video.
//!
//! Kept: (P1) a part is listed only when nothing can be added to it; (P2) what is listed has all that its decode times are made from.

use super::{
    fragment::{Fragment, FragmentBuilder},
    fragment_tracks::FragmentTracks,
    recent_times::RecentTimes,
};
use crate::{
    base::{Micros, UnixMicros},
    media::{FrameEntry, FrameKind},
};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

/// The distance of grid lines.
pub const GRID: Micros = Micros::from_secs(2);

/// Longest part: where a camera sends no key frame for so long, what follows up to the next one is in no part.
pub const PART_SPAN_MAX: Micros = Micros::from_secs(1800);
/// Most bytes of frames in a part: offsets of a fragment have 31 bits.
pub const PART_LEN_MAX: u64 = 1 << 30;
/// Most frames in a part: bounds its head to a few megabytes.
pub const PART_FRAMES_MAX: u32 = 1 << 18;

/// Bytes of the head of a fragment for each frame, and for each part: for bit rates, which count them.
const HEAD_PER_FRAME: u64 = 16;
const HEAD_PER_PART: u64 = 200;

/// Where a frame stands in its run: orders frames as they are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RunPlace {
    /// Number of its block in the run.
    pub block: u32,
    /// Its number in the block.
    pub ordinal: u32,
}

/// A part of a run, whole and unchanging.
#[derive(Clone, Debug)]
pub struct Part {
    /// The run it is of, by its start.
    pub run: UnixMicros,
    /// The tracks of the run.
    pub tracks: Arc<FragmentTracks>,
    /// When its first picture is shown: with the run, its name.
    pub start: UnixMicros,
    /// When the first picture of the next part is shown, or its last one ends.
    pub end: UnixMicros,
    /// When its own last picture ends: pictures that are shown before `end` but stored behind the next key frame are in the next part.
    pub own_end: UnixMicros,
    /// Its first frame.
    pub first: RunPlace,
    /// The frame behind its last.
    pub behind: RunPlace,
    /// The key frame from which on its decode times are counted.
    pub context: RunPlace,
    /// Bytes, those of its head estimated.
    pub len: u64,
    /// The same of its key frame alone.
    pub key_len: u64,
    /// Pictures, or packets of sound where there are none.
    pub frames: u32,
    /// Whether it goes on where the part before it ended.
    pub follows: bool,
    /// Whether it has pictures that need the part before it.
    pub leans_back: bool,
    /// Whether such pictures are left out, because there is nothing before them.
    orphans: bool,
}

impl Part {
    /// How long it is shown, where the next part follows.
    pub fn duration(&self) -> Micros {
        self.end.since(self.start)
    }

    /// The number of its fragment: rises within the run.
    fn sequence(&self) -> u32 {
        let lines = self.start.since(self.run).0 / GRID.0;
        u32::try_from(lines).unwrap_or(0).saturating_add(1)
    }
}

#[cfg(test)]
impl Part {
    /// A part of the run `run` from `start` to `end`.
    pub(super) fn sample(tracks: &Arc<FragmentTracks>, run: i64, start: i64, end: i64) -> Self {
        let place = RunPlace {
            block: 0,
            ordinal: 0,
        };
        Self {
            run: UnixMicros(run),
            tracks: Arc::clone(tracks),
            start: UnixMicros(start),
            end: UnixMicros(end),
            own_end: UnixMicros(end),
            first: place,
            behind: place,
            context: place,
            len: 1000,
            key_len: 500,
            frames: 50,
            follows: start != run,
            leans_back: false,
            orphans: false,
        }
    }
}

/// Between which two grid lines a time lies.
fn cell(time: UnixMicros) -> i64 {
    time.0.div_euclid(GRID.0)
}

/// Finds the parts in the frame tables of blocks.
#[derive(Debug, Default)]
pub struct PartScan {
    runs: BTreeMap<UnixMicros, RunScan>,
    parts: Vec<Part>,
}

impl PartScan {
    /// Takes the frames of block `number` of `run`. Blocks of a run come by rising number; one that was taken already is left out.
    pub fn block(
        &mut self,
        run: UnixMicros,
        tracks: &Arc<FragmentTracks>,
        number: u32,
        frames: &[FrameEntry],
    ) {
        let scan = self.runs.entry(run).or_insert_with(|| RunScan {
            run,
            tracks: Arc::clone(tracks),
            next: number,
            stretch: Stretch::new(number == 0),
        });
        if number < scan.next {
            return;
        }
        if number > scan.next {
            // Blocks were lost: nothing is decoded across the loss.
            let lost = std::mem::replace(&mut scan.stretch, Stretch::new(true));
            self.parts.extend(lost.end(scan.behind()));
        }
        scan.next = number.saturating_add(1);
        for (ordinal, frame) in (0..).zip(frames).filter(|(_, frame)| frame.size > 0) {
            let place = RunPlace {
                block: number,
                ordinal,
            };
            self.parts.extend(scan.frame(place, frame));
        }
    }

    /// Whether a part is known that begins at or before `time`: what is found later on is then all there is.
    pub fn knows(&self, time: UnixMicros) -> bool {
        self.parts
            .iter()
            .chain(self.open())
            .any(|part| part.start <= time)
    }

    /// Whether a part that begins before `time` has no end yet.
    pub fn grows_before(&self, time: UnixMicros) -> bool {
        self.open().any(|part| part.start < time)
    }

    /// Whether a part that begins at `time` has no end yet.
    pub fn opens(&self, time: UnixMicros) -> bool {
        self.open().any(|part| part.start == time)
    }

    fn open(&self) -> impl Iterator<Item = &Part> {
        let open = self
            .runs
            .values()
            .filter_map(|scan| scan.stretch.open.as_ref());
        open.filter(|open| open.listed).map(|open| &open.part)
    }

    /// All parts, by run and time. Of the last part of each run `is_over` says whether nothing more comes; else it is left out.
    pub fn finish(mut self, mut is_over: impl FnMut(&Part) -> bool) -> Vec<Part> {
        for scan in self.runs.into_values() {
            let behind = scan.behind();
            let last = scan.stretch.end(behind);
            self.parts.extend(last.filter(|part| is_over(part)));
        }
        self.parts.sort_by_key(|part| (part.run, part.start));
        self.parts
    }
}

#[derive(Debug)]
struct RunScan {
    run: UnixMicros,
    tracks: Arc<FragmentTracks>,
    next: u32,
    stretch: Stretch,
}

/// Blocks of a run without a hole.
#[derive(Debug)]
struct Stretch {
    /// Whether it is known from its beginning.
    whole: bool,
    /// A part begins in a later cell of the grid only.
    after: Option<i64>,
    open: Option<Open>,
    /// The newest beginnings, with the pictures counted before each: what decode times can be made from.
    begun: VecDeque<(RunPlace, u64)>,
    pictures: u64,
    /// Whether the pictures that come need some from before the stretch.
    orphans: bool,
    /// Whether pictures are shown before a key frame that they are stored behind.
    opens_groups: bool,
}

/// A part that still grows.
#[derive(Debug)]
struct Open {
    part: Part,
    /// Whether it can be listed (P2).
    listed: bool,
    times: RecentTimes,
    last: UnixMicros,
    items: u32,
}

impl RunScan {
    /// The place behind all that was taken.
    fn behind(&self) -> RunPlace {
        RunPlace {
            block: self.next,
            ordinal: 0,
        }
    }

    /// Takes the next frame; gives the part that ends with it.
    fn frame(&mut self, place: RunPlace, frame: &FrameEntry) -> Option<Part> {
        let main = frame.track == self.tracks.main();
        let key = main && frame.kind == FrameKind::Key;
        let mut ended = None;
        let stretch = &mut self.stretch;
        if main && stretch.after.is_none() && !stretch.whole {
            stretch.after = Some(cell(frame.time));
        }
        if key && stretch.after.is_none_or(|after| cell(frame.time) > after) {
            ended = self.begin(place, frame);
        } else if key {
            stretch.orphans = false;
        }
        let stretch = &mut self.stretch;
        stretch.pictures += u64::from(main);
        stretch.opens_groups |= main && frame.kind == FrameKind::Leading;
        let over = |open: &Open| {
            open.part.len > PART_LEN_MAX
                || open.items >= PART_FRAMES_MAX
                || frame.time.since(open.part.start) > PART_SPAN_MAX
        };
        if let Some(open) = stretch.open.take_if(|open| over(open)) {
            return open.end(place);
        }
        let orphan = stretch.orphans && frame.kind == FrameKind::Leading;
        if let Some(open) = &mut stretch.open
            && self.tracks.holds(frame.track)
            && !orphan
        {
            open.add(frame, main);
        }
        ended
    }

    /// Begins a part at a key frame; gives the one before.
    fn begin(&mut self, place: RunPlace, frame: &FrameEntry) -> Option<Part> {
        let stretch = &mut self.stretch;
        let first = stretch.begun.is_empty() && stretch.whole;
        let depth = self.tracks.depth() as u64;
        let context = match depth {
            0 => Some(place),
            _ if first => Some(place),
            _ => stretch.context(depth),
        };
        stretch.begun.push_back((place, stretch.pictures));
        stretch.after = Some(cell(frame.time));
        stretch.orphans = first;
        let before = stretch.open.take();
        let part = Part {
            run: self.run,
            tracks: Arc::clone(&self.tracks),
            start: frame.time,
            end: frame.time,
            own_end: frame.time,
            first: place,
            behind: place,
            context: context.unwrap_or(place),
            len: HEAD_PER_PART,
            key_len: u64::from(frame.size) + HEAD_PER_PART + HEAD_PER_FRAME,
            frames: 0,
            follows: before.is_some(),
            leans_back: false,
            orphans: first,
        };
        stretch.open = Some(Open {
            part,
            listed: context.is_some(),
            times: RecentTimes::default(),
            last: frame.time,
            items: 0,
        });
        let before = before?;
        let own_end = match stretch.opens_groups {
            true => before.last_end(),
            false => frame.time,
        };
        before.end_at(place, frame.time, own_end)
    }
}

impl Stretch {
    fn new(whole: bool) -> Self {
        Self {
            whole,
            after: None,
            open: None,
            begun: VecDeque::new(),
            pictures: 0,
            orphans: false,
            opens_groups: false,
        }
    }

    /// The newest beginning with at least `depth` pictures behind it, else that of the stretch.
    fn context(&mut self, depth: u64) -> Option<RunPlace> {
        let enough = |(_, before): &(RunPlace, u64)| self.pictures - before >= depth;
        match self.begun.iter().rposition(enough) {
            Some(newest) => {
                self.begun.drain(..newest);
                self.begun.front().map(|(place, _)| *place)
            }
            None if self.whole => self.begun.front().map(|(place, _)| *place),
            None => None,
        }
    }

    /// Nothing follows: the part that is open ends.
    fn end(self, behind: RunPlace) -> Option<Part> {
        self.open?.end(behind)
    }
}

impl Open {
    fn add(&mut self, frame: &FrameEntry, main: bool) {
        self.items += 1;
        self.part.len += u64::from(frame.size) + HEAD_PER_FRAME;
        if main {
            self.part.frames += 1;
            self.part.leans_back |= frame.kind == FrameKind::Leading;
            self.last = self.last.max(frame.time);
            self.times.push(frame.time);
        }
    }

    /// Ends where its last frame does.
    fn end(self, behind: RunPlace) -> Option<Part> {
        let end = self.last_end();
        self.end_at(behind, end, end)
    }

    /// When its last picture so far ends.
    fn last_end(&self) -> UnixMicros {
        self.last + Micros(self.times.interval_us())
    }

    fn end_at(self, behind: RunPlace, end: UnixMicros, own_end: UnixMicros) -> Option<Part> {
        let part = Part {
            behind,
            end,
            own_end: own_end.min(end),
            ..self.part
        };
        self.listed.then_some(part)
    }
}

/// A part that is known, but not yet read.
#[derive(Debug)]
pub struct PartFragment {
    /// Its bytes in outline.
    pub fragment: Fragment,
    /// The number in the run of the block that each chunk comes from.
    pub blocks: Vec<u32>,
}

impl Part {
    /// The part, from the frame tables of the blocks from its context to the one behind its last frame, by rising number.
    pub fn fragment(
        &self,
        tables: impl IntoIterator<Item = (u32, Vec<FrameEntry>)>,
    ) -> PartFragment {
        let tracks = &*self.tracks;
        let mut builder = FragmentBuilder::new(tracks);
        let mut blocks = Vec::new();
        let mut clock = None;
        let mut orphans = self.orphans;
        let mut next = None;
        'all: for (block, frames) in tables {
            let frames = (0..).zip(&frames).filter(|(_, frame)| frame.size > 0);
            for (ordinal, frame) in frames {
                let place = RunPlace { block, ordinal };
                let picture = frame.track == tracks.main() && tracks.size().is_some();
                let key = picture && frame.kind == FrameKind::Key;
                if place < self.context {
                    continue;
                }
                let decode = picture.then(|| {
                    let clock = clock.get_or_insert_with(|| tracks.decode_clock(frame.time));
                    clock.next(tracks.media_time(frame.time))
                });
                if place >= self.behind {
                    next = decode.filter(|_| key);
                    break 'all;
                }
                orphans &= !(key && place > self.first);
                let orphan = orphans && frame.kind == FrameKind::Leading;
                if place < self.first || orphan {
                    continue;
                }
                if blocks.last() != Some(&block) {
                    blocks.push(block);
                    builder.start_chunk();
                }
                builder.push(ordinal, frame, decode);
            }
        }
        PartFragment {
            fragment: builder.finish(self.sequence(), next),
            blocks,
        }
    }

    /// Its key frame alone, shown as long as the whole part, from the frame table of the block it is in.
    pub fn key_fragment(&self, frames: &[FrameEntry]) -> PartFragment {
        let tracks = &*self.tracks;
        let mut builder = FragmentBuilder::new(tracks);
        builder.start_chunk();
        if let Some(frame) = frames.get(self.first.ordinal as usize) {
            let shown = tracks.media_time(self.start);
            builder.push(self.first.ordinal, frame, Some(shown));
        }
        let end = tracks.media_time(self.end);
        PartFragment {
            fragment: builder.finish(self.sequence(), Some(end)),
            blocks: vec![self.first.block],
        }
    }
}
