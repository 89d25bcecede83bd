//! Decode times for frames that came with presentation times only.
//!
//! RTP carries no decode times, so a stream with B-frames is stored in decode order with presentation times. MP4 wants a
//! strictly rising decode time per sample and an offset from it to the presentation time. With `d` the largest number of frames
//! that come earlier in decode order and are shown later, the decode time of frame `i` is the `(i - d)`-th presentation time in
//! rising order: never after the frame's own presentation time, because at most `d` of the `i` frames before it are shown later.
//! Times are in any one unit. Both passes are streaming and hold at most `REORDER_MAX + 1` times.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
};

/// Most frames a frame may overtake: H.264 §A.3.1 and H.265 §A.4.2 allow 16 pictures in the decoder. What reorders further is a
/// broken stream: its samples get a negative offset instead of a longer delay.
pub(crate) const REORDER_MAX: usize = 16;

/// First pass: finds how far frames are reordered.
#[derive(Clone, Debug, Default)]
pub(crate) struct ReorderDepth {
    window: VecDeque<i64>,
    depth: usize,
}

impl ReorderDepth {
    /// Notes the presentation time of the next frame in decode order.
    pub(crate) fn push(&mut self, time: i64) {
        let overtaken = self.window.iter().filter(|&&other| other > time).count();
        self.depth = self.depth.max(overtaken);
        if self.window.len() == REORDER_MAX {
            self.window.pop_front();
        }
        self.window.push_back(time);
    }

    /// The largest number of frames that came before a frame and are shown after it.
    pub(crate) fn depth(&self) -> usize {
        self.depth
    }
}

/// Second pass: gives each frame its decode time.
#[derive(Clone, Debug)]
pub(crate) struct DecodeTimes {
    depth: usize,
    waiting: BinaryHeap<Reverse<i64>>,
    /// Frames still to be placed before the first presentation time.
    lead: usize,
    first: i64,
    interval: i64,
    previous: Option<i64>,
}

impl DecodeTimes {
    /// For frames whose earliest presentation time is `first` and which follow each other about every `interval` (> 0).
    pub(crate) fn new(depth: usize, first: i64, interval: i64) -> Self {
        assert!(interval > 0, "frames follow each other");
        Self {
            depth,
            waiting: BinaryHeap::with_capacity(depth + 1),
            lead: depth,
            first,
            interval,
            previous: None,
        }
    }

    /// The decode time of the next frame in decode order, which is shown at `time`.
    pub(crate) fn next(&mut self, time: i64) -> i64 {
        self.waiting.push(Reverse(time));
        let wanted = if self.lead > 0 {
            let before = self.lead as i64 * self.interval;
            self.lead -= 1;
            self.first - before
        } else {
            assert!(self.waiting.len() == self.depth + 1);
            self.waiting.pop().map_or(time, |Reverse(time)| time)
        };
        let decode = self
            .previous
            .map_or(wanted, |previous| wanted.max(previous + 1));
        self.previous = Some(decode);
        decode
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::seed::Seed;

    fn decode_times(times: &[i64]) -> (usize, Vec<i64>) {
        let mut depth = ReorderDepth::default();
        times.iter().for_each(|&time| depth.push(time));
        let first = times.iter().copied().min().unwrap_or(0);
        let mut decode = DecodeTimes::new(depth.depth(), first, 40);
        let decoded = times.iter().map(|&time| decode.next(time)).collect();
        (depth.depth(), decoded)
    }

    #[test]
    fn streams_without_reordering_are_decoded_when_shown() {
        assert_eq!(decode_times(&[5, 45, 85]), (0, vec![5, 45, 85]));
    }

    #[test]
    fn a_pyramid_of_b_frames_is_delayed_by_its_depth() {
        // I0 P160 B80 b40 b120 P320 B240 b200 b280
        let times = [0, 160, 80, 40, 120, 320, 240, 200, 280];
        let (depth, decode) = decode_times(&times);
        assert_eq!(depth, 2);
        assert_eq!(decode, [-80, -40, 0, 40, 80, 120, 160, 200, 240]);
    }

    /// Goal: whatever the order within the allowed window, decode times rise strictly and are never after presentation.
    #[test]
    fn decode_times_rise_and_precede_presentation() {
        for number in 0..200 {
            let mut seed = Seed::new(number);
            let window = seed.between(1, REORDER_MAX as u64) as usize;
            let mut times: Vec<i64> = Vec::new();
            for group in 0..20 {
                let mut shuffled: Vec<i64> = (0..window as i64)
                    .map(|at| (group * window as i64 + at) * 40 + seed.below(39) as i64)
                    .collect();
                for at in (1..shuffled.len()).rev() {
                    shuffled.swap(at, seed.below(at as u64 + 1) as usize);
                }
                times.extend(shuffled);
            }
            let (_, decode) = decode_times(&times);
            for at in 0..times.len() {
                assert!(decode[at] <= times[at], "SEED={number} frame {at}");
                assert!(
                    at == 0 || decode[at - 1] < decode[at],
                    "SEED={number} frame {at}"
                );
            }
        }
    }

    #[test]
    fn equal_and_falling_times_still_give_rising_decode_times() {
        let (_, decode) = decode_times(&[100, 100, 100, 50, 100, 90]);
        assert!(
            decode.windows(2).all(|pair| pair[0] < pair[1]),
            "{decode:?}"
        );
    }
}
