//! The operator: observe, decide, act, report.
//!
//! ```text
//!   KVCluster, pods, Secrets, … ─┐                ┌─► act ─► Kubernetes (nobody else writes), orders to nodes
//!                                ├─► observe ─► decide
//!   reports of nodes ────────────┘    plain data  └─► report ─► log, events
//! ```
//!
//! Rules that it keeps:
//!
//! - [`decide`] is pure, and so are the builders in [`resources`]. Same observation, same decision, same objects.
//! - Nothing is remembered outside Kubernetes and the nodes: every pass begins from what it reads live.
//! - What orders follow from (incarnation, epoch, plan) is persisted under a resourceVersion precondition first, and the pass ends there.
//! - No plan is acted on that `planner::check` objects to.
//! - One operator leads ([`lease`]); one that is not sure any more ends its process. The data plane needs none of them.
//! - A pod's template depends on its KVCluster alone, so upgrading the operator restarts nothing.
//!
//! One worked example, the whole of it: [`reconcile`].
//!
//! Not done here yet, and why: looking into the bucket waits for the object tier to be readable from here; until then a cluster with an
//! archive is not begun, since a bucket that was not read is never taken for an empty one. Backups and restores wait for their orders.

pub mod act;
pub mod certificates;
pub mod decide;
pub mod error;
pub mod lease;
pub mod limits;
pub mod names;
pub mod node_client;
pub mod observation;
pub mod observe;
pub mod probes;
pub mod report;
pub mod resources;
pub mod settings;
pub mod view;

use error::Error;
use kube::{ResourceExt, runtime::controller::Action};
use std::{collections::BTreeMap, sync::Arc, sync::Mutex, sync::PoisonError, time::Duration};
use strata_crds::KVCluster;

/// What every pass is given.
pub struct Context {
    /// The way to Kubernetes.
    pub client: kube::Client,
    /// What the operator was told at its start.
    pub settings: settings::Settings,
    /// This process: the pod's name and the lease's transitions, so that a restarted process is another one.
    pub identity: String,
    /// How often the leadership among operators has changed hands.
    pub lease_transitions: u64,
    /// What clusters get that do not say otherwise.
    pub defaults: resources::Defaults,
    /// Failures in a row, by cluster, for the back-off.
    pub failures: Mutex<BTreeMap<String, u32>>,
}

/// One pass over one cluster.
pub async fn reconcile(cluster: Arc<KVCluster>, context: Arc<Context>) -> Result<Action, Error> {
    let pass = async {
        let Some(seen) = observe::observe(&context, &cluster.name_any()).await? else { return Ok(Action::await_change()) };
        let decision = decide::decide(&seen.observation);
        let acted = act::act(&context, &seen, &decision).await;
        report::report(&context, &seen, &decision).await?;
        acted?;
        context.failures().remove(&cluster.name_any());
        Ok(Action::requeue(decision.look_again))
    };
    let deadline = Error::Deadline { seconds: limits::PASS_DEADLINE.as_secs() };
    tokio::time::timeout(limits::PASS_DEADLINE, pass).await.unwrap_or(Err(deadline))
}

/// After a pass that failed: later, and later still if it fails again.
pub fn back_off(cluster: Arc<KVCluster>, error: &Error, context: Arc<Context>) -> Action {
    let name = cluster.name_any();
    let attempts = {
        let mut failures = context.failures();
        let attempts = failures.entry(name.clone()).or_default();
        *attempts = attempts.saturating_add(1);
        *attempts
    };
    tracing::warn!(cluster = name, attempts, %error, "the pass failed");
    Action::requeue(delay(&name, attempts))
}

/// Doubles with every failure, up to a bound; which quarter of it is added depends on the name, so that clusters do not come all at once.
fn delay(name: &str, attempts: u32) -> Duration {
    let doubled = limits::RETRY_FIRST.saturating_mul(1 << attempts.saturating_sub(1).min(8)).min(limits::RETRY_LAST);
    let quarter = names::fingerprint(&format!("{name}/{attempts}")).bytes().next_back().map_or(0, |digit| u32::from(digit) % 4);
    doubled + doubled / 16 * quarter
}

impl Context {
    fn failures(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, u32>> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
