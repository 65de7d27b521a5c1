//! Everything is lost but the bucket.

use super::{stage::Done, writer::now_millis};
use crate::{
    failure::Failure,
    harness::kubernetes::{cluster::Cluster, lab::Lab},
};
use std::time::Duration;
use strata_crds::KVClusterStatus;

/// What the KVCluster promised before it was lost.
#[derive(Clone, Debug)]
pub struct Known {
    /// Every write that was acknowledged before this moment is in the bucket: milliseconds since the Unix epoch.
    pub latest_millis: i64,
    /// Bytes of log that only the nodes held then.
    pub bytes_at_risk: i64,
    /// Of when they are: milliseconds since the Unix epoch.
    pub read_millis: i64,
}

/// How old figures are when they are written into a status: what nodes told the operator in its last pass, and the declared error of clocks.
const TOLD_MILLIS: i64 = 1_000;

/// How long the operator may take until it writes the status anew.
const WRITTEN_DEADLINE: Duration = Duration::from_secs(15);

/// Reads the promise.
pub async fn recovery(cluster: &Cluster) -> Done<Known> {
    // The status is written anew about once a second: one that was read at any moment says nothing of that moment.
    let before = cluster.status().await?.recovery.and_then(|recovery| recovery.latest);
    let is_new = |status: &KVClusterStatus| match status.recovery.as_ref().and_then(|recovery| recovery.latest.clone()) {
        Some(latest) if Some(&latest) != before.as_ref() => Ok(()),
        latest => Err(format!("recovery.latest is {latest:?}")),
    };
    let status = cluster.until(WRITTEN_DEADLINE, "says recovery.latest anew", is_new).await?;
    let recovery = status.recovery.ok_or_else(|| Failure::broken("the KVCluster has no status.recovery"))?;
    let latest = recovery.latest.ok_or_else(|| Failure::broken("the KVCluster has no status.recovery.latest"))?;
    Failure::unless(recovery.gaps.is_empty(), || format!("the bucket lacks stretches of the log: {:?}", recovery.gaps))?;
    let known =
        Known { latest_millis: latest.0.as_millisecond(), bytes_at_risk: recovery.bytes_at_risk, read_millis: now_millis() - TOLD_MILLIS };
    let age = (now_millis() - known.latest_millis) as f64 / 1_000.0;
    let words = format!("recovery.latest is {}, {age:.1} s ago; {} bytes are at risk", latest.0, known.bytes_at_risk);
    Ok((known, words))
}

/// Kills all storage processes at once in mid-write, and deletes the KVCluster and all volumes with their data.
pub async fn destroy(lab: &Lab, cluster: &Cluster) -> Done<()> {
    let pods = cluster.pod_names().await?;
    lab.kill(&pods.iter().map(String::as_str).collect::<Vec<_>>()).await?;
    lab.wipe_volumes().await?;
    cluster.delete().await?;
    cluster.delete_claims().await?;
    lab.wipe_volumes().await?;
    Ok(((), format!("{} pods, their KVCluster, their volumes and all that was on them", pods.len())))
}
