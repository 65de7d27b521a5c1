//! Group commit: whether another round of this node's commands may begin while others are on their way to its disk.
//!
//! Commands that come meanwhile gather for the next round, which then costs each of them less. Appends for other leaders do not count: they come
//! when they come.

use crate::limits;
use std::collections::VecDeque;

/// What one append carries of the commands that this node evaluated.
#[derive(Clone, Copy, Debug, Default)]
struct Load {
    commands: usize,
    /// Whether other members must have it, too, before anybody is answered.
    is_replicated: bool,
}

/// Rounds that the log does not hold yet.
#[derive(Debug, Default)]
pub(super) struct Rounds {
    /// What the next append carries.
    gathered: Load,
    /// Appends under way that carry something, in order, by their numbers.
    under_way: VecDeque<(u64, Load)>,
}

impl Rounds {
    /// An entry of so many commands goes with the next append, to so many voters.
    pub(super) fn gather(&mut self, commands: usize, voters: usize) {
        // One that nobody waits for is an entry all the same.
        self.gathered.commands += commands.max(1);
        self.gathered.is_replicated |= voters > 1;
    }

    /// The next append is on its way.
    pub(super) fn write(&mut self, number: u64) {
        let load = std::mem::take(&mut self.gathered);
        if load.commands > 0 {
            self.under_way.push_back((number, load));
        }
    }

    /// The appends up to this one are durable.
    pub(super) fn written(&mut self, number: u64) {
        while self.under_way.pop_front_if(|(write, _)| *write <= number).is_some() {}
    }

    /// Whether a round may begin. Beside another one only while that one is small, and its followers take as long again: without them, or with
    /// many commands in it, waiting for it is cheaper.
    pub(super) fn may_begin(&self) -> bool {
        let mut under_way = self.under_way.iter();
        match (under_way.next(), under_way.next()) {
            (None, _) => true,
            (Some((_, load)), None) => load.is_replicated && load.commands < limits::OVERLAPPING_ROUND_COMMANDS_MAX,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANY: usize = limits::OVERLAPPING_ROUND_COMMANDS_MAX;

    /// Whether another round may begin beside these, each of which is an append of entries of so many commands for so many voters.
    fn may_begin_beside(rounds: &[&[(usize, usize)]]) -> bool {
        let mut all = Rounds::default();
        for (number, entries) in (1..).zip(rounds) {
            entries.iter().for_each(|(commands, voters)| all.gather(*commands, *voters));
            all.write(number);
        }
        all.may_begin()
    }

    #[test]
    fn one_small_round_that_waits_for_others_lets_another_begin() {
        assert!(may_begin_beside(&[]));
        assert!(may_begin_beside(&[&[(MANY - 1, 3)]]));
        assert!(!may_begin_beside(&[&[(MANY, 3)]]), "it is large");
        assert!(!may_begin_beside(&[&[(MANY / 2, 3), (MANY / 2, 3)]]), "it is large by all of its shards together");
        assert!(!may_begin_beside(&[&[(1, 1)]]), "there is nobody else to wait for");
        assert!(!may_begin_beside(&[&[(1, 3)], &[(1, 3)]]), "there are two");
        assert!(!may_begin_beside(&[&[(0, 1)]]), "an expiry is a round, too");
        assert!(may_begin_beside(&[&[], &[], &[(1, 3)]]), "appends for other leaders are no rounds");
    }

    #[test]
    fn what_is_durable_is_waited_for_no_more() {
        let mut rounds = Rounds::default();
        for number in [2, 5] {
            rounds.gather(MANY, 3);
            rounds.write(number);
        }
        rounds.written(4);
        assert!(!rounds.may_begin());
        rounds.written(5);
        assert!(rounds.may_begin());
    }
}
