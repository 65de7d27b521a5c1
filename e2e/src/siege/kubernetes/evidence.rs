//! What a siege of a Kubernetes leaves: nothing, or the bucket, histories and logs of one that failed.

use crate::{
    failure::Failure,
    harness::{
        kubernetes::{install, kube::Kube},
        process::test_folder,
    },
};
use std::{
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};
use tempfile::TempDir;

/// A folder that goes with the siege, unless it is to be kept.
pub struct Evidence {
    folder: TempDir,
    is_kept: AtomicBool,
}

impl Evidence {
    /// An empty folder.
    pub fn new() -> Result<Evidence, Failure> {
        let folder = tempfile::Builder::new().prefix("siege-kubernetes-").tempdir_in(test_folder()?);
        Ok(Evidence { folder: folder.map_err(Failure::of("make a folder"))?, is_kept: AtomicBool::new(false) })
    }

    /// Where it lies.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The folder of the S3 server, with an empty bucket in it.
    pub fn bucket(&self) -> Result<PathBuf, Failure> {
        let data = self.folder().join("s3");
        std::fs::create_dir_all(data.join("strata")).map_err(Failure::of("make a bucket"))?;
        Ok(data)
    }

    /// Keeps the folder, puts there what Kubernetes, the operator and these pods say, and tells where it is.
    pub async fn keep(&self, kube: &Kube, pods: &[String]) -> String {
        self.is_kept.store(true, Ordering::Relaxed);
        let mut all = pods.to_vec();
        // Who cannot be asked has nothing to add.
        let operators = install::operators(kube).await.unwrap_or_default();
        all.extend(operators.into_iter().filter_map(|pod| pod.metadata.name));
        for pod in &all {
            for (more, suffix) in [("--previous=false", "log"), ("--previous", "previous.log")] {
                if let Ok(log) = kube.kubectl(&["logs", pod, more]).await {
                    self.write(&format!("{pod}.{suffix}"), &log);
                }
            }
        }
        self.write("status.txt", &kube.autopsy().await);
        format!("siege: the bucket, histories, logs and what Kubernetes says are kept in {}", self.folder().display())
    }

    fn write(&self, name: &str, text: &str) {
        // The failure is told in any case; a disk that takes no more adds nothing to it.
        drop(std::fs::write(self.folder().join(name), text));
    }
}

impl Drop for Evidence {
    fn drop(&mut self) {
        self.folder.disable_cleanup(self.is_kept.load(Ordering::Relaxed));
    }
}
