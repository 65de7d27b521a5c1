//! Which pod is restarted next, and what must hold before it is.
//!
//! ```text
//! no pod is out of date                                  → done
//! an out-of-date pod has crashed                         → it goes first, and nothing can be taken from it
//! the gate of the next pod is open but for its leaders   → evict them, a lease with a deadline
//! the gate is open                                       → restart
//! otherwise                                              → blocked, and every unmet condition is named
//! ```
//!
//! One pod at a time: while a node that is no longer out of date is away, the gate of every other one is shut.

use crate::{
    Policy, View,
    view::{MemberView, NodeState, NodeView},
};
use std::fmt;
use strata_base::{
    ShardId, StoreId,
    planted::{Mistake, planted},
};

/// A pod of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodView {
    /// Its name.
    pub name: String,
    /// The store of its node, where it has reported.
    pub store: Option<StoreId>,
    /// Whether it runs with another template or configuration than declared.
    pub is_outdated: bool,
    /// Whether its process does not run, or runs and crashes.
    pub is_crashed: bool,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rollout {
    /// Every pod is as declared.
    Done,
    /// Take the leaders from this pod's node.
    Evict {
        /// The pod.
        pod: String,
        /// Its store.
        store: StoreId,
    },
    /// Delete this pod, so that it comes back as declared.
    Restart {
        /// The pod.
        pod: String,
    },
    /// Nothing may be restarted now.
    Blocked {
        /// The pod that would be next.
        pod: String,
        /// Why not.
        unmet: Vec<Unmet>,
    },
}

/// A condition of the restart gate that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unmet {
    /// The pod's node leads shards.
    Leads {
        /// How many.
        shards: usize,
    },
    /// The pod's node does not report, and the pod has not crashed.
    Silent,
    /// Another node is away.
    OtherNodeAway {
        /// Its store.
        store: StoreId,
    },
    /// Another pod has no node that reported yet.
    OtherPodAway {
        /// Its name.
        pod: String,
    },
    /// Shards of this node would be left without a quorum that answers and has caught up.
    QuorumAtRisk {
        /// How many.
        shards: usize,
        /// The first of them.
        first: ShardId,
    },
    /// Shards elsewhere have fewer voters than declared that answer and have caught up.
    UnderReplicated {
        /// How many.
        shards: usize,
        /// The first of them.
        first: ShardId,
    },
    /// The log archive is behind its bound.
    ArchiveBehind,
}

/// How a pod is ranked among those that are out of date; the least one is next.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Turn<'a> {
    /// Crashed pods first: nothing is lost by restarting them.
    is_running: bool,
    /// A pod whose leaders are already being evicted is finished before another is begun.
    is_not_evicted: bool,
    /// Fewest leaders first.
    leaders: usize,
    /// Breaks ties.
    name: &'a str,
}

/// What to do next about pods that are out of date.
pub fn next(view: &View, pods: &[PodView], policy: &Policy) -> Rollout {
    let Some(pod) = pods.iter().filter(|pod| pod.is_outdated).min_by_key(|pod| turn(view, pod)) else {
        return Rollout::Done;
    };
    let name = pod.name.clone();
    if pod.is_crashed {
        return Rollout::Restart { pod: name };
    }
    let unmet = if planted(Mistake::RolloutUngated) { Vec::new() } else { gate(view, pod, pods, policy) };
    match (unmet.as_slice(), pod.store) {
        ([], _) => Rollout::Restart { pod: name },
        ([Unmet::Leads { .. }], Some(store)) => Rollout::Evict { pod: name, store },
        _ => Rollout::Blocked { pod: name, unmet },
    }
}

fn turn<'a>(view: &View, pod: &'a PodView) -> Turn<'a> {
    let node = pod.store.and_then(|store| view.nodes.get(&store));
    Turn {
        is_running: !pod.is_crashed,
        is_not_evicted: !node.is_some_and(|node| node.is_evicted),
        leaders: pod.store.map_or(0, |store| leaders(view, store)),
        name: &pod.name,
    }
}

/// Every condition that does not hold for restarting this pod.
pub fn gate(view: &View, pod: &PodView, pods: &[PodView], policy: &Policy) -> Vec<Unmet> {
    let mut unmet = Vec::new();
    let node = pod.store.and_then(|store| view.nodes.get(&store)).filter(|node| node.is_fresh(policy));
    if node.is_none() {
        unmet.push(Unmet::Silent);
    }
    for other in pods.iter().filter(|other| other.name != pod.name && (other.store.is_none() || other.is_crashed)) {
        unmet.push(Unmet::OtherPodAway { pod: other.name.clone() });
    }
    let is_away =
        |(store, node): &(&StoreId, &NodeView)| Some(**store) != pod.store && node.state != NodeState::Lost && !node.is_fresh(policy);
    unmet.extend(view.nodes.iter().filter(is_away).map(|(store, _)| Unmet::OtherNodeAway { store: *store }));
    unmet.extend(shards_at_risk(view, pod, policy));
    if !view.is_archive_within_bound {
        unmet.push(Unmet::ArchiveBehind);
    }
    // A shard with one voter has nobody to lead it meanwhile: its leader goes down with the pod.
    let leads = pod.store.map_or(0, |store| leaders(view, store));
    if leads > 0 && policy.replication_factor > 1 {
        unmet.push(Unmet::Leads { shards: leads });
    }
    unmet
}

/// What the shards say: those on the pod must have a quorum without it, those elsewhere must be whole.
fn shards_at_risk(view: &View, pod: &PodView, policy: &Policy) -> Vec<Unmet> {
    let (mut at_risk, mut under_replicated) = (Vec::new(), Vec::new());
    for shard in &view.shards {
        let is_here = |member: &&MemberView| Some(member.store) == pod.store;
        let is_well = |member: &&MemberView| view.is_able(member.store, policy) && shard.is_caught_up(member, policy);
        let voters = shard.voters().count();
        if shard.voters().any(|member| is_here(&member)) {
            let well_without = shard.voters().filter(|member| !is_here(member) && is_well(member)).count();
            if voters > 1 && well_without < Policy::quorum(voters) {
                at_risk.push(shard.shard);
            }
        } else if shard.voters().filter(is_well).count() < usize::from(policy.replication_factor) {
            under_replicated.push(shard.shard);
        }
    }
    let at_risk = at_risk.first().map(|first| Unmet::QuorumAtRisk { shards: at_risk.len(), first: *first });
    let under_replicated = under_replicated.first().map(|first| Unmet::UnderReplicated { shards: under_replicated.len(), first: *first });
    at_risk.into_iter().chain(under_replicated).collect()
}

fn leaders(view: &View, store: StoreId) -> usize {
    view.shards.iter().filter(|shard| shard.leading().is_some_and(|leader| leader.store == store)).count()
}

impl fmt::Display for Rollout {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Rollout::Done => write!(out, "done"),
            Rollout::Evict { pod, .. } => write!(out, "evict the leaders of {pod}"),
            Rollout::Restart { pod } => write!(out, "restart {pod}"),
            Rollout::Blocked { pod, unmet } => {
                let unmet: Vec<String> = unmet.iter().map(ToString::to_string).collect();
                write!(out, "blocked: {pod} waits, since {}", unmet.join(", and "))
            }
        }
    }
}

impl fmt::Display for Unmet {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unmet::Leads { shards } => write!(out, "it leads {shards} shards"),
            Unmet::Silent => write!(out, "its node does not report"),
            Unmet::OtherNodeAway { store } => write!(out, "node {store} is away"),
            Unmet::OtherPodAway { pod } => write!(out, "pod {pod} is not up"),
            Unmet::QuorumAtRisk { shards, first } => {
                write!(out, "{shards} of its shards would have no quorum that has caught up, {first} the first of them")
            }
            Unmet::UnderReplicated { shards, first } => {
                write!(out, "{shards} shards elsewhere are under-replicated, {first} the first of them")
            }
            Unmet::ArchiveBehind => write!(out, "the log archive is behind its bound"),
        }
    }
}
