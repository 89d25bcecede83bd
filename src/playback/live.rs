//! The newest frames of a stream as they come: for live viewers. No disk is asked but to begin with, and recording is never held up.
//!
//! Whoever joins gets the frames since the last key frame first, block by block, from the volume where they have left the tail. Tables tell
//! how much that is before anything is read: a group of pictures of minutes is not worth its memory, and the next key frame is waited for.
//! So it is where the volume does not answer: live does not depend on a disk. Whoever then reads more slowly than frames become durable
//! and two seconds more has missed some: it is told how many, and goes on at a key frame, so that no picture is shown whose references
//! are missing.

mod lead_in;

use super::{
    groups::main_track,
    plan::{Plan, PlanError},
};
use crate::{
    base::{Micros, TimeRange},
    media::{Frame, FrameKind, TrackSet},
    store::{
        recordings::{RecordedBlock, Recordings},
        tail::{Run, Tail},
    },
};
use lead_in::LeadIn;
use std::{collections::VecDeque, sync::Arc, time::Duration};
use tokio::{sync::watch, time::timeout};

/// Most bytes between the last key frame and now that are given to whoever joins, where nothing less is asked for.
pub const LEAD_IN_LEN_MAX: usize = 32 << 20;
/// The volume is waited for so long, for its tables and for each block.
const READ_WITHIN: Duration = Duration::from_secs(5);
/// How often the last key frame is looked for, when frames left the tail while it was.
const TRIES: usize = 3;

/// What comes next.
#[derive(Clone, Debug)]
pub enum LiveEvent {
    /// What is true of the frames that follow: a run begins, or is joined.
    Run(Arc<Run>),
    /// Frames in the order in which they are decoded, within each track.
    Frames(Vec<Frame>),
    /// So many frames were left out; what follows starts at a key frame.
    Missed {
        /// How many.
        frames: u64,
    },
    /// The stream is not recorded any more.
    Ended,
}

/// Follows one stream.
#[derive(Debug)]
pub struct LiveFrames {
    tail: Arc<Tail>,
    changed: watch::Receiver<u64>,
    next: u64,
    run: Option<Arc<Run>>,
    /// Frames left out since a key frame was needed.
    skipped: u64,
    needs_key: bool,
    /// What is given before `events`.
    lead_in: Option<LeadIn>,
    len_max: usize,
    events: VecDeque<LiveEvent>,
}

impl LiveFrames {
    /// Joins the stream of `tail` at its last key frame; at its next one when there are more than `len_max` bytes since, or they cannot be
    /// read.
    pub async fn join(recordings: &Recordings, tail: Arc<Tail>, len_max: usize) -> Self {
        let mut live = Self {
            changed: tail.changed(),
            next: tail.sequence(),
            run: None,
            skipped: 0,
            needs_key: true,
            lead_in: None,
            len_max,
            events: VecDeque::new(),
            tail,
        };
        for _ in 0..TRIES {
            match timeout(READ_WITHIN, live.begin(recordings)).await {
                Ok(Ok(false)) => {}
                Ok(Ok(true)) => break,
                Ok(Err(error)) => {
                    tracing::warn!(%error, "a viewer waits for the next key frame: the last one is not found");
                    break;
                }
                Err(_) => {
                    tracing::warn!(
                        "a viewer waits for the next key frame: the volume does not answer"
                    );
                    break;
                }
            }
        }
        live
    }

    /// Looks for the frames since the last key frame, when a run goes on; whether it is settled where to begin.
    async fn begin(&mut self, recordings: &Recordings) -> Result<bool, PlanError> {
        self.next = self.tail.sequence();
        let (Some(run), Some(newest)) = (self.tail.run(), self.tail.counters().newest) else {
            return Ok(true);
        };
        let range = TimeRange {
            start: newest,
            end: newest + Micros(1),
        };
        let plan = match Plan::new(recordings, self.tail.stream(), range).await {
            Ok(plan) => plan,
            Err(PlanError::Empty { .. }) => return Ok(true),
            Err(error) => return Err(error),
        };
        let blocks = plan.recorded().filter(|block| block.run == run.id);
        let blocks: Vec<RecordedBlock> = blocks.cloned().collect();
        // A block that has left for the volume since this stream was joined is still known there.
        let end = |block: &RecordedBlock| {
            let end = block.sequence_end();
            end.or_else(|| self.tail.end_of(run.id, block.number()))
        };
        let listed = blocks.iter().filter_map(end).max();
        let next = self.next.max(listed.unwrap_or(0));
        let Some(lead_in) = LeadIn::find(&run, blocks, self.len_max) else {
            return Ok(true);
        };
        if self.tail.after(next).missed > 0 {
            // More became durable since than is kept for a moment, and the plan may have it or not: it is to be looked at again.
            return Ok(false);
        }
        self.next = next;
        self.needs_key = false;
        self.run = Some(run);
        self.lead_in = Some(lead_in);
        Ok(true)
    }

    /// Whether something can be given at once.
    pub fn is_behind(&self) -> bool {
        self.lead_in.is_some() || !self.events.is_empty()
    }

    /// What comes next; waits for it. Dropped while it waits, it loses nothing.
    pub async fn next(&mut self) -> LiveEvent {
        loop {
            if self.lead_in.is_some() {
                if let Some(event) = self.lead().await {
                    return event;
                }
                continue;
            }
            if let Some(event) = self.events.pop_front() {
                return event;
            }
            self.follow();
            if !self.events.is_empty() {
                continue;
            }
            if self.tail.is_retired() || self.changed.changed().await.is_err() {
                return LiveEvent::Ended;
            }
        }
    }

    /// What is next of the frames since the last key frame; `None` when there is nothing more of them.
    async fn lead(&mut self) -> Option<LiveEvent> {
        // What comes meanwhile may leave the tail before all is read.
        self.follow();
        let lead_in = self.lead_in.as_mut()?;
        if let Some(run) = lead_in.begin() {
            return Some(LiveEvent::Run(run));
        }
        let Some(block) = lead_in.next() else {
            self.lead_in = None;
            return None;
        };
        let kept = self.events.iter().map(frames_len).sum::<usize>();
        if kept > self.len_max {
            self.give_up("frames come faster than the volume gives those before them");
            return None;
        }
        match timeout(READ_WITHIN, block.read()).await {
            Ok(Ok(bytes)) => Some(LiveEvent::Frames(lead_in.take(&bytes))),
            Ok(Err(error)) => {
                self.give_up(&error.to_string());
                None
            }
            Err(_) => {
                self.give_up("the volume does not answer");
                None
            }
        }
    }

    /// Goes on at the next key frame, without what is not read yet.
    fn give_up(&mut self, why: &str) {
        tracing::warn!(why, "a viewer goes on at the next key frame");
        let Some(lead_in) = self.lead_in.take() else {
            return;
        };
        let kept = self.events.drain(..).map(|event| match event {
            LiveEvent::Frames(frames) => frames.len() as u64,
            LiveEvent::Missed { frames } => frames,
            LiveEvent::Run(_) | LiveEvent::Ended => 0,
        });
        self.skipped += lead_in.left() + kept.sum::<u64>();
        self.needs_key = true;
        // The run that was told, so that another one is told when it goes on.
        self.run = Some(lead_in.run());
    }

    /// Takes what has come since.
    fn follow(&mut self) {
        // Seen before it is looked: what comes meanwhile is told again.
        self.changed.mark_unchanged();
        let followed = self.tail.after(self.next);
        self.next = followed.next;
        if followed.missed > 0 {
            self.needs_key = true;
            self.skipped += followed.missed;
        }
        for (run, frames) in followed.frames {
            self.take(run, frames);
        }
    }

    fn take(&mut self, run: Arc<Run>, mut frames: Vec<Frame>) {
        if self.needs_key {
            let Some(from) = first_key(&run.description.tracks, &frames) else {
                self.skipped += frames.len() as u64;
                return;
            };
            self.needs_key = false;
            let skipped = std::mem::take(&mut self.skipped) + from as u64;
            // Who joins before a key frame was there has missed nothing.
            if self.run.is_some() {
                self.events.push_back(LiveEvent::Missed { frames: skipped });
            }
            frames.drain(..from);
        }
        if self
            .run
            .as_ref()
            .is_none_or(|known| !Arc::ptr_eq(known, &run))
        {
            self.run = Some(Arc::clone(&run));
            self.events.push_back(LiveEvent::Run(run));
        }
        self.events.push_back(LiveEvent::Frames(frames));
    }
}

fn frames_len(event: &LiveEvent) -> usize {
    match event {
        LiveEvent::Frames(frames) => frames.iter().map(|frame| frame.data.len()).sum(),
        _ => 0,
    }
}

fn first_key(tracks: &TrackSet, frames: &[Frame]) -> Option<usize> {
    let main = main_track(tracks);
    let is_key = |frame: &Frame| frame.track == main && frame.kind == FrameKind::Key;
    frames.iter().position(is_key)
}

#[cfg(test)]
mod tests;
