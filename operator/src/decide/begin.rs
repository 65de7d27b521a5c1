//! How a cluster begins, and what is persisted before the first order.

use super::{Decision, hold_epoch, status};
use crate::{
    bucket::{Question, ShardCut},
    names::fingerprint,
    observation::Observation,
    origin::{self, Chosen},
    view,
};
use std::collections::BTreeMap;
use strata_base::{Epoch, IncarnationId, SlotRange, TableId};
use strata_crds::{ClusterPhase, ErrorClass, KVClusterStatus, PersistedPlan};
use strata_engine::tier::{
    Cut,
    documents::{ClusterDocument, Document, MemberDocument, Origin, ParentReference, ShardDocument, TableDocument},
};
use strata_node_api::NodeState;
use strata_planner::{
    PlannedShard,
    bootstrap::{self, Bootstrap, BootstrapRefusal, BootstrapWait, BucketFact},
    place,
};

/// Where the log of a shard that begins empty begins: behind this entry, as the Raft groups of nodes have it.
pub(super) const BEGINNING: Cut = Cut { fork_epoch: 0, index: 5, term: 5, hlc: strata_base::Hlc::ZERO };

/// Whether every disk that the plan named is gone, and every node waits with a new one; volumes that were adopted had joined, so an empty one is
/// none of them. There is nothing left on the nodes to go on with:
/// the cluster begins again, from its bucket. Without an archive it never does, since that would be to forget in silence.
pub(super) fn is_all_new(seen: &Observation) -> bool {
    let plan = seen.cluster.status.as_ref().and_then(|status| status.plan.clone()).unwrap_or_default();
    let is_new = |pod: &String| {
        let report = seen.reports.get(pod).filter(|report| report.state == NodeState::Empty);
        report.is_some_and(|report| {
            let store = report.store.to_string();
            !plan.members.iter().any(|members| members.contains(&store))
        })
    };
    let pods = crate::names::pods(&seen.cluster);
    seen.cluster.spec.archive.is_some() && pods.iter().all(|(pod, _)| is_new(pod))
}

/// What to ask a bucket: only when the nodes leave a choice.
pub(super) fn question(seen: &Observation) -> Option<Question> {
    let unread = BucketFact::Reading;
    match bootstrap::decide(&view::bootstrap_view(seen, unread)) {
        Bootstrap::Wait(BootstrapWait::Reading) | Bootstrap::Refuse(BootstrapRefusal::Ambiguous { .. }) => origin::next_question(seen),
        _ => None,
    }
}

/// No incarnation yet: how the cluster begins.
pub(super) fn begin(seen: &Observation, decision: &mut Decision) {
    let status = &mut decision.status;
    let (bucket, trouble) = origin::bucket(seen);
    match bootstrap::decide(&view::bootstrap_view(seen, bucket)) {
        Bootstrap::Wait(wait) => {
            status.phase = ClusterPhase::Pending;
            match (&wait, trouble) {
                (BootstrapWait::Reading, _) => status.waiting.push(wait.to_string()),
                (BootstrapWait::Bucket { .. }, Some((class, message))) => {
                    status::problem(seen, status, class, format!("{wait}: {message}"), true);
                }
                (BootstrapWait::Bucket { class }, None) => {
                    let class = ErrorClass::named(class).unwrap_or(ErrorClass::Internal);
                    status::problem(seen, status, class, wait.to_string(), true);
                }
                // Pods that Kubernetes has not started yet are on their way; those that run and say nothing are a problem.
                (BootstrapWait::Silent { pods }, _) => match not_started(seen, pods) {
                    Some(pods) => status.waiting.push(format!("pods are started: {pods}")),
                    None => status::problem(seen, status, ErrorClass::NodesSilent, wait.to_string(), true),
                },
            }
        }
        Bootstrap::Refuse(refusal) => refuse(seen, status, &refusal),
        Bootstrap::Restore { .. } => match origin::chosen(seen) {
            Some(chosen) => restore(seen, decision, &chosen),
            None => status.waiting.push("the bucket is being read".to_owned()),
        },
        Bootstrap::Adopt { cluster, incarnation } => {
            // What the first document says is read from the bucket later: the volumes do not wait for it.
            decision.status.phase = ClusterPhase::Creating;
            persist(seen, decision, cluster, incarnation, None);
        }
        Bootstrap::Initialise => initialise(seen, decision),
    }
}

/// The silent pods with what Kubernetes says of them, where at least one has not been started.
fn not_started(seen: &Observation, pods: &[String]) -> Option<String> {
    let reason = |pod: &String| match seen.pods.get(pod) {
        None => Some(format!("{pod} does not exist yet")),
        Some(fact) if fact.lacks_volume => Some(format!("{pod} was placed before its volume was bound, and is made anew")),
        Some(fact) if !fact.is_crashed => fact.waits.as_ref().map(|reason| format!("{pod} waits ({reason})")),
        Some(_) => None,
    };
    let reasons: Vec<String> = pods.iter().filter_map(reason).collect();
    (!reasons.is_empty()).then(|| reasons.join(", "))
}

fn refuse(seen: &Observation, status: &mut KVClusterStatus, refusal: &BootstrapRefusal) {
    status.phase = ClusterPhase::Refused;
    let class = ErrorClass::named(refusal.class()).unwrap_or(ErrorClass::Internal);
    status::problem(seen, status, class, refusal.to_string(), false);
}

/// A new life: of one object at one moment, never used before, and decided once, since it is persisted before anything follows from it.
fn new_incarnation(seen: &Observation) -> IncarnationId {
    let uid = seen.cluster.metadata.uid.clone().unwrap_or_default();
    let seed = fingerprint(&format!("{uid}/{}/{}", seen.highest_epoch(), seen.now));
    seed.parse().unwrap_or(IncarnationId(1))
}

/// The first replicas of this many shards; a problem is said where there is no place for them.
fn placed(seen: &Observation, decision: &mut Decision, incarnation: IncarnationId, shards: u16) -> Option<Vec<PlannedShard>> {
    let zones = crate::names::pods(&seen.cluster).into_iter().collect::<BTreeMap<_, _>>();
    let stores = seen.reports.iter().filter_map(|(pod, report)| Some((report.store, zones.get(pod)?.clone()))).collect();
    match place(incarnation, TableId(0), shards, &stores, &view::policy(&seen.cluster)) {
        Ok(planned) => Some(planned),
        Err(error) => {
            status::problem(seen, &mut decision.status, ErrorClass::NodesSilent, error.to_string(), true);
            None
        }
    }
}

fn initialise(seen: &Observation, decision: &mut Decision) {
    let cluster = seen.cluster.metadata.uid.clone().unwrap_or_default();
    let incarnation = new_incarnation(seen);
    let shards = seen.cluster.spec.shards.clamp(1, i32::from(strata_base::SLOT_COUNT)) as u16;
    let Some(planned) = placed(seen, decision, incarnation, shards) else { return };
    let mut plan = view::to_persisted(&planned);
    if seen.cluster.spec.archive.is_some() {
        plan.document = Some(document(seen, &cluster, incarnation, None, &planned, &[]));
    }
    decision.status.phase = ClusterPhase::Creating;
    persist(seen, decision, cluster, incarnation, Some(plan));
}

fn restore(seen: &Observation, decision: &mut Decision, chosen: &Chosen) {
    let Chosen { source, finding, plan: found } = chosen;
    let incarnation = new_incarnation(seen);
    let wanted = u16::try_from(found.shards.len()).unwrap_or_default();
    let slots = SlotRange::split_evenly(wanted.max(1));
    if wanted == 0 || !found.shards.iter().map(|shard| shard.slots).eq(slots) {
        let message = format!("incarnation {} has shards that this version cannot place: use a newer one", found.parent.incarnation);
        decision.status.phase = ClusterPhase::Refused;
        return status::problem(seen, &mut decision.status, ErrorClass::WrongVersion, message, false);
    }
    let Some(planned) = placed(seen, decision, incarnation, wanted) else { return };
    let owner = finding.owner.as_ref().filter(|_| source.is_own);
    // Below another path it is another cluster; below its own it stays the one it was.
    let uid = seen.cluster.metadata.uid.clone().unwrap_or_default();
    let cluster = owner.map_or(uid, |owner| owner.cluster.clone());
    let mut plan = view::to_persisted(&planned);
    plan.parent = Some(found.parent.incarnation.to_string());
    plan.document = Some(document(seen, &cluster, incarnation, Some(found.parent.clone()), &planned, &found.shards));
    plan.continues = source.is_own;
    plan.gone = owner.and_then(|owner| origin::gone(seen, owner));
    plan.retire = if source.is_own { found.others.iter().map(ToString::to_string).collect() } else { Vec::new() };
    plan.restore = source.restore.clone();
    plan.gaps = gaps(&found.shards);
    decision.status.phase = ClusterPhase::Restoring;
    persist(seen, decision, cluster, incarnation, Some(plan));
}

/// What cannot be reached behind the cuts, one sentence each.
pub fn gaps(shards: &[ShardCut]) -> Vec<String> {
    let sentence = |shard: &ShardCut| {
        let (before, behind) = shard.gap?;
        Some(format!("shard {} lacks its entries {} to {}, and all behind them", shard.shard, before + 1, behind - 1))
    };
    shards.iter().filter_map(sentence).collect()
}

/// The text of `cluster/0.json`.
pub(super) fn document(
    seen: &Observation,
    cluster: &str,
    incarnation: IncarnationId,
    parent: Option<ParentReference>,
    planned: &[PlannedShard],
    cuts: &[ShardCut],
) -> String {
    let member = |(peer, store): &(strata_base::PeerId, strata_base::StoreId)| MemberDocument { peer: *peer, store: *store, voter: true };
    let shard = |(planned, cut): (&PlannedShard, Option<&ShardCut>)| ShardDocument {
        shard: planned.shard,
        table: planned.table,
        slots: planned.slots,
        epoch: Epoch(1),
        members: planned.members.iter().map(member).collect(),
        forks: Vec::new(),
        origin: cut.map(|cut| Origin { shard: cut.shard, cut: cut.cut }),
        start: if cut.is_some() { Cut::default() } else { BEGINNING },
    };
    let cuts = cuts.iter().map(Some).chain(std::iter::repeat(None));
    let mut shards: Vec<ShardDocument> = planned.iter().zip(cuts).map(shard).collect();
    shards.sort_by_key(|shard| shard.shard);
    let settings = [("replicationFactor".to_owned(), seen.cluster.spec.replication_factor.into())].into();
    let table = TableDocument { table: TableId(0), name: "default".to_owned(), settings: BTreeMap::new() };
    let document = ClusterDocument {
        cluster: cluster.to_owned(),
        incarnation,
        number: 0,
        parent,
        shards,
        lives: Vec::new(),
        tables: vec![table],
        settings,
    };
    String::from_utf8_lossy(&document.encode()).into_owned()
}

fn persist(seen: &Observation, decision: &mut Decision, cluster: String, incarnation: IncarnationId, plan: Option<PersistedPlan>) {
    let status = &mut decision.status;
    status.cluster_id = Some(cluster);
    status.incarnation = Some(incarnation.to_string());
    status.plan = plan;
    status.recovery = None;
    hold_epoch(seen, decision);
}
