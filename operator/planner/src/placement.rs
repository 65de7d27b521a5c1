//! Where shards begin: which stores hold the first replicas of each.
//!
//! [`place`] decides once, when a cluster is initialised; its result is persisted before the first order. [`create`] then only compares
//! the persisted plan with what nodes report, so a crash between any two orders, or a second operator, repeats the same order.

use crate::{
    Policy, View,
    plan::{Action, Plan, Reason, Waiting},
    view::{NodeState, NodeView},
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use strata_base::{
    IncarnationId, PeerId, ShardId, SlotRange, StoreId, TableId,
    planted::{Mistake, planted},
};

/// A shard as it shall be created.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PlannedShard {
    /// Follows from (incarnation, table, ordinal).
    pub shard: ShardId,
    /// The table it is a part of.
    pub table: TableId,
    /// Its slots.
    pub slots: SlotRange,
    /// All its first members, the expected leader first; all vote.
    pub members: Vec<(PeerId, StoreId)>,
}

/// Why shards cannot be placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlacementError {
    /// Too few stores have reported.
    #[error("{reporting} stores report and {needed} are needed: wait for the nodes, or lower spec.replicationFactor")]
    TooFewStores {
        /// Stores that may take replicas.
        reporting: usize,
        /// The replication factor.
        needed: usize,
    },
}

/// A store's claim to the next replica of a shard; the least one gets it.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Claim {
    /// Replicas of this shard in the store's zone: zones are failure domains, so this comes first.
    shard_replicas_in_zone: usize,
    /// Replicas of all shards on the store.
    replicas: usize,
    /// Breaks ties.
    store: StoreId,
}

/// Places `shards` shards of a table on stores, each with as many replicas as the policy's replication factor, spread over zones.
///
/// Deterministic: the same stores give the same plan, in whatever order they reported. `shards` is between 1 and 16,384.
pub fn place(
    incarnation: IncarnationId,
    table: TableId,
    shards: u16,
    stores: &BTreeMap<StoreId, String>,
    policy: &Policy,
) -> Result<Vec<PlannedShard>, PlacementError> {
    let needed = usize::from(policy.replication_factor);
    if stores.len() < needed {
        return Err(PlacementError::TooFewStores { reporting: stores.len(), needed });
    }
    let mut replicas: BTreeMap<StoreId, usize> = stores.keys().map(|store| (*store, 0)).collect();
    let mut firsts = replicas.clone();
    let place_one = |(ordinal, slots): (u32, SlotRange)| {
        let mut chosen: Vec<StoreId> = Vec::new();
        while chosen.len() < needed {
            let in_zone = |zone: &str| chosen.iter().filter(|other| stores[other] == zone).count();
            let claims = stores.iter().filter(|(store, _)| !chosen.contains(store)).map(|(store, zone)| Claim {
                shard_replicas_in_zone: in_zone(zone),
                replicas: replicas[store],
                store: *store,
            });
            let best = claims.min().expect("there are at least as many stores as replicas of a shard").store;
            *replicas.get_mut(&best).expect("every store is counted") += 1;
            chosen.push(best);
        }
        // Who has the fewest leaders in view for its replicas leads first.
        chosen.sort_by_key(|store| (firsts[store], *store));
        *firsts.get_mut(&chosen[0]).expect("every store is counted") += 1;
        let members = chosen.into_iter().zip(1..).map(|(store, peer)| (PeerId(peer), store)).collect();
        PlannedShard { shard: ShardId::derive(incarnation.0, table.0, ordinal), table, slots, members }
    };
    Ok((0..).zip(SlotRange::split_evenly(shards)).map(place_one).collect())
}

/// Empty stores join where something is planned on them, and in the place of others while the cluster lives.
///
/// A store that joined can never begin another life: while nobody leads anything, the old life may be lost whole, and its bucket is what goes on.
pub(crate) fn join(view: &View, policy: &Policy) -> Plan {
    let mut plan = Plan::default();
    let is_planned = |store: StoreId| view.planned.iter().flat_map(|shard| &shard.members).any(|(_, planned)| *planned == store);
    let is_living = view.shards.iter().any(|shard| shard.leading().is_some());
    let is_new = |node: &NodeView| node.state == NodeState::Empty && node.is_fresh(policy);
    for (store, _) in view.nodes.iter().filter(|(_, node)| is_new(node)) {
        if is_living || is_planned(*store) || planted(Mistake::JoinsTheDead) {
            plan.step(view, Action::Join { store: *store }, Reason::StoreIsEmpty);
        } else {
            plan.waiting.push(Waiting::NobodyToJoin { store: *store });
        }
    }
    plan
}

/// What was planned and is not there yet is created.
///
/// A shard that has changed its members since is left alone: its first members have become history.
pub(crate) fn create(view: &View, policy: &Policy) -> Plan {
    let mut plan = Plan::default();
    for planned in view.planned.iter().filter(|_| !view.awaits_restore) {
        if has_changed(view, planned) {
            continue;
        }
        for (_, store) in &planned.members {
            let Some(node) = view.nodes.get(store) else {
                plan.waiting.push(Waiting::PlannedStoreSilent { shard: planned.shard, store: *store });
                continue;
            };
            if node.state != NodeState::Member || node.replicas.contains(&planned.shard) {
                continue;
            }
            if !node.is_fresh(policy) {
                plan.waiting.push(Waiting::PlannedStoreSilent { shard: planned.shard, store: *store });
                continue;
            }
            let PlannedShard { shard, table, slots, members } = planned.clone();
            plan.step(view, Action::Create { on: *store, shard, table, slots, members }, Reason::Planned);
        }
    }
    plan
}

fn has_changed(view: &View, planned: &PlannedShard) -> bool {
    let first: BTreeSet<PeerId> = planned.members.iter().map(|(peer, _)| *peer).collect();
    let reported = view.shards.iter().find(|shard| shard.shard == planned.shard);
    reported.is_some_and(|shard| shard.is_joint || shard.members.iter().map(|member| member.peer).collect::<BTreeSet<_>>() != first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_persisted_plan_reads_as_it_was_written() {
        let stores = [(StoreId(1), "a".to_owned())].into();
        let policy = Policy { replication_factor: 1, ..Policy::default() };
        let plan = place(IncarnationId(7), TableId(0), 2, &stores, &policy).expect("one store suffices for one replica");
        let text = serde_json::to_string(&plan).expect("a plan is JSON");
        assert_eq!(serde_json::from_str::<Vec<PlannedShard>>(&text).expect("reads back"), plan);
    }
}
