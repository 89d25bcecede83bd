//! Forwards: block after block, each with what is given of it, held back until it is known whether a section ends with it.

use super::{
    Direction, Next, Planned, RecordingsNow, ReplayFrame, ReplayRequest,
    choice::{Chooser, Pick, sending_order},
    follow::Follow,
    held::{Held, Seal},
    walk::{PlayedRun, Step, Walk},
};
use crate::{
    base::{Micros, TimeRange, UnixMicros},
    media::{Frame, FrameEntry, TrackId},
    playback::plan::{Plan, PlanError},
    store::{
        recordings::{RecordedBlock, Recordings},
        tail::{Run, Tail},
    },
};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

/// What is listed behind the end, so that it is seen whether the section goes on: longer than a block.
const BEHIND_END: Micros = Micros::from_secs(61);
/// A picture comes so much later at most than one that is shown after it.
const DISORDER_MAX: Micros = Micros::from_secs(5);

/// How far a run was taken, by the times of its frames: the one thing that is the same in memory and on disk.
#[derive(Clone, Debug)]
struct Taken {
    run: UnixMicros,
    number: Option<u32>,
    /// The picture taken last, in decode order.
    main: Option<UnixMicros>,
    /// Of each other track the last.
    others: BTreeMap<TrackId, UnixMicros>,
    /// A time that its next block does not end before.
    time: UnixMicros,
}

/// What may still come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AtTail {
    /// Nothing.
    Over,
    /// Frames from this number on.
    Next(u64),
}

/// From where on blocks are looked at.
#[derive(Clone, Copy, Debug)]
struct From {
    time: UnixMicros,
    run: UnixMicros,
    number: Option<u32>,
}

/// The way forwards.
#[derive(Debug)]
pub(super) struct Forward {
    walk: Walk,
    chooser: Chooser,
    /// Nothing earlier is taken.
    from: From,
    end: Option<UnixMicros>,
    /// Run and number of the block that would continue what was taken.
    expected: Option<(UnixMicros, u32)>,
    /// Whether the section was seen to go on behind the end: in a frame, and in blocks that are wholly behind.
    beyond: bool,
    past: bool,
    taken: Option<Taken>,
    /// Looking again, and not come to the picture taken last.
    resuming: bool,
    /// Since it was looked again in this run: sound that was taken may come again.
    resumed: bool,
    /// Behind the last block, when it was taken from memory: its tail, and the number of the next frame there.
    in_memory: Option<(Arc<Tail>, u64)>,
    /// The volumes were looked at again, when this was so at the tail, without finding more.
    looked: Option<AtTail>,
    /// The section is over; did its end come before the end of the range? Told once something of the next is given.
    broken: Option<bool>,
    held: Held,
    ready: VecDeque<Planned>,
}

impl Forward {
    /// Finds the key frame at or before the start.
    ///
    /// # Errors
    /// When a chapter cannot be read.
    pub(super) async fn new(
        now: RecordingsNow,
        request: &ReplayRequest,
    ) -> Result<Self, PlanError> {
        let recordings = now();
        let start = newest_at_most(&recordings, request);
        let begin = entry_block(&recordings, request, start).await?;
        let from = match &begin {
            Some(block) => From {
                time: block.first(),
                run: block.run.run,
                number: Some(block.number()),
            },
            None => From {
                time: start,
                run: UnixMicros::MIN,
                number: None,
            },
        };
        let range = TimeRange {
            start: from.time,
            end: request.end.map_or(UnixMicros::MAX, |end| end + BEHIND_END),
        };
        let mut walk = Walk::new(now, request.stream, Direction::Forward, range);
        walk.again(from.time, from.run, from.number);
        Ok(Self {
            walk,
            chooser: Chooser::new(request.frames, start),
            from,
            end: request.end,
            expected: None,
            beyond: false,
            past: false,
            taken: None,
            resuming: false,
            resumed: false,
            in_memory: None,
            looked: None,
            broken: None,
            held: Held::new(request.end),
            ready: VecDeque::new(),
        })
    }

    /// What comes next.
    pub(super) async fn next(&mut self) -> Next {
        loop {
            if let Some(planned) = self.ready.pop_front() {
                return Next::Block(planned);
            }
            self.walk.fill(1).await;
            if self.walk.front().is_some() {
                self.step();
                continue;
            }
            if let Some(next) = self.at_end()
                && self.ready.is_empty()
            {
                return next;
            }
        }
    }

    /// Plans the next block.
    fn step(&mut self) {
        let Some(step) = self.walk.pop() else {
            return;
        };
        let entries = step.block.frames();
        let mut order = sending_order(&entries);
        if self.resuming && !self.come_back(&step, &entries, &mut order) {
            return;
        }
        self.leave_out_taken(&step.run, &entries, &mut order);
        let past = self.is_past(&step);
        if self.expected != Some(step.key()) {
            if self.expected.is_some() {
                self.broken.get_or_insert(!self.beyond);
            }
            self.chooser.jump();
            self.past = false;
            self.beyond = false;
        }
        let (run, number) = step.key();
        self.expected = Some((run, number.saturating_add(1)));
        self.past |= past;
        let end = self.end;
        self.beyond |= entries
            .iter()
            .any(|entry| end.is_some_and(|end| entry.time >= end));
        if !order.is_empty() {
            self.looked = None;
        }
        let tail = self.walk.tail().map(Arc::clone);
        self.in_memory = tail.zip(step.block.sequence_end());
        if past {
            return;
        }
        self.note(&step.run, Some(&step.block), entries.iter());
        let mut picks = self.chooser.choose(&step.run, &entries, &order);
        // Pictures behind the end may still be needed; sound is not.
        let wanted = |pick: &Pick| end.is_none_or(|end| pick.time < end);
        picks.retain(|pick| pick.track == step.run.main || wanted(pick));
        if picks.is_empty() {
            return;
        }
        if let Some(ends) = self.broken.take() {
            self.held.seal(Seal::Break, ends, &mut self.ready);
        }
        let planned = Planned {
            run: step.run,
            block: step.block,
            picks,
            group: 0,
        };
        self.past |= self.held.push(planned, &mut self.ready);
    }

    /// Whether a block is behind the end, and whatever follows it in its section: pictures shown before the end may be sent after some that
    /// are shown behind it, but only so many.
    fn is_past(&self, step: &Step) -> bool {
        let begins = self.expected != Some(step.key());
        let behind = self.end.is_some_and(|end| step.block.first() >= end);
        behind && (begins || self.past)
    }

    /// Looks for the picture taken last; whether anything of this block is left to look at.
    fn come_back(&mut self, step: &Step, entries: &[FrameEntry], order: &mut Vec<usize>) -> bool {
        let taken = self.taken.as_ref();
        let taken = taken.filter(|taken| taken.run == step.run.started);
        let Some((taken, picture)) = taken.and_then(|taken| Some((taken, taken.main?))) else {
            self.resuming = false;
            return true;
        };
        let main = step.run.main;
        let is_last = |entry: &FrameEntry| entry.track == main && entry.time == picture;
        let Some(at) = entries.iter().position(is_last) else {
            // It may be sent later than pictures that are shown later, and lie a few blocks behind them.
            let older = taken.number.map_or_else(
                || step.block.first() <= picture + DISORDER_MAX,
                |number| step.block.number() < number,
            );
            self.resuming = older;
            return !older;
        };
        self.resuming = false;
        self.expected = Some(step.key());
        order.retain(|&ordinal| {
            let is_main = entries
                .get(ordinal)
                .is_some_and(|entry| entry.track == main);
            !is_main || ordinal > at
        });
        true
    }

    /// Leaves out the sound that was taken before it was looked again: its times rise.
    fn leave_out_taken(&mut self, run: &PlayedRun, entries: &[FrameEntry], order: &mut Vec<usize>) {
        let taken = self.taken.as_ref();
        let taken = taken.filter(|taken| self.resumed && taken.run == run.started);
        let Some(taken) = taken else {
            self.resumed = false;
            return;
        };
        order.retain(|&ordinal| {
            entries.get(ordinal).is_some_and(|entry| {
                let last = taken.others.get(&entry.track);
                last.is_none_or(|last| entry.time > *last)
            })
        });
    }

    /// Remembers what was taken.
    fn note<'a>(
        &mut self,
        run: &PlayedRun,
        block: Option<&RecordedBlock>,
        entries: impl Iterator<Item = &'a FrameEntry>,
    ) {
        if self
            .taken
            .as_ref()
            .is_none_or(|taken| taken.run != run.started)
        {
            self.taken = Some(Taken {
                run: run.started,
                number: None,
                main: None,
                others: BTreeMap::new(),
                time: block.map_or(run.started, RecordedBlock::first),
            });
        }
        let Some(taken) = &mut self.taken else {
            return;
        };
        taken.number = block.map(RecordedBlock::number);
        for entry in entries {
            if entry.track == run.main {
                taken.main = Some(entry.time);
                taken.time = entry.time;
            } else {
                let last = taken.others.entry(entry.track).or_insert(entry.time);
                *last = entry.time.max(*last);
            }
        }
    }

    /// Nothing more is listed: is this the end, or the newest frame? `None`: it is looked again.
    fn at_end(&mut self) -> Option<Next> {
        let recordings = self.walk.recordings();
        let tail = recordings.tail(self.walk.stream()).map(Arc::clone);
        let tail = tail.filter(|tail| !tail.is_retired());
        let section = self.expected.map(|(run, _)| run);
        let run = tail.as_ref().and_then(|tail| tail.run());
        let growing = run.is_some_and(|run| Some(run.id.run) == section);
        let ends = self.broken.unwrap_or(!growing && !self.beyond);
        let Some(tail) = tail.filter(|tail| !self.is_over(tail)) else {
            // What was recorded before it was over may not be listed yet.
            if !self.past && self.looked != Some(AtTail::Over) {
                self.looked = Some(AtTail::Over);
                self.look_again();
                return None;
            }
            self.held.seal(Seal::Last, ends, &mut self.ready);
            return Some(Next::Ended);
        };
        let next = match (&self.in_memory, self.looked) {
            (Some((known, next)), _) if Arc::ptr_eq(known, &tail) => *next,
            (_, Some(AtTail::Next(next))) => next,
            _ => {
                // What has a lower number is found when it is looked after this.
                self.looked = Some(AtTail::Next(tail.sequence()));
                self.look_again();
                return None;
            }
        };
        if self.end.is_some() {
            return Some(Next::Tail(Follow::wait(tail, next)));
        }
        let seal = if growing && self.broken.is_none() {
            Seal::Open
        } else {
            Seal::Break
        };
        self.broken = None;
        self.held.seal(seal, ends, &mut self.ready);
        Some(Next::Tail(Follow::take(tail, next)))
    }

    /// Whether nothing before the end can come any more.
    fn is_over(&self, tail: &Tail) -> bool {
        let Some(end) = self.end else { return false };
        let newest = tail.counters().newest;
        let begun = tail.run().map(|run| run.id.run);
        self.past
            || begun.is_none_or(|begun| begun >= end)
            || newest.is_some_and(|newest| newest >= end + DISORDER_MAX)
    }

    /// More was recorded.
    pub(super) fn resume(&mut self) {
        self.looked = None;
        self.look_again();
    }

    /// Looks at the volumes again, from what was taken last.
    fn look_again(&mut self) {
        self.in_memory = None;
        self.resuming = self.taken.is_some();
        self.resumed = self.resuming;
        match &self.taken {
            Some(taken) => self.walk.again(taken.time, taken.run, None),
            None => self
                .walk
                .again(self.from.time, self.from.run, self.from.number),
        }
    }

    /// A block is lost: decoding starts again behind it.
    pub(super) fn lose(&mut self, lost: &Planned) {
        self.held.clear();
        self.ready.clear();
        self.chooser.jump();
        self.expected = None;
        self.broken = None;
        self.past = false;
        self.beyond = false;
        self.resumed = false;
        self.taken = None;
        self.from = From {
            time: lost.block.first(),
            run: lost.run.started,
            number: Some(lost.block.number().saturating_add(1)),
        };
        self.resume();
    }

    /// Chooses among frames that came at the tail.
    pub(super) fn take_live(
        &mut self,
        run: &Arc<Run>,
        frames: Vec<Frame>,
    ) -> (Arc<PlayedRun>, Vec<ReplayFrame>) {
        let run = Arc::new(PlayedRun::of_tail(run));
        if self.expected.map(|(known, _)| known) != Some(run.started) {
            self.chooser.jump();
        }
        self.expected = Some((run.started, u32::MAX));
        let entries: Vec<FrameEntry> = frames.iter().map(Frame::entry).collect();
        self.note(&run, None, entries.iter());
        let order: Vec<usize> = (0..entries.len()).collect();
        let picks = self.chooser.choose(&run, &entries, &order);
        let given = picks.iter().filter_map(|pick| {
            Some(ReplayFrame {
                frame: frames.get(pick.ordinal)?.clone(),
                marks: pick.marks,
            })
        });
        let given = given.collect();
        (run, given)
    }
}

/// The start, or the newest frame where the start is behind it and more comes.
fn newest_at_most(recordings: &Recordings, request: &ReplayRequest) -> UnixMicros {
    let tail = recordings.tail(request.stream);
    let growing = tail.filter(|tail| tail.run().is_some());
    let newest = growing.and_then(|tail| tail.counters().newest);
    newest.map_or(request.start, |newest| newest.min(request.start))
}

/// The block with the key frame in force at `start`; `None` in a gap.
async fn entry_block(
    recordings: &Recordings,
    request: &ReplayRequest,
    start: UnixMicros,
) -> Result<Option<RecordedBlock>, PlanError> {
    let range = TimeRange {
        start,
        end: start + Micros(1),
    };
    match Plan::new(recordings, request.stream, range).await {
        Ok(plan) => Ok(plan.recorded().next().cloned()),
        Err(PlanError::Empty { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
