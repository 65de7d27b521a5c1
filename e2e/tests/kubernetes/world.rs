//! What the stories share: the lab, the API server, and a cluster that serves.

use std::{path::PathBuf, sync::Arc, time::Instant};
use strata_e2e::{
    failure::Failure,
    harness::kubernetes::{
        cluster::Cluster,
        install,
        kube::Kube,
        lab::Lab,
        manifest::{manifest, object_store},
    },
    say::say,
    workload::{
        Load, Size,
        client::{Door, RedisClient},
    },
};

/// A world with an operator in it.
pub struct World {
    /// The ground, and its faults.
    pub lab: Lab,
    /// The API server.
    pub kube: Kube,
    story: String,
    seed: u64,
    folder: PathBuf,
}

/// The cluster that most stories share.
const SHARED: &str = "shared";

impl World {
    /// Loads the image and installs the operator.
    pub async fn found(lab: Lab) -> Result<World, Failure> {
        install::load_image(&lab).await?;
        install::install().await?;
        let folder = tempfile::tempdir().map_err(Failure::of("make a folder"))?.keep();
        Ok(World { lab, kube: Kube::connect().await?, story: String::new(), seed: 0, folder })
    }

    /// Begins a story with a seed of its own, which is printed.
    pub fn begin(&mut self, story: &str) {
        let fresh = std::time::SystemTime::UNIX_EPOCH.elapsed().map_or(1, |since| since.as_nanos() as u64);
        self.seed = std::env::var("STRATA_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(fresh);
        story.clone_into(&mut self.story);
        say(format!("{story}: seed {}", self.seed));
    }

    /// The shared cluster, whole. Whoever needs it first declares it.
    pub async fn cluster(&self) -> Result<Cluster, Failure> {
        let cluster = Cluster::new(&self.kube, SHARED);
        self.kube.apply(&manifest(SHARED, "")).await?;
        cluster.until_whole().await?;
        Ok(cluster)
    }

    /// Declares a cluster and waits until it is Ready; says how long that took.
    pub async fn declare(&self, name: &str, more: &str) -> Result<Cluster, Failure> {
        let cluster = Cluster::new(&self.kube, name);
        let start = Instant::now();
        self.kube.apply(&manifest(name, more)).await?;
        cluster.until_ready().await?;
        say(format!("applied_to_ready: {:.1}s (bar 20 s)", start.elapsed().as_secs_f64()));
        Ok(cluster)
    }

    /// The object store `s3`, over a bucket of this run. Who needs it first starts it.
    pub async fn object_store(&self) -> Result<(), Failure> {
        let data = self.folder.join("s3");
        if !data.exists() {
            std::fs::create_dir_all(data.join("strata")).map_err(Failure::of("make a bucket"))?;
            let endpoint = self.lab.start_s3(&data).await?;
            self.kube.apply(&object_store(&endpoint)).await?;
        }
        Ok(())
    }

    /// A load on all nodes of a cluster.
    pub async fn load(&self, cluster: &Cluster) -> Result<Load, Failure> {
        Ok(Load::start(cluster.endpoints().await?, self.seed, Size::default()))
    }

    /// Ends a load, and holds the cluster, once it is whole, to every promise it made meanwhile.
    pub async fn judge(&self, cluster: &Cluster, load: Load) -> Result<(), Failure> {
        let counts = load.counts();
        let ledger = load.finish().await?;
        cluster.until_whole().await?;
        let path = self.folder.join(format!("{}.jsonl", self.story));
        ledger.judge(&cluster.endpoints().await?, &path).await?;
        say(format!("{}: {counts}; {} acknowledged keys read back", self.story, ledger.acks.count()));
        // The next load begins on an empty cluster: its keys are called the same.
        let mut client = RedisClient::new(Door::Plain, Arc::new(cluster.endpoints().await?), 0);
        client.ask(&redis::cmd("FLUSHALL")).await.map(drop).map_err(Failure::Broken)
    }

    /// Removes a cluster and its data.
    pub async fn remove(&self, cluster: &Cluster) -> Result<(), Failure> {
        cluster.delete().await?;
        cluster.delete_claims().await?;
        self.lab.recycle().await
    }

    /// After a failure: nothing of any cluster stays. What goes wrong here shows in the next story.
    pub async fn start_over(&self) {
        for machine in ["node-1", "node-2", "node-3"] {
            drop(self.lab.thaw(machine).await);
            drop(self.lab.heal(machine).await);
        }
        drop(self.kube.delete(&["kvcluster", "--all"]).await);
        drop(self.kube.delete(&["persistentvolumeclaims", "--all"]).await);
        drop(self.lab.recycle().await);
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // Histories are of use to whoever asks for them by a failure's text, which repeats what matters.
        drop(std::fs::remove_dir_all(&self.folder));
    }
}
