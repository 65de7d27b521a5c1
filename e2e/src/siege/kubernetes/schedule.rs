//! What happens to a Kubernetes and a cluster on it, and when: drawn from a seed and a length, and from nothing else.
//!
//! ```text
//! siege ──► rounds of a minute: 40 s of play, then rest and judgement, or the loss of everything and a restore
//! play  ──► four slots, a trouble in each, now and then with a second one beside it; some troubles take two slots
//! ```
//!
//! Troubles are dealt like cards, so that each kind comes equally often. A disk is emptied in every second round, and never two in one: what was acknowledged while
//! one member of three was away is on two disks only. The schedule's clock stands still while a round is judged.

use super::super::rounds::{self, Deck, Loss};
use fastrand::Rng;
use std::fmt;

/// Machines of the lab, each with one pod of the cluster; `node-1` is machine 0.
pub const MACHINES: usize = 3;

/// The length of a round, as far as it can be planned, in milliseconds.
const ROUND_MILLIS: u64 = 60_000;

/// How much of it is played, in milliseconds; less in a siege that is shorter than a round.
const PLAY_MILLIS: u64 = 40_000;

/// How often there is trouble, in milliseconds.
const SLOT_MILLIS: u64 = 10_000;

/// How late in its slot a trouble may begin, in milliseconds.
const LATE_MILLIS: u64 = 1_500;

/// How long a trouble may last within one slot, in milliseconds.
const LASTS_MILLIS: std::ops::Range<u64> = 3_000..8_000;

/// How long one lasts that takes two slots: longer than Kubernetes waits for a machine that says nothing, in milliseconds.
const LASTS_LONG_MILLIS: std::ops::Range<u64> = 17_000..18_000;

/// One machine in so many troubles that could last long does.
const LONG_ONE_IN: u32 = 3;

/// One trouble of so many has a second one beside it.
const COMPANION_ONE_IN: u32 = 3;

/// Of so many rounds one has a disk emptied.
const ROUNDS_TO_DISK: usize = 2;

/// Of so many rounds one ends in the loss of everything.
const ROUNDS_TO_LOSS: usize = 5;

/// What may be troubled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Processes of storage nodes end without a word.
    Pod,
    /// A machine stands still, with all that runs on it.
    Frozen,
    /// A machine hears nobody, or two do not hear each other.
    Partition,
    /// A machine's kubelet ends, and stays away.
    Kubelet,
    /// The operator ends without a word.
    Operator,
    /// The API server ends, and stays away.
    ApiServer,
    /// A disk is exchanged for an empty one.
    Disk,
}

/// Which pods are killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Victim {
    /// The one that leads most shards then.
    Leader,
    /// The one on this machine.
    On(usize),
    /// All of them, at once.
    All,
}

/// One trouble.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Pods are killed; kubelets start their containers again.
    Pod {
        /// Which.
        victim: Victim,
    },
    /// A machine stands still until the end.
    Frozen {
        /// Which.
        machine: usize,
    },
    /// No packet to or from a machine gets through until the end.
    Cut {
        /// Which.
        machine: usize,
    },
    /// No packet between two machines gets through until the end.
    CutBetween {
        /// One of them.
        one: usize,
        /// The other.
        other: usize,
    },
    /// A machine's kubelet is killed, and started again at the end.
    Kubelet {
        /// Which.
        machine: usize,
    },
    /// The operator is killed; its kubelet starts it again.
    Operator,
    /// The API server is killed, and started again at the end.
    ApiServer,
    /// The disk of the pod on a machine is emptied under it, so that its member is replaced.
    Disk {
        /// Which.
        machine: usize,
    },
}

impl Fault {
    /// Its kind.
    pub fn kind(&self) -> Kind {
        match self {
            Fault::Pod { .. } => Kind::Pod,
            Fault::Frozen { .. } => Kind::Frozen,
            Fault::Cut { .. } | Fault::CutBetween { .. } => Kind::Partition,
            Fault::Kubelet { .. } => Kind::Kubelet,
            Fault::Operator => Kind::Operator,
            Fault::ApiServer => Kind::ApiServer,
            Fault::Disk { .. } => Kind::Disk,
        }
    }
}

/// What the lab calls a machine.
pub fn machine_name(machine: usize) -> String {
    format!("node-{}", machine + 1)
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Pod { victim: Victim::Leader } => write!(out, "kill the pod that leads most"),
            Fault::Pod { victim: Victim::On(machine) } => write!(out, "kill the pod on {}", machine_name(*machine)),
            Fault::Pod { victim: Victim::All } => write!(out, "kill all pods"),
            Fault::Frozen { machine } => write!(out, "freeze {}", machine_name(*machine)),
            Fault::Cut { machine } => write!(out, "cut off {}", machine_name(*machine)),
            Fault::CutBetween { one, other } => write!(out, "cut between {} and {}", machine_name(*one), machine_name(*other)),
            Fault::Kubelet { machine } => write!(out, "kill the kubelet of {}", machine_name(*machine)),
            Fault::Operator => write!(out, "kill the operator"),
            Fault::ApiServer => write!(out, "kill the API server"),
            Fault::Disk { machine } => write!(out, "empty the disk of the pod on {}", machine_name(*machine)),
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
        let slots = (seconds * 1_000).clamp(SLOT_MILLIS, PLAY_MILLIS) / SLOT_MILLIS;
        let mut dealer = Dealer { random: Rng::with_seed(seed), slots, deck: Deck::of(&DECK), machines: Deck::of(&[0, 1, 2]) };
        let count = (seconds * 1_000).div_ceil(ROUND_MILLIS).max(1) as usize;
        // A short siege loses everything, too, if it can go on afterwards.
        let turn = (ROUNDS_TO_LOSS / 2).min(count.saturating_sub(2));
        let round = |nth: usize| {
            let faults = dealer.faults(nth.is_multiple_of(ROUNDS_TO_DISK));
            let loss = if dealer.random.bool() { Loss::Amid } else { Loss::InPeace };
            let is_lost = count > 1 && nth % ROUNDS_TO_LOSS == turn;
            Round { faults, loss: is_lost.then_some(loss) }
        };
        Schedule { rounds: (0..count).map(round).collect() }
    }
}

/// A kind of trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Card {
    Leader,
    Pod,
    AllPods,
    Frozen,
    Cut,
    CutBetween,
    Kubelet,
    Operator,
    ApiServer,
}

/// Twelve slots.
const DECK: [Card; 12] = [
    Card::Leader,
    Card::Leader,
    Card::Pod,
    Card::AllPods,
    Card::Frozen,
    Card::Frozen,
    Card::Cut,
    Card::CutBetween,
    Card::Kubelet,
    Card::Operator,
    Card::ApiServer,
    Card::ApiServer,
];

struct Dealer {
    random: Rng,
    slots: u64,
    deck: Deck<Card>,
    machines: Deck<usize>,
}

impl Dealer {
    fn faults(&mut self, has_disk: bool) -> Vec<Planned> {
        let mut faults = Vec::new();
        let disk = has_disk.then(|| self.random.u64(..self.slots));
        let mut slot = 0;
        while slot < self.slots {
            let (begin, machine) = (slot * SLOT_MILLIS, self.machines.deal(&mut self.random));
            let is_disk = disk == Some(slot);
            let fault = if is_disk { Fault::Disk { machine } } else { self.fault(machine) };
            let could_be_long = matches!(fault.kind(), Kind::Frozen | Kind::Partition) && slot + 1 < self.slots && disk != Some(slot + 1);
            let is_long = could_be_long && self.random.u32(..LONG_ONE_IN) == 0;
            let lasts_millis = match fault.kind() {
                Kind::Pod | Kind::Operator | Kind::Disk => 0,
                _ => self.random.u64(if is_long { LASTS_LONG_MILLIS } else { LASTS_MILLIS }),
            };
            let first = Planned { at_millis: begin + self.random.u64(..LATE_MILLIS), lasts_millis, fault };
            faults.extend(self.companion(&first, machine));
            faults.push(first);
            slot += if is_long { 2 } else { 1 };
        }
        // Who comes at the same moment comes in the order of the above.
        faults.sort_by_key(|planned| planned.at_millis);
        faults
    }

    fn fault(&mut self, machine: usize) -> Fault {
        match self.deck.deal(&mut self.random) {
            Card::Leader => Fault::Pod { victim: Victim::Leader },
            Card::Pod => Fault::Pod { victim: Victim::On(machine) },
            Card::AllPods => Fault::Pod { victim: Victim::All },
            Card::Frozen => Fault::Frozen { machine },
            Card::Cut => Fault::Cut { machine },
            Card::CutBetween => Fault::CutBetween { one: machine, other: self.another(machine) },
            Card::Kubelet => Fault::Kubelet { machine },
            Card::Operator => Fault::Operator,
            Card::ApiServer => Fault::ApiServer,
        }
    }

    /// A second trouble, elsewhere, that is over as soon as it is done.
    fn companion(&mut self, first: &Planned, machine: usize) -> Option<Planned> {
        if self.random.u32(..COMPANION_ONE_IN) != 0 {
            return None;
        }
        let pod = Fault::Pod { victim: Victim::On(self.another(machine)) };
        let fault = if self.random.u32(..3) == 0 { Fault::Operator } else { pod };
        let at_millis = match first.fault.kind() {
            Kind::Frozen | Kind::Partition => first.at_millis + self.random.u64(500..first.lasts_millis / 2),
            // What is killed is found by asking the API server, so it dies a moment before that one does.
            Kind::ApiServer => first.at_millis,
            // One that a kubelet that is away does not start again.
            Kind::Kubelet => {
                let fault = Fault::Pod { victim: Victim::On(machine) };
                return Some(Planned { at_millis: first.at_millis + self.random.u64(200..1_000), lasts_millis: 0, fault });
            }
            // An operator that dies while it replaces a member. Another pod that dies then takes the majority away for a while.
            Kind::Disk => first.at_millis + self.random.u64(500..4_000),
            Kind::Pod | Kind::Operator => return None,
        };
        Some(Planned { at_millis, lasts_millis: 0, fault })
    }

    fn another(&mut self, machine: usize) -> usize {
        (machine + self.random.usize(1..MACHINES)) % MACHINES
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn faults(schedule: &Schedule) -> impl Iterator<Item = &Planned> {
        schedule.rounds.iter().flat_map(|round| &round.faults)
    }

    fn counts(schedule: &Schedule) -> BTreeMap<Kind, usize> {
        let mut counts = BTreeMap::new();
        faults(schedule).for_each(|planned| *counts.entry(planned.fault.kind()).or_default() += 1);
        counts
    }

    #[test]
    fn a_seed_is_a_schedule() {
        assert_eq!(Schedule::draw(7, 1_200), Schedule::draw(7, 1_200));
        assert_ne!(Schedule::draw(7, 1_200), Schedule::draw(8, 1_200));
        assert_eq!(Schedule::draw(7, 1_200).rounds[..2], Schedule::draw(7, 240).rounds[..2], "a shorter one begins likewise");
    }

    #[test]
    fn twenty_minutes_have_everything_three_times() {
        for seed in 0..200 {
            let schedule = Schedule::draw(seed, 1_200);
            let counts = counts(&schedule);
            let losses = schedule.rounds.iter().filter(|round| round.loss.is_some()).count();
            let leaders = faults(&schedule).filter(|planned| planned.fault == Fault::Pod { victim: Victim::Leader }).count();
            let whole = faults(&schedule).filter(|planned| matches!(planned.fault, Fault::Cut { .. })).count();
            // A loss amid troubles may leave a round's last one without effect.
            let is_enough = counts.len() == 7 && counts.values().all(|count| *count >= 4) && losses >= 3 && leaders >= 3 && whole >= 3;
            assert!(is_enough, "seed {seed}: {counts:?}, {losses} losses, {leaders} kills of leaders, {whole} machines cut off");
        }
    }

    #[test]
    fn a_short_one_loses_everything_and_goes_on() {
        for seed in 0..50 {
            let schedule = Schedule::draw(seed, 120);
            assert_eq!(schedule.rounds.iter().map(|round| round.loss.is_some()).collect::<Vec<_>>(), [true, false]);
            assert_eq!(counts(&schedule)[&Kind::Disk], 1);
        }
        assert!(matches!(Schedule::draw(1, 1).rounds.as_slice(), [round] if round.loss.is_none() && !round.faults.is_empty()));
    }

    #[test]
    fn troubles_that_last_end_before_the_next_and_a_round_empties_one_disk_at_most() {
        for round in (0..50).flat_map(|seed| Schedule::draw(seed, 600).rounds) {
            assert!(round.faults.iter().filter(|planned| planned.fault.kind() == Kind::Disk).count() <= 1, "{round:?}");
            for (nth, planned) in round.faults.iter().enumerate() {
                let end = planned.at_millis + planned.lasts_millis;
                // Beside what lasts only pods and operators are killed, and none at all without an API server that knows them.
                let during = round.faults[nth + 1..].iter().take_while(|later| later.at_millis < end);
                let is_brief = |later: &Planned| later.lasts_millis == 0 && later.fault.kind() != Kind::Disk;
                let is_apart = during.clone().all(is_brief) && (planned.fault.kind() != Kind::ApiServer || during.count() == 0);
                assert!(is_apart && end <= PLAY_MILLIS, "{round:?}");
            }
        }
    }
}
