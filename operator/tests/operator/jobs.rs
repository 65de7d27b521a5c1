//! Object stores, backups and restores: what is ordered, and what is said.

use crate::{bucket::put_cluster, decide::seen_after};
use k8s_openapi::jiff::Timestamp;
use std::sync::Arc;
use strata_base::Hlc;
use strata_crds::{ErrorClass, JobPhase, KVBackup, KVBackupStatus, KVObjectStore, KVRestore, RecoveryStatus, time_of_millis};
use strata_engine::objects::{self, MemoryObjects, ObjectError};
use strata_node_api::{ArchiveReport, CheckpointReport, ClaimState, ObjectProblem, OrderKind, ShardOrigin, ShardRole};
use strata_operator::{
    backup,
    bucket::Inquiry,
    decide::Act,
    object_store,
    observation::{Observation, RestoreFact, StoreFact},
    origin, restore,
};

fn yaml<T: serde::de::DeserializeOwned>(text: &str) -> T {
    serde_yaml_ng::from_str(text).expect("the fixture is what the type says")
}

fn at(millis: u64) -> Timestamp {
    time_of_millis(millis).0
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime").block_on(future)
}

fn store() -> KVObjectStore {
    yaml(
        "{apiVersion: strata.dev/v1alpha1, kind: KVObjectStore, metadata: {name: s3, generation: 2},
          spec: {bucket: strata, credentialsSecretRef: {name: s3-credentials}}}",
    )
}

#[test]
fn a_probe_leaves_nothing_behind() {
    let bucket = MemoryObjects::default();
    block_on(object_store::probe(&bucket, "strata-probe/uid")).expect("memory answers");
    assert_eq!(bucket.keys(), Vec::<String>::new());
}

#[test]
fn a_store_that_fails_says_its_class_since_when_and_heals() {
    let denied = || Err((ErrorClass::AccessDenied, "the key is unknown".to_owned()));
    let mut object = store();
    object.status = Some(object_store::decide(at(1_000), &object, denied(), Some("1".to_owned())));
    object.status = Some(object_store::decide(at(11_000), &object, denied(), Some("1".to_owned())));
    let status = object.status.clone().expect("it was just set");
    let problem = status.problem.expect("it fails");
    assert_eq!((problem.since.0, problem.attempts), (at(1_000), 2));
    assert_eq!((status.conditions[0].status.as_str(), status.conditions[0].reason.as_str()), ("False", "AccessDenied"));
    let healed = object_store::decide(at(21_000), &object, Ok(()), Some("2".to_owned()));
    assert_eq!((healed.problem, healed.conditions[0].status.as_str()), (None, "True"));
}

#[test]
fn a_store_is_probed_when_its_time_is_over_or_its_credentials_are_others() {
    let mut object = store();
    assert_eq!(object_store::not_due(at(0), &object, Some("1")), None);
    object.status = Some(object_store::decide(at(1_000), &object, Ok(()), Some("1".to_owned())));
    assert!(object_store::not_due(at(2_000), &object, Some("1")).is_some());
    assert_eq!(object_store::not_due(at(2_000), &object, Some("2")), None, "rotated credentials are probed at once");
    assert_eq!(object_store::not_due(at(40_000), &object, Some("1")), None);
}

/// A cluster that archives and serves.
fn serving() -> Observation {
    seen_after(
        "archive
         pod orders-a-0 holds a1
         pod orders-b-0 holds b1
         pod orders-c-0 holds c1
         > pass
         > pass
         > pass
         > pass",
    )
}

fn backup_of(status: Option<KVBackupStatus>) -> KVBackup {
    let mut backup: KVBackup = yaml(
        "{apiVersion: strata.dev/v1alpha1, kind: KVBackup, metadata: {name: nightly, generation: 1}, spec: {clusterRef: {name: orders}}}",
    );
    backup.status = status;
    backup
}

fn checkpointed(seen: &mut Observation, number: u64, covers_millis: u64) {
    for held in seen.reports.values_mut().flat_map(|report| &mut report.shards) {
        let at = ShardOrigin { shard: held.shard, fork_epoch: 0, index: 9, term: 6, hlc: Hlc::from_millis(covers_millis) };
        held.checkpoint = Some(CheckpointReport { number, at, covers_millis, bytes: 100 });
    }
}

#[test]
fn a_backup_begins_before_it_orders_and_is_complete_when_the_log_reaches_its_last_checkpoint() {
    let mut seen = serving();
    let begun = backup::decide(at(5_000), &backup_of(None), Some(&seen));
    assert_eq!((begun.orders.len(), begun.status.started_at.clone()), (0, Some(time_of_millis(5_000))));
    checkpointed(&mut seen, 3, 4_999);
    let ordered = backup::decide(at(6_000), &backup_of(Some(begun.status)), Some(&seen));
    assert_eq!(ordered.orders.len(), 2, "older checkpoints do not count: the leader of each shard is ordered a new one");
    for act in &ordered.orders {
        let Act::Order { pod, order, .. } = act else { panic!("only orders are given") };
        let OrderKind::Checkpoint { shard, not_before_millis: 5_000 } = order.order else { panic!("a checkpoint of the start is ordered") };
        let leads = seen.reports[pod].shards.iter().any(|held| held.shard == shard && held.role == ShardRole::Leader);
        assert!(leads, "{pod} leads {shard}");
    }
    checkpointed(&mut seen, 4, 7_000);
    let waits = backup::decide(at(7_000), &backup_of(Some(ordered.status)), Some(&seen)).status;
    assert_eq!((waits.phase, waits.shards.as_deref(), waits.bytes_total), (JobPhase::Running, Some("2/2"), 200));
    checkpointed(&mut seen, 9, 9_000);
    let status = seen.cluster.status.as_mut().expect("the cluster has a status");
    status.recovery = Some(RecoveryStatus { latest: Some(time_of_millis(7_000)), ..RecoveryStatus::default() });
    let done = backup::decide(at(9_000), &backup_of(Some(waits)), Some(&seen)).status;
    assert_eq!((done.phase, done.time), (JobPhase::Complete, Some(time_of_millis(7_000))));
    assert!(done.checkpoints.iter().all(|kept| kept.number == 4), "later checkpoints do not replace those of the backup");
}

#[test]
fn a_backup_waits_with_the_class_of_the_store_and_goes_on() {
    let mut seen = serving();
    let begun = backup::decide(at(5_000), &backup_of(None), Some(&seen)).status;
    let problem = ObjectProblem { class: "AccessDenied".to_owned(), message: "the key is unknown".to_owned(), millis: 1, attempts: 4 };
    let failing = ArchiveReport {
        is_published: true,
        is_registered: true,
        claim: ClaimState::Taken,
        refuses_writes: false,
        objects: 0,
        problem: Some(problem),
    };
    seen.reports.values_mut().for_each(|report| report.archive = Some(failing.clone()));
    let waits = backup::decide(at(6_000), &backup_of(Some(begun)), Some(&seen)).status;
    assert_eq!((waits.phase, waits.problem.as_ref().map(|problem| problem.class)), (JobPhase::Waiting, Some(ErrorClass::AccessDenied)));
    seen.reports.values_mut().for_each(|report| report.archive = Some(ArchiveReport { problem: None, ..failing.clone() }));
    let heals = backup::decide(at(7_000), &backup_of(Some(waits)), Some(&seen)).status;
    assert_eq!((heals.phase, heals.problem), (JobPhase::Running, None));
}

#[test]
fn a_backup_of_another_life_is_given_up() {
    let seen = serving();
    let other = KVBackupStatus { incarnation: Some("0000000000000077".to_owned()), ..KVBackupStatus::default() };
    assert_eq!(backup::decide(at(1), &backup_of(Some(other)), Some(&seen)).status.phase, JobPhase::Failed);
}

/// A KVRestore, and what the bucket answers to it.
fn asked(mode: &str, target: &str, more: &str) -> (RestoreFact, Inquiry) {
    let bucket = Arc::new(MemoryObjects::default());
    put_cluster(&bucket, "shop/carts", 7, "other-uid", 9_000);
    let found: KVRestore = yaml(&format!(
        "{{apiVersion: strata.dev/v1alpha1, kind: KVRestore, metadata: {{name: back, generation: 1}},
          spec: {{mode: {mode}, source: {{objectStoreRef: {{name: s3}}, path: shop/carts}}, target: {target}{more}}}}}"
    ));
    let fact = RestoreFact { name: "back".to_owned(), found: Some(found), backup: None };
    let question = origin::source(&fact).expect("it names a source").question;
    let answer = Inquiry::Found(Arc::new(crate::bucket::answer(&bucket, &question)));
    (fact, answer)
}

#[test]
fn a_plan_says_what_it_takes_and_moves_nothing() {
    let (fact, answer) = asked("Plan", "{type: Latest}", "");
    let status = restore::decide(at(1), &fact, &StoreFact::default(), Some(&answer), None);
    let plan = status.plan.expect("the bucket was read");
    assert_eq!((status.phase, plan.shards, plan.reachable), (JobPhase::Complete, 2, Some(time_of_millis(9_000))));
    assert!(plan.log_bytes > 0 && plan.checkpoint_bytes == 0);
}

#[test]
fn a_target_beyond_the_end_is_decided_before_data_moves() {
    let target = "{type: Time, time: '1970-01-01T00:00:12Z'}";
    let (fact, answer) = asked("NewCluster", target, "");
    let failed = restore::decide(at(1), &fact, &StoreFact::default(), Some(&answer), None);
    assert_eq!((failed.phase, failed.problem.map(|problem| problem.class)), (JobPhase::Failed, Some(ErrorClass::TargetBeyondEnd)));
    let (fact, answer) = asked("NewCluster", target, ", onTargetBeyondEnd: RestoreToLatest");
    let waits = restore::decide(at(1), &fact, &StoreFact::default(), Some(&answer), None);
    assert_eq!((waits.phase, waits.plan.and_then(|plan| plan.reachable)), (JobPhase::Pending, Some(time_of_millis(9_000))));
}

#[test]
fn a_restore_waits_for_a_bucket_that_fails_and_says_the_class() {
    let (fact, _) = asked("Plan", "{type: Latest}", "");
    let error = ObjectError::new(objects::ErrorClass::Dns, "no such host");
    let status = restore::decide(at(1), &fact, &StoreFact::default(), Some(&Inquiry::Reading(Some(error))), None);
    assert_eq!((status.phase, status.problem.map(|problem| problem.class)), (JobPhase::Waiting, Some(ErrorClass::Dns)));
}

#[test]
fn a_backup_that_is_not_complete_is_no_target() {
    let found: KVRestore = yaml(
        "{apiVersion: strata.dev/v1alpha1, kind: KVRestore, metadata: {name: back},
          spec: {mode: Plan, source: {objectStoreRef: {name: s3}, path: shop/carts}, target: {type: Backup, backup: nightly}}}",
    );
    let fact = RestoreFact { name: "back".to_owned(), found: Some(found), backup: Some(backup_of(None)) };
    let (class, message) = origin::source(&fact).expect_err("it is refused");
    assert_eq!(class, ErrorClass::ReferenceMissing);
    assert!(message.contains("nightly"), "{message}");
}
