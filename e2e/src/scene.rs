//! What the scenarios over processes share: a cluster, a load, and the judgement at the end.

use crate::{
    failure::Failure,
    harness::process::{Options, ProcessCluster},
    say::say,
    workload::{
        Load, Size,
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
}

/// Plays a scenario on a cluster of its own, within a deadline. Prints the seed first, and last again if it fails; `STRATA_SEED` sets it.
pub fn play(name: &'static str, options: Options, body: impl AsyncFnOnce(&mut Scene) -> Result<(), Failure>) -> Result<(), Failure> {
    let start = Instant::now();
    let seed = seed()?;
    say(format!("{name}: seed {seed}"));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let result = runtime.map_err(Failure::of("start a runtime"))?.block_on(async {
        let cluster = ProcessCluster::start(seed, options).await?;
        let mut scene = Scene { cluster, seed, name, judged: 0 };
        let played = tokio::time::timeout(SCENE_DEADLINE, body(&mut scene)).await;
        let late = || Failure::broken(format!("the scenario did not end within {} s", SCENE_DEADLINE.as_secs()));
        let result = played.unwrap_or_else(|_| Err(late())).and_then(|()| scene.cluster.check_alive());
        result.map_err(|failure| failure.and(&scene.cluster.autopsy()))
    });
    match &result {
        Ok(()) => say(format!("{name}: holds, {:.1} s", start.elapsed().as_secs_f64())),
        Err(_) => say(format!("{name}: fails with seed {seed}")),
    }
    result
}

fn seed() -> Result<u64, Failure> {
    match std::env::var("STRATA_SEED") {
        Ok(text) => text.parse().map_err(Failure::of(format!("take {text:?} in STRATA_SEED for a number"))),
        Err(_) => Ok(SystemTime::UNIX_EPOCH.elapsed().map_or(1, |since| since.as_nanos() as u64)),
    }
}

impl Scene {
    /// Where clients reach all nodes.
    pub fn endpoints(&self) -> Endpoints {
        self.endpoints_of(&self.cluster.indexes().collect::<Vec<_>>())
    }

    /// Where clients reach these nodes.
    pub fn endpoints_of(&self, nodes: &[usize]) -> Endpoints {
        let ports = || nodes.iter().map(|node| self.cluster.ports(*node));
        let address = |port: u16| format!("127.0.0.1:{port}");
        Endpoints {
            plain: ports().map(|ports| address(ports.plain)).collect(),
            cluster: ports().map(|ports| address(ports.cluster)).collect(),
        }
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
        self.cluster.check_alive()?;
        self.cluster.until_converged().await?;
        self.judged += 1;
        let path = self.cluster.folder().join(format!("history-{}.jsonl", self.judged));
        ledger.judge(&self.endpoints(), &path).await?;
        say(format!("{}: {counts}; {} acknowledged keys read back", self.name, ledger.acks.count()));
        Ok(())
    }
}
