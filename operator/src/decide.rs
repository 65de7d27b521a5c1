//! From what is known to what is done: pure, and all of the operator's judgement. Same observation, same decision.
//!
//! ```text
//! objects differ from what is declared            apply them (every pass)
//! a pod was placed without its volume             delete it, so that it is placed anew (every pass)
//! no incarnation yet, or all its disks are gone   adopt, restore, initialise, wait or refuse; what is decided is persisted, and nothing else done
//! the epoch is another operator's                 a higher one is persisted, and nothing else is done
//! otherwise                                       tell nodes of each other, and of the archive; restored shards wait until every node has
//!                                                 all it needs; the planner's steps become orders;
//!                                                 with no step left, one pod that is out of date is evicted or restarted
//! ```
//!
//! What is persisted is written with the resourceVersion that was observed and read back by the next pass before anything follows from it:
//! a crash between any two writes, or a second operator, repeats the same.

mod archive;
mod begin;
mod orders;
mod restore;
mod status;

pub use begin::gaps;

use crate::{
    names::Names,
    observation::Observation,
    resources,
    view::{self, Life},
};
use kube::core::DynamicObject;
use std::time::Duration;
use strata_base::{
    Epoch,
    planted::{Mistake, planted},
};
use strata_crds::{ClusterPhase, ErrorClass, KVClusterStatus};
use strata_node_api::Order;
use strata_planner::{
    View, check, plan,
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
/// While all is well and nothing is archived: reports go stale otherwise, and `status` with them.
const LATER: Duration = Duration::from_secs(5);

/// What to do about a cluster.
pub fn decide(seen: &Observation) -> Decision {
    let acts = objects(seen).into_iter().chain(misplaced(seen)).collect();
    let mut decision = Decision { acts, status: status::begin(seen), look_again: SOON };
    let status = seen.cluster.status.clone().unwrap_or_default();
    let life = status.cluster_id.clone().zip(status.incarnation.as_ref().and_then(|text| text.parse().ok()));
    match life.map(|(cluster, incarnation)| Life { cluster, incarnation }) {
        None => begin::begin(seen, &mut decision),
        Some(_) if begin::is_all_new(seen) => begin::begin(seen, &mut decision),
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
    for object in resources::objects(&seen.cluster, archive::store(seen), &seen.defaults) {
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

/// The pods that Kubernetes would leave without their volumes for ever. None of them runs.
fn misplaced(seen: &Observation) -> impl Iterator<Item = Act> {
    seen.pods.iter().filter(|(_, fact)| fact.lacks_volume).map(|(pod, _)| Act::Restart { pod: pod.clone() })
}

/// Takes an epoch above all that anybody knows.
fn hold_epoch(seen: &Observation, decision: &mut Decision) {
    let raised = u64::from(!planted(Mistake::EpochShared));
    decision.status.epoch = i64::try_from(seen.highest_epoch() + raised).unwrap_or(i64::MAX);
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
    let parts = match archive::parts(seen, life, &plan_of_status) {
        Ok(parts) => parts,
        Err(archive::NotYet::Persist(plan)) => {
            decision.status.plan = Some(*plan);
            return hold_epoch(seen, decision);
        }
        Err(archive::NotYet::Wrong(message)) => {
            return status::problem(seen, &mut decision.status, ErrorClass::Internal, message, false);
        }
    };
    let is_restored = restore::go_on(seen, life, epoch, parts.as_ref(), &planned, decision);
    archive::go_on(seen, life, epoch, parts.as_ref(), decision);
    let policy = view::policy(&seen.cluster);
    let view = View { awaits_restore: !is_restored, ..view::view(seen, life, epoch, planned) };
    decision.acts.extend(orders::directories(seen, life, epoch));
    let plan = plan(&view, &policy);
    let broken = check(&view, &policy, &plan);
    decision.status.waiting.extend(plan.waiting.iter().map(ToString::to_string));
    if let Some(violation) = broken.first() {
        return status::problem(seen, &mut decision.status, ErrorClass::Internal, format!("a plan was not acted on: {violation}"), true);
    }
    decision.acts.extend(orders::of_plan(seen, life, &plan, parts.as_ref().map(|parts| &parts.document)));
    status::of_shards(&view, &policy, seen, archive::is_open(seen, life, parts.as_ref()), &mut decision.status);
    let is_still = plan.steps.is_empty();
    roll_out(seen, life, &view, is_still, decision);
    if is_still {
        let is_well = decision.status.phase == ClusterPhase::Running && decision.status.waiting.is_empty();
        let is_archived = seen.cluster.spec.archive.is_some();
        decision.look_again = if is_well && !is_archived && decision.status.update.is_none() { LATER } else { SOON };
    }
}

/// How far a rollout is, and, with nothing to mend or move, its next pod behind the gate.
fn roll_out(seen: &Observation, life: &Life, view: &View, is_still: bool, decision: &mut Decision) {
    let stores = seen.stores();
    let pod = |(name, fact): (&String, &crate::observation::PodFact)| PodView {
        name: name.clone(),
        store: stores.get(name).copied(),
        is_outdated: fact.is_outdated,
        is_crashed: fact.is_crashed,
    };
    let pods: Vec<PodView> = seen.pods.iter().map(pod).collect();
    let next = rollout::next(view, &pods, &view::policy(&seen.cluster));
    decision.status.update = status::of_rollout(&pods, &next, is_still);
    match next {
        _ if !is_still => {}
        Rollout::Done | Rollout::Blocked { .. } => {}
        Rollout::Evict { pod, store } => {
            let timeout = seen.cluster.spec.update.leader_drain_timeout.millis().unwrap_or(60_000);
            decision.acts.push(orders::evict(life, view.epoch, pod, store, timeout));
        }
        Rollout::Restart { pod } => decision.acts.push(Act::Restart { pod }),
    }
}

/// What to ask a bucket before there can be a decision; none where nothing is missing.
pub fn question(seen: &Observation) -> Option<crate::bucket::Question> {
    let status = seen.cluster.status.clone().unwrap_or_default();
    let incarnation = status.cluster_id.and(status.incarnation).and_then(|text| text.parse().ok());
    match incarnation {
        Some(incarnation) if !begin::is_all_new(seen) => archive::question(seen, incarnation),
        _ => begin::question(seen),
    }
}

/// The names of a cluster, for log lines.
pub fn subject(seen: &Observation) -> String {
    let names = Names::of(&seen.cluster);
    format!("{}/{}", names.namespace, names.cluster)
}
