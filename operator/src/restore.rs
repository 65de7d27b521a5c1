//! KVRestore: what a bucket brings back, planned; and how far the cluster is that is filled from it.
//!
//! The KVCluster whose `spec.bootstrap.restoreRef` names it does the work ([`crate::decide`]); here is said what it takes, before any data
//! moves, and what became of it. A target beyond the end is decided here as there, from the same plan.

use crate::{
    Context, act,
    bucket::{Inquiry, PlannedRestore},
    decide::gaps,
    error::Error,
    object_store,
    observation::{RestoreFact, StoreFact},
    observe,
    origin::{self, Source, Trouble},
    status::{self, Change},
    within_deadline,
};
use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
use kube::{Api, ResourceExt, api::ListParams, runtime::controller::Action};
use std::{sync::Arc, time::Duration};
use strata_crds::{ClusterPhase, ErrorClass, JobPhase, KVCluster, KVRestore, KVRestoreStatus, RestoreMode, RestorePlan, time_of_millis};
use strata_engine::tier::{lineage::LineageError, restore::PlanError};

/// While one is under way.
const SOON: Duration = Duration::from_secs(2);

/// One pass over one KVRestore.
pub async fn reconcile(object: Arc<KVRestore>, context: Arc<Context>) -> Result<Action, Error> {
    within_deadline(&*object, &context, pass(&object.name_any(), &context)).await
}

async fn pass(name: &str, context: &Context) -> Result<Action, Error> {
    let fact = observe::restore_fact(context, name).await?;
    let Some(restore) = fact.found.clone().filter(|restore| restore.metadata.deletion_timestamp.is_none()) else {
        context.metrics.note("KVRestore", name, None);
        return Ok(Action::await_change());
    };
    if restore.status.as_ref().is_some_and(|status| status.phase.is_terminal()) {
        return Ok(Action::await_change());
    }
    let now = Timestamp::now();
    let mut answer = None;
    let mut store = StoreFact::default();
    if let (Ok(source), true) = (origin::source(&fact), is_unplanned(&restore)) {
        let (fact, access) = observe::store(context, &source.question.store).await?;
        let asker = restore.uid().unwrap_or_default();
        answer = access.map(|access| context.inquiries.ask(now, &asker, &source.question, &access));
        store = fact;
    }
    let clusters: Api<KVCluster> = Api::namespaced(context.client.clone(), &context.settings.namespace);
    let refers = |cluster: &KVCluster| cluster.spec.bootstrap.restore_ref.as_ref().is_some_and(|reference| reference.name == name);
    let cluster = clusters.list(&ListParams::default()).await?.items.into_iter().find(refers);
    let next = decide(now, &fact, &store, answer.as_ref(), cluster.as_ref());
    act::replace_status(context, &restore, &KVRestore { status: Some(next), ..restore.clone() }).await?;
    Ok(Action::requeue(SOON))
}

fn is_unplanned(restore: &KVRestore) -> bool {
    restore.status.as_ref().is_none_or(|status| status.plan.is_none())
}

/// What is said of a restore: a phase, and a class where something is wrong.
type Said = (JobPhase, Option<ErrorClass>, String);

/// What is said of a restore.
pub fn decide(
    now: Timestamp,
    fact: &RestoreFact,
    store: &StoreFact,
    answer: Option<&Inquiry>,
    cluster: Option<&KVCluster>,
) -> KVRestoreStatus {
    let Some(restore) = &fact.found else { return KVRestoreStatus::default() };
    let old = restore.status.clone().unwrap_or_default();
    let mut status = KVRestoreStatus { observed_generation: restore.metadata.generation.unwrap_or_default(), ..old.clone() };
    status.started_at.get_or_insert(Time(now));
    let planned = match (&old.plan, origin::source(fact)) {
        (Some(_), _) => Ok(()),
        (None, Err((class, message))) => Err((JobPhase::Waiting, Some(class), message)),
        (None, Ok(source)) => read(&source, store, answer).map(|plan| status.plan = Some(plan)),
    };
    let (phase, class, message) = match (planned, restore.spec.mode) {
        (Err(said), _) => said,
        (Ok(()), RestoreMode::Plan) => (JobPhase::Complete, None, "status.plan says what a restore takes; nothing was restored".to_owned()),
        (Ok(()), RestoreMode::NewCluster) => follow(fact, cluster, &mut status),
    };
    status.phase = phase;
    status.problem = class.map(|class| status::problem(now, old.problem.as_ref(), class, message.clone(), phase != JobPhase::Failed));
    status.ended_at = phase.is_terminal().then(|| old.ended_at.unwrap_or(Time(now)));
    let reason = class.map_or_else(|| format!("{phase:?}"), ErrorClass::name);
    let change = Change { now, generation: restore.metadata.generation, reason, message };
    status.conditions = [("Complete", JobPhase::Complete), ("Failed", JobPhase::Failed)]
        .map(|(kind, wanted)| status::condition(&old.conditions, &change, kind, phase == wanted))
        .into();
    status
}

/// The plan, or why there is none yet, or none at all.
fn read(source: &Source, store: &StoreFact, answer: Option<&Inquiry>) -> Result<RestorePlan, Said> {
    if let Some((class, message)) = &store.problem {
        return Err((JobPhase::Waiting, Some(*class), message.clone()));
    }
    let finding = match answer {
        Some(Inquiry::Found(finding)) => finding,
        Some(Inquiry::Reading(Some(error))) => {
            return Err((JobPhase::Waiting, Some(object_store::class_of(error)), error.message.clone()));
        }
        _ => return Err((JobPhase::Running, None, "the bucket is being read".to_owned())),
    };
    match &finding.plan {
        Some(Ok(plan)) => match origin::beyond_end(source, plan) {
            Some(message) => Err((JobPhase::Failed, Some(ErrorClass::TargetBeyondEnd), message)),
            None => Ok(shown(plan)),
        },
        // What is damaged or missing may be repaired, and a cluster may yet come to be: the bucket is asked again.
        Some(Err(error)) => {
            let is_final = matches!(error, PlanError::TooEarly { .. } | PlanError::Lineage(LineageError::NoSuchIncarnation { .. }));
            let phase = if is_final { JobPhase::Failed } else { JobPhase::Waiting };
            Err((phase, Some(origin::class_of(error)), error.to_string()))
        }
        None => Err((JobPhase::Running, None, "the bucket is being read".to_owned())),
    }
}

fn shown(plan: &PlannedRestore) -> RestorePlan {
    let number = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
    RestorePlan {
        parent: plan.parent.incarnation.to_string(),
        reachable: Some(time_of_millis(plan.last_write.millis())),
        shards: i32::try_from(plan.shards.len()).unwrap_or(i32::MAX),
        checkpoint_bytes: number(plan.file_bytes),
        log_bytes: number(plan.log_bytes),
        gaps: gaps(&plan.shards),
    }
}

/// What became of the cluster that is filled.
fn follow(fact: &RestoreFact, cluster: Option<&KVCluster>, status: &mut KVRestoreStatus) -> Said {
    let Some(cluster) = cluster else {
        let message = format!("no KVCluster names it: create one with spec.bootstrap.restoreRef.name {}", fact.name);
        return (JobPhase::Pending, None, message);
    };
    status.cluster = cluster.metadata.name.clone();
    let of_cluster = cluster.status.clone().unwrap_or_default();
    let obeyed = of_cluster.plan.is_some_and(|plan| plan.restore.as_ref() == Some(&fact.name));
    if let Some(restore) = of_cluster.restore.as_ref().filter(|_| obeyed) {
        status.bytes_done = restore.bytes_done;
        status.percent = restore.percent;
        status.expected_end.clone_from(&restore.expected_end);
    }
    let worst = of_cluster.problems.first();
    match (obeyed, of_cluster.phase, worst) {
        (true, ClusterPhase::Running, _) => {
            status.percent = 100;
            status.expected_end = None;
            (JobPhase::Complete, None, format!("the KVCluster {} serves what was restored", cluster.name_any()))
        }
        (_, _, Some(problem)) => (JobPhase::Waiting, Some(problem.class), problem.message.clone()),
        (true, ..) => (JobPhase::Running, None, format!("{}% is fetched", status.percent)),
        (false, ..) => (JobPhase::Running, None, "the cluster has not begun".to_owned()),
    }
}

/// The trouble of a KVRestore that was given up; its cluster refuses to begin from it.
pub fn given_up(restore: &KVRestore) -> Option<Trouble> {
    let status = restore.status.as_ref().filter(|status| status.phase == JobPhase::Failed)?;
    let problem = status.problem.as_ref();
    let class = problem.map_or(ErrorClass::Internal, |problem| problem.class);
    let why = problem.map(|problem| problem.message.clone()).unwrap_or_default();
    Some((class, format!("the KVRestore {} was given up: {why}; name another one in spec.bootstrap.restoreRef", restore.name_any())))
}
