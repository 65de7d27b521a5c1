//! What is said about a cluster.

use crate::{
    names::{self, LABEL_CLUSTER, Names},
    observation::Observation,
    view::{self, Life},
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use strata_crds::{ClusterPhase, Condition, ErrorClass, KVClusterStatus, MemberState, MemberStatus, Problem, RolloutStatus, ShardsStatus};
use strata_node_api::{NodeState, ProblemClass, Report, ShardRole};
use strata_planner::{
    Policy, View,
    rollout::{PodView, Rollout},
};

/// A status with what stays from pass to pass, and what nodes and pods say of themselves.
pub(super) fn begin(seen: &Observation) -> KVClusterStatus {
    let old = seen.cluster.status.clone().unwrap_or_default();
    let names = Names::of(&seen.cluster);
    KVClusterStatus {
        observed_generation: seen.cluster.metadata.generation.unwrap_or_default(),
        phase: old.phase,
        members: members(seen, &old),
        nodes: i32::try_from(seen.pods.len()).unwrap_or(i32::MAX),
        nodes_ready: Some(format!("{}/{}", seen.reports.len(), seen.cluster.spec.nodes)),
        selector: Some(format!("{LABEL_CLUSTER}={}", names.cluster)),
        shards: None,
        restore: None,
        update: None,
        problems: Vec::new(),
        waiting: Vec::new(),
        ..old
    }
}

fn members(seen: &Observation, old: &KVClusterStatus) -> Vec<MemberStatus> {
    let stores = seen.stores();
    let life = old.cluster_id.clone().zip(old.incarnation.as_ref().and_then(|text| text.parse().ok()));
    let life = life.map(|(cluster, incarnation)| Life { cluster, incarnation });
    let silence_max = view::policy(&seen.cluster).silence_max_millis;
    let member = |(pod, zone): (String, String)| {
        let report = seen.reports.get(&pod);
        let store = stores.get(&pod).copied();
        // Nodes tell of everybody whom they ever heard, and how long ago.
        let is_recent = |heard: &strata_node_api::Heard| heard.millis_ago <= silence_max;
        let is_heard = seen.reports.values().flat_map(|report| &report.heard).any(|heard| Some(heard.store) == store && is_recent(heard));
        MemberStatus {
            zone,
            store: store.map(|store| store.to_string()),
            state: report.map_or(if is_heard { MemberState::Unreported } else { MemberState::Down }, |report| state(report, life.as_ref())),
            leaders: count(report, |role| matches!(role, ShardRole::Leader | ShardRole::LeaderElect)),
            replicas: count(report, |_| true),
            version: report.map(|report| report.version.clone()),
            disk_used_percent: report.and_then(disk_used_percent),
            pod,
        }
    };
    names::pods(&seen.cluster).into_iter().map(member).collect()
}

fn state(report: &Report, life: Option<&Life>) -> MemberState {
    match (&report.state, life) {
        (NodeState::Empty, _) => MemberState::Empty,
        (NodeState::Member { cluster, incarnation }, Some(life)) if *cluster == life.cluster && *incarnation == life.incarnation => {
            MemberState::Up
        }
        (NodeState::Member { .. }, _) => MemberState::Foreign,
    }
}

fn count(report: Option<&Report>, is_counted: impl Fn(ShardRole) -> bool) -> i32 {
    let shards = report.map_or(0, |report| report.shards.iter().filter(|shard| is_counted(shard.role)).count());
    i32::try_from(shards).unwrap_or(i32::MAX)
}

fn disk_used_percent(report: &Report) -> Option<i32> {
    let used = report.disk.total_bytes.checked_sub(report.disk.free_bytes)?;
    i32::try_from(used.checked_mul(100)?.checked_div(report.disk.total_bytes)?).ok()
}

/// Adds a problem; one that was there before keeps its beginning. Attempts count in jobs; what is merely seen again is no attempt, and a
/// status that changed at every pass would call for the next pass at once.
pub(super) fn problem(seen: &Observation, status: &mut KVClusterStatus, class: ErrorClass, message: String, retryable: bool) {
    let before = seen.cluster.status.iter().flat_map(|status| &status.problems).find(|problem| problem.class == class);
    status.problems.push(Problem {
        class,
        message,
        retryable,
        since: before.map_or(Time(seen.now), |before| before.since.clone()),
        attempts: before.map_or(1, |before| before.attempts),
    });
}

/// How the shards are, and with them the phase.
pub(super) fn of_shards(view: &View, policy: &Policy, seen: &Observation, is_open: bool, status: &mut KVClusterStatus) {
    let number = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
    // A restored cluster has as many shards as its parent had, whatever is declared.
    let planned = status.plan.as_ref().map(|plan| plan.members.len()).filter(|planned| *planned > 0);
    let total = planned.unwrap_or(usize::try_from(seen.cluster.spec.shards).unwrap_or_default()).max(view.shards.len());
    let led = view.shards.iter().filter(|shard| shard.leading().is_some()).count();
    let is_whole = |shard: &&strata_planner::ShardView| {
        shard.voters().filter(|member| member.is_active).count() >= usize::from(policy.replication_factor)
    };
    let whole = view.shards.iter().filter(is_whole).count();
    let skew = status.members.iter().map(|member| (member.leaders - member.replicas / i32::from(policy.replication_factor)).abs());
    status.shards = Some(ShardsStatus {
        total: number(total),
        led: number(led),
        under_replicated: number(total - whole),
        leader_skew: skew.max().unwrap_or_default(),
    });
    if led == total && (is_open || status.phase == ClusterPhase::Running) {
        status.phase = ClusterPhase::Running;
        status.restore = None;
    } else if led == total && status.waiting.is_empty() && status.problems.is_empty() {
        status.waiting.push("every shard has a leader; the archive's path is being claimed".to_owned());
    } else if led < total && status.phase == ClusterPhase::Running {
        let message = format!("{} of {total} shards have no leader that reports: look at the members that are down", total - led);
        problem(seen, status, ErrorClass::QuorumLost, message, true);
    }
    if led == total && whole < total {
        let message = format!("{} of {total} shards have fewer replicas than declared", total - whole);
        problem(seen, status, ErrorClass::UnderReplicated, message, true);
    }
    for report in seen.reports.values() {
        // What ails the archive was said with the class that the store's error has.
        let is_said = |found: &&strata_node_api::Problem| {
            found.class == ProblemClass::ArchiveFailing && report.archive.as_ref().is_some_and(|archive| archive.problem.is_some())
        };
        for found in report.problems.iter().filter(|found| !is_said(found)) {
            let class = ErrorClass::named(&format!("{:?}", found.class)).unwrap_or(ErrorClass::Internal);
            problem(seen, status, class, found.message.clone(), true);
        }
    }
}

/// How far a rolling restart is; `None` when every pod is as declared. It waits while the planner has anything to mend or move.
pub(super) fn of_rollout(pods: &[PodView], next: &Rollout, is_still: bool) -> Option<RolloutStatus> {
    let number = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
    let (current, mut blocked_by) = match next {
        Rollout::Done => return None,
        Rollout::Evict { pod, .. } | Rollout::Restart { pod } => (pod.clone(), Vec::new()),
        Rollout::Blocked { pod, unmet } => (pod.clone(), unmet.iter().map(ToString::to_string).collect()),
    };
    if !is_still {
        blocked_by.push("leaders or replicas are being moved".to_owned());
    }
    let done = pods.iter().filter(|pod| !pod.is_outdated).count();
    Some(RolloutStatus { done: number(done), total: number(pods.len()), current: Some(current), blocked_by })
}

/// The conditions, from everything else in the status.
pub(super) fn conclude(seen: &Observation, status: &mut KVClusterStatus) {
    let worst = status.problems.first();
    let is_running = status.phase == ClusterPhase::Running;
    let has_quorum = !status.problems.iter().any(|problem| problem.class == ErrorClass::QuorumLost);
    let is_available = is_running && has_quorum;
    let (reason, message) = match worst {
        Some(problem) => (problem.class.name(), problem.message.clone()),
        None if is_available => ("Serving".to_owned(), "every shard has a leader and all its replicas".to_owned()),
        None => (format!("{:?}", status.phase), status.waiting.first().cloned().unwrap_or_else(|| "it is on its way".to_owned())),
    };
    let is_moving = !is_running || status.update.is_some() || !status.waiting.is_empty();
    let all = [
        ("Ready", is_available),
        ("Available", is_available),
        ("Progressing", is_moving && status.phase != ClusterPhase::Refused),
        ("Degraded", worst.is_some()),
    ];
    status.conditions = all.map(|(kind, holds)| condition(seen, kind, holds, &reason, &message)).into();
}

fn condition(seen: &Observation, kind: &str, holds: bool, reason: &str, message: &str) -> Condition {
    let value = if holds { "True" } else { "False" };
    let before = seen.cluster.status.iter().flat_map(|status| &status.conditions).find(|condition| condition.type_ == kind);
    let since = before.filter(|before| before.status == value).map(|before| before.last_transition_time.clone());
    Condition {
        type_: kind.to_owned(),
        status: value.to_owned(),
        reason: reason.to_owned(),
        message: message.to_owned(),
        last_transition_time: since.unwrap_or(Time(seen.now)),
        observed_generation: seen.cluster.metadata.generation,
    }
}
