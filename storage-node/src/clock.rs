//! The time that a node's shards live in: monotonic time plus an offset, the median of the nodes' wall clocks, slewed.
//!
//! A raw wall clock never enters a hybrid clock: one jump forward would stay in it for ever. Here a jump of one node's clock changes one sample
//! of the median. (Pure: times are arguments.)

use crate::limits;
use std::collections::{BTreeMap, BTreeSet};
use strata_base::StoreId;

/// One moment, as the operating system tells it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    /// A clock that never jumps, in milliseconds since any origin.
    pub monotonic_ms: u64,
    /// The wall clock, in milliseconds since the Unix epoch.
    pub wall_ms: u64,
}

/// The time of a node's shards.
#[derive(Debug)]
pub struct ClusterClock {
    origin: Moment,
    /// What is added to monotonic time, less the origin's wall time, in milliseconds.
    offset_ms: i64,
    last_ms: u64,
    slewed_at: u64,
    /// Each other node's wall clock less our unslewed time, and when it was heard.
    heard: BTreeMap<StoreId, (i64, u64)>,
}

/// Slewing changes time by at most one part in this many.
const SLEW_DIVISOR: u64 = 10;

/// A sample of a node that was not heard for this long is dropped, in milliseconds: a sample errs by what the two clocks drift apart meanwhile, and a clock
/// that runs wrong by a tenth must not carry its shards beyond [`limits::CLOCK_SKEW_MILLIS_MAX`].
const SAMPLE_AGE_MILLIS_MAX: u64 = 4_000;

const _: () = assert!(SAMPLE_AGE_MILLIS_MAX / SLEW_DIVISOR < limits::CLOCK_SKEW_MILLIS_MAX as u64, "what is old may be off by its drift");

impl ClusterClock {
    /// A clock that begins at a moment.
    pub fn new(origin: Moment) -> ClusterClock {
        ClusterClock { origin, offset_ms: 0, last_ms: 0, slewed_at: origin.monotonic_ms, heard: BTreeMap::new() }
    }

    /// Another node said what its wall clock shows.
    pub fn hear(&mut self, now: Moment, from: StoreId, wall_ms: u64) {
        self.heard.insert(from, (wall_ms as i64 - self.unslewed(now), now.monotonic_ms));
    }

    /// Milliseconds since the Unix epoch, never going back but by [`ClusterClock::step`].
    pub fn now_ms(&mut self, now: Moment) -> u64 {
        let elapsed = now.monotonic_ms.saturating_sub(self.slewed_at);
        if elapsed >= SLEW_DIVISOR {
            let limit = (elapsed / SLEW_DIVISOR) as i64;
            self.offset_ms += (self.median(now) - self.offset_ms).clamp(-limit, limit);
            self.slewed_at = now.monotonic_ms;
        }
        self.last_ms = self.last_ms.max((self.unslewed(now) + self.offset_ms).max(0) as u64);
        self.last_ms
    }

    /// What [`ClusterClock::now_ms`] would say without slewing now.
    pub fn peek_ms(&self, now: Moment) -> u64 {
        self.last_ms.max((self.unslewed(now) + self.offset_ms).max(0) as u64)
    }

    /// This node's wall clock less the median of all, in milliseconds.
    pub fn skew_ms(&self, now: Moment) -> i64 {
        self.own(now) - self.median(now)
    }

    /// Whether the node may lead: neither its wall clock nor its shards' time is far from the median. (They differ in a node that started with
    /// a wrong clock which was mended since.)
    pub fn is_trustworthy(&self, now: Moment) -> bool {
        self.skew_ms(now).abs() <= limits::CLOCK_SKEW_MILLIS_MAX && !self.is_far(now)
    }

    /// For a node that leads nothing: time that is far from the median is set, since slewing would take ten times as long as it is off.
    pub fn step(&mut self, now: Moment) {
        if self.is_far(now) {
            (self.offset_ms, self.slewed_at, self.last_ms) = (self.median(now), now.monotonic_ms, 0);
        }
    }

    /// Whether more than half of the nodes, this one among them, were heard of late: until then the median is a minority's guess. Who knows of no
    /// node knows nothing of the time either.
    pub fn is_agreed(&self, now: Moment, nodes: &BTreeSet<StoreId>) -> bool {
        let heard = self.heard.iter().filter(|(store, (_, at))| nodes.contains(store) && is_fresh(now, *at)).count();
        !nodes.is_empty() && 2 * (heard + 1) > nodes.len()
    }

    fn is_far(&self, now: Moment) -> bool {
        (self.median(now) - self.offset_ms).abs() > limits::CLOCK_SKEW_MILLIS_MAX
    }

    fn unslewed(&self, now: Moment) -> i64 {
        (self.origin.wall_ms + now.monotonic_ms.saturating_sub(self.origin.monotonic_ms)) as i64
    }

    fn own(&self, now: Moment) -> i64 {
        now.wall_ms as i64 - self.unslewed(now)
    }

    fn median(&self, now: Moment) -> i64 {
        let mut samples: Vec<i64> = self.heard.values().filter(|(_, at)| is_fresh(now, *at)).map(|(sample, _)| *sample).collect();
        samples.push(self.own(now));
        samples.sort_unstable();
        samples[(samples.len() - 1) / 2]
    }
}

fn is_fresh(now: Moment, heard_at: u64) -> bool {
    now.monotonic_ms.saturating_sub(heard_at) <= SAMPLE_AGE_MILLIS_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Moment = Moment { monotonic_ms: 1_000, wall_ms: 1_700_000_000_000 };

    fn later(millis: u64, wall_jump: i64) -> Moment {
        Moment { monotonic_ms: START.monotonic_ms + millis, wall_ms: (START.wall_ms as i64 + millis as i64 + wall_jump) as u64 }
    }

    #[test]
    fn a_jump_of_the_own_wall_clock_changes_nothing_while_others_are_heard() {
        let mut clock = ClusterClock::new(START);
        for (store, millis) in [(1, 0), (2, 0), (1, 5_000), (2, 5_000)] {
            clock.hear(later(millis, 0), StoreId(store), later(millis, 0).wall_ms);
        }
        let jumped = later(6_000, 3_600_000);
        assert_eq!(clock.now_ms(jumped), START.wall_ms + 6_000);
        assert_eq!(clock.skew_ms(jumped), 3_600_000);
        assert!(!clock.is_trustworthy(jumped));
    }

    #[test]
    fn a_node_that_starts_with_a_wrong_clock_is_slewed_to_its_quorum() {
        let mut clock = ClusterClock::new(START);
        for millis in (0..60_000).step_by(100) {
            for store in [1, 2] {
                clock.hear(later(millis, 0), StoreId(store), later(millis, 400).wall_ms);
            }
            let now = clock.now_ms(later(millis, 0));
            assert!(now >= START.wall_ms + millis, "time goes on");
        }
        assert_eq!(clock.now_ms(later(60_000, 0)), START.wall_ms + 60_400);
    }

    #[test]
    fn a_node_that_started_with_a_wrong_clock_leads_only_after_its_time_was_set() {
        let mut clock = ClusterClock::new(later(0, 3_600_000));
        for store in [1, 2] {
            clock.hear(later(100, 0), StoreId(store), later(100, 0).wall_ms);
        }
        assert!(!clock.is_trustworthy(later(100, 3_600_000)), "its wall clock is wrong");
        assert!(!clock.is_trustworthy(later(200, 0)), "its wall clock was mended, its shards' time is still an hour ahead");
        clock.step(later(200, 0));
        assert!(clock.is_trustworthy(later(200, 0)));
        assert_eq!(clock.now_ms(later(300, 0)), START.wall_ms + 300);
    }

    #[test]
    fn a_time_is_agreed_on_by_more_than_half_of_those_who_are_known() {
        let (mut clock, now) = (ClusterClock::new(START), later(20, 0));
        let nodes = |stores: &[u64]| stores.iter().map(|store| StoreId(*store)).collect();
        assert!(!clock.is_agreed(now, &nodes(&[])), "who knows nobody is no majority");
        assert!(clock.is_agreed(now, &nodes(&[1])), "a node alone decides");
        assert!(!clock.is_agreed(now, &nodes(&[1, 2, 3])));
        clock.hear(now, StoreId(9), now.wall_ms);
        assert!(!clock.is_agreed(now, &nodes(&[1, 2, 3])), "strangers do not count");
        clock.hear(now, StoreId(2), now.wall_ms);
        assert!(clock.is_agreed(now, &nodes(&[1, 2, 3])));
        assert!(!clock.is_agreed(now, &nodes(&[1, 2, 3, 4])));
        assert!(!clock.is_agreed(later(20_000, 0), &nodes(&[1, 2, 3])), "what was heard long ago is forgotten");
    }

    #[test]
    fn a_clock_that_runs_fast_stays_within_the_offset_where_nobody_is_heard_any_more() {
        // Its monotonic clock runs a tenth too fast, its wall clock is right.
        let at = |millis: u64| Moment { monotonic_ms: START.monotonic_ms + millis * 11 / 10, wall_ms: START.wall_ms + millis };
        let mut clock = ClusterClock::new(at(0));
        for millis in (0..60_000).step_by(50) {
            if millis < 20_000 {
                [1, 2].into_iter().for_each(|store| clock.hear(at(millis), StoreId(store), at(millis).wall_ms));
            }
            let ahead = clock.now_ms(at(millis)) - at(millis).wall_ms;
            assert!(ahead <= limits::CLOCK_SKEW_MILLIS_MAX as u64, "{ahead} ms ahead after {millis} ms");
        }
    }

    #[test]
    fn time_never_goes_back() {
        let mut clock = ClusterClock::new(START);
        let first = clock.now_ms(later(100, 0));
        for millis in 0..50 {
            assert!(clock.now_ms(later(100 + millis, -5_000)) >= first);
        }
    }
}
