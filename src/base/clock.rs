//! The engine's only clocks: wall time, monotonic time, and what the kernel says of their quality.
//!
//! Every other module is handed a `Clock`, so tests and the simulation run on virtual time (design law L9: frame times
//! come from one clock whose state is recorded with each run).

use crate::base::time::{Micros, UnixMicros};
use std::sync::Mutex;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Where time comes from.
pub trait Clock: Send + Sync + 'static {
    /// Wall-clock time. May step when the administrator or NTP sets it.
    fn now(&self) -> UnixMicros;

    /// Time since an arbitrary start that never steps.
    fn elapsed(&self) -> Micros;

    /// How far the wall clock can be trusted at this moment.
    fn state(&self) -> ClockState;
}

/// The kernel's word on the wall clock (`adjtimex(2)`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct ClockState {
    /// Whether a time daemon keeps the clock in step (`STA_UNSYNC` clear).
    pub synchronised: bool,
    /// The kernel's bound on the error in microseconds (`maxerror`).
    pub error_us_max: u32,
}

impl ClockState {
    /// Nothing is known.
    pub const UNKNOWN: Self = Self {
        synchronised: false,
        error_us_max: u32::MAX,
    };
}

/// The machine's clocks.
#[derive(Debug)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// A clock whose monotonic time starts now.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that reads the machine's clocks"
    )]
    pub fn new() -> Self {
        Self {
            start: Instant::now(),
        }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that reads the machine's clocks"
    )]
    fn now(&self) -> UnixMicros {
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => UnixMicros(since.as_micros() as i64),
            Err(before) => UnixMicros(-(before.duration().as_micros() as i64)),
        }
    }

    fn elapsed(&self) -> Micros {
        Micros(self.start.elapsed().as_micros() as i64)
    }

    fn state(&self) -> ClockState {
        // SAFETY: all-zero is a valid `timex` (modes = 0: read only), and the kernel only writes into it.
        let (status, timex) = unsafe {
            let mut timex: libc::timex = std::mem::zeroed();
            (libc::adjtimex(&mut timex), timex)
        };
        if status < 0 {
            return ClockState::UNKNOWN;
        }
        ClockState {
            synchronised: timex.status & libc::STA_UNSYNC == 0,
            error_us_max: timex.maxerror.clamp(0, i64::from(u32::MAX)) as u32,
        }
    }
}

/// A clock that moves only when told to.
#[derive(Debug)]
pub struct SimulatedClock {
    state: Mutex<(UnixMicros, Micros)>,
}

impl SimulatedClock {
    /// Wall time starts at `wall`, monotonic time at zero.
    pub fn new(wall: UnixMicros) -> Self {
        Self {
            state: Mutex::new((wall, Micros::ZERO)),
        }
    }

    /// Lets `span` pass on both clocks.
    pub fn advance(&self, span: Micros) {
        assert!(span >= Micros::ZERO, "time does not run backwards");
        let mut state = self.lock();
        state.0 = state.0 + span;
        state.1 = state.1 + span;
    }

    /// Sets the wall clock by `step` (either sign), as an administrator would.
    pub fn step(&self, step: Micros) {
        let mut state = self.lock();
        state.0 = state.0 + step;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, (UnixMicros, Micros)> {
        self.state
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Clock for SimulatedClock {
    fn now(&self) -> UnixMicros {
        self.lock().0
    }

    fn elapsed(&self) -> Micros {
        self.lock().1
    }

    fn state(&self) -> ClockState {
        ClockState {
            synchronised: true,
            error_us_max: 1_000,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wall_clock_step_leaves_monotonic_time_alone() {
        let clock = SimulatedClock::new(UnixMicros(1_000));
        clock.advance(Micros(10));
        clock.step(Micros(-500));
        assert_eq!(
            (clock.now(), clock.elapsed()),
            (UnixMicros(510), Micros(10))
        );
    }

    #[test]
    fn the_kernel_answers_for_the_system_clock() {
        let clock = SystemClock::new();
        assert!(clock.now() > UnixMicros(1_600_000_000_000_000));
        assert_ne!(clock.state(), ClockState::UNKNOWN);
    }
}
