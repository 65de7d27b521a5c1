//! Plan, step, reason: what the planner says, and the list that decides in which order it says it.

use crate::{Policy, View, balance, placement, replace};
use std::fmt;
use strata_base::{Epoch, PeerId, ShardId, SlotRange, StoreId, TableId};

/// What to do now, and what is waited for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// In this order. Steps for different shards do not depend on each other.
    pub steps: Vec<Step>,
    /// What cannot be done yet; it belongs into the cluster's status.
    pub waiting: Vec<Waiting>,
}

/// One thing to do. It leaves no choice to who executes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The epoch it was decided for; orders made of it carry it.
    pub epoch: Epoch,
    /// What to do.
    pub action: Action,
    /// Why.
    pub reason: Reason,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Make an empty store belong to the cluster.
    Join {
        /// Which store.
        store: StoreId,
    },
    /// Create one replica of a shard that never existed before.
    Create {
        /// On which store.
        on: StoreId,
        /// Which shard.
        shard: ShardId,
        /// The table it is a part of.
        table: TableId,
        /// Its slots.
        slots: SlotRange,
        /// All its first members, the expected leader first; all vote.
        members: Vec<(PeerId, StoreId)>,
    },
    /// Give the leadership of a shard away.
    Transfer {
        /// Which shard.
        shard: ShardId,
        /// The store whose replica leads; it takes the order.
        from: StoreId,
        /// The member that shall lead.
        to: PeerId,
        /// The store of that member.
        to_store: StoreId,
    },
    /// Add a learner to a shard.
    AddLearner {
        /// Which shard.
        shard: ShardId,
        /// The descriptor's epoch that this was decided on.
        shard_epoch: Epoch,
        /// The store whose replica leads; it takes the order.
        leader: StoreId,
        /// The new member's id, never used before in this shard.
        peer: PeerId,
        /// The new member's store.
        store: StoreId,
    },
    /// Make a learner a voter in place of another one, in one joint change.
    Swap {
        /// Which shard.
        shard: ShardId,
        /// The descriptor's epoch that this was decided on.
        shard_epoch: Epoch,
        /// The store whose replica leads; it takes the order.
        leader: StoreId,
        /// The learner.
        peer: PeerId,
        /// The learner's store.
        store: StoreId,
        /// The voter that goes for ever.
        leaves: PeerId,
    },
    /// Remove a learner that will never catch up.
    RemoveLearner {
        /// Which shard.
        shard: ShardId,
        /// The descriptor's epoch that this was decided on.
        shard_epoch: Epoch,
        /// The store whose replica leads; it takes the order.
        leader: StoreId,
        /// The learner, gone for ever.
        peer: PeerId,
    },
}

/// Why a step is taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// A store is new, and the cluster exists.
    StoreIsEmpty,
    /// The persisted plan of the cluster's initialisation says so.
    Planned,
    /// A node leads more than its share and tolerance.
    LeadsTooMuch {
        /// The node.
        store: StoreId,
        /// How many it leads.
        leaders: u32,
        /// How many are expected of it.
        expected: u32,
    },
    /// A node leads less than its share and tolerance.
    LeadsTooLittle {
        /// The node.
        store: StoreId,
        /// How many it leads.
        leaders: u32,
        /// How many are expected of it.
        expected: u32,
    },
    /// A disk is gone for good.
    DiskLost {
        /// The store that was on it.
        store: StoreId,
    },
    /// A learner has caught up with what a lost disk held.
    CaughtUp {
        /// The store that is lost.
        lost: StoreId,
        /// How many entries the learner lacks.
        lag_entries: u64,
    },
}

/// Why something is not done yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// A planned replica's node does not report.
    PlannedStoreSilent {
        /// Which shard.
        shard: ShardId,
        /// The store that shall hold it.
        store: StoreId,
    },
    /// A new store has no cluster to join: nothing is planned on it, and no shard has a leader that reports.
    NobodyToJoin {
        /// The store.
        store: StoreId,
    },
    /// A shard that needs a change has no leader that reports.
    NoLeader {
        /// Which shard.
        shard: ShardId,
    },
    /// A shard that needs a change is in the middle of one.
    JointChange {
        /// Which shard.
        shard: ShardId,
    },
    /// A learner has not caught up.
    CatchingUp {
        /// Which shard.
        shard: ShardId,
        /// The learner.
        peer: PeerId,
        /// How many entries it lacks; `None` while that is not known.
        lag_entries: Option<u64>,
    },
    /// No store can take a replica in place of a lost one.
    NoCandidate {
        /// Which shard.
        shard: ShardId,
        /// The lost store.
        lost: StoreId,
    },
    /// As many shards change members as may at a time.
    MovesInFlight {
        /// Which shard waits its turn.
        shard: ShardId,
    },
    /// A swap would leave too few voters that answer.
    QuorumAtRisk {
        /// Which shard.
        shard: ShardId,
    },
    /// A node leads too much or too little, and no follower that could change it has caught up.
    NoFollowerToLead {
        /// The node.
        store: StoreId,
    },
}

/// What is to be done about a cluster that is initialised. Same view, same plan.
///
/// A report goes into the plan as a whole. Creation precedes repair, repair precedes balance: what comes later waits for steps that come
/// earlier, but not for what they only wait for, since a learner may catch up for hours.
pub fn plan(view: &View, policy: &Policy) -> Plan {
    let mut plan = Plan::default();
    plan.absorb(placement::join(view, policy));
    plan.absorb(placement::create(view, policy));
    if plan.steps.is_empty() {
        plan.absorb(replace::replace(view, policy));
    }
    if plan.steps.is_empty() {
        plan.absorb(balance::leaders(view, policy));
    }
    plan
}

impl Plan {
    fn absorb(&mut self, other: Plan) {
        self.steps.extend(other.steps);
        self.waiting.extend(other.waiting);
    }

    pub(crate) fn step(&mut self, view: &View, action: Action, reason: Reason) {
        self.steps.push(Step { epoch: view.epoch, action, reason });
    }
}

impl Action {
    /// The shard it concerns; `None` for joining.
    pub fn shard(&self) -> Option<ShardId> {
        match self {
            Action::Join { .. } => None,
            Action::Create { shard, .. }
            | Action::Transfer { shard, .. }
            | Action::AddLearner { shard, .. }
            | Action::Swap { shard, .. }
            | Action::RemoveLearner { shard, .. } => Some(*shard),
        }
    }

    /// The store whose node takes the order.
    pub fn addressee(&self) -> StoreId {
        match self {
            Action::Join { store } => *store,
            Action::Create { on, .. } => *on,
            Action::Transfer { from, .. } => *from,
            Action::AddLearner { leader, .. } | Action::Swap { leader, .. } | Action::RemoveLearner { leader, .. } => *leader,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.action, self.reason)
    }
}

impl fmt::Display for Action {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Action::Join { store } => write!(out, "join {store}"),
            Action::Create { on, shard, slots, members, .. } => {
                write!(out, "create shard {shard} (slots {slots}) on {on}, members")?;
                members.iter().try_for_each(|(peer, store)| write!(out, " {peer}:{store}"))
            }
            Action::Transfer { shard, from, to_store, .. } => write!(out, "transfer shard {shard} from {from} to {to_store}"),
            Action::AddLearner { shard, peer, store, .. } => write!(out, "add learner {peer} on {store} to shard {shard}"),
            Action::Swap { shard, peer, store, leaves, .. } => {
                write!(out, "swap learner {peer} on {store} for voter {leaves} in shard {shard}")
            }
            Action::RemoveLearner { shard, peer, .. } => write!(out, "remove learner {peer} from shard {shard}"),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::StoreIsEmpty => write!(out, "its store is empty"),
            Reason::Planned => write!(out, "planned at initialisation"),
            Reason::LeadsTooMuch { store, leaders, expected } => write!(out, "{store} leads {leaders}, expected {expected}, too many"),
            Reason::LeadsTooLittle { store, leaders, expected } => write!(out, "{store} leads {leaders}, expected {expected}, too few"),
            Reason::DiskLost { store } => write!(out, "the disk of {store} is lost"),
            Reason::CaughtUp { lost, lag_entries } => write!(out, "it lags by {lag_entries} entries, and the disk of {lost} is lost"),
        }
    }
}

impl fmt::Display for Waiting {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Waiting::PlannedStoreSilent { shard, store } => write!(out, "shard {shard} shall be created on {store}, which does not report"),
            Waiting::NobodyToJoin { store } => write!(out, "the new store {store} joins once a shard has a leader that reports"),
            Waiting::NoLeader { shard } => write!(out, "shard {shard} needs a change of members and has no leader that reports"),
            Waiting::JointChange { shard } => write!(out, "shard {shard} is in the middle of a joint change"),
            Waiting::CatchingUp { shard, peer, lag_entries: Some(lag) } => {
                write!(out, "learner {peer} of shard {shard} lags by {lag} entries")
            }
            Waiting::CatchingUp { shard, peer, lag_entries: None } => write!(out, "learner {peer} of shard {shard} is not heard yet"),
            Waiting::NoCandidate { shard, lost } => {
                write!(
                    out,
                    "no store can take the replica of shard {shard} that was on the lost disk of {lost}: give the cluster a new one"
                )
            }
            Waiting::MovesInFlight { shard } => write!(out, "shard {shard} waits until others have caught up"),
            Waiting::QuorumAtRisk { shard } => write!(out, "shard {shard} has too few voters that answer to change its members"),
            Waiting::NoFollowerToLead { store } => {
                write!(out, "the leaders of {store} are out of balance, and no follower that could change it has caught up")
            }
        }
    }
}
