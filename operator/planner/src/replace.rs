//! What becomes of a lost disk: learner, catch up, swap in one joint change. One rule per shard and pass:
//!
//! ```text
//! a voter lies on a lost store
//!   ├─ the shard is in a joint change, or has no leader that reports   → wait
//!   ├─ it has a learner on a lost store too                            → remove that learner
//!   ├─ it has a learner that has caught up                             → swap it for the lost voter
//!   ├─ it has a learner that has not                                   → wait
//!   ├─ as many shards as may have learners                             → wait
//!   └─ otherwise                                                       → add a learner on the best store
//! ```
//!
//! A silent node is not a lost one: its disk may return, and nobody's data moves because of a reboot.

use crate::{
    Policy, View,
    plan::{Action, Plan, Reason, Waiting},
    view::{MemberView, ShardView},
};
use std::collections::BTreeMap;
use strata_base::{PeerId, StoreId};

/// The ids of members that join later begin here, above those of every shard's first members.
///
/// A new member's id is this plus the epoch of the descriptor that it was decided on. A change is made only on the epoch it names, and raises
/// it, so no id is given twice, even where the member that had it has left and nobody remembers it.
pub const LATER_PEERS_FROM: u64 = 1_024;

/// A store's claim to a replica; the least one gets it.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Claim {
    /// Replicas that the shard keeps in the store's zone.
    shard_replicas_in_zone: usize,
    /// Replicas of all shards on the store, those given by this plan included.
    replicas: usize,
    /// Breaks ties.
    store: StoreId,
}

/// Replaces members on lost stores.
pub(crate) fn replace(view: &View, policy: &Policy) -> Plan {
    let mut plan = Plan::default();
    let mut given: BTreeMap<StoreId, usize> = BTreeMap::new();
    let mut moving = view.shards.iter().filter(|shard| shard.members.iter().any(|member| !member.is_voter)).count();
    for shard in &view.shards {
        let Some(lost) = shard.voters().find(|member| view.is_lost(member.store)) else {
            remove_lost_learner(view, policy, shard, &mut plan);
            continue;
        };
        let Some(leader) = leader_that_reports(view, policy, shard, &mut plan) else { continue };
        if remove_lost_learner(view, policy, shard, &mut plan) {
            continue;
        }
        if let Some(learner) = shard.members.iter().find(|member| !member.is_voter) {
            swap(view, policy, shard, leader, learner, lost, &mut plan);
            continue;
        }
        if moving >= policy.moves_max {
            plan.waiting.push(Waiting::MovesInFlight { shard: shard.shard });
            continue;
        }
        let Some(store) = best_store(view, policy, shard, lost, &given) else {
            plan.waiting.push(Waiting::NoCandidate { shard: shard.shard, lost: lost.store });
            continue;
        };
        moving += 1;
        *given.entry(store).or_default() += 1;
        let peer = PeerId(LATER_PEERS_FROM + shard.epoch.0);
        let action = Action::AddLearner { shard: shard.shard, shard_epoch: shard.epoch, leader, peer, store };
        plan.step(view, action, Reason::DiskLost { store: lost.store });
    }
    plan
}

/// The store whose replica leads, where the shard is free for a change.
fn leader_that_reports(view: &View, policy: &Policy, shard: &ShardView, plan: &mut Plan) -> Option<StoreId> {
    if shard.is_joint {
        plan.waiting.push(Waiting::JointChange { shard: shard.shard });
        return None;
    }
    let leader = shard.leading().map(|member| member.store).filter(|store| view.is_able(*store, policy));
    if leader.is_none() {
        plan.waiting.push(Waiting::NoLeader { shard: shard.shard });
    }
    leader
}

/// A learner on a lost store never catches up. True if there was one.
fn remove_lost_learner(view: &View, policy: &Policy, shard: &ShardView, plan: &mut Plan) -> bool {
    let Some(learner) = shard.members.iter().find(|member| !member.is_voter && view.is_lost(member.store)) else { return false };
    if let Some(leader) = leader_that_reports(view, policy, shard, plan) {
        let action = Action::RemoveLearner { shard: shard.shard, shard_epoch: shard.epoch, leader, peer: learner.peer };
        plan.step(view, action, Reason::DiskLost { store: learner.store });
    }
    true
}

fn swap(view: &View, policy: &Policy, shard: &ShardView, leader: StoreId, learner: &MemberView, lost: &MemberView, plan: &mut Plan) {
    let lag_entries = shard.lag_entries(learner);
    if !shard.is_caught_up(learner, policy) || !view.is_able(learner.store, policy) {
        plan.waiting.push(Waiting::CatchingUp { shard: shard.shard, peer: learner.peer, lag_entries });
        return;
    }
    // A joint change needs a quorum of the old voters and of the new ones.
    let answering = shard.voters().filter(|member| member.is_active).count();
    if answering < Policy::quorum(shard.voters().count()) {
        plan.waiting.push(Waiting::QuorumAtRisk { shard: shard.shard });
        return;
    }
    let action =
        Action::Swap { shard: shard.shard, shard_epoch: shard.epoch, leader, peer: learner.peer, store: learner.store, leaves: lost.peer };
    plan.step(view, action, Reason::CaughtUp { lost: lost.store, lag_entries: lag_entries.unwrap_or_default() });
}

/// The store that shall take the replica: able, without one of this shard, in the zone that has fewest of it.
fn best_store(view: &View, policy: &Policy, shard: &ShardView, lost: &MemberView, given: &BTreeMap<StoreId, usize>) -> Option<StoreId> {
    let kept: Vec<StoreId> = shard.voters().filter(|member| member.peer != lost.peer).map(|member| member.store).collect();
    // A lost store counts for its zone: its pod comes back there, and waiting for it beats giving one zone a quorum.
    let mut stores_per_zone: BTreeMap<&str, usize> = BTreeMap::new();
    view.nodes.values().for_each(|node| *stores_per_zone.entry(&node.zone).or_default() += 1);
    let zone_max = policy.voters_per_zone_max(&stores_per_zone.into_values().collect::<Vec<_>>());
    let in_zone = |zone: &str| kept.iter().filter(|store| view.zone(**store) == zone).count();
    let is_free = |store: &StoreId| view.is_able(*store, policy) && shard.members.iter().all(|member| member.store != *store);
    let claims = view.nodes.iter().filter(|(store, _)| is_free(store)).map(|(store, node)| Claim {
        shard_replicas_in_zone: in_zone(&node.zone),
        replicas: node.replicas.len() + given.get(store).copied().unwrap_or_default(),
        store: *store,
    });
    claims.filter(|claim| claim.shard_replicas_in_zone < zone_max).min().map(|claim| claim.store)
}
