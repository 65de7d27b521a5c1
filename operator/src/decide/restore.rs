//! A restore under way: every node fetches what it will hold, and only then shards are created.

use super::{Decision, archive::Parts, orders, status};
use crate::{
    limits::{RESTORE_RETRY_FIRST, RESTORE_RETRY_LAST},
    observation::Observation,
    view::{self, Life},
};
use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::SignedDuration};
use std::collections::BTreeSet;
use strata_base::{Epoch, ShardId, StoreId};
use strata_crds::{ClusterPhase, ErrorClass, Problem, RestoreProgress};
use strata_engine::tier::documents::{ClusterDocument, ParentReference, ShardDocument};
use strata_node_api::{ArchivePlace, OrderKind, Report, RestoreOrder, RestoreReport, RestoreShard, RestoreState, ShardOrigin};
use strata_planner::PlannedShard;

/// Gives the orders to fetch, and says how far they are. Whether the shards may be created: every node has all it needs, or has its shards.
pub(super) fn go_on(
    seen: &Observation,
    life: &Life,
    epoch: Epoch,
    parts: Option<&Parts>,
    planned: &[PlannedShard],
    decision: &mut Decision,
) -> bool {
    let status = &mut decision.status;
    let parent_of = parts.and_then(|parts| Some((parts, parts.document.parent.as_ref()?)));
    if status.plan.as_ref().is_none_or(|plan| plan.parent.is_none()) || status.phase == ClusterPhase::Running {
        return true;
    }
    // A plan with a parent has a document; where it cannot be read, nothing is created.
    let Some((parts, parent)) = parent_of else { return false };
    status.phase = ClusterPhase::Restoring;
    let stores: BTreeSet<StoreId> = planned.iter().flat_map(|shard| &shard.members).map(|(_, store)| *store).collect();
    let reports: Vec<(&String, &Report)> = view::ours(seen, life).filter(|(_, report)| stores.contains(&report.store)).collect();
    let failure = seen.cluster.status.iter().flat_map(|status| &status.problems).find(|problem| is_failure(problem.class)).cloned();
    let mut done = 0;
    let mut attempted = false;
    for (pod, report) in &reports {
        if has_all(report, planned) {
            done += 1;
            continue;
        }
        let state = report.restore.as_ref().map(|restore| &restore.state);
        done += usize::from(state == Some(&RestoreState::Ready));
        let is_due = match state {
            None => true,
            Some(RestoreState::Failed { .. }) => failure.as_ref().is_some_and(|failure| is_due(failure, seen)),
            Some(_) => false,
        };
        if is_due {
            attempted |= state.is_some();
            let kind = OrderKind::Restore { restore: order(parent, &parts.document) };
            let reason = format!("restore from incarnation {}", parent.incarnation);
            decision.acts.push(orders::order(life, epoch, (*pod).clone(), report.store, kind, reason));
        }
        if let Some(restore) = &report.restore {
            say(seen, pod, restore, failure.as_ref(), decision);
        }
    }
    if attempted && let Some(problem) = decision.status.problems.iter_mut().find(|problem| is_failure(problem.class)) {
        problem.attempts = problem.attempts.saturating_add(1);
    }
    let silent: Vec<String> =
        stores.iter().filter(|store| !reports.iter().any(|(_, report)| report.store == **store)).map(ToString::to_string).collect();
    if !silent.is_empty() {
        decision.status.waiting.push(format!("the restore waits for the stores {}", silent.join(", ")));
    }
    decision.status.restore = Some(progress(seen, parent, &reports, (done, stores.len())));
    done == stores.len()
}

fn has_all(report: &Report, planned: &[PlannedShard]) -> bool {
    let mut wanted = planned.iter().filter(|shard| shard.members.iter().any(|(_, store)| *store == report.store));
    wanted.all(|wanted| report.shards.iter().any(|held| held.shard == wanted.shard))
}

/// Classes that end a node's attempt; it is tried again, less and less often.
fn is_failure(class: ErrorClass) -> bool {
    matches!(class, ErrorClass::Damaged | ErrorClass::NotFound | ErrorClass::NothingToRestore | ErrorClass::TargetTooEarly)
}

fn class_of(name: &str) -> ErrorClass {
    match name {
        "Missing" | "CutUnreachable" => ErrorClass::NotFound,
        "NoCluster" | "NoSuchIncarnation" => ErrorClass::NothingToRestore,
        "TooEarly" => ErrorClass::TargetTooEarly,
        name => ErrorClass::named(name).unwrap_or(ErrorClass::Damaged),
    }
}

fn is_due(failure: &Problem, seen: &Observation) -> bool {
    let tried = failure.attempts.clamp(1, 16) as u32;
    let pause = |attempt: u32| RESTORE_RETRY_FIRST.saturating_mul(1 << attempt).min(RESTORE_RETRY_LAST).as_secs();
    let waited = (0..tried).map(pause).sum::<u64>();
    seen.now.duration_since(failure.since.0) >= SignedDuration::from_secs(i64::try_from(waited).unwrap_or(i64::MAX))
}

/// What a node says of its restore. A failure stays said until the node got beyond it.
fn say(seen: &Observation, pod: &str, restore: &RestoreReport, failure: Option<&Problem>, decision: &mut Decision) {
    let status = &mut decision.status;
    let mut add = |class: ErrorClass, message: String| {
        if !status.problems.iter().any(|known| known.class == class) {
            status::problem(seen, status, class, message, true);
        }
    };
    if let RestoreState::Failed { class, message } = &restore.state {
        return add(class_of(class), format!("{pod} cannot restore: {message}; it is tried again, and goes on once that is repaired"));
    }
    if let Some(failure) = failure.filter(|failure| restore.state == RestoreState::Planning && failure.message.starts_with(pod)) {
        add(failure.class, failure.message.clone());
    }
    if let Some(problem) = &restore.problem {
        add(ErrorClass::named(&problem.class).unwrap_or(ErrorClass::Internal), format!("{pod} waits: {}", problem.message));
    }
}

fn order(parent: &ParentReference, document: &ClusterDocument) -> RestoreOrder {
    let shard = |shard: &ShardDocument| {
        let stores = shard.members.iter().map(|member| member.store).collect();
        Some(RestoreShard { shard: shard.shard, stores, origin: origin(document, shard.shard)? })
    };
    RestoreOrder {
        source: ArchivePlace {
            store: parent.place.store.clone(),
            bucket: parent.place.bucket.clone(),
            path: parent.path.path().to_owned(),
        },
        incarnation: parent.incarnation,
        accept_damage: false,
        shards: document.shards.iter().filter_map(shard).collect(),
    }
}

/// What a shard continues.
pub(super) fn origin(document: &ClusterDocument, shard: ShardId) -> Option<ShardOrigin> {
    let origin = document.shard(shard)?.origin?;
    let cut = origin.cut;
    Some(ShardOrigin { shard: origin.shard, fork_epoch: cut.fork_epoch, index: cut.index, term: cut.term, hlc: cut.hlc })
}

/// How far it is; told anew when the percentage moves.
fn progress(seen: &Observation, parent: &ParentReference, reports: &[(&String, &Report)], nodes: (usize, usize)) -> RestoreProgress {
    let number = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
    let restores: Vec<&RestoreReport> = reports.iter().filter_map(|(_, report)| report.restore.as_ref()).collect();
    let done: u64 = restores.iter().map(|restore| restore.done_bytes).sum();
    let total: u64 = restores.iter().map(|restore| restore.total_bytes).sum();
    let percent =
        if nodes.0 == nodes.1 { 100 } else { (u128::from(done) * 100).checked_div(u128::from(total)).unwrap_or(0).min(99) as i32 };
    let left = |restore: &&RestoreReport| {
        let millis = u128::from(restore.total_bytes.saturating_sub(restore.done_bytes)) * u128::from(restore.millis);
        i64::try_from(millis.checked_div(u128::from(restore.done_bytes))?).ok()
    };
    let expected = restores.iter().filter_map(left).max().and_then(|millis| seen.now.checked_add(SignedDuration::from_millis(millis)).ok());
    let now = RestoreProgress {
        parent: parent.incarnation.to_string(),
        nodes_done: format!("{}/{}", nodes.0, nodes.1),
        bytes_done: number(done),
        bytes_total: number(total),
        percent,
        expected_end: expected.map(Time),
    };
    let old = seen.cluster.status.as_ref().and_then(|status| status.restore.clone());
    let is_same = |old: &RestoreProgress| {
        (&old.parent, &old.nodes_done, old.percent, old.bytes_total) == (&now.parent, &now.nodes_done, percent, now.bytes_total)
    };
    old.filter(is_same).unwrap_or(now)
}
