//! The operating system's clocks. The one place that reads them.

use crate::clock::Moment;
use rustix::time::{ClockId, clock_gettime};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A monotonic clock that goes on while the machine sleeps, and the wall clock.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    origin: Duration,
}

impl SystemClock {
    /// Monotonic time begins now.
    pub fn start() -> SystemClock {
        SystemClock { origin: since_boot() }
    }

    /// Now.
    #[expect(clippy::disallowed_methods, reason = "this is the Clock port")]
    pub fn now(&self) -> Moment {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Moment { monotonic_ms: self.monotonic_ms(), wall_ms: wall.as_millis() as u64 }
    }

    /// The monotonic part of now, in milliseconds.
    pub fn monotonic_ms(&self) -> u64 {
        self.micros() / 1_000
    }

    /// Microseconds since the clock began.
    pub fn micros(&self) -> u64 {
        since_boot().saturating_sub(self.origin).as_micros() as u64
    }
}

fn since_boot() -> Duration {
    let now = clock_gettime(ClockId::Boottime);
    Duration::new(now.tv_sec.max(0) as u64, now.tv_nsec.max(0) as u32)
}
