//! The simulator's clock: nanoseconds since the server started, and the wall time they stand for.
//!
//! The wall clock is read once, at the start; everything after is counted on the monotonic clock, so that the frames'
//! times stay exact when somebody sets the machine's clock.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Monotonic time since the server's start, tied to Unix time once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: Instant,
    start_unix_us: u64,
}

impl Clock {
    /// A clock whose zero is now.
    #[expect(
        clippy::disallowed_methods,
        reason = "the simulator's one place that reads the machine's clocks"
    )]
    pub(crate) fn start() -> Self {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH);
        Self {
            start: Instant::now(),
            start_unix_us: unix.map_or(0, |d| d.as_micros() as u64),
        }
    }

    /// Nanoseconds since the start.
    pub(crate) fn now_ns(&self) -> u64 {
        self.start.elapsed().as_nanos() as u64
    }

    /// Unix microseconds of the instant `at_ns` after the start.
    pub(crate) fn unix_us(&self, at_ns: u64) -> u64 {
        self.start_unix_us + at_ns / 1_000
    }
}

/// A duration in nanoseconds, as this crate counts them.
pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
