//! How far apart the newest frames of a run are: how long its last one lasts, of which no next frame tells.

use crate::base::UnixMicros;
use std::collections::VecDeque;

/// How long a frame lasts that stands alone in its run, in microseconds: one of 25 pictures per second.
const LONE_FRAME_US: i64 = 40_000;

/// Longest typical interval that is believed, in microseconds: an hour.
const INTERVAL_US_MAX: i64 = 3_600_000_000;

/// How many frames at the end of a run say what its typical interval is.
const INTERVAL_FRAMES: usize = 48;

/// The times of the newest frames, for the typical interval.
#[derive(Clone, Debug, Default)]
pub(crate) struct RecentTimes {
    times: VecDeque<i64>,
}

impl RecentTimes {
    /// Notes the time of the next frame.
    pub(crate) fn push(&mut self, time: UnixMicros) {
        if self.times.len() == INTERVAL_FRAMES {
            self.times.pop_front();
        }
        self.times.push_back(time.0);
    }

    /// The median time from one frame to the next in presentation order.
    pub(crate) fn interval_us(&self) -> i64 {
        let mut sorted: Vec<i64> = self.times.iter().copied().collect();
        sorted.sort_unstable();
        let mut steps: Vec<i64> = sorted
            .windows(2)
            .map(|pair| pair[1].saturating_sub(pair[0]))
            .filter(|&step| step > 0)
            .collect();
        steps.sort_unstable();
        steps
            .get(steps.len() / 2)
            .copied()
            .map_or(LONE_FRAME_US, |step| step.min(INTERVAL_US_MAX))
    }
}
