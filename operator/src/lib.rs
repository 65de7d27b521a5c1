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
//! - A pod's template depends on what is declared alone, so upgrading the operator restarts nothing.
//! - A bucket is read ([`bucket`]) and never written below a cluster's path; one that was not read is never taken for an empty one.
//!
//! One worked example, the whole of it: [`reconcile`].
//!
//! Not done here yet, and why: volumes do not grow and certificates do not rotate; both are about clusters that live for long.

pub mod act;
pub mod backup;
pub mod bucket;
pub mod certificates;
pub mod decide;
pub mod error;
pub mod lease;
pub mod limits;
pub mod metrics;
pub mod names;
pub mod node_client;
pub mod object_store;
pub mod observation;
pub mod observe;
pub mod origin;
pub mod probes;
pub mod report;
pub mod resources;
pub mod restore;
pub mod settings;
pub mod status;
pub mod view;

use error::Error;
use kube::{Resource, ResourceExt, runtime::controller::Action};
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
    /// The UID of the namespace, once it was read.
    pub namespace_uid: tokio::sync::OnceCell<String>,
    /// What statuses say, as numbers.
    pub metrics: Arc<metrics::Metrics>,
    /// What buckets are being asked.
    pub inquiries: bucket::Inquiries,
    /// Failures in a row, by kind and name, for the back-off.
    pub failures: Mutex<BTreeMap<String, u32>>,
}

/// One pass over one cluster.
pub async fn reconcile(cluster: Arc<KVCluster>, context: Arc<Context>) -> Result<Action, Error> {
    let pass = async {
        let Some(seen) = observe::observe(&context, &cluster.name_any()).await? else {
            context.metrics.note_cluster(&cluster.name_any(), None);
            return Ok(Action::await_change());
        };
        let decision = decide::decide(&seen.observation);
        context.metrics.note_cluster(&cluster.name_any(), Some(&decision.status));
        let acted = act::act(&context, &seen, &decision).await;
        report::report(&context, &seen, &decision).await?;
        acted?;
        Ok(Action::requeue(decision.look_again))
    };
    within_deadline(&*cluster, &context, pass).await
}

/// A pass that ends in time, is counted, and forgets earlier failures when it is well.
pub async fn within_deadline<K>(object: &K, context: &Context, pass: impl Future<Output = Result<Action, Error>>) -> Result<Action, Error>
where
    K: Resource<DynamicType = ()>,
{
    let deadline = Error::Deadline { seconds: limits::PASS_DEADLINE.as_secs() };
    let ended = tokio::time::timeout(limits::PASS_DEADLINE, pass).await.unwrap_or(Err(deadline));
    context.metrics.count_pass(&K::kind(&()), ended.is_ok());
    if ended.is_ok() {
        context.failures().remove(&format!("{}/{}", K::kind(&()), object.name_any()));
    }
    ended
}

/// After a pass that failed: later, and later still if it fails again.
pub fn back_off<K: Resource<DynamicType = ()>>(object: Arc<K>, error: &Error, context: Arc<Context>) -> Action {
    let name = format!("{}/{}", K::kind(&()), object.name_any());
    let attempts = {
        let mut failures = context.failures();
        let attempts = failures.entry(name.clone()).or_default();
        *attempts = attempts.saturating_add(1);
        *attempts
    };
    tracing::warn!(object = name, attempts, %error, "the pass failed");
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
