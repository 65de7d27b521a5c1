//! From what is known to what is done: pure, and all of the operator's judgement. Same observation, same decision.
//!
//! ```text
//! objects differ from what is declared            apply them (every pass)
//! no incarnation yet                              adopt, initialise, wait or refuse; what is decided is persisted and nothing else is done
//! the epoch is another operator's                 a higher one is persisted, and nothing else is done
//! otherwise                                       tell nodes of each other; the planner's steps become orders;
//!                                                 with no step left, one pod that is out of date is evicted or restarted
//! ```
//!
//! What is persisted is written with the resourceVersion that was observed and read back by the next pass before anything follows from it:
//! a crash between any two writes, or a second operator, repeats the same.

mod orders;
mod status;

use crate::{
    names::{Names, fingerprint},
    observation::Observation,
    resources,
    view::{self, Life},
};
use kube::core::DynamicObject;
use std::{collections::BTreeMap, time::Duration};
use strata_base::{Epoch, IncarnationId, TableId};
use strata_crds::{ClusterPhase, ErrorClass, KVClusterStatus};
use strata_node_api::Order;
use strata_planner::{
    View,
    bootstrap::{self, Bootstrap, BootstrapRefusal, BootstrapWait},
    check, place, plan,
    rollout::{self, PodView, Rollout},
};

/// What to do, in this order, and what to say about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// In this order.
    pub acts: Vec<Act>,
    /// What the status shall be, once the acts are done.
    pub status: KVClusterStatus,
    /// When to look again if nothing changes before.
    pub look_again: Duration,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Act {
    /// Make the Secrets that are missing.
    IssueCertificates,
    /// Apply an object.
    Apply(Box<DynamicObject>),
    /// Write the status as it is decided, under the observed resourceVersion, before anything that follows from it.
    Persist,
    /// Give a node an order.
    Order {
        /// The node's pod.
        pod: String,
        /// The order.
        order: Box<Order>,
        /// Why, for the log.
        reason: String,
    },
    /// Delete a pod, so that its StatefulSet makes it anew.
    Restart {
        /// The pod.
        pod: String,
    },
}

/// While something is under way.
const SOON: Duration = Duration::from_secs(1);
/// While all is well: reports go stale otherwise, and `status` with them.
const LATER: Duration = Duration::from_secs(5);

/// What to do about a cluster.
pub fn decide(seen: &Observation) -> Decision {
    let mut decision = Decision { acts: objects(seen), status: status::begin(seen), look_again: SOON };
    let status = seen.cluster.status.clone().unwrap_or_default();
    let life = status.cluster_id.clone().zip(status.incarnation.as_ref().and_then(|text| text.parse().ok()));
    match life.map(|(cluster, incarnation)| Life { cluster, incarnation }) {
        None => begin(seen, &mut decision),
        Some(_) if status.epoch_holder.as_ref() != Some(&seen.identity) => hold_epoch(seen, &mut decision),
        Some(life) => go_on(seen, &life, &mut decision),
    }
    status::conclude(seen, &mut decision.status);
    decision
}

/// What is missing or differs from what is declared.
fn objects(seen: &Observation) -> Vec<Act> {
    let mut acts = Vec::new();
    if !(seen.secrets.authority && seen.secrets.certificates) {
        acts.push(Act::IssueCertificates);
    }
    for object in resources::objects(&seen.cluster, &seen.defaults) {
        let kind = object.types.as_ref().map(|types| types.kind.clone()).unwrap_or_default();
        let name = object.metadata.name.clone().unwrap_or_default();
        let annotations = object.metadata.annotations.as_ref();
        let wanted = annotations.and_then(|annotations| annotations.get(crate::names::ANNOTATION_FINGERPRINT));
        if seen.applied.get(&(kind, name)) != wanted {
            acts.push(Act::Apply(Box::new(object)));
        }
    }
    acts
}

/// No incarnation yet: how the cluster begins.
fn begin(seen: &Observation, decision: &mut Decision) {
    let status = &mut decision.status;
    match bootstrap::decide(&view::bootstrap_view(seen)) {
        Bootstrap::Wait(wait) => {
            let class = match &wait {
                BootstrapWait::Silent { .. } => ErrorClass::NodesSilent,
                BootstrapWait::Bucket { class } => ErrorClass::named(class).unwrap_or(ErrorClass::Internal),
            };
            status.phase = ClusterPhase::Pending;
            // Pods that Kubernetes has not started yet are on their way; those that run and say nothing are a problem.
            match not_started(seen, &wait) {
                Some(pods) => status.waiting.push(format!("pods are started: {pods}")),
                None => status::problem(seen, status, class, wait.to_string(), true),
            }
        }
        Bootstrap::Refuse(refusal) => refuse(seen, status, &refusal),
        Bootstrap::Restore { parent } => {
            status.phase = ClusterPhase::Refused;
            let message = format!("the bucket holds incarnation {parent}, and this version cannot restore; choose another path");
            status::problem(seen, status, ErrorClass::Internal, message, false);
        }
        Bootstrap::Adopt { cluster, incarnation } => {
            persist(seen, decision, cluster, incarnation, None);
        }
        Bootstrap::Initialise => initialise(seen, decision),
    }
}

/// The silent pods with what Kubernetes says of them, where at least one has not been started.
fn not_started(seen: &Observation, wait: &BootstrapWait) -> Option<String> {
    let BootstrapWait::Silent { pods } = wait else { return None };
    let reason = |pod: &String| match seen.pods.get(pod) {
        None => Some(format!("{pod} does not exist yet")),
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

fn initialise(seen: &Observation, decision: &mut Decision) {
    let cluster = seen.cluster.metadata.uid.clone().unwrap_or_default();
    // Of one object's life at one moment: never used before, and decided once, since it is persisted before anything follows from it.
    let seed = fingerprint(&format!("{cluster}/{}/{}", seen.highest_epoch(), seen.now));
    let incarnation = seed.parse().unwrap_or(IncarnationId(1));
    let zones = crate::names::pods(&seen.cluster).into_iter().collect::<BTreeMap<_, _>>();
    let stores = seen.reports.iter().filter_map(|(pod, report)| Some((report.store, zones.get(pod)?.clone()))).collect();
    let shards = seen.cluster.spec.shards.clamp(1, i32::from(strata_base::SLOT_COUNT)) as u16;
    match place(incarnation, TableId(0), shards, &stores, &view::policy(&seen.cluster)) {
        Ok(planned) => persist(seen, decision, cluster, incarnation, Some(view::to_persisted(&planned))),
        Err(error) => status::problem(seen, &mut decision.status, ErrorClass::NodesSilent, error.to_string(), true),
    }
}

fn persist(
    seen: &Observation,
    decision: &mut Decision,
    cluster: String,
    incarnation: IncarnationId,
    plan: Option<strata_crds::PersistedPlan>,
) {
    let status = &mut decision.status;
    status.phase = ClusterPhase::Creating;
    status.cluster_id = Some(cluster);
    status.incarnation = Some(incarnation.to_string());
    status.plan = plan;
    hold_epoch(seen, decision);
}

/// Takes an epoch above all that anybody knows.
fn hold_epoch(seen: &Observation, decision: &mut Decision) {
    decision.status.epoch = i64::try_from(seen.highest_epoch() + 1).unwrap_or(i64::MAX);
    decision.status.epoch_holder = Some(seen.identity.clone());
    decision.acts.push(Act::Persist);
    decision.look_again = Duration::ZERO;
}

/// A cluster that has begun, under an epoch of ours.
fn go_on(seen: &Observation, life: &Life, decision: &mut Decision) {
    let epoch = Epoch(decision.status.epoch.max(0) as u64);
    let plan_of_status = decision.status.plan.clone().unwrap_or_default();
    let Some(planned) = view::from_persisted(&plan_of_status, life.incarnation) else {
        let message = "status.plan is not what the operator wrote: restore it from a backup of this object".to_owned();
        return status::problem(seen, &mut decision.status, ErrorClass::Internal, message, false);
    };
    let policy = view::policy(&seen.cluster);
    let view = view::view(seen, life, epoch, planned);
    decision.acts.extend(orders::directories(seen, life, epoch));
    let plan = plan(&view, &policy);
    let broken = check(&view, &policy, &plan);
    decision.status.waiting = plan.waiting.iter().map(ToString::to_string).collect();
    if let Some(violation) = broken.first() {
        return status::problem(seen, &mut decision.status, ErrorClass::Internal, format!("a plan was not acted on: {violation}"), true);
    }
    decision.acts.extend(orders::of_plan(seen, life, &plan));
    status::of_shards(&view, &policy, seen, &mut decision.status);
    if plan.steps.is_empty() {
        restart(seen, life, &view, decision);
        let is_well = decision.status.phase == ClusterPhase::Running && decision.status.waiting.is_empty();
        decision.look_again = if is_well && decision.status.update.is_none() { LATER } else { SOON };
    }
}

/// With nothing to mend or move: the next pod that is out of date, behind the gate.
fn restart(seen: &Observation, life: &Life, view: &View, decision: &mut Decision) {
    let stores = seen.stores();
    let pod = |(name, fact): (&String, &crate::observation::PodFact)| PodView {
        name: name.clone(),
        store: stores.get(name).copied(),
        is_outdated: fact.is_outdated,
        is_crashed: fact.is_crashed,
    };
    let pods: Vec<PodView> = seen.pods.iter().map(pod).collect();
    let next = rollout::next(view, &pods, &view::policy(&seen.cluster));
    decision.status.update = status::of_rollout(&pods, &next);
    match next {
        Rollout::Done | Rollout::Blocked { .. } => {}
        Rollout::Evict { pod, store } => {
            let timeout = seen.cluster.spec.update.leader_drain_timeout.millis().unwrap_or(60_000);
            decision.acts.push(orders::evict(life, view.epoch, pod, store, timeout));
        }
        Rollout::Restart { pod } => decision.acts.push(Act::Restart { pod }),
    }
}

/// The names of a cluster, for log lines.
pub fn subject(seen: &Observation) -> String {
    let names = Names::of(&seen.cluster);
    format!("{}/{}", names.namespace, names.cluster)
}
