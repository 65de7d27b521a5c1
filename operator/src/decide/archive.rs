//! The archive of a cluster that has begun: its first document, the claim of its path, and what the bucket would bring back.

use super::{Act, Decision, begin, orders, status};
use crate::{
    bucket::{Inquiry, Question},
    observation::Observation,
    origin,
    view::{self, Life},
};
use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::SignedDuration};
use std::collections::BTreeSet;
use strata_base::{Epoch, IncarnationId, ShardId};
use strata_crds::{ErrorClass, KVObjectStoreSpec, PersistedPlan, RecoveryStatus, time_of_millis};
use strata_engine::tier::documents::{ClusterDocument, Document};
use strata_node_api::{ArchiveClaim, ClaimState, OrderKind, Report, ShardArchive, ShardRole};
use strata_planner::PlannedShard;

/// What the first document of the incarnation says, and what else was decided when it began.
pub(super) struct Parts {
    /// The document.
    pub document: ClusterDocument,
    /// The plan that holds its bytes.
    pub plan: PersistedPlan,
}

/// Why nothing can follow yet from the persisted plan.
pub(super) enum NotYet {
    /// This must be persisted first.
    Persist(Box<PersistedPlan>),
    /// It is not what the operator wrote.
    Wrong(String),
}

/// The bucket of the archive, where it is declared and known.
pub(super) fn store(seen: &Observation) -> Option<&KVObjectStoreSpec> {
    let archive = seen.cluster.spec.archive.as_ref()?;
    seen.stores.get(&archive.object_store_ref.name)?.spec.as_ref()
}

/// What to ask the bucket: its first document where a cluster was adopted, and its owner where the claim was refused.
pub(super) fn question(seen: &Observation, incarnation: IncarnationId) -> Option<Question> {
    let plan = seen.cluster.status.as_ref().and_then(|status| status.plan.as_ref());
    let is_known = plan.is_some_and(|plan| plan.document.is_some());
    let question = origin::document_question(seen, incarnation).filter(|_| !is_known || is_refused(seen))?;
    (!seen.answers.contains_key(&question)).then_some(question)
}

fn is_refused(seen: &Observation) -> bool {
    let mut archives = seen.reports.values().filter_map(|report| report.archive.as_ref());
    archives.any(|archive| matches!(archive.claim, ClaimState::Refused { .. }))
}

/// The first document, as persisted; none without an archive, and while it is read from the bucket.
pub(super) fn parts(seen: &Observation, life: &Life, plan: &PersistedPlan) -> Result<Option<Parts>, NotYet> {
    let Some(question) = origin::document_question(seen, life.incarnation) else { return Ok(None) };
    let found = match seen.answers.get(&question) {
        Some(Inquiry::Found(finding)) => Some(finding),
        _ => None,
    };
    let gone = found.and_then(|found| found.owner.as_ref()).and_then(|owner| origin::gone(seen, owner));
    if let Some(text) = &plan.document {
        if gone.is_some() && gone != plan.gone {
            return Err(NotYet::Persist(Box::new(PersistedPlan { gone, ..plan.clone() })));
        }
        let document = ClusterDocument::decode(text.as_bytes()).map_err(|error| NotYet::Wrong(format!("status.plan.document: {error}")))?;
        let is_ours = document.cluster == life.cluster && document.incarnation == life.incarnation;
        let wrong =
            || NotYet::Wrong("status.plan.document is that of another incarnation: restore it from a backup of this object".to_owned());
        return if is_ours { Ok(Some(Parts { document, plan: plan.clone() })) } else { Err(wrong()) };
    }
    let Some(found) = found else { return Ok(None) };
    let text = match &found.document {
        Some(text) => text.clone(),
        None => {
            let known = found.owner.iter().flat_map(|owner| &owner.incarnations).find(|known| known.id == life.incarnation);
            if known.is_some_and(|known| known.parent.is_some()) {
                let message =
                    "these volumes hold a restore that was never published, and its document is not in the bucket: delete the volumes";
                return Err(NotYet::Wrong(format!("{message}, and it is restored again")));
            }
            let Some(planned) = as_reported(seen, life) else { return Ok(None) };
            begin::document(seen, &life.cluster, life.incarnation, None, &planned, &[])
        }
    };
    Err(NotYet::Persist(Box::new(PersistedPlan { document: Some(text), continues: true, gone, ..plan.clone() })))
}

/// The shards as the nodes have them; none until every slot has one.
fn as_reported(seen: &Observation, life: &Life) -> Option<Vec<PlannedShard>> {
    let shards = view::view(seen, life, Epoch(0), Vec::new()).shards;
    let slots: u32 = shards.iter().map(|shard| u32::from(shard.slots.last() - shard.slots.first()) + 1).sum();
    let planned = |shard: &strata_planner::ShardView| PlannedShard {
        shard: shard.shard,
        table: strata_base::TableId(0),
        slots: shard.slots,
        members: shard.voters().map(|member| (member.peer, member.store)).collect(),
    };
    (slots == u32::from(strata_base::SLOT_COUNT)).then(|| shards.iter().map(planned).collect())
}

/// Whether the cluster may count as running: the first document of its life reads back from the bucket. Restored shards serve nobody before, and what
/// was begun at a path that is another's has begun by mistake. A cluster that was adopted with its volumes waits for no bucket.
pub(super) fn is_open(seen: &Observation, life: &Life, parts: Option<&Parts>) -> bool {
    let waits = parts.is_some_and(|parts| parts.document.parent.is_some() || !parts.plan.continues);
    !waits || view::ours(seen, life).any(|(_, report)| report.archive.as_ref().is_some_and(|archive| archive.is_published))
}

/// Tells nodes of the archive, and says how it is.
pub(super) fn go_on(seen: &Observation, life: &Life, epoch: Epoch, parts: Option<&Parts>, decision: &mut Decision) {
    if seen.cluster.spec.archive.is_none() {
        return;
    }
    if let Some((class, message)) = trouble(seen, life, parts) {
        status::problem(seen, &mut decision.status, class, message, true);
    }
    let Some(parts) = parts else {
        decision.status.waiting.push("the archive is opened when the bucket has been read".to_owned());
        return;
    };
    decision.acts.extend(claims(seen, life, epoch, parts));
    for (pod, report) in view::ours(seen, life) {
        say(seen, pod, report, decision);
    }
    decision.status.recovery = recovery(seen, life, parts, decision.status.recovery.take());
}

/// What keeps the bucket from being read, where it is asked.
fn trouble(seen: &Observation, life: &Life, parts: Option<&Parts>) -> Option<origin::Trouble> {
    let archive = seen.cluster.spec.archive.as_ref()?;
    if let Some(problem) = seen.stores.get(&archive.object_store_ref.name).and_then(|fact| fact.problem.clone()) {
        return Some(problem);
    }
    match seen.answers.get(&origin::document_question(seen, life.incarnation)?) {
        Some(Inquiry::Reading(Some(error))) if parts.is_none() => {
            Some((ErrorClass::named(error.class.name()).unwrap_or(ErrorClass::Internal), error.message.clone()))
        }
        _ => None,
    }
}

/// The order to archive, to every node at every pass: a node keeps the claim that it was given last through its restarts, and that one may name
/// a KVCluster that is gone. It costs little, and the same claim given again changes nothing.
fn claims(seen: &Observation, life: &Life, epoch: Epoch, parts: &Parts) -> Vec<Act> {
    let claim = ArchiveClaim {
        namespace_uid: seen.namespace_uid.clone(),
        kv_cluster_uid: seen.cluster.metadata.uid.clone().unwrap_or_default(),
        may_continue: parts.plan.continues,
        gone: parts.plan.gone.clone(),
        retire: parts.plan.retire.iter().filter_map(|id| id.parse().ok()).collect(),
        document: parts.plan.document.clone().unwrap_or_default(),
    };
    let order = |(pod, report): (&String, &Report)| {
        let kind = OrderKind::OpenArchive { claim: claim.clone() };
        orders::order(life, epoch, pod.clone(), report.store, kind, "open the archive".to_owned())
    };
    view::ours(seen, life).map(order).collect()
}

/// What a node says of the archive becomes problems and what is waited for.
fn say(seen: &Observation, pod: &str, report: &Report, decision: &mut Decision) {
    let Some(archive) = &report.archive else { return };
    let status = &mut decision.status;
    match &archive.claim {
        ClaimState::Watching { cluster } => {
            status.waiting.push(format!(
                "the archive's path belongs to cluster {cluster}: its beat is watched for 90 s, and the path taken if it stands"
            ));
        }
        ClaimState::Refused { message } => status::problem(seen, status, ErrorClass::ForeignOwner, message.clone(), false),
        ClaimState::Elsewhere | ClaimState::Claiming | ClaimState::Taken => {}
    }
    if let Some(problem) = &archive.problem {
        let class = ErrorClass::named(&problem.class).unwrap_or(ErrorClass::Internal);
        let refuses = if archive.refuses_writes { "; its log has reached spec.archive.localLogBound, and writes are refused" } else { "" };
        if !status.problems.iter().any(|known| known.class == class) {
            status::problem(seen, status, class, format!("{pod} cannot archive: {}{refuses}", problem.message), true);
        }
    }
}

/// The leader's word for each shard, where there is one: that of the highest term.
fn leaders<'a>(seen: &'a Observation, life: &Life, shards: &BTreeSet<ShardId>) -> Vec<&'a ShardArchive> {
    let led = |shard: &ShardId| {
        let replicas = view::ours(seen, life).flat_map(|(_, report)| &report.shards).filter(|replica| replica.shard == *shard);
        let leader = replicas.filter(|replica| replica.role == ShardRole::Leader).max_by_key(|replica| replica.term);
        leader.and_then(|leader| leader.archive.as_ref())
    };
    shards.iter().filter_map(led).collect()
}

/// What the bucket alone brings back. Never better than the truth: where a shard has no leader that reports, the last known moment stays.
/// It is written anew when it moved by half a second: every write of a status calls for a pass, which must not call for the next write.
fn recovery(seen: &Observation, life: &Life, parts: &Parts, old: Option<RecoveryStatus>) -> Option<RecoveryStatus> {
    let shards: BTreeSet<ShardId> = parts.document.shards.iter().map(|shard| shard.shard).collect();
    let leaders = leaders(seen, life, &shards);
    let is_complete = leaders.len() == shards.len();
    let mut now = old.clone().unwrap_or_default();
    if parts.document.parent.is_none() && !parts.plan.members.is_empty() {
        now.earliest = now.earliest.or_else(|| seen.cluster.metadata.creation_timestamp.clone());
    }
    let before = now.latest.clone();
    if is_complete && let Some(millis) = leaders.iter().map(|leader| leader.recovery_latest_millis).min().filter(|millis| *millis > 0) {
        let reached = time_of_millis(millis);
        now.latest = Some(before.clone().map_or(reached.clone(), |before| Time(before.0.max(reached.0))));
    }
    let at_risk = i64::try_from(leaders.iter().map(|leader| leader.bytes_at_risk).sum::<u64>()).unwrap_or(i64::MAX);
    now.bytes_at_risk = if is_complete { at_risk } else { at_risk.max(now.bytes_at_risk) };
    let gap =
        |leader: &&ShardArchive| leader.gaps.iter().map(|(from, to)| format!("entries {from} to {to} of a shard")).collect::<Vec<_>>();
    now.gaps = parts.plan.gaps.iter().cloned().chain(leaders.iter().flat_map(gap)).collect();
    now.latest.as_ref()?;
    let old = old.filter(|old| old.latest.is_some());
    Some(old.filter(|old| is_much_the_same(old, &now)).unwrap_or(now))
}

fn is_much_the_same(old: &RecoveryStatus, now: &RecoveryStatus) -> bool {
    let step = match (&old.latest, &now.latest) {
        (Some(old), Some(now)) => now.0.duration_since(old.0),
        _ => return false,
    };
    let moved = (old.bytes_at_risk - now.bytes_at_risk).abs();
    step < SignedDuration::from_millis(500) && moved <= old.bytes_at_risk / 8 && old.gaps == now.gaps && old.earliest == now.earliest
}
