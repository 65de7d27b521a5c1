//! What happens when: drawn from a seed and a length, and from nothing else.
//!
//! ```text
//! siege ──► rounds of 30 s: 24 s of play, then rest and judgement, or the loss of everything and a restore
//! play  ──► six slots, a trouble of nodes in each, now and then two at once; beside them the object store has troubles of its own
//! ```
//!
//! Troubles of nodes are dealt like cards: every twelve slots bring the same number of each kind, in another order. The schedule's clock stands still while a round
//! is judged, which takes as long as it takes.

use super::{
    clocks::Wrong,
    rounds::{self, Deck, Loss},
};
use crate::harness::s3_proxy::Mode;
use fastrand::Rng;
use std::fmt;

/// Nodes of the cluster, all of them members of every shard.
pub const NODES: usize = 3;

/// The length of a round, as far as it can be planned, in milliseconds.
const ROUND_MILLIS: u64 = 30_000;

/// How much of it is played, in milliseconds; less in a siege that is shorter than a round.
const PLAY_MILLIS: u64 = 24_000;

/// How often nodes are troubled, in milliseconds.
const SLOT_MILLIS: u64 = 4_000;

/// Of so many rounds one ends in the loss of everything.
const ROUNDS_TO_LOSS: usize = 6;

/// What may be troubled. A machine may lack the means for one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Processes end without a word, and their disks lose what was not synced.
    Kill,
    /// Processes stand still, and come back late.
    Stop,
    /// Nodes do not hear each other.
    Partition,
    /// Disks are full, or take nothing for a while.
    Disk,
    /// Disks take little.
    SlowDisk,
    /// Wall clocks are wrong.
    Clock,
    /// The object store fails.
    Store,
}

/// One trouble.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The power of these nodes is cut, in this order; at the end they are started again.
    Kill {
        /// Which.
        nodes: Vec<usize>,
    },
    /// A node stands still until the end.
    Stop {
        /// Which.
        node: usize,
    },
    /// What nodes send to others is dropped until the end.
    Cut {
        /// From whom to whom.
        ways: Vec<(usize, usize)>,
    },
    /// A disk has less room than it is to keep free, until the end.
    Full {
        /// Whose.
        node: usize,
    },
    /// A disk takes nothing until the end.
    Frozen {
        /// Whose.
        node: usize,
    },
    /// A disk takes writes for a fraction of the time, until the end.
    Slow {
        /// Whose.
        node: usize,
    },
    /// A node's wall clock is wrong until the end.
    Clock {
        /// Whose.
        node: usize,
        /// How.
        wrong: Wrong,
    },
    /// The object store does this until the end.
    Store {
        /// What.
        mode: Mode,
    },
}

impl Fault {
    /// Its kind.
    pub fn kind(&self) -> Kind {
        match self {
            Fault::Kill { .. } => Kind::Kill,
            Fault::Stop { .. } => Kind::Stop,
            Fault::Cut { .. } => Kind::Partition,
            Fault::Full { .. } | Fault::Frozen { .. } => Kind::Disk,
            Fault::Slow { .. } => Kind::SlowDisk,
            Fault::Clock { .. } => Kind::Clock,
            Fault::Store { .. } => Kind::Store,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Kill { nodes } => write!(out, "kill {nodes:?}"),
            Fault::Stop { node } => write!(out, "stop {node}"),
            Fault::Cut { ways } => {
                let ways: Vec<String> = ways.iter().map(|(from, to)| format!("{from} to {to}")).collect();
                write!(out, "cut {}", ways.join(", "))
            }
            Fault::Full { node } => write!(out, "full disk {node}"),
            Fault::Frozen { node } => write!(out, "frozen disk {node}"),
            Fault::Slow { node } => write!(out, "slow disk {node}"),
            Fault::Clock { node, wrong } => write!(out, "clock {node} {wrong}"),
            Fault::Store { mode } => write!(out, "store {mode:?}"),
        }
    }
}

/// A trouble of this siege, and when.
pub type Planned = rounds::Planned<Fault>;

/// A round of this siege.
pub type Round = rounds::Round<Fault>;

/// All rounds of a siege.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// The rounds, in their order.
    pub rounds: Vec<Round>,
}

impl Schedule {
    /// Draws what happens in so many seconds. One round at least.
    pub fn draw(seed: u64, seconds: u64) -> Schedule {
        let play_millis = (seconds * 800).clamp(SLOT_MILLIS, PLAY_MILLIS);
        let mut dealer = Dealer { random: Rng::with_seed(seed), play_millis, deck: Deck::of(&DECK), disks: 0, clocks: 0 };
        let count = (seconds * 1_000).div_ceil(ROUND_MILLIS).max(1) as usize;
        // A short siege loses everything, too, if it can go on afterwards.
        let turn = (ROUNDS_TO_LOSS / 3).min(count.saturating_sub(2));
        let round = |nth: usize| {
            let is_lost = count > 1 && nth % ROUNDS_TO_LOSS == turn;
            let faults = dealer.faults();
            let loss = if dealer.random.bool() { Loss::Amid } else { Loss::InPeace };
            Round { faults, loss: is_lost.then_some(loss) }
        };
        Schedule { rounds: (0..count).map(round).collect() }
    }

    /// The schedule in words, a line for each trouble.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        rounds::lines(&self.rounds)
    }
}

/// A kind of trouble of nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Card {
    KillOne,
    KillAll,
    Stop,
    Cut,
    Disk,
    Clock,
}

/// Twelve slots.
const DECK: [Card; 12] = [
    Card::KillOne,
    Card::KillOne,
    Card::KillOne,
    Card::KillAll,
    Card::Stop,
    Card::Stop,
    Card::Cut,
    Card::Cut,
    Card::Cut,
    Card::Disk,
    Card::Clock,
    Card::Clock,
];

/// What may come a second time in a slot, to another node.
const COMPANIONS: [Card; 3] = [Card::KillOne, Card::Stop, Card::Cut];

/// What may come to a node whose clock is so wrong that all others' must be right and heard.
const COMPANIONS_OF_WRONG: [Card; 2] = [Card::KillOne, Card::Stop];

/// What the object store may do.
const MODES: [Mode; 7] = [Mode::Refuse, Mode::Fail, Mode::SlowDown, Mode::Hang, Mode::Swallow, Mode::CutShort, Mode::Flip];

struct Dealer {
    random: Rng,
    play_millis: u64,
    deck: Deck<Card>,
    disks: usize,
    clocks: usize,
}

impl Dealer {
    fn faults(&mut self) -> Vec<Planned> {
        let mut faults = Vec::new();
        for slot in 0..self.play_millis / SLOT_MILLIS {
            self.slot(slot * SLOT_MILLIS, &mut faults);
        }
        let mut at_millis = self.random.u64(500..4_000);
        while at_millis + 2_000 < self.play_millis {
            let lasts_millis = self.random.u64(1_000..6_000).min(self.play_millis - at_millis);
            let mode = MODES[self.random.usize(..MODES.len())];
            faults.push(Planned { at_millis, lasts_millis, fault: Fault::Store { mode } });
            at_millis += lasts_millis + self.random.u64(2_000..6_000);
        }
        faults.sort_by_key(|planned| planned.at_millis);
        faults
    }

    fn slot(&mut self, begin: u64, faults: &mut Vec<Planned>) {
        let card = self.deck.deal(&mut self.random);
        let node = self.random.usize(..NODES);
        // Nodes look at their disks and at each other's clocks every now and then.
        let is_long = matches!(card, Card::Disk | Card::Clock);
        let first = Planned {
            at_millis: begin + self.random.u64(..1_200),
            lasts_millis: self.random.u64(if is_long { 1_800..2_700 } else { 400..2_400 }),
            fault: self.fault(card, node),
        };
        let is_alone = matches!(&first.fault, Fault::Clock { wrong, .. } if !wrong.is_within());
        let is_doubled = self.random.u32(..5) == 0 && !matches!(card, Card::KillAll | Card::Disk);
        if is_doubled {
            let other = if is_alone { node } else { (node + self.random.usize(1..NODES)) % NODES };
            let companions: &[Card] = if is_alone { &COMPANIONS_OF_WRONG } else { &COMPANIONS };
            let companion = companions[self.random.usize(..companions.len())];
            let lasts_millis = first.lasts_millis / 2;
            let at_millis = first.at_millis + self.random.u64(1..lasts_millis);
            faults.push(Planned { at_millis, lasts_millis, fault: self.fault(companion, other) });
        }
        faults.push(first);
    }

    fn fault(&mut self, card: Card, node: usize) -> Fault {
        match card {
            Card::KillOne => Fault::Kill { nodes: vec![node] },
            Card::KillAll => {
                let mut nodes: Vec<usize> = (0..NODES).collect();
                self.random.shuffle(&mut nodes);
                Fault::Kill { nodes }
            }
            Card::Stop => Fault::Stop { node },
            Card::Cut => Fault::Cut { ways: self.ways(node) },
            Card::Disk => {
                self.disks += 1;
                match self.disks % 5 {
                    0 => Fault::Slow { node },
                    2 | 4 => Fault::Frozen { node },
                    _ => Fault::Full { node },
                }
            }
            Card::Clock => {
                self.clocks += 1;
                Fault::Clock { node, wrong: Wrong::draw(self.clocks, &mut self.random) }
            }
        }
    }

    /// Ways between a node and one other, or all others: from it, to it, or both.
    fn ways(&mut self, node: usize) -> Vec<(usize, usize)> {
        let others: Vec<usize> = if self.random.bool() {
            vec![(node + self.random.usize(1..NODES)) % NODES]
        } else {
            (0..NODES).filter(|other| *other != node).collect()
        };
        let (from, to) = [(true, false), (false, true), (true, true)][self.random.usize(..3)];
        let ways = |other: usize| [from.then_some((node, other)), to.then_some((other, node))];
        others.into_iter().flat_map(ways).flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// How many troubles of each kind, each node of a kill apart.
    fn counts(schedule: &Schedule) -> BTreeMap<Kind, usize> {
        let mut counts = BTreeMap::new();
        for planned in schedule.rounds.iter().flat_map(|round| &round.faults) {
            let weight = if let Fault::Kill { nodes } = &planned.fault { nodes.len() } else { 1 };
            *counts.entry(planned.fault.kind()).or_default() += weight;
        }
        counts
    }

    #[test]
    fn a_seed_is_a_schedule() {
        assert_eq!(Schedule::draw(7, 600), Schedule::draw(7, 600));
        assert_ne!(Schedule::draw(7, 600), Schedule::draw(8, 600));
        assert_eq!(Schedule::draw(7, 600).rounds[..2], Schedule::draw(7, 120).rounds[..2], "a shorter one begins likewise");
    }

    #[test]
    fn half_an_hour_is_trouble_enough() {
        for seed in 0..50 {
            let schedule = Schedule::draw(seed, 1_800);
            let counts = counts(&schedule);
            let losses = schedule.rounds.iter().filter(|round| round.loss.is_some()).count();
            let least =
                [(Kind::Kill, 150), (Kind::Stop, 60), (Kind::Partition, 60), (Kind::Disk, 20), (Kind::Clock, 50), (Kind::Store, 100)];
            assert!(least.iter().all(|(kind, least)| counts[kind] >= *least) && losses >= 5, "seed {seed}: {counts:?}, {losses} losses");
        }
    }

    #[test]
    fn a_minute_has_some_of_everything_and_goes_on_after_a_loss() {
        for seed in 0..50 {
            let schedule = Schedule::draw(seed, 60);
            assert_eq!(counts(&schedule).len(), 6, "seed {seed}: {:?}", counts(&schedule));
            assert_eq!(schedule.rounds.iter().map(|round| round.loss.is_some()).collect::<Vec<_>>(), [true, false]);
        }
        assert!(matches!(Schedule::draw(1, 1).rounds.as_slice(), [round] if round.loss.is_none() && !round.faults.is_empty()));
    }

    #[test]
    fn nodes_are_troubled_one_at_a_time_but_for_what_goes_together() {
        for round in (0..50).flat_map(|seed| Schedule::draw(seed, 300).rounds) {
            let nodes = |planned: &Planned| match &planned.fault {
                Fault::Kill { nodes } => nodes.clone(),
                Fault::Stop { node } | Fault::Full { node } | Fault::Frozen { node } | Fault::Slow { node } => vec![*node],
                Fault::Cut { .. } | Fault::Clock { .. } | Fault::Store { .. } => Vec::new(),
            };
            for (nth, planned) in round.faults.iter().enumerate() {
                let end = planned.at_millis + planned.lasts_millis;
                let mut during = round.faults[nth + 1..].iter().take_while(|later| later.at_millis < end);
                let is_apart = during.all(|later| nodes(later).iter().all(|node| !nodes(planned).contains(node)));
                assert!(is_apart && end <= PLAY_MILLIS, "{round:?}");
            }
        }
    }

    #[test]
    fn beside_a_clock_that_no_leader_may_have_nothing_troubles_the_others() {
        let mut companions = 0;
        for round in (0..50).flat_map(|seed| Schedule::draw(seed, 300).rounds) {
            for planned in &round.faults {
                let Fault::Clock { node, wrong } = &planned.fault else { continue };
                let is_amid = |at: u64| (planned.at_millis..=planned.at_millis + planned.lasts_millis).contains(&at);
                let amid = round.faults.iter().filter(|other| is_amid(other.at_millis) || is_amid(other.at_millis + other.lasts_millis));
                for other in amid.filter(|other| !wrong.is_within() && other.fault.kind() != Kind::Store && *other != planned) {
                    let own = [Fault::Kill { nodes: vec![*node] }, Fault::Stop { node: *node }];
                    assert!(own.contains(&other.fault) && other.at_millis > planned.at_millis, "{round:?}");
                    companions += 1;
                }
            }
        }
        assert!(companions > 50, "{companions}");
    }
}
