//! The same manifest again: the cluster comes back from its bucket.

use super::stage::{Done, tell};
use crate::harness::kubernetes::cluster::Cluster;
use std::time::{Duration, Instant};
use strata_crds::{ClusterPhase, KVCluster, RestoreProgress};

/// How long a restore may take until every shard serves.
const RESTORE_DEADLINE: Duration = Duration::from_secs(300);

/// Applies it and waits until every shard serves; gives how long that took, in seconds.
pub async fn again(cluster: &Cluster, manifest: &str) -> Done<f64> {
    let start = Instant::now();
    cluster.kube.apply(manifest).await?;
    let mut last = RestoreProgress::default();
    let look = |declared: &KVCluster| {
        let status = declared.status.clone().unwrap_or_default();
        if let Some(progress) = status.restore {
            if (progress.percent, &progress.nodes_done) != (last.percent, &last.nodes_done) {
                tell(&format!("      {}", words(&progress)));
            }
            last = progress;
        }
        let is_ready = status.conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True");
        let problem = status.problems.first().map(|problem| format!(", {:?}: {}", problem.class, problem.message)).unwrap_or_default();
        if is_ready && status.phase == ClusterPhase::Running {
            Ok(())
        } else {
            Err(format!("{:?}, {}{problem}", status.phase, words(&last)))
        }
    };
    cluster.kube.until(&cluster.name, RESTORE_DEADLINE, "the cluster is restored", look).await?;
    let seconds = start.elapsed().as_secs_f64();
    Ok((seconds, format!("from {}, {} MiB fetched by all replicas together", last.parent, last.bytes_total >> 20)))
}

fn words(progress: &RestoreProgress) -> String {
    let end = progress.expected_end.as_ref().map_or_else(|| "unknown".to_owned(), |end| end.0.to_string());
    let RestoreProgress { percent, bytes_done, bytes_total, nodes_done, .. } = progress;
    format!("{percent}%, {bytes_done} of {bytes_total} bytes, {nodes_done} nodes done, expected end {end}")
}
