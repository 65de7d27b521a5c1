//! The hybrid logical clock: one number that orders the writes of a shard and tells the time of each.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A hybrid logical clock value: 48 bits of milliseconds since the Unix epoch, then 16 bits of a counter.
///
/// Invariant: a shard hands out strictly increasing values (`max(previous + 1, now)`), so a value names one command of that shard.
/// More than 65,536 commands within a millisecond carry into the next one, which keeps the order and is off by that much in time.
///
/// Source of the scheme: Kulkarni et al., "Logical Physical Clocks", 2014, with both parts in one word.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Hlc(u64);

impl Hlc {
    /// Before every write.
    pub const ZERO: Hlc = Hlc(0);
    /// After every write.
    pub const MAX: Hlc = Hlc(u64::MAX);
    const COUNTER_BITS: u32 = 16;

    /// The first value of a millisecond since the Unix epoch.
    pub const fn from_millis(unix_ms: u64) -> Hlc {
        Hlc(unix_ms << Self::COUNTER_BITS)
    }

    /// The value as it is stored, big-endian where order matters.
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// The value read back from where [`Hlc::as_u64`] put it.
    pub const fn from_u64(raw: u64) -> Hlc {
        Hlc(raw)
    }

    /// Milliseconds since the Unix epoch.
    pub const fn millis(self) -> u64 {
        self.0 >> Self::COUNTER_BITS
    }

    /// The next value a shard hands out, given the time `now_ms` in milliseconds since the Unix epoch.
    #[must_use]
    pub fn next(self, now_ms: u64) -> Hlc {
        Hlc((self.0 + 1).max(Hlc::from_millis(now_ms).0))
    }
}

impl fmt::Debug for Hlc {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self)
    }
}

impl fmt::Display for Hlc {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}.{}", self.millis(), self.0 & ((1 << Self::COUNTER_BITS) - 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_value_is_later_even_when_the_clock_stands_or_falls_back() {
        let first = Hlc::from_millis(1_000);
        assert_eq!(first.next(1_000).to_string(), "1000.1");
        assert_eq!(first.next(500).to_string(), "1000.1");
        assert_eq!(first.next(2_000).to_string(), "2000.0");
    }
}
