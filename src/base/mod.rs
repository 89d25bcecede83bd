//! Units, time, clock and seeded randomness: the words every layer shares.
//!
//! Nothing here knows of cameras or disks. The operating system's clocks are read in `clock` and nowhere else, so that the
//! whole engine also runs on a virtual clock.

pub mod calendar;
pub mod clock;
pub mod limit;
pub mod nearest;
pub mod seed;
pub mod time;
pub mod units;

pub use clock::{Clock, ClockState, SimulatedClock, SystemClock};
pub use limit::RateLimit;
pub use nearest::nearest;
pub use time::{Micros, TimeRange, UnixMicros};
