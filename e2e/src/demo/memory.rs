//! How much memory the story takes: everything on the machine, since nodes, Kubernetes, S3 server, clients and builds all belong to it.

use crate::harness::wait;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::task::JoinSet;

/// How often it is looked at.
const BEAT: Duration = Duration::from_millis(250);

/// Looks at the machine's memory all the time. Dropping it ends that.
pub struct MemoryWatch {
    most: Arc<AtomicU64>,
    _task: JoinSet<()>,
}

impl MemoryWatch {
    /// Begins.
    pub fn start() -> MemoryWatch {
        let most = Arc::new(AtomicU64::new(0));
        let (seen, mut task) = (most.clone(), JoinSet::new());
        task.spawn(async move {
            loop {
                seen.fetch_max(used_bytes().unwrap_or(0), Ordering::Relaxed);
                wait::pause(BEAT).await;
            }
        });
        MemoryWatch { most, _task: task }
    }

    /// The most that was used so far, in bytes.
    pub fn most_bytes(&self) -> u64 {
        self.most.load(Ordering::Relaxed)
    }
}

/// What all processes of the machine use, and the kernel for them, in bytes: all memory less what the kernel could give at once.
fn used_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let kib = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.trim().trim_end_matches(" kB").parse::<u64>().ok());
    Some((kib("MemTotal:")? - kib("MemAvailable:")?) << 10)
}

#[cfg(test)]
mod tests {
    #[test]
    fn some_memory_is_used_and_not_more_than_there_is() {
        let used = super::used_bytes().expect("Linux tells it");
        assert!(used > 1 << 20 && used < 1 << 50, "{used} bytes");
    }
}
