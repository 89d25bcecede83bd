//! Which frames of a block are given, in which order, and with which marks: decided from frame tables alone. Pure.

use super::{FrameChoice, Marks, PlayedRun};
use crate::{
    base::UnixMicros,
    media::{FrameEntry, FrameKind, TrackId},
};

/// A frame that is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pick {
    /// Its number in the list it was chosen from; of a block, in payload order.
    pub(super) ordinal: usize,
    pub(super) track: TrackId,
    pub(super) time: UnixMicros,
    pub(super) marks: Marks,
}

impl Pick {
    pub(super) fn new(ordinal: usize, entry: &FrameEntry) -> Self {
        Self {
            ordinal,
            track: entry.track,
            time: entry.time,
            marks: Marks {
                clean_point: entry.kind == FrameKind::Key,
                ..Marks::default()
            },
        }
    }
}

/// Chooses forwards, block after block.
#[derive(Debug)]
pub(super) struct Chooser {
    frames: FrameChoice,
    /// Begin at the last key frame at or before this time, if the first block has one.
    enter: Option<UnixMicros>,
    needs_key: bool,
    /// Whether leading pictures refer to what was not given: until the second key frame.
    orphans: bool,
    /// Tracks of which something was given since the jump, a bit each.
    given: u32,
    /// The key frame given last.
    key: Option<UnixMicros>,
}

impl Chooser {
    pub(super) fn new(frames: FrameChoice, enter: UnixMicros) -> Self {
        Self {
            frames,
            enter: Some(enter),
            needs_key: true,
            orphans: true,
            given: 0,
            key: None,
        }
    }

    /// What follows does not continue what was chosen.
    pub(super) fn jump(&mut self) {
        self.needs_key = true;
        self.given = 0;
        self.key = None;
    }

    /// Chooses among `entries`, which are sent in the order `order`.
    pub(super) fn choose(
        &mut self,
        run: &PlayedRun,
        entries: &[FrameEntry],
        order: &[usize],
    ) -> Vec<Pick> {
        let mut entered = None;
        if self.needs_key {
            entered = self.entry(run, entries, order);
            if entered.is_none() {
                return Vec::new();
            }
            self.needs_key = false;
            self.enter = None;
        }
        let mut picks = Vec::new();
        let from = entered.unwrap_or(0);
        for (place, &ordinal) in order.iter().enumerate().skip(from) {
            let Some(entry) = entries.get(ordinal) else {
                continue;
            };
            if run.is_entry(entry) {
                self.orphans = entered == Some(place);
            }
            if self.wants(run, entry) {
                picks.push(self.pick(run, ordinal, entry));
            }
        }
        picks
    }

    /// Where in `order` decoding starts.
    fn entry(&self, run: &PlayedRun, entries: &[FrameEntry], order: &[usize]) -> Option<usize> {
        let key = |ordinal: &usize| {
            let entry = entries.get(*ordinal);
            entry.is_some_and(|entry| run.is_entry(entry))
        };
        let at_or_before = |ordinal: &usize| {
            let time = entries.get(*ordinal).map(|entry| entry.time);
            key(ordinal) && self.enter.is_some_and(|enter| time <= Some(enter))
        };
        let last_before = order.iter().rposition(at_or_before);
        last_before.or_else(|| order.iter().position(key))
    }

    fn wants(&self, run: &PlayedRun, entry: &FrameEntry) -> bool {
        if entry.size == 0 {
            return false;
        }
        let main = entry.track == run.main;
        if main && entry.kind == FrameKind::Leading && self.orphans {
            return false;
        }
        match self.frames {
            FrameChoice::All => true,
            FrameChoice::Predicted => !main || is_predicted(entry.kind),
            FrameChoice::Intra { interval } => {
                let due = self.key.is_none_or(|key| entry.time.since(key) >= interval);
                run.is_entry(entry) && due
            }
        }
    }

    fn pick(&mut self, run: &PlayedRun, ordinal: usize, entry: &FrameEntry) -> Pick {
        let mut pick = Pick::new(ordinal, entry);
        pick.marks.discontinuity = self.given & bit(entry.track) == 0;
        self.given |= bit(entry.track);
        if run.is_entry(entry) {
            self.key = Some(entry.time);
        }
        pick
    }
}

/// Whether a picture is left when those are left out that no other needs; leading pictures are needed by none but their like.
pub(super) fn is_predicted(kind: FrameKind) -> bool {
    !matches!(kind, FrameKind::Disposable | FrameKind::Leading)
}

fn bit(track: TrackId) -> u32 {
    1u32.checked_shl(u32::from(track.0)).unwrap_or(0)
}

/// The order in which the frames of a block are sent: each track in decode order, the tracks side by side by time. In a block they stand
/// track by track.
pub(super) fn sending_order(entries: &[FrameEntry]) -> Vec<usize> {
    let mut turn = UnixMicros::MIN;
    let mut track = None;
    let mut turns: Vec<(UnixMicros, usize)> = Vec::with_capacity(entries.len());
    for (ordinal, entry) in entries.iter().enumerate() {
        // A picture that is shown earlier than the one before it was still sent later.
        turn = if track == Some(entry.track) {
            turn.max(entry.time)
        } else {
            entry.time
        };
        track = Some(entry.track);
        turns.push((turn, ordinal));
    }
    turns.sort_by_key(|(turn, _)| *turn);
    turns.into_iter().map(|(_, ordinal)| ordinal).collect()
}
