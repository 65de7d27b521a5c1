//! Everything is lost but the bucket.

use super::{stage::Done, writer::now_millis};
use crate::{
    failure::Failure,
    harness::kubernetes::{cluster::Cluster, lab::Lab},
};

/// What the KVCluster promised before it was lost.
#[derive(Clone, Debug)]
pub struct Known {
    /// Every write that was acknowledged before this moment is in the bucket: milliseconds since the Unix epoch.
    pub latest_millis: i64,
    /// Bytes of log that only the nodes held then.
    pub bytes_at_risk: i64,
    /// When this was read: milliseconds since the Unix epoch.
    pub read_millis: i64,
}

/// Reads the promise.
pub async fn recovery(cluster: &Cluster) -> Done<Known> {
    let recovery = cluster.status().await?.recovery.ok_or_else(|| Failure::broken("KVCluster orders has no status.recovery"))?;
    let latest = recovery.latest.ok_or_else(|| Failure::broken("KVCluster orders has no status.recovery.latest"))?;
    Failure::unless(recovery.gaps.is_empty(), || format!("the bucket lacks stretches of the log: {:?}", recovery.gaps))?;
    let known = Known { latest_millis: latest.0.as_millisecond(), bytes_at_risk: recovery.bytes_at_risk, read_millis: now_millis() };
    let age = (known.read_millis - known.latest_millis) as f64 / 1_000.0;
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
