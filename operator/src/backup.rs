//! KVBackup: a checkpoint of every shard that holds all writes from before the backup began, and the log up to the last of them.
//!
//! ```text
//! started ─► each leader is ordered a checkpoint, until one covers the start ─► the bucket has the log up to the last of them ─► Complete
//! ```
//!
//! - Which checkpoints belong to it is written down as they come, and stays: later ones do not replace them.
//! - What holds it up is said with its class, and passes: nothing but another life of the cluster makes it fail.
//!
//! Not done here, and why: nothing is written to the bucket. The status of the object is the record; retention comes with schedules.

use crate::{
    Context, act,
    decide::Act,
    error::Error,
    observation::Observation,
    observe, origin,
    status::{self, Change},
    view::{self, Life},
    within_deadline,
};
use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
use kube::{Api, ResourceExt, runtime::controller::Action};
use std::{sync::Arc, time::Duration};
use strata_base::{Epoch, ShardId};
use strata_crds::{BackupCheckpoint, ErrorClass, JobPhase, KVBackup, KVBackupStatus, time_of_millis};
use strata_engine::tier::documents::{ClusterDocument, Document};
use strata_node_api::{ObjectProblem, Order, OrderKind, ShardReport, ShardRole};

/// While one is under way.
const SOON: Duration = Duration::from_secs(2);

/// One pass over one KVBackup.
pub async fn reconcile(object: Arc<KVBackup>, context: Arc<Context>) -> Result<Action, Error> {
    within_deadline(&*object, &context, pass(&object.name_any(), &context)).await
}

async fn pass(name: &str, context: &Context) -> Result<Action, Error> {
    let api: Api<KVBackup> = Api::namespaced(context.client.clone(), &context.settings.namespace);
    let Some(backup) = api.get_opt(name).await?.filter(|backup| backup.metadata.deletion_timestamp.is_none()) else {
        context.metrics.note("KVBackup", name, None);
        return Ok(Action::await_change());
    };
    if backup.status.as_ref().is_some_and(|status| status.phase.is_terminal()) {
        return Ok(Action::await_change());
    }
    let seen = observe::observe(context, &backup.spec.cluster_ref.name).await?;
    let decision = decide(Timestamp::now(), &backup, seen.as_ref().map(|seen| &seen.observation));
    for act in &decision.orders {
        if let (Some(seen), Act::Order { pod, order, reason }) = (&seen, act) {
            let given = act::give(seen, pod, order, reason).await;
            given.unwrap_or_else(|error| tracing::warn!(%error, reason, "an order was not obeyed"));
        }
    }
    act::replace_status(context, &backup, &KVBackup { status: Some(decision.status), ..backup.clone() }).await?;
    Ok(Action::requeue(SOON))
}

/// What to order, and what to say.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// Checkpoints to make.
    pub orders: Vec<Act>,
    /// How far it is.
    pub status: KVBackupStatus,
}

/// What holds a backup up.
enum Held {
    /// It goes on by itself.
    Waits(ErrorClass, String),
    /// It is given up.
    Fails(ErrorClass, String),
    /// Something is under way.
    Works(String),
}

/// What to do about a backup. `seen` is its cluster.
pub fn decide(now: Timestamp, backup: &KVBackup, seen: Option<&Observation>) -> Decision {
    let mut status = backup.status.clone().unwrap_or_default();
    status.observed_generation = backup.metadata.generation.unwrap_or_default();
    let mut orders = Vec::new();
    let held = match seen {
        None => Err(Held::Waits(
            ErrorClass::ReferenceMissing,
            format!("the KVCluster {} does not exist: create it, or delete this backup", backup.spec.cluster_ref.name),
        )),
        Some(seen) => go_on(now, seen, &mut status, &mut orders),
    };
    let old = backup.status.clone().unwrap_or_default();
    let (phase, reason, message) = match held {
        Ok(moment) => {
            status.time = Some(time_of_millis(moment));
            status.ended_at = Some(Time(now));
            (JobPhase::Complete, "Complete".to_owned(), format!("every write from before {} is in it", time_of_millis(moment).0))
        }
        Err(Held::Works(message)) => (JobPhase::Running, "Running".to_owned(), message),
        Err(Held::Waits(class, message)) => {
            status.problem = Some(status::problem(now, old.problem.as_ref(), class, message.clone(), true));
            (JobPhase::Waiting, class.name(), message)
        }
        Err(Held::Fails(class, message)) => {
            status.problem = Some(status::problem(now, old.problem.as_ref(), class, message.clone(), false));
            status.ended_at = Some(Time(now));
            (JobPhase::Failed, class.name(), message)
        }
    };
    if matches!(phase, JobPhase::Running | JobPhase::Complete) {
        status.problem = None;
    }
    status.phase = phase;
    let change = Change { now, generation: backup.metadata.generation, reason, message };
    status.conditions = [("Complete", JobPhase::Complete), ("Failed", JobPhase::Failed)]
        .map(|(kind, wanted)| status::condition(&old.conditions, &change, kind, phase == wanted))
        .into();
    Decision { orders, status }
}

/// The moment that is kept, once everything is there.
fn go_on(now: Timestamp, seen: &Observation, status: &mut KVBackupStatus, orders: &mut Vec<Act>) -> Result<u64, Held> {
    let Some(archive) = &seen.cluster.spec.archive else {
        let message = "the cluster has no spec.archive, and none can be added: there is nowhere to keep a backup";
        return Err(Held::Fails(ErrorClass::ReferenceMissing, message.to_owned()));
    };
    let of_cluster = seen.cluster.status.clone().unwrap_or_default();
    let document = of_cluster.plan.and_then(|plan| plan.document).and_then(|text| ClusterDocument::decode(text.as_bytes()).ok());
    let Some(document) = document.filter(|_| of_cluster.epoch_holder.as_ref() == Some(&seen.identity)) else {
        return Err(Held::Works("the cluster has not begun".to_owned()));
    };
    let incarnation = document.incarnation.to_string();
    if status.incarnation.as_ref().is_some_and(|begun| *begun != incarnation) {
        let message = format!("the cluster began another life, {incarnation}, before every shard had a checkpoint: make another KVBackup");
        return Err(Held::Fails(ErrorClass::NothingToRestore, message));
    }
    status.incarnation = Some(incarnation);
    status.object_store = Some(archive.object_store_ref.name.clone());
    status.path = Some(origin::path(&seen.cluster));
    let Some(started) = status.started_at.clone() else {
        // The moment is persisted before the first order, so that every pass orders the same.
        status.started_at = Some(Time(now));
        return Err(Held::Works("it has begun".to_owned()));
    };
    let started = u64::try_from(started.0.as_millisecond()).unwrap_or_default();
    let life = Life { cluster: document.cluster.clone(), incarnation: document.incarnation };
    let epoch = Epoch(u64::try_from(of_cluster.epoch).unwrap_or_default());
    let shards: Vec<ShardId> = document.shards.iter().map(|shard| shard.shard).collect();
    let trouble = checkpoints(seen, &life, epoch, &shards, started, status, orders);
    let count = status.checkpoints.len();
    status.shards = Some(format!("{count}/{}", shards.len()));
    status.bytes_total = status.checkpoints.iter().map(|kept| kept.bytes).sum();
    if count < shards.len() {
        return Err(trouble.map_or_else(|| Held::Works(format!("{count} of {} shards have a checkpoint", shards.len())), waits));
    }
    let last_write = status.checkpoints.iter().map(|kept| kept.last_write_millis).max().unwrap_or_default();
    let moment = started.max(u64::try_from(last_write).unwrap_or_default());
    let latest = of_cluster.recovery.and_then(|recovery| recovery.latest);
    if latest.is_some_and(|latest| latest.0 >= time_of_millis(moment).0) {
        return Ok(moment);
    }
    let failing = view::ours(seen, &life).find_map(|(_, report)| report.archive.as_ref()?.problem.clone());
    Err(failing.map_or_else(|| Held::Works("the log up to the last checkpoint is on its way to the bucket".to_owned()), waits))
}

fn waits(problem: ObjectProblem) -> Held {
    Held::Waits(ErrorClass::named(&problem.class).unwrap_or(ErrorClass::Internal), problem.message)
}

/// Notes the checkpoints that cover the start, and orders those that are missing. What keeps one of them from going on, if anything does.
fn checkpoints(
    seen: &Observation,
    life: &Life,
    epoch: Epoch,
    shards: &[ShardId],
    started: u64,
    status: &mut KVBackupStatus,
    orders: &mut Vec<Act>,
) -> Option<ObjectProblem> {
    let mut trouble = None;
    for shard in shards {
        if status.checkpoints.iter().any(|kept| kept.shard == shard.to_string()) {
            continue;
        }
        let replicas: Vec<_> = view::ours(seen, life)
            .flat_map(|(pod, report)| report.shards.iter().filter(|held| held.shard == *shard).map(move |held| (pod, report, held)))
            .collect();
        if let Some(kept) = replicas.iter().find_map(|(_, _, held)| covering(held, started)) {
            status.checkpoints.push(kept);
            continue;
        }
        let leader = replicas.iter().filter(|(_, _, held)| held.role == ShardRole::Leader).max_by_key(|(_, _, held)| held.term);
        let Some((pod, report, held)) = leader else { continue };
        let own = held.checkpointing.as_ref().and_then(|under_way| under_way.problem.clone());
        trouble = trouble.or(own).or_else(|| report.archive.as_ref()?.problem.clone());
        let kind = OrderKind::Checkpoint { shard: *shard, not_before_millis: started };
        let order = Order { epoch, cluster: life.cluster.clone(), incarnation: life.incarnation, store: report.store, order: kind };
        orders.push(Act::Order {
            pod: (*pod).clone(),
            order: Box::new(order),
            reason: format!("checkpoint shard {shard}: a backup wants it"),
        });
    }
    status.checkpoints.sort_by(|one, other| one.shard.cmp(&other.shard));
    trouble
}

fn covering(held: &ShardReport, started: u64) -> Option<BackupCheckpoint> {
    let checkpoint = held.checkpoint.as_ref().filter(|checkpoint| checkpoint.covers_millis >= started)?;
    let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    Some(BackupCheckpoint {
        shard: held.shard.to_string(),
        number: number(checkpoint.number),
        bytes: number(checkpoint.bytes),
        last_write_millis: number(checkpoint.at.hlc.millis()),
    })
}
