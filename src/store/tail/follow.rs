//! Looking at a tail without taking from it: for playback up to the newest frame and for live viewers.
//!
//! Every frame has a number that rises by one. Whoever follows asks for what came from a number on; when frames of that number have
//! left, because they are durable and two seconds have passed, the answer says how many were missed. So a slow viewer costs next to
//! nothing and holds up nobody (L4).

use super::{Run, Tail, TailBlock};
use crate::{format::row::RunId, media::Frame};
use std::sync::Arc;
use tokio::sync::watch;

/// Told in place of a frame's number when the tail is given up.
const RETIRED: u64 = u64::MAX;

/// What came after a number.
#[derive(Debug, Default)]
pub struct Followed {
    /// Frames in order of arrival, run by run.
    pub frames: Vec<(Arc<Run>, Vec<Frame>)>,
    /// The number to ask for next.
    pub next: u64,
    /// Frames that had left before they could be given.
    pub missed: u64,
}

impl Tail {
    /// The blocks in memory, oldest first, the unfinished one too, as the block it would be now.
    pub fn blocks(&self) -> Vec<Arc<TailBlock>> {
        let state = self.lock();
        let unfinished = state.unfinished().map(Arc::new);
        state.blocks.iter().cloned().chain(unfinished).collect()
    }

    /// The number of the next frame to come.
    pub fn sequence(&self) -> u64 {
        self.lock().sequence
    }

    /// The frames from number `sequence` on.
    pub fn after(&self, sequence: u64) -> Followed {
        let state = self.lock();
        let mut followed = Followed {
            next: state.sequence,
            ..Followed::default()
        };
        let open = state.open.as_ref().zip(state.run.as_ref());
        let open_at = state.sequence - open.map_or(0, |(open, _)| open.frames.len() as u64);
        let blocks = state
            .kept
            .iter()
            .chain(&state.blocks)
            .map(|block| (&block.run, block.sequence, &block.frames));
        let mut oldest = None;
        for (run, first, frames) in
            blocks.chain(open.map(|(open, run)| (run, open_at, &open.frames)))
        {
            oldest = oldest.or(Some(first));
            let skip = sequence.saturating_sub(first).min(frames.len() as u64) as usize;
            let wanted = &frames[skip..];
            if wanted.is_empty() {
                continue;
            }
            match followed.frames.last_mut() {
                Some((last, list)) if Arc::ptr_eq(last, run) => list.extend_from_slice(wanted),
                _ => followed.frames.push((Arc::clone(run), wanted.to_vec())),
            }
        }
        followed.missed = oldest.unwrap_or(state.sequence).saturating_sub(sequence);
        followed
    }

    /// The number of the frame behind the last of a block, while the block is here: unfinished, waiting, or durable for a moment.
    pub fn end_of(&self, run: RunId, number: u32) -> Option<u64> {
        let state = self.lock();
        let mut blocks = state.kept.iter().chain(&state.blocks);
        let found = blocks.find(|block| block.run.id == run && block.number == number);
        found.map(|block| block.sequence_end())
    }

    /// Whether anybody follows.
    pub(super) fn is_followed(&self) -> bool {
        self.newest.receiver_count() > 0
    }

    /// Changes with each frame. Whoever has this follows: what becomes durable meanwhile is kept for him for two seconds.
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.newest.subscribe()
    }

    /// Tells followers of the frame before number `sequence`.
    pub(super) fn announce(&self, sequence: u64) {
        self.newest.send_if_modified(|newest| {
            let listening = *newest != RETIRED;
            if listening {
                *newest = sequence;
            }
            listening
        });
    }

    /// Tells followers that no frame will come any more.
    pub(crate) fn retire(&self) {
        self.newest.send_replace(RETIRED);
    }

    /// Whether no frame will come any more.
    pub fn is_retired(&self) -> bool {
        *self.newest.borrow() == RETIRED
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        base::{Micros, UnixMicros},
        format::description::tests::sample,
        media::{FrameData, FrameKind, GapCause, TrackId},
        store::tail::{TailBudget, TailLimits},
    };

    fn tail() -> Arc<Tail> {
        let limits = TailLimits {
            waiting_max: 1 << 20,
            block_len_max: 1 << 16,
            frame_len_max: 1 << 16,
        };
        let tail = Tail::new(Default::default(), TailBudget::new(1 << 20), limits);
        tail.begin(sample());
        tail
    }

    fn push(tail: &Tail, number: i64) {
        let kind = if number % 5 == 0 {
            FrameKind::Key
        } else {
            FrameKind::Reference
        };
        let frame = Frame {
            track: TrackId(0),
            kind,
            time: UnixMicros(number * 40_000),
            data: FrameData::from(bytes::Bytes::from(vec![number as u8; 3])),
        };
        tail.push(frame, Micros(number * 40_000));
    }

    fn numbers(followed: &Followed) -> Vec<i64> {
        let frames = followed.frames.iter().flat_map(|(_, frames)| frames);
        frames.map(|frame| frame.time.0 / 40_000).collect()
    }

    /// The writer takes everything; `count` blocks become durable.
    fn make_durable(tail: &Tail, count: usize) {
        tail.take(Micros(i64::MAX), Micros(i64::MAX), &mut |_| true);
        tail.durable(count);
    }

    #[test]
    fn every_frame_is_given_once_across_blocks_and_the_unfinished_one() {
        let tail = tail();
        let mut next = 0;
        let mut seen = Vec::new();
        for number in 0..23 {
            push(&tail, number);
            if number % 3 == 0 {
                let followed = tail.after(next);
                assert_eq!(followed.missed, 0);
                next = followed.next;
                seen.extend(numbers(&followed));
            }
        }
        seen.extend(numbers(&tail.after(next)));
        assert_eq!(seen, (0..23).collect::<Vec<_>>());
        assert_eq!(tail.after(23).frames.len(), 0);
    }

    #[test]
    fn frames_that_left_before_they_were_read_are_counted() {
        let tail = tail();
        (0..12).for_each(|number| push(&tail, number));
        make_durable(&tail, 2);
        let followed = tail.after(3);
        assert_eq!((followed.missed, followed.next), (7, 12));
        assert_eq!(numbers(&followed), [10, 11]);
        make_durable(&tail, 1);
        assert_eq!(tail.after(3).missed, 9, "all are gone");
    }

    /// A block may be durable a moment after its last frame came: who follows sees its frames all the same, for two seconds.
    #[test]
    fn who_follows_misses_nothing_though_blocks_are_durable_at_once() {
        let tail = tail();
        let following = tail.changed();
        let mut next = 0;
        for number in 0..100 {
            push(&tail, number);
            if number % 40 == 39 {
                let followed = tail.after(next);
                assert_eq!((followed.missed, numbers(&followed).len()), (0, 40));
                next = followed.next;
            }
            // The writer takes the unfinished block too.
            let count = tail.take(Micros(i64::MAX), Micros(i64::MAX), &mut |_| true);
            tail.durable(count);
        }
        assert_eq!(
            numbers(&tail.after(0)).first(),
            Some(&48),
            "two seconds at 25 a second, and a frame"
        );
        let last = tail
            .lock()
            .kept
            .back()
            .map(|block| (block.run.id, block.number));
        let (run, number) = last.expect("a block");
        assert_eq!(tail.end_of(run, number), Some(100));
        drop(following);
        make_durable(&tail, 0);
        assert_eq!(tail.after(99).missed, 1, "nobody follows: nothing is kept");
    }

    #[test]
    fn the_unfinished_block_is_seen_as_it_will_be_cut() {
        let tail = tail();
        (0..8).for_each(|number| push(&tail, number));
        let seen = tail.blocks();
        tail.end(GapCause::Restart);
        let cut = tail.blocks();
        assert_eq!(seen.len(), 2);
        assert_eq!(cut.len(), 2);
        for (seen, cut) in seen.iter().zip(&cut) {
            assert_eq!((seen.number, seen.sequence), (cut.number, cut.sequence));
            assert_eq!((seen.first, seen.end), (cut.first, cut.end));
            assert_eq!(seen.entries(), cut.entries());
        }
    }

    #[test]
    fn followers_hear_of_frames_and_of_the_end() {
        let tail = tail();
        let mut changed = tail.changed();
        push(&tail, 0);
        assert!(changed.has_changed().unwrap());
        changed.mark_unchanged();
        tail.retire();
        assert!(changed.has_changed().unwrap() && tail.is_retired());
        push(&tail, 1);
        assert!(tail.is_retired(), "a late frame does not bring it back");
    }
}
