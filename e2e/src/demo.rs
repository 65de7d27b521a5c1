//! `make demo`: a cluster on a real Kubernetes that outlives everything but its bucket.
//!
//! ```text
//! outside the lab   ground::begin      a Kubernetes, and this program again within its network
//! inside            story              the list below; every step says what it does and how long it took
//! ```
//!
//! The last line is for machines: `demo: ok …` with the figures, or `demo: failed step=… reason=…` and a non-zero exit.

mod backup;
pub mod comparison;
mod declare;
mod farewell;
pub mod ground;
mod lag;
mod leader;
pub mod load;
pub mod loss;
mod memory;
mod packages;
pub mod reader;
mod restore;
pub mod stage;
pub mod writer;

use crate::{
    failure::Failure,
    harness::kubernetes::{cluster::Cluster, lab::Lab},
};
use lag::LagWatch;
use memory::MemoryWatch;
use stage::{Stage, Stopped};

/// The cluster of `crds/examples/cluster.yaml`.
const CLUSTER: &str = "orders";

/// What the demo is asked for.
#[derive(Clone, Debug)]
pub struct Wish {
    /// The lab's name.
    pub lab: String,
    /// Whether the cluster has an archive. Without one the story ends where the bucket is needed.
    pub has_archive: bool,
}

/// What the last line says.
#[derive(Clone, Debug, Default)]
struct Figures {
    keys: usize,
    digest: String,
    lost_older_than_lag: usize,
    lost_within_lag: usize,
    lag_max_seconds: f64,
    failover_seconds: f64,
    restore_seconds: f64,
}

/// Plays the story within the lab's network. False if it failed.
pub async fn story(wish: &Wish) -> bool {
    let mut stage = Stage::default();
    let ended = play(&mut stage, wish).await;
    match &ended {
        Ok(figures) => stage::tell(&format!("demo: ok {figures}")),
        Err(stopped) => stage::tell_failure(stopped, &wish.lab),
    }
    ended.is_ok()
}

async fn play(stage: &mut Stage, wish: &Wish) -> Result<Figures, Stopped> {
    let (lab, memory) = (Lab::of(&wish.lab), MemoryWatch::start());
    let mut figures = Figures::default();

    let store = stage.step("s3", "starts an S3 server; its bucket is all that will survive", ground::start_s3(&lab)).await?;
    stage.step("images", "builds the image and puts it onto every node", ground::images(&lab)).await?;
    stage.step("install", "installs the operator with Helm", ground::install()).await?;
    let kube = stage.step("connect", "connects to the API server", ground::connect()).await?;
    let cluster = Cluster::new(&kube, CLUSTER);
    let manifest = stage.step("apply", "applies crds/examples and waits until it is Ready", declare::first(&cluster, &store, wish)).await?;

    let lag = LagWatch::start(&cluster);
    let packages = stage.step("packages", "finds the package index of Debian's main", packages::find()).await?;
    let model = stage.step("load", "loads it through a Redis Cluster client", load::load(&cluster, packages)).await?;
    stage.step("backup", "takes a KVBackup", backup::take(&cluster, wish)).await?;
    let writer = stage.step("write", "goes on writing, with a log of what was acknowledged", writer::start(&cluster)).await?;

    figures.failover_seconds = stage.step("kill-leader", "kills the pod that leads most shards", leader::kill(&lab, &cluster)).await?;
    stage.step("nothing-lost", "reads back all that was acknowledged", writer.check_all(&cluster)).await?;

    let known = stage.step("recovery", "reads what the bucket would bring back now", loss::recovery(&cluster)).await?;
    let (lag_median_seconds, lag_max_seconds) = lag.finish();
    stage::tell(&format!(
        "    status.recovery.latest was behind by {lag_median_seconds:.1} s (median), and by {lag_max_seconds:.1} s at most"
    ));
    figures.lag_max_seconds = lag_max_seconds;

    stage.step("destroy", "kills all storage processes, then deletes cluster and volumes", loss::destroy(&lab, &cluster)).await?;
    let acks = stage.step("stop-writing", "ends the writer", writer.finish()).await?;

    figures.restore_seconds = stage.step("restore", "applies the same manifest again", restore::again(&cluster, &manifest)).await?;
    let found =
        stage.step("compare", "compares all data with what was acknowledged", comparison::run(&cluster, &model, &acks, &known)).await?;
    figures.keys = found.keys;
    figures.digest = found.digest;
    figures.lost_older_than_lag = found.lost_older;
    figures.lost_within_lag = found.lost_within;
    stage::tell(&format!("    this machine used {} MiB of memory at most, other programs' included", memory.most_bytes() >> 20));
    farewell::say(&wish.lab);
    // On a busy machine the story is told to its end all the same, but a bar is a bar.
    let pause =
        format!("the longest pause of any shard was {:.2} s, and the bar is {} s", figures.failover_seconds, leader::GAP_MAX_SECONDS);
    if figures.failover_seconds >= leader::GAP_MAX_SECONDS {
        return Err(Stopped::at("kill-leader", Failure::broken(format!("{pause}; otherwise: {figures}"))));
    }
    Ok(figures)
}

impl std::fmt::Display for Figures {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Figures { keys, digest, lost_older_than_lag, lost_within_lag, lag_max_seconds, failover_seconds, restore_seconds } = self;
        write!(out, "keys={keys} digest={digest} lost_older_than_lag={lost_older_than_lag} lost_within_lag={lost_within_lag} ")?;
        write!(out, "lag_max_seconds={lag_max_seconds:.1} failover_seconds={failover_seconds:.2} restore_seconds={restore_seconds:.1}")
    }
}
