//! The boundary: reports of nodes become the planner's facts.

use crate::{
    names::{self},
    observation::Observation,
};
use std::collections::{BTreeMap, BTreeSet};
use strata_base::{Epoch, IncarnationId, PeerId, ShardId, StoreId, TableId};
use strata_crds::{BootstrapPolicy, KVCluster, PersistedPlan};
use strata_node_api::{MemberRole, NodeState as ReportedState, ProblemClass, Report, ShardReport, ShardRole};
use strata_planner::{
    MemberView, NodeState, NodeView, PlannedShard, Policy, ShardView, View,
    bootstrap::{self, BootstrapView, BucketFact, ReplicaFact, StoreFact},
};

/// What belongs to the life that a cluster is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Life {
    /// The cluster's UUID.
    pub cluster: String,
    /// The incarnation.
    pub incarnation: IncarnationId,
}

/// What is wanted of plans for this cluster.
pub fn policy(cluster: &KVCluster) -> Policy {
    Policy {
        replication_factor: cluster.spec.replication_factor.clamp(1, 9) as u8,
        leader_tolerance: cluster.spec.balance.leaders.tolerance.max(1) as u32,
        ..Policy::default()
    }
}

/// The facts for the planner. Stores of another life are left out: they are neither given work nor counted.
pub fn view(seen: &Observation, life: &Life, epoch: Epoch, planned: Vec<PlannedShard>) -> View {
    let mut nodes = BTreeMap::new();
    for (pod, zone) in names::pods(&seen.cluster) {
        if let Some(report) = seen.reports.get(&pod).filter(|report| is_ours(report, life)) {
            nodes.insert(report.store, reporting(seen, report, &zone));
        }
    }
    let shards = shards(seen, life);
    let named: BTreeSet<StoreId> = shards.iter().flat_map(|shard| &shard.members).map(|member| member.store).collect();
    for store in named {
        nodes.entry(store).or_insert_with(|| unreported(seen, store));
    }
    let is_full = |report: &Report| report.archive.as_ref().is_some_and(|archive| archive.refuses_writes);
    let is_archive_within_bound = !seen.reports.values().any(is_full);
    View { epoch, nodes, shards, planned, awaits_restore: false, is_archive_within_bound }
}

/// The nodes that belong to this life and report, by pod.
pub fn ours<'a>(seen: &'a Observation, life: &Life) -> impl Iterator<Item = (&'a String, &'a Report)> {
    let life = ReportedState::Member { cluster: life.cluster.clone(), incarnation: life.incarnation };
    seen.reports.iter().filter(move |(_, report)| report.state == life)
}

fn is_ours(report: &Report, life: &Life) -> bool {
    match &report.state {
        ReportedState::Empty => true,
        ReportedState::Member { cluster, incarnation } => *cluster == life.cluster && *incarnation == life.incarnation,
    }
}

fn reporting(seen: &Observation, report: &Report, zone: &str) -> NodeView {
    NodeView {
        zone: zone.to_owned(),
        state: if report.state == ReportedState::Empty { NodeState::Empty } else { NodeState::Member },
        report_age_millis: 0,
        heard_age_millis: heard_age(seen, report.store),
        is_evicted: report.evicted_millis > 0,
        is_clock_off: report.problems.iter().any(|problem| problem.class == ProblemClass::ClockSkew),
        replicas: report.shards.iter().map(|shard| shard.shard).collect(),
    }
}

/// A store that some shard names as a member and no pod reports: lost, if every pod is known to have another one.
fn unreported(seen: &Observation, store: StoreId) -> NodeView {
    let stores = seen.stores();
    let pods = names::pods(&seen.cluster);
    let zone = pods.iter().find(|(pod, _)| stores.get(pod) == Some(&store)).map(|(_, zone)| zone.clone());
    let is_lost = pods.iter().all(|(pod, _)| stores.get(pod).is_some_and(|other| *other != store));
    NodeView {
        zone: zone.unwrap_or_default(),
        state: if is_lost { NodeState::Lost } else { NodeState::Member },
        report_age_millis: u64::MAX,
        heard_age_millis: heard_age(seen, store),
        is_evicted: false,
        is_clock_off: false,
        replicas: BTreeSet::new(),
    }
}

fn heard_age(seen: &Observation, store: StoreId) -> u64 {
    let heard = seen.reports.values().flat_map(|report| &report.heard).filter(|heard| heard.store == store);
    heard.map(|heard| heard.millis_ago).min().unwrap_or(u64::MAX)
}

fn shards(seen: &Observation, life: &Life) -> Vec<ShardView> {
    let mut replicas: BTreeMap<ShardId, Vec<&ShardReport>> = BTreeMap::new();
    let ours = seen.reports.values().filter(|report| is_ours(report, life));
    ours.flat_map(|report| &report.shards).for_each(|replica| replicas.entry(replica.shard).or_default().push(replica));
    let mut shards: Vec<ShardView> = replicas.into_values().filter_map(|replicas| shard(&replicas)).collect();
    shards.sort_by_key(|shard| shard.slots);
    shards
}

/// A shard as its leader tells it, or as its newest replica does where none leads.
fn shard(replicas: &[&ShardReport]) -> Option<ShardView> {
    let leads = |replica: &&&ShardReport| replica.role == ShardRole::Leader;
    let leader = replicas.iter().filter(leads).max_by_key(|replica| replica.term);
    let told = leader.or_else(|| replicas.iter().max_by_key(|replica| (replica.shard_epoch, replica.applied)))?;
    let member = |member: &strata_node_api::Member| {
        let progress = told.progress.iter().find(|progress| progress.peer == member.peer);
        let is_teller = leader.is_some() && member.peer == told.peer;
        let own = replicas.iter().find(|replica| replica.peer == member.peer);
        MemberView {
            peer: member.peer,
            store: member.store,
            is_voter: member.role == MemberRole::Voter,
            matched: if is_teller {
                Some(told.last_index)
            } else {
                progress.filter(|progress| !progress.in_snapshot).map(|progress| progress.matched)
            },
            applied: own.map(|own| own.applied),
            is_active: is_teller || progress.is_some_and(|progress| progress.is_active),
        }
    };
    Some(ShardView {
        shard: told.shard,
        slots: told.slots,
        epoch: told.shard_epoch,
        members: told.members.iter().map(member).collect(),
        is_joint: told.is_joint,
        leader: leader.map(|leader| leader.peer),
        committed: told.committed,
    })
}

/// The facts for how a cluster begins.
pub fn bootstrap_view(seen: &Observation, bucket: BucketFact) -> BootstrapView {
    let bootstrap = &seen.cluster.spec.bootstrap;
    // A bucket that nobody declared needs no reading.
    let is_declared = seen.cluster.spec.archive.is_some() || bootstrap.restore_ref.is_some();
    BootstrapView {
        pods: names::pods(&seen.cluster).into_iter().map(|(pod, _)| (pod.clone(), seen.reports.get(&pod).map(store_fact))).collect(),
        named_lost: bootstrap.lost_volumes.iter().cloned().collect(),
        cluster: None,
        bucket: if is_declared { bucket } else { BucketFact::NotDeclared },
        policy: match bootstrap.policy {
            // Who names a KVRestore does not want to begin empty.
            BootstrapPolicy::RestoreIfExists if bootstrap.restore_ref.is_some() => bootstrap::BootstrapPolicy::RestoreOnly,
            BootstrapPolicy::InitOnly => bootstrap::BootstrapPolicy::InitOnly,
            BootstrapPolicy::RestoreOnly => bootstrap::BootstrapPolicy::RestoreOnly,
            BootstrapPolicy::RestoreIfExists => bootstrap::BootstrapPolicy::RestoreIfExists,
        },
    }
}

fn store_fact(report: &Report) -> StoreFact {
    let replica = |shard: &ShardReport| ReplicaFact {
        shard: shard.shard,
        slots: shard.slots,
        epoch: shard.shard_epoch,
        voters: shard.members.iter().filter(|member| member.role == MemberRole::Voter).map(|member| member.store).collect(),
    };
    match &report.state {
        ReportedState::Empty => StoreFact::Empty { store: report.store },
        ReportedState::Member { cluster, incarnation } => StoreFact::Member {
            store: report.store,
            cluster: cluster.clone(),
            incarnation: *incarnation,
            replicas: report.shards.iter().map(replica).collect(),
        },
    }
}

/// A plan as the status keeps it.
pub fn to_persisted(planned: &[PlannedShard]) -> PersistedPlan {
    let members = |shard: &PlannedShard| {
        let members: Vec<String> = shard.members.iter().map(|(peer, store)| format!("{peer}:{store}")).collect();
        members.join(" ")
    };
    PersistedPlan { members: planned.iter().map(members).collect(), ..PersistedPlan::default() }
}

/// A plan as the planner reads it; `None` where the status does not hold what [`to_persisted`] wrote.
pub fn from_persisted(plan: &PersistedPlan, incarnation: IncarnationId) -> Option<Vec<PlannedShard>> {
    let table = TableId(0);
    if plan.members.is_empty() {
        return Some(Vec::new());
    }
    let slots = strata_base::SlotRange::split_evenly(u16::try_from(plan.members.len()).ok()?);
    let shard = |((ordinal, slots), members): ((u32, strata_base::SlotRange), &String)| {
        let member = |word: &str| {
            let (peer, store) = word.split_once(':')?;
            Some((PeerId(peer.parse().ok()?), store.parse().ok()?))
        };
        let members = members.split(' ').map(member).collect::<Option<Vec<_>>>()?;
        Some(PlannedShard { shard: ShardId::derive(incarnation.0, table.0, ordinal), table, slots, members })
    };
    (0..).zip(slots).zip(&plan.members).map(shard).collect()
}
