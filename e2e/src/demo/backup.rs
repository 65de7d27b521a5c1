//! A KVBackup: a moment that the bucket keeps.

use super::{Wish, declare::example, stage::Done};
use crate::{failure::Failure, harness::kubernetes::cluster::Cluster};
use std::time::Duration;
use strata_crds::{JobPhase, KVBackup};

/// How long it may take until it is complete.
const BACKUP_DEADLINE: Duration = Duration::from_secs(180);

/// The name in `crds/examples/backup.yaml`.
const NAME: &str = "orders-before-release";

/// Takes it, and waits until it is complete.
pub async fn take(cluster: &Cluster, wish: &Wish) -> Done<()> {
    if !wish.has_archive {
        return Ok(((), "left out: the cluster has no archive".to_owned()));
    }
    cluster.kube.apply(&example("backup.yaml")?).await?;
    let look = |backup: &KVBackup| {
        let status = backup.status.clone().unwrap_or_default();
        match status.phase {
            JobPhase::Complete => Ok(Ok(status)),
            JobPhase::Failed => Ok(Err(Failure::broken(format!("the backup failed: {:?}", status.problem)))),
            phase => Err(format!("{phase:?}, {} shards, {:?}", status.shards.unwrap_or_default(), status.problem)),
        }
    };
    let status = cluster.kube.until(NAME, BACKUP_DEADLINE, "the backup is complete", look).await??;
    let time = status.time.map(|time| time.0.to_string()).unwrap_or_default();
    Ok(((), format!("{} shards, {} MiB, holds {time}", status.shards.unwrap_or_default(), status.bytes_total >> 20)))
}
