//! The least delay of the last half minute: what remains of receive times when the network's jitter is taken away.

use crate::base::Micros;
use std::collections::VecDeque;

/// How long the least delayed packet counts: long enough to bridge a busy minute of Wi-Fi, short enough to see a crystal drift.
const BUCKETS: usize = 30;
/// Length of a bucket.
const BUCKET: Micros = Micros::from_secs(1);

/// Minimum of the last `BUCKETS` buckets of time.
#[derive(Clone, Debug, Default)]
pub(super) struct LeastDelay {
    /// Number of each bucket (monotonic time) and its minimum.
    buckets: VecDeque<(i64, i64)>,
}

impl LeastDelay {
    /// Adds an offset (time of receipt minus media time) seen at `now` (monotonic).
    pub(super) fn add(&mut self, now: Micros, offset: i64) {
        let number = now.0.div_euclid(BUCKET.0);
        match self.buckets.back_mut() {
            Some((last, least)) if *last >= number => *least = offset.min(*least),
            _ => self.buckets.push_back((number, offset)),
        }
        while self
            .buckets
            .front()
            .is_some_and(|(first, _)| first + BUCKETS as i64 <= number)
        {
            self.buckets.pop_front();
        }
    }

    /// The least offset, if anything came.
    pub(super) fn least(&self) -> Option<i64> {
        self.buckets.iter().map(|(_, least)| *least).min()
    }
}
