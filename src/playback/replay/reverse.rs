//! Backwards: groups of pictures from the newest to the oldest, the pictures of each as they are decoded. Sound is left out.
//!
//! A group is found in frame tables, walking back to its key frame. Of one that is longer than `GROUP_BLOCKS_MAX` blocks (cameras with
//! "smart" codecs send a key frame in minutes) only the beginning is remembered; the rest is walked through again, forwards, when its turn
//! comes.

use super::{
    Direction, FrameChoice, Next, Planned, RecordingsNow, ReplayRequest,
    choice::{Pick, is_predicted},
    walk::{PlayedRun, Step, Walk},
};
use crate::{
    base::{Micros, TimeRange, UnixMicros},
    media::{FrameEntry, FrameKind, StreamId, TrackId},
};
use std::{collections::VecDeque, mem, ops::Range, sync::Arc};

/// Blocks of one group of pictures that are remembered.
pub const GROUP_BLOCKS_MAX: usize = 256;
/// What is looked at behind the start, so that it is seen whether a section ends there: longer than a block.
const BEHIND_START: Micros = Micros::from_secs(61);

/// Pictures of one block, by their places in it.
#[derive(Clone, Debug)]
struct Slice {
    step: Step,
    frames: Range<usize>,
}

/// Where a long group goes on behind what is remembered of it.
#[derive(Clone, Debug)]
struct Rest {
    /// Its first block.
    time: UnixMicros,
    number: u32,
    /// Its last block, and the place behind its last picture there.
    last: u32,
    end: usize,
}

/// A group of pictures while it is put together, from its end.
#[derive(Clone, Debug, Default)]
struct Group {
    slices: VecDeque<Slice>,
    rest: Option<Rest>,
    /// Whether a section ends with it.
    ends: bool,
    /// The latest time in it.
    latest: Option<UnixMicros>,
}

/// A long group that is being given.
#[derive(Debug)]
struct Long {
    walk: Walk,
    rest: Rest,
    run: UnixMicros,
    ends: bool,
}

/// The way backwards.
pub(super) struct Reverse {
    walk: Walk,
    now: RecordingsNow,
    stream: StreamId,
    frames: FrameChoice,
    /// Pictures shown later are left out; `None` when the first that is not is found.
    upper: Option<UnixMicros>,
    lower: Option<UnixMicros>,
    /// The block looked at last.
    behind: Option<(UnixMicros, u32)>,
    /// Of the block at hand, the places from here on are in groups already.
    limit: Option<usize>,
    building: Group,
    /// The group after the one that is given: without one that is the last.
    upcoming: Option<Group>,
    begun: bool,
    long: Option<Long>,
    /// The key frame given last, where they alone are.
    key: Option<UnixMicros>,
    /// Held back until it is known whether it is the last.
    held: Option<Planned>,
    ready: VecDeque<Planned>,
    number: u64,
}

impl std::fmt::Debug for Reverse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reverse")
            .field("walk", &self.walk)
            .finish_non_exhaustive()
    }
}

impl Reverse {
    pub(super) fn new(now: RecordingsNow, request: &ReplayRequest) -> Self {
        let range = TimeRange {
            start: UnixMicros::MIN,
            end: request.start + BEHIND_START,
        };
        let walk = Walk::new(Arc::clone(&now), request.stream, Direction::Reverse, range);
        Self {
            walk,
            now,
            stream: request.stream,
            frames: request.frames,
            upper: Some(request.start),
            lower: request.end,
            behind: None,
            limit: None,
            building: Group::default(),
            upcoming: None,
            begun: false,
            long: None,
            key: None,
            held: None,
            ready: VecDeque::new(),
            number: 0,
        }
    }

    /// What comes next.
    pub(super) async fn next(&mut self) -> Next {
        loop {
            if let Some(planned) = self.ready.pop_front() {
                return Next::Block(planned);
            }
            if self.long.is_some() {
                self.go_on().await;
                continue;
            }
            if !self.begun {
                self.upcoming = self.find().await;
                self.begun = true;
            }
            if self.upcoming.is_none() {
                let Some(planned) = self.held.take() else {
                    return Next::Ended;
                };
                self.ready.push_back(terminal(planned));
                continue;
            }
            let following = self.find().await;
            if let Some(group) = mem::replace(&mut self.upcoming, following) {
                self.plan(group);
            }
        }
    }

    /// A block is lost, and with it the rest of its group.
    pub(super) fn lose(&mut self, lost: &Planned) {
        self.ready.retain(|planned| planned.group != lost.group);
        if self.number == lost.group {
            self.long = None;
            self.held = None;
        }
    }

    /// The next group back in time that has anything to show in the range.
    async fn find(&mut self) -> Option<Group> {
        loop {
            self.walk.fill(1).await;
            let step = self.walk.front()?.clone();
            if !is_video(&step.run) {
                // Without pictures there are no groups; all of the past would be looked through for some.
                return None;
            }
            let Some(group) = self.look(&step) else {
                continue;
            };
            let shown = group.latest >= self.lower;
            return shown.then_some(group);
        }
    }

    /// Looks at a block, from the end of what is not in a group yet; the group whose key frame it holds.
    fn look(&mut self, step: &Step) -> Option<Group> {
        if self.limit.is_none() {
            self.join(step);
        }
        let frames = step.block.frames();
        let main = step.run.main;
        let is_main = |frame: &FrameEntry| frame.track == main;
        let start = frames.iter().position(is_main);
        let end = frames.iter().rposition(is_main).map_or(0, |last| last + 1);
        let Some(start) = start else {
            self.leave(step);
            return None;
        };
        let mut end = self.limit.unwrap_or(end);
        if let Some(upper) = self.upper {
            let shown = |frame: &FrameEntry| frame.time <= upper;
            let last = frames.get(start..end)?.iter().rposition(shown);
            // What is shown later goes on behind the start: no section ends there.
            let cut = last.is_none_or(|last| start + last + 1 < end);
            self.building.ends &= !cut;
            let Some(last) = last else {
                self.leave(step);
                return None;
            };
            end = start + last + 1;
            self.upper = None;
        }
        let pictures = frames.get(start..end).unwrap_or_default();
        let key = pictures.iter().rposition(|frame| step.run.is_entry(frame));
        let from = start + key.unwrap_or(0);
        let latest = frames.get(from..end).unwrap_or_default();
        let latest = latest.iter().map(|frame| frame.time).max();
        self.building.latest = self.building.latest.max(latest);
        self.remember(step, from..end);
        if from == start {
            self.leave(step);
        } else {
            self.limit = Some(from);
        }
        key.map(|_| mem::take(&mut self.building))
    }

    /// Whether the block goes on with what was looked at before.
    fn join(&mut self, step: &Step) {
        let (run, number) = step.key();
        let follows = self.behind == Some((run, number.saturating_add(1)));
        if follows {
            return;
        }
        let tail = self.walk.tail().and_then(|tail| tail.run());
        let grows = self.behind.is_none() && tail.is_some_and(|tail| tail.id.run == run);
        // What has no key frame is dropped with the section it began.
        self.building = Group {
            ends: !grows,
            ..Group::default()
        };
    }

    /// Done with a block.
    fn leave(&mut self, step: &Step) {
        self.behind = Some(step.key());
        self.limit = None;
        self.walk.pop();
    }

    fn remember(&mut self, step: &Step, frames: Range<usize>) {
        let group = &mut self.building;
        let step = step.clone();
        group.slices.push_front(Slice { step, frames });
        if group.slices.len() <= GROUP_BLOCKS_MAX {
            return;
        }
        let Some(Slice { step, frames }) = group.slices.pop_back() else {
            return;
        };
        let number = step.block.number();
        let time = step.block.first();
        match &mut group.rest {
            Some(rest) => (rest.number, rest.time) = (number, time),
            None => {
                group.rest = Some(Rest {
                    time,
                    number,
                    last: number,
                    end: frames.end,
                });
            }
        }
    }

    /// Makes reads of a group.
    fn plan(&mut self, group: Group) {
        self.number += 1;
        if let FrameChoice::Intra { interval } = self.frames {
            self.plan_key(&group, interval);
            return;
        }
        for slice in &group.slices {
            let places = slice.frames.clone();
            let planned = self.planned(&slice.step, places);
            self.ready.extend(planned);
        }
        if let Some(first) = self
            .ready
            .front_mut()
            .and_then(|first| first.picks.first_mut())
        {
            first.marks.discontinuity = true;
        }
        let run = group.slices.front().map(|slice| slice.step.run.started);
        match (group.rest, run) {
            (Some(rest), Some(run)) => {
                let range = TimeRange {
                    start: rest.time,
                    end: UnixMicros::MAX,
                };
                let now = Arc::clone(&self.now);
                let mut walk = Walk::new(now, self.stream, Direction::Forward, range);
                walk.again(rest.time, run, Some(rest.number));
                let ends = group.ends;
                self.long = Some(Long {
                    walk,
                    rest,
                    run,
                    ends,
                });
            }
            _ => self.end_group(group.ends),
        }
    }

    /// Plans the key frame of a group, when it is far enough from the one before.
    fn plan_key(&mut self, group: &Group, interval: Micros) {
        let Some(slice) = group.slices.front() else {
            return;
        };
        let key = slice.frames.start..slice.frames.start + 1;
        let Some(mut planned) = self.planned(&slice.step, key) else {
            return;
        };
        let Some(pick) = planned.picks.first_mut() else {
            return;
        };
        let due = self.key.is_none_or(|key| key.since(pick.time) >= interval);
        if !due && !group.ends {
            return;
        }
        pick.marks.discontinuity = true;
        pick.marks.end_of_section = group.ends;
        self.key = Some(pick.time);
        self.ready.extend(self.held.replace(planned));
    }

    /// Goes on with a long group.
    async fn go_on(&mut self) {
        let Some(long) = &mut self.long else { return };
        long.walk.fill(1).await;
        let step = long.walk.pop();
        let expected = (long.run, long.rest.number);
        let Some(step) = step.filter(|step| step.key() == expected) else {
            // The ring took it meanwhile.
            self.long = None;
            self.ready.extend(self.held.take());
            self.end_group(false);
            return;
        };
        long.rest.number += 1;
        let ends = long.ends;
        let last = step.block.number() >= long.rest.last;
        let end = if last { long.rest.end } else { usize::MAX };
        let planned = self.planned(&step, 0..end);
        if last {
            self.long = None;
        }
        self.ready.extend(self.held.take());
        self.held = planned;
        if last {
            self.ready.extend(self.held.take());
            self.end_group(ends);
        }
    }

    /// The block of `step` with the pictures at `places` that are wanted; `None` without any.
    fn planned(&self, step: &Step, places: Range<usize>) -> Option<Planned> {
        let frames = step.block.frames();
        let mut picks = Vec::new();
        for (ordinal, frame) in frames.iter().enumerate() {
            if places.contains(&ordinal) && self.wants(step.run.main, frame) {
                picks.push(Pick::new(ordinal, frame));
            }
        }
        (!picks.is_empty()).then(|| Planned {
            run: Arc::clone(&step.run),
            block: step.block.clone(),
            picks,
            group: self.number,
        })
    }

    /// Leading pictures refer to the group before, which comes later.
    fn wants(&self, main: TrackId, frame: &FrameEntry) -> bool {
        let refers = frame.kind == FrameKind::Leading;
        let left_out = self.frames == FrameChoice::Predicted && !is_predicted(frame.kind);
        frame.track == main && frame.size > 0 && !refers && !left_out
    }

    /// Marks the last picture of a group.
    fn end_group(&mut self, ends: bool) {
        let last = self.ready.back_mut().and_then(|last| last.picks.last_mut());
        if let Some(last) = last {
            last.marks.end_of_section = ends;
            last.marks.terminal = self.upcoming.is_none();
        }
    }
}

fn is_video(run: &PlayedRun) -> bool {
    let track = run.description.tracks.tracks.get(usize::from(run.main.0));
    track.is_some_and(|track| track.codec.is_video())
}

fn terminal(mut planned: Planned) -> Planned {
    if let Some(last) = planned.picks.last_mut() {
        last.marks.terminal = true;
    }
    planned
}
