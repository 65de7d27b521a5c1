//! The same manifest again: the cluster comes back from its bucket.

use super::{load::bar, stage::Done};
use crate::harness::kubernetes::cluster::Cluster;
use std::time::{Duration, Instant};
use strata_crds::{ClusterPhase, KVCluster, RestoreProgress};

/// How long a restore may take until every shard serves.
const RESTORE_DEADLINE: Duration = Duration::from_secs(300);

/// Applies it and waits until every shard serves; gives how long that took, in seconds.
pub async fn again(cluster: &Cluster, manifest: &str) -> Done<f64> {
    let start = Instant::now();
    cluster.kube.apply(manifest).await?;
    let bar = bar(0);
    let mut last = RestoreProgress::default();
    let look = |declared: &KVCluster| {
        let status = declared.status.clone().unwrap_or_default();
        if let Some(progress) = status.restore {
            bar.set_length(progress.bytes_total.max(0) as u64);
            bar.set_position(progress.bytes_done.max(0) as u64);
            last = progress;
        }
        let is_ready = status.conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True");
        let problem = status.problems.first().map(|problem| format!(", {:?}: {}", problem.class, problem.message)).unwrap_or_default();
        if is_ready && status.phase == ClusterPhase::Running {
            Ok(())
        } else {
            let end = last.expected_end.as_ref().map(|end| end.0.to_string()).unwrap_or_else(|| "unknown".to_owned());
            Err(format!("{:?}, {}% of {} bytes, expected end {end}{problem}", status.phase, last.percent, last.bytes_total))
        }
    };
    cluster.kube.until(&cluster.name, RESTORE_DEADLINE, "the cluster is restored", look).await?;
    bar.finish_and_clear();
    let seconds = start.elapsed().as_secs_f64();
    Ok((seconds, format!("from {}, {} MiB fetched by all replicas together", last.parent, last.bytes_total >> 20)))
}
