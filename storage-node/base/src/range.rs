//! Ranges of hash slots.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The number of hash slots of a table, as in Redis Cluster.
pub const SLOT_COUNT: u16 = 16_384;

/// Two slots, as they stand in a document or an order, are no range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{first} to {last} is no range of slots: expected first <= last < {SLOT_COUNT}")]
pub struct NotARange {
    /// What should have been the first slot.
    pub first: u16,
    /// What should have been the last one.
    pub last: u16,
}

#[derive(Deserialize)]
struct Ends {
    first: u16,
    last: u16,
}

/// A range of hash slots, both ends included; never empty, wherever it was read from.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "Ends")]
pub struct SlotRange {
    first: u16,
    last: u16,
}

impl SlotRange {
    /// Every slot of a table.
    pub const ALL: SlotRange = SlotRange { first: 0, last: SLOT_COUNT - 1 };

    /// The range from `first` to `last`, both included; `None` where that is empty or beyond the last slot.
    pub const fn new(first: u16, last: u16) -> Option<SlotRange> {
        if first <= last && last < SLOT_COUNT { Some(SlotRange { first, last }) } else { None }
    }

    /// The first slot.
    pub const fn first(self) -> u16 {
        self.first
    }

    /// The last slot, included.
    pub const fn last(self) -> u16 {
        self.last
    }

    /// Whether the slot lies in the range.
    pub const fn contains(self, slot: u16) -> bool {
        self.first <= slot && slot <= self.last
    }

    /// All slots, cut into `parts` ranges whose sizes differ by at most one. `parts` is between 1 and [`SLOT_COUNT`].
    pub fn split_evenly(parts: u16) -> Vec<SlotRange> {
        assert!((1..=SLOT_COUNT).contains(&parts), "a table has between 1 and {SLOT_COUNT} shards, not {parts}");
        let bound = |part: u16| (u32::from(part) * u32::from(SLOT_COUNT) / u32::from(parts)) as u16;
        (0..parts).map(|part| SlotRange { first: bound(part), last: bound(part + 1) - 1 }).collect()
    }
}

impl TryFrom<Ends> for SlotRange {
    type Error = NotARange;

    fn try_from(ends: Ends) -> Result<SlotRange, NotARange> {
        let Ends { first, last } = ends;
        SlotRange::new(first, last).ok_or(NotARange { first, last })
    }
}

impl fmt::Debug for SlotRange {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{self}")
    }
}

impl fmt::Display for SlotRange {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}-{}", self.first, self.last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::de::value::{Error, MapDeserializer};

    /// What a document or an order with these ends reads as.
    fn read(first: u16, last: u16) -> Result<SlotRange, Error> {
        SlotRange::deserialize(MapDeserializer::new([("first", first), ("last", last)].into_iter()))
    }

    #[test]
    fn a_range_that_is_empty_or_too_long_is_refused_where_it_is_read() {
        assert_eq!(read(0, SLOT_COUNT - 1), Ok(SlotRange::ALL));
        for (first, last) in [(5, 4), (0, SLOT_COUNT), (7, u16::MAX)] {
            let error = read(first, last).expect_err("must be refused").to_string();
            assert!(error.contains(&format!("{first} to {last} is no range of slots")), "{error}");
        }
    }

    #[test]
    fn an_even_split_covers_every_slot_once() {
        for parts in [1, 3, 16, 100, SLOT_COUNT] {
            let ranges = SlotRange::split_evenly(parts);
            assert_eq!(ranges.len(), usize::from(parts));
            let mut next = 0;
            for range in ranges {
                assert_eq!(range.first(), next);
                next = range.last() + 1;
            }
            assert_eq!(next, SLOT_COUNT);
        }
    }
}
