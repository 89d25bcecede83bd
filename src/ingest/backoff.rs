//! How long to wait before trying a camera again: exponential with jitter, so that hundreds of cameras behind one switch that comes
//! back do not all knock at the same moment, and a dead one costs nothing.

use crate::base::seed::Seed;
use std::time::Duration;

/// The waits between attempts.
#[derive(Debug)]
pub(crate) struct Backoff {
    min: Duration,
    max: Duration,
    attempt: u32,
    seed: Seed,
}

impl Backoff {
    /// The first wait is at most `min`; each doubles the bound up to `max`.
    pub(crate) fn new(min: Duration, max: Duration, seed: Seed) -> Self {
        Self {
            min,
            max: max.max(min),
            attempt: 0,
            seed,
        }
    }

    /// The next wait: a random part, at least half, of the bound.
    pub(crate) fn next(&mut self) -> Duration {
        let bound = self
            .min
            .saturating_mul(1 << self.attempt.min(20))
            .min(self.max);
        self.attempt += 1;
        let half = bound.as_micros() as u64 / 2;
        Duration::from_micros(self.seed.between(half, 2 * half))
    }

    /// The next wait is the longest: an attempt soon would be pointless.
    pub(crate) fn give_up_for_now(&mut self) {
        self.attempt = 20;
    }

    /// The camera is well again.
    pub(crate) fn reset(&mut self) {
        self.attempt = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_bound_and_never_leave_their_range() {
        let second = Duration::from_secs(1);
        let mut backoff = Backoff::new(second, 30 * second, Seed::new(1));
        for attempt in 0..100 {
            let bound = second.saturating_mul(1 << attempt.min(20)).min(30 * second);
            let wait = backoff.next();
            assert!(wait >= bound / 2 && wait <= bound, "{attempt}: {wait:?}");
        }
        backoff.reset();
        assert!(backoff.next() <= second);
        backoff.give_up_for_now();
        assert!(backoff.next() >= 15 * second);
    }

    #[test]
    fn cameras_with_other_seeds_wait_differently() {
        let waits = |seed| {
            let mut backoff = Backoff::new(
                Duration::from_secs(1),
                Duration::from_secs(30),
                Seed::new(seed),
            );
            (0..5).map(|_| backoff.next()).collect::<Vec<_>>()
        };
        assert_ne!(waits(1), waits(2));
        assert_eq!(waits(3), waits(3));
    }
}
