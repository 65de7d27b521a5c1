//! How a node's wall clock is wrong, drawn; and whether its node has noticed.

use fastrand::Rng;
use std::{fmt, ops::RangeInclusive};

/// How far a clock is off that its node may lead with, in milliseconds: below 500, since what others' clocks show is heard late.
const WITHIN: RangeInclusive<i64> = 200..=450;

/// How far one is off that is far beyond that, in milliseconds: stores of objects refuse what is signed more than a quarter of an hour off.
const BEYOND: RangeInclusive<i64> = 120_000..=3_600_000;

/// To how many moments a clock jumps before it begins anew.
const JUMPS: usize = 4;

/// What a node tells may differ by so much from what its clock was told, in milliseconds.
const ERROR_MILLIS: u64 = 100;

/// A clock stands still when it is behind by so much, in milliseconds.
const BEHIND_MILLIS: i64 = 200;

/// What is wrong with a wall clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// It is ahead by so many milliseconds, or behind.
    Off {
        /// How many.
        millis: i64,
    },
    /// It is off by each of these in turn, again and again, in milliseconds.
    Jumping {
        /// By how many.
        offsets: Vec<i64>,
    },
    /// It stands still.
    Frozen,
}

impl Wrong {
    /// The `nth` of a siege: each kind in its turn.
    pub fn draw(nth: usize, random: &mut Rng) -> Wrong {
        match nth % 4 {
            0 => Wrong::Off { millis: off(&WITHIN, random) },
            1 => Wrong::Off { millis: off(&BEYOND, random) },
            2 => Wrong::Jumping { offsets: (0..JUMPS).map(|nth| off([&WITHIN, &BEYOND][nth % 2], random)).collect() },
            _ => Wrong::Frozen,
        }
    }

    /// Whether a node may lead with such a clock. Beside any other, the clocks of all others must be right and heard.
    pub fn is_within(&self) -> bool {
        matches!(self, Wrong::Off { millis } if WITHIN.contains(&millis.abs()))
    }

    /// Whether a node that tells to be so many milliseconds off has such a clock.
    pub fn is_told_by(&self, offset_millis: i64) -> bool {
        let is_near = |millis: i64| millis.abs_diff(offset_millis) <= ERROR_MILLIS;
        match self {
            Wrong::Off { millis } => is_near(*millis),
            Wrong::Jumping { offsets } => offsets.iter().any(|millis| is_near(*millis)),
            Wrong::Frozen => offset_millis <= -BEHIND_MILLIS,
        }
    }
}

/// Half of the time as far as it gets.
fn off(bounds: &RangeInclusive<i64>, random: &mut Rng) -> i64 {
    let millis = if random.bool() { *bounds.end() } else { random.i64(bounds.clone()) };
    if random.bool() { millis } else { -millis }
}

impl fmt::Display for Wrong {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Wrong::Off { millis } => write!(out, "off by {millis:+} ms"),
            Wrong::Jumping { offsets } => write!(out, "jumping, off by {offsets:?} ms"),
            Wrong::Frozen => write!(out, "frozen"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_turn_and_no_right_clock_is_taken_for_a_wrong_one() {
        let mut random = Rng::with_seed(7);
        for nth in 0..100 {
            let wrong = Wrong::draw(nth, &mut random);
            assert_eq!(wrong.is_within(), nth % 4 == 0, "{wrong}");
            assert!([-100, 0, 100].iter().all(|millis| !wrong.is_told_by(*millis)), "{wrong}");
        }
    }

    #[test]
    fn a_clock_is_wrong_as_it_was_told() {
        let off = Wrong::Off { millis: -3_600_000 };
        assert!(off.is_told_by(-3_600_060) && !off.is_told_by(-3_599_000) && !off.is_told_by(3_600_000));
        let jumping = Wrong::Jumping { offsets: vec![300, -200_000] };
        assert!(jumping.is_told_by(250) && jumping.is_told_by(-200_000) && !jumping.is_told_by(-300));
        assert!(Wrong::Frozen.is_told_by(-2_000) && !Wrong::Frozen.is_told_by(2_000));
    }
}
