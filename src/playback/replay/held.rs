//! Blocks held back until it is known whether a section, or the range, ends with them: the last frame of each track is marked. Pure.

use super::{Planned, choice::Pick};
use crate::base::UnixMicros;
use std::collections::VecDeque;

/// Blocks with pictures that wait: a short one at the end of a section may have no sound.
const PICTURES_MAX: usize = 2;
/// Blocks that wait in all.
const HELD_MAX: usize = 16;

/// Why they are let go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seal {
    /// What follows is of another section.
    Break,
    /// Nothing follows.
    Last,
    /// More will come.
    Open,
}

/// The blocks.
#[derive(Debug)]
pub(super) struct Held {
    blocks: VecDeque<Planned>,
    end: UnixMicros,
}

impl Held {
    /// None yet; pictures shown at `end` or later are given only where others refer to them.
    pub(super) fn new(end: Option<UnixMicros>) -> Self {
        Self {
            blocks: VecDeque::new(),
            end: end.unwrap_or(UnixMicros::MAX),
        }
    }

    pub(super) fn clear(&mut self) {
        self.blocks.clear();
    }

    /// Takes one in, and lets go of those that need not wait any longer. Whether so many pictures are shown behind the end that none will
    /// come that is shown before it.
    pub(super) fn push(&mut self, planned: Planned, ready: &mut VecDeque<Planned>) -> bool {
        self.blocks.push_back(planned);
        while self.blocks.len() > HELD_MAX || self.pictures() > PICTURES_MAX {
            let mut later = self.blocks.iter().skip(1);
            let last = !later.any(|planned| self.has(planned, true));
            if last && self.blocks.iter().any(|planned| self.has(planned, false)) {
                return self.blocks.len() > HELD_MAX;
            }
            ready.extend(self.blocks.pop_front());
        }
        false
    }

    /// Whether a block has pictures that are shown before the end, or behind it.
    fn has(&self, planned: &Planned, before: bool) -> bool {
        let main = planned.run.main;
        let mut picks = planned.picks.iter();
        picks.any(|pick| pick.track == main && (pick.time < self.end) == before)
    }

    fn pictures(&self) -> usize {
        let pictured = |planned: &&Planned| self.has(planned, true) || self.has(planned, false);
        self.blocks.iter().filter(pictured).count()
    }

    /// Lets all go; `ends`: the section ends with them.
    pub(super) fn seal(&mut self, seal: Seal, ends: bool, ready: &mut VecDeque<Planned>) {
        if seal != Seal::Open {
            self.trim();
            let mut seen = Vec::new();
            let picks = self.blocks.iter_mut().rev();
            for pick in picks.flat_map(|planned| planned.picks.iter_mut().rev()) {
                if !seen.contains(&pick.track) {
                    seen.push(pick.track);
                    pick.marks.end_of_section = ends;
                    pick.marks.terminal = seal == Seal::Last;
                }
            }
        }
        ready.extend(self.blocks.drain(..));
    }

    /// Drops what is shown behind the end and not needed for what is shown before.
    fn trim(&mut self) {
        let mut needed = false;
        for planned in self.blocks.iter_mut().rev() {
            let main = planned.run.main;
            let mut kept: Vec<Pick> = Vec::with_capacity(planned.picks.len());
            for pick in planned.picks.iter().rev() {
                let before = pick.time < self.end;
                needed |= pick.track == main && before;
                if before || needed && pick.track == main {
                    kept.push(*pick);
                }
            }
            kept.reverse();
            planned.picks = kept;
        }
        self.blocks.retain(|planned| !planned.picks.is_empty());
    }
}
