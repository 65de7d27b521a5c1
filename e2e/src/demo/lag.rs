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
    worst_millis: Arc<Mutex<i64>>,
    _task: JoinSet<()>,
}

impl LagWatch {
    /// Begins.
    pub fn start(cluster: &Cluster) -> LagWatch {
        let worst_millis = Arc::new(Mutex::new(0));
        let (worst, cluster, mut task) = (worst_millis.clone(), cluster.clone(), JoinSet::new());
        task.spawn(async move {
            loop {
                wait::pause(BEAT).await;
                let Ok(status) = cluster.status().await else { continue };
                let Some(latest) = status.recovery.and_then(|recovery| recovery.latest) else { continue };
                let lag = Timestamp::now().as_millisecond() - latest.0.as_millisecond();
                let mut worst = worst.lock().unwrap_or_else(PoisonError::into_inner);
                *worst = lag.max(*worst);
            }
        });
        LagWatch { worst_millis, _task: task }
    }

    /// Ends, and gives the worst lag that was seen, in seconds.
    pub fn finish(self) -> f64 {
        *self.worst_millis.lock().unwrap_or_else(PoisonError::into_inner) as f64 / 1_000.0
    }
}
