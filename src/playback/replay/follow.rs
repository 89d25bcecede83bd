//! At the tail: frames that are not on disk yet, as they come. Who reads them more slowly than they leave memory goes back to the volume
//! and misses none.

use crate::{
    media::Frame,
    store::tail::{Run, Tail},
};
use std::sync::Arc;
use tokio::sync::watch;

/// What was found.
#[derive(Debug)]
pub(super) enum Followed {
    /// All that was recorded is given.
    Began,
    /// Frames in the order in which they came.
    Frames(Vec<(Arc<Run>, Vec<Frame>)>),
    /// There is more on the volume.
    Behind,
    /// The stream is not recorded any more.
    Ended,
}

/// How far a tail was followed.
#[derive(Debug)]
pub(super) struct Follow {
    tail: Arc<Tail>,
    changed: watch::Receiver<u64>,
    mode: Mode,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// Frames from this number on are taken from memory.
    Take { next: u64, told: bool },
    /// The volume is looked at again when there are frames from this number on.
    Wait { next: u64 },
}

impl Follow {
    /// Takes the frames from number `next` on.
    pub(super) fn take(tail: Arc<Tail>, next: u64) -> Self {
        let told = false;
        Self {
            changed: tail.changed(),
            mode: Mode::Take { next, told },
            tail,
        }
    }

    /// Waits until there is a frame with number `next`.
    pub(super) fn wait(tail: Arc<Tail>, next: u64) -> Self {
        Self {
            changed: tail.changed(),
            mode: Mode::Wait { next },
            tail,
        }
    }

    /// What comes next. Nothing is lost when it is not waited for to the end.
    pub(super) async fn next(&mut self) -> Followed {
        if let Mode::Take { told, .. } = &mut self.mode
            && !std::mem::replace(told, true)
        {
            return Followed::Began;
        }
        loop {
            // Seen before it is looked: what comes meanwhile is told again.
            self.changed.mark_unchanged();
            if let Some(found) = self.look() {
                return found;
            }
            if self.tail.is_retired() || self.changed.changed().await.is_err() {
                return Followed::Ended;
            }
        }
    }

    fn look(&mut self) -> Option<Followed> {
        match &mut self.mode {
            Mode::Wait { next } => {
                // A run that ended may have ended the range.
                let more = self.tail.sequence() > *next || self.tail.run().is_none();
                more.then_some(Followed::Behind)
            }
            Mode::Take { next, .. } => {
                let followed = self.tail.after(*next);
                if followed.missed > 0 {
                    return Some(Followed::Behind);
                }
                *next = followed.next;
                (!followed.frames.is_empty()).then_some(Followed::Frames(followed.frames))
            }
        }
    }
}
