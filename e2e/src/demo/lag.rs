//! How far the bucket is behind, as anybody may read it off the KVCluster, from the load to the loss.

use crate::harness::{kubernetes::cluster::Cluster, wait};
use k8s_openapi::jiff::Timestamp;
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::task::JoinSet;

/// How often the status is read.
const BEAT: Duration = Duration::from_millis(500);

/// Reads `status.recovery` all the time. Dropping it ends that.
pub struct LagWatch {
    seen_millis: Arc<Mutex<Vec<i64>>>,
    _task: JoinSet<()>,
}

impl LagWatch {
    /// Begins.
    pub fn start(cluster: &Cluster) -> LagWatch {
        let seen_millis = Arc::new(Mutex::new(Vec::new()));
        let (seen, cluster, mut task) = (seen_millis.clone(), cluster.clone(), JoinSet::new());
        task.spawn(async move {
            loop {
                wait::pause(BEAT).await;
                let Ok(status) = cluster.status().await else { continue };
                let Some(latest) = status.recovery.and_then(|recovery| recovery.latest) else { continue };
                let lag = Timestamp::now().as_millisecond() - latest.0.as_millisecond();
                seen.lock().unwrap_or_else(PoisonError::into_inner).push(lag);
            }
        });
        LagWatch { seen_millis, _task: task }
    }

    /// Ends, and gives the median and the worst of what was seen, in seconds.
    pub fn finish(self) -> (f64, f64) {
        let mut seen = std::mem::take(&mut *self.seen_millis.lock().unwrap_or_else(PoisonError::into_inner));
        seen.sort_unstable();
        let seconds = |at: usize| seen.get(at).map_or(0.0, |millis| *millis as f64 / 1_000.0);
        (seconds(seen.len() / 2), seconds(seen.len().saturating_sub(1)))
    }
}
