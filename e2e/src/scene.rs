//! What the scenarios over processes share: a cluster, a load, and the judgement at the end.

use crate::{
    failure::Failure,
    harness::{
        node_process::ArchiveSettings,
        object_store::ObjectStore,
        ports::Ports,
        process::{Options, ProcessCluster, test_folder},
        s3_proxy::S3Proxy,
    },
    say::say,
    workload::{
        Ledger, Load, Size,
        client::{Door, Endpoints, RedisClient},
    },
};
use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

/// How long a scenario may take.
const SCENE_DEADLINE: Duration = Duration::from_secs(240);

/// What a scenario plays with.
pub struct Scene {
    /// The cluster.
    pub cluster: ProcessCluster,
    /// What every choice of this run follows from.
    pub seed: u64,
    name: &'static str,
    judged: u32,
    kept: Vec<Ledger>,
}

/// What a scenario with a bucket plays with, beside the cluster.
pub struct Ground {
    /// What nodes and the hand ask: everything passes through it.
    pub proxy: S3Proxy,
    /// The server behind it.
    pub store: ObjectStore,
    _ports: Ports,
}

impl Ground {
    /// Starts the server and the proxy before it. `seed` only spreads the search for ports.
    pub async fn start(seed: u64) -> Result<Ground, Failure> {
        let mut ports = Ports::reserve(seed)?;
        let store = ObjectStore::start(&test_folder()?, ports.take()).await?;
        let proxy = S3Proxy::start(ports.take(), store.port(), None).await?;
        Ok(Ground { proxy, store, _ports: ports })
    }
}

/// Plays a scenario on a cluster of its own, within a deadline. Prints the seed first, and last again if it fails; `STRATA_SEED` sets it.
/// `STRATA_TRIALS=N` plays it N times, with other seeds.
pub fn play(name: &'static str, options: Options, body: impl AsyncFn(&mut Scene) -> Result<(), Failure>) -> Result<(), Failure> {
    perform(name, async |seed| {
        let mut scene = Scene::start(name, seed, options.clone()).await?;
        let played = in_time(body(&mut scene)).await.and_then(|()| scene.cluster.check_alive());
        played.map_err(|failure| failure.and(&scene.cluster.autopsy()))
    })
}

/// Plays a scenario on a cluster that archives below `scenario/archive`, into a bucket of its own. Where the machine has no S3 server and can
/// build none, it is skipped, and says so.
pub fn play_archived(
    name: &'static str,
    options: Options,
    body: impl AsyncFn(&mut Scene, &mut Ground) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let played = perform(name, async |seed| {
        let mut ground = Ground::start(seed ^ 0x5a5a).await?;
        let (endpoint, credentials) = (ground.proxy.endpoint(), ground.store.credentials());
        let mut options = options.clone();
        let archive = options.settings.archive.take().unwrap_or_else(|| ArchiveSettings::below("scenario/archive"));
        options.settings.archive = Some(ArchiveSettings { endpoint, credentials, ..archive });
        let mut scene = Scene::start(name, seed, options).await?;
        let played = in_time(body(&mut scene, &mut ground)).await.and_then(|()| scene.cluster.check_alive());
        played.map_err(|failure| failure.and(&scene.cluster.autopsy()).and(&ground.store.keep()))
    });
    match played {
        Err(Failure::Lacking(what)) if what.contains("versitygw") => {
            say(format!("skipped: {name}: {what}"));
            Ok(())
        }
        played => played,
    }
}

async fn in_time(playing: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let late = || Failure::broken(format!("the scenario did not end within {} s", SCENE_DEADLINE.as_secs()));
    tokio::time::timeout(SCENE_DEADLINE, playing).await.unwrap_or_else(|_| Err(late()))
}

fn perform(name: &'static str, playing: impl AsyncFn(u64) -> Result<(), Failure>) -> Result<(), Failure> {
    let trials = number("STRATA_TRIALS", 1)?;
    let first = number("STRATA_SEED", SystemTime::UNIX_EPOCH.elapsed().map_or(1, |since| since.as_nanos() as u64))?;
    for trial in 0..trials {
        perform_once(name, first.wrapping_add(trial), &playing)?;
    }
    if trials > 1 {
        say(format!("{name}: {trials} trials held"));
    }
    Ok(())
}

fn perform_once(name: &'static str, seed: u64, playing: &impl AsyncFn(u64) -> Result<(), Failure>) -> Result<(), Failure> {
    let start = Instant::now();
    say(format!("{name}: seed {seed}"));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let result = runtime.map_err(Failure::of("start a runtime"))?.block_on(playing(seed));
    match &result {
        Ok(()) => say(format!("{name}: holds, {:.1} s", start.elapsed().as_secs_f64())),
        Err(Failure::Lacking(_)) => {}
        Err(_) => say(format!("{name}: fails with seed {seed}")),
    }
    result
}

fn number(variable: &str, otherwise: u64) -> Result<u64, Failure> {
    match std::env::var(variable) {
        Ok(text) => text.parse().map_err(Failure::of(format!("take {text:?} in {variable} for a number"))),
        Err(_) => Ok(otherwise),
    }
}

impl Scene {
    async fn start(name: &'static str, seed: u64, options: Options) -> Result<Scene, Failure> {
        Ok(Scene { cluster: ProcessCluster::start(seed, options).await?, seed, name, judged: 0, kept: Vec::new() })
    }

    /// Where clients reach all nodes.
    pub fn endpoints(&self) -> Endpoints {
        self.endpoints_of(&self.cluster.indexes().collect::<Vec<_>>())
    }

    /// Where clients reach these nodes.
    pub fn endpoints_of(&self, nodes: &[usize]) -> Endpoints {
        self.cluster.endpoints_of(nodes)
    }

    /// A client that goes to the node first, through `door`.
    pub fn client(&self, door: Door, node: usize) -> RedisClient {
        RedisClient::new(door, Arc::new(self.endpoints()), node)
    }

    /// A client that knows one node only, through `door`.
    pub fn client_of(&self, door: Door, node: usize) -> RedisClient {
        RedisClient::new(door, Arc::new(self.endpoints_of(&[node])), 0)
    }

    /// Starts a load on all nodes.
    pub fn load(&self, size: Size) -> Load {
        Load::start(self.endpoints(), self.seed, size)
    }

    /// Starts a load whose clients know these nodes only.
    pub fn load_on(&self, nodes: &[usize], size: Size) -> Load {
        Load::start(self.endpoints_of(nodes), self.seed, size)
    }

    /// Ends a load, and holds the cluster, all of whose nodes must run, to every promise it made meanwhile.
    pub async fn judge(&mut self, load: Load) -> Result<(), Failure> {
        let counts = load.counts();
        let ledger = load.finish().await?;
        self.judge_ledger(&ledger, &counts).await
    }

    /// As [`Scene::judge`], and keeps what was recorded for [`Scene::judge_kept`].
    pub async fn judge_and_keep(&mut self, load: Load) -> Result<(), Failure> {
        let counts = load.counts();
        let ledger = load.finish().await?;
        self.judge_ledger(&ledger, &counts).await?;
        self.kept.push(ledger);
        Ok(())
    }

    /// Holds the cluster to everything that ended loads recorded and that was kept, after a restore too: all of it must be there.
    pub async fn judge_kept(&mut self) -> Result<(), Failure> {
        let kept = std::mem::take(&mut self.kept);
        for (nth, ledger) in kept.iter().enumerate() {
            self.judge_ledger(ledger, &format!("kept load {nth}")).await?;
        }
        self.kept = kept;
        Ok(())
    }

    /// Holds the cluster, all of whose nodes must run, to what a load has recorded.
    pub async fn judge_ledger(&mut self, ledger: &Ledger, counts: &str) -> Result<(), Failure> {
        self.cluster.check_alive()?;
        self.cluster.until_converged().await?;
        self.judged += 1;
        let path = self.cluster.folder().join(format!("history-{}.jsonl", self.judged));
        ledger.judge(&self.endpoints(), &path).await?;
        say(format!("{}: {counts}; {} acknowledged keys read back", self.name, ledger.acks.count()));
        Ok(())
    }
}
