//! A cluster of real processes on this machine: real disks, real sockets, `kill -9`.
//!
//! ```text
//! ProcessCluster ── certificates, ports, folders ──► NodeProcess × N ──► strata-node --config …
//!       │
//!       └── hand.rs: the operator's part, by hand ── NodeClient ──► node-api
//! ```
//!
//! Everything lies in one temporary folder on a real disk, and goes with the cluster; after a failure the folder stays, and is named.

use super::{
    certificates::Authority,
    node_client::NodeClient,
    node_process::{NodePorts, NodeProcess, Settings, node_binary, target_directory},
    ports::Ports,
    wait,
    wall_clock::{Library, WallClock},
};
use crate::{failure::Failure, workload::client::Endpoints};
use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::Duration,
};
use strata_base::{Epoch, IncarnationId, StoreId};
use strata_node_api::{Answer, NodeAddress, Order, OrderKind, Report};
use tempfile::TempDir;

/// How long a process may take from its start to its first report: a log of some size is replayed, on a machine that is busy.
const START_DEADLINE: Duration = Duration::from_secs(30);

/// What a cluster is made of.
#[derive(Clone, Debug)]
pub struct Options {
    /// Nodes, each in a zone of its own.
    pub nodes: usize,
    /// Shards of the one table.
    pub shards: u16,
    /// Replicas of each shard.
    pub replication_factor: usize,
    /// What each node is told.
    pub settings: Settings,
    /// The group of the first node's process, those of the others follow; without it, all have that of whoever starts them.
    pub first_group: Option<u32>,
    /// What gives each node's process a wall clock of its own; without it, all have the system's.
    pub clocks: Option<Arc<Library>>,
}

impl Options {
    /// Three nodes, every shard on each of them.
    pub fn three_nodes(shards: u16) -> Options {
        Options { nodes: 3, shards, replication_factor: 3, settings: Settings::default(), first_group: None, clocks: None }
    }

    /// One node that is alone.
    pub fn one_node(shards: u16) -> Options {
        Options { nodes: 1, shards, replication_factor: 1, settings: Settings::default(), first_group: None, clocks: None }
    }
}

/// A cluster of processes. Dropping it kills them all.
pub struct ProcessCluster {
    // Fields are dropped in this order: first the processes end, then their disks and ports are given back.
    nodes: Vec<NodeProcess>,
    pub(super) stores: Vec<StoreId>,
    client: NodeClient,
    authority: Authority,
    pub(super) options: Options,
    pub(super) identity: ClusterIdentity,
    directory: TempDir,
    _ports: Ports,
}

/// Which cluster the orders are for.
#[derive(Clone, Debug)]
pub(super) struct ClusterIdentity {
    pub(super) cluster: String,
    pub(super) incarnation: IncarnationId,
    pub(super) epoch: Epoch,
}

impl ProcessCluster {
    /// Starts the processes, each with an empty disk, and waits for a report of each. `seed` names the cluster.
    pub async fn start(seed: u64, options: Options) -> Result<ProcessCluster, Failure> {
        let binary = node_binary()?;
        let folder = test_folder()?;
        let directory = tempfile::Builder::new().prefix("cluster-").tempdir_in(&folder).map_err(Failure::of("make a folder"))?;
        let authority = Authority::create(directory.path())?;
        let client = NodeClient::new(authority.certificate(), &authority.sign("operator")?).map_err(Failure::of("make a client"))?;
        let mut ports = Ports::reserve(seed)?;
        let cluster = format!("00000000-0000-4000-8000-{:012x}", seed & 0xffff_ffff_ffff);
        let mut nodes = Vec::with_capacity(options.nodes);
        for index in 0..options.nodes {
            let identity = authority.sign(&format!("node-{index}"))?;
            let folder = directory.path().join(format!("node-{index}"));
            let tls = (authority.certificate(), &identity);
            let zone = zone(index);
            let group = options.first_group.map(|first| first + index as u32);
            let node =
                NodeProcess::prepare(&binary, folder.clone(), NodePorts::take(&mut ports), (&cluster, &zone), tls, &options.settings)?;
            let clock = options.clocks.clone().map(|library| WallClock::right(library, &folder)).transpose()?;
            nodes.push(node.in_group(group).by_clock(clock));
        }
        let identity = ClusterIdentity { cluster, incarnation: IncarnationId(seed | 1), epoch: Epoch(1) };
        let mut cluster = ProcessCluster { nodes, stores: Vec::new(), client, authority, options, identity, directory, _ports: ports };
        cluster.restart_all().await?;
        for index in cluster.indexes() {
            let store = cluster.report(index).await.map_err(Failure::Broken)?.store;
            cluster.stores.push(store);
        }
        Ok(cluster)
    }

    /// Every node's index.
    pub fn indexes(&self) -> std::ops::Range<usize> {
        0..self.nodes.len()
    }

    /// What the cluster was made of.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// The cluster's incarnation.
    pub fn incarnation(&self) -> IncarnationId {
        self.identity.incarnation
    }

    /// The processes that run.
    pub fn processes(&self) -> Vec<u32> {
        self.nodes.iter().filter_map(NodeProcess::id).collect()
    }

    /// The most memory that every process that runs has had, as the kernel counts it, in bytes.
    pub fn peak_bytes(&self) -> Result<Vec<u64>, Failure> {
        self.processes().into_iter().map(peak_bytes).collect()
    }

    /// The node's ports.
    pub fn ports(&self, index: usize) -> NodePorts {
        self.nodes[index].ports()
    }

    /// Where clients reach these nodes.
    pub fn endpoints_of(&self, nodes: &[usize]) -> Endpoints {
        let ports = || nodes.iter().map(|node| self.ports(*node));
        let address = |port: u16| format!("127.0.0.1:{port}");
        Endpoints {
            plain: ports().map(|ports| address(ports.plain)).collect(),
            cluster: ports().map(|ports| address(ports.cluster)).collect(),
        }
    }

    /// The folder of the node's disk.
    pub fn disk(&self, index: usize) -> PathBuf {
        self.nodes[index].data()
    }

    /// The wall clock that the node's process goes by, where it has one of its own.
    pub fn clock(&self, index: usize) -> Option<&WallClock> {
        self.nodes[index].clock()
    }

    /// The file that the node is configured by.
    pub fn config(&self, index: usize) -> PathBuf {
        self.nodes[index].config()
    }

    /// The folder that everything of this cluster lies in.
    pub fn folder(&self) -> &Path {
        self.directory.path()
    }

    /// The authority that signed all certificates.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// Where the node is, as the others are told.
    pub fn address(&self, index: usize) -> NodeAddress {
        let ports = self.ports(index);
        NodeAddress {
            store: self.stores[index],
            zone: zone(index),
            peer: format!("127.0.0.1:{}", ports.peer),
            client_host: "127.0.0.1".to_owned(),
            plain_port: ports.plain,
            cluster_port: ports.cluster,
        }
    }

    /// What the node says of itself now.
    pub async fn report(&self, index: usize) -> Result<Report, String> {
        self.client.report(self.ports(index).api).await.map_err(|error| format!("node {index}: {error}"))
    }

    /// Gives the node an order for this cluster, at its present epoch, for the store that the node was last seen with.
    pub async fn order(&self, index: usize, order: OrderKind) -> Result<Answer, String> {
        self.give(index, &self.order_for(index, order)).await
    }

    /// The order as [`ProcessCluster::order`] gives it.
    pub fn order_for(&self, index: usize, order: OrderKind) -> Order {
        let ClusterIdentity { cluster, incarnation, epoch } = self.identity.clone();
        Order { epoch, cluster, incarnation, store: self.stores[index], order }
    }

    /// Gives the node any order, also one that it must refuse.
    pub async fn give(&self, index: usize, order: &Order) -> Result<Answer, String> {
        self.client.order(self.ports(index).api, order).await.map_err(|error| format!("node {index}: {error}"))
    }

    /// Ends the node as `kill -9` does.
    pub fn kill(&mut self, index: usize) {
        self.nodes[index].kill();
    }

    /// Ends all nodes as `kill -9` does, in the order given by `order`.
    pub fn kill_all(&mut self, order: &[usize]) {
        order.iter().for_each(|index| self.kill(*index));
    }

    /// Freezes the node with SIGSTOP.
    pub fn stop(&self, index: usize) -> Result<(), Failure> {
        self.nodes[index].freeze()
    }

    /// Thaws the node with SIGCONT.
    pub fn cont(&self, index: usize) -> Result<(), Failure> {
        self.nodes[index].thaw()
    }

    /// Starts the node's process, which must not run, without waiting for it.
    pub fn launch(&mut self, index: usize) -> Result<(), Failure> {
        self.nodes[index].start()
    }

    /// Whether the node was started and not killed.
    pub fn is_started(&self, index: usize) -> bool {
        self.nodes[index].is_started()
    }

    /// The end of what a node said in all its lives.
    pub fn last_words(&self, index: usize) -> String {
        self.nodes[index].last_words()
    }

    /// Ends the node if it runs, starts it, and waits for its report.
    pub async fn restart(&mut self, index: usize) -> Result<Report, Failure> {
        self.kill(index);
        self.launch(index)?;
        self.until_reported(index).await
    }

    /// Starts the nodes that do not run, without waiting for them.
    pub fn launch_all(&mut self) -> Result<(), Failure> {
        self.indexes().filter(|index| !self.is_started(*index)).collect::<Vec<_>>().into_iter().try_for_each(|index| self.launch(index))
    }

    /// Starts all nodes that do not run, and waits for a report of each.
    pub async fn restart_all(&mut self) -> Result<(), Failure> {
        self.launch_all()?;
        for index in self.indexes() {
            self.until_reported(index).await?;
        }
        Ok(())
    }

    async fn until_reported(&mut self, index: usize) -> Result<Report, Failure> {
        let (node, client) = (&mut self.nodes[index], &self.client);
        let port = node.ports().api;
        wait::until(START_DEADLINE, &format!("node {index} reports"), async || match node.ended() {
            None => client.report(port).await.map(Ok),
            Some(status) => Ok(Err(Failure::broken(format!("node {index} ended at its start with {status}")))),
        })
        .await?
    }

    /// Replaces the disk of a node that does not run by an empty one: what comes back is another store.
    pub fn empty_disk(&mut self, index: usize) -> Result<(), Failure> {
        let disk = self.idle_disk(index);
        // What it holds goes, and the folder stays: something may be mounted on it.
        let emptied = std::fs::read_dir(&disk).and_then(|entries| {
            for entry in entries {
                let entry = entry?;
                if entry.file_type()?.is_dir() { std::fs::remove_dir_all(entry.path())? } else { std::fs::remove_file(entry.path())? }
            }
            Ok(())
        });
        emptied.map_err(Failure::of(format!("empty {}", disk.display())))
    }

    /// Replaces the disk of a node that does not run by a copy of another.
    pub fn replace_disk(&mut self, index: usize, other: &Path) -> Result<(), Failure> {
        let disk = self.idle_disk(index);
        std::fs::remove_dir_all(&disk).map_err(Failure::of(format!("empty {}", disk.display())))?;
        let copied = Command::new("cp").arg("-a").arg(other).arg(&disk).status().map_err(Failure::of("run cp"))?;
        if copied.success() { Ok(()) } else { Err(Failure::broken(format!("cp of {} ended with {copied}", other.display()))) }
    }

    fn idle_disk(&self, index: usize) -> PathBuf {
        assert!(!self.nodes[index].is_started(), "node {index} must be killed before its disk is touched");
        self.nodes[index].data()
    }

    /// Fails if a process that nobody killed has ended.
    pub fn check_alive(&mut self) -> Result<(), Failure> {
        for index in self.indexes() {
            if let Some(status) = self.nodes[index].ended() {
                return Err(Failure::broken(format!("nobody killed node {index}, and it ended with {status}")));
            }
        }
        Ok(())
    }

    /// After a failure: keeps the folder, and tells where it is and what each node said last.
    pub fn autopsy(mut self) -> String {
        let mut text = String::new();
        for (index, node) in self.nodes.iter_mut().enumerate() {
            let state = match (node.is_started(), node.ended()) {
                (false, _) => "was killed".to_owned(),
                (true, None) => "runs".to_owned(),
                (true, Some(status)) => format!("ended with {status}"),
            };
            text += &format!("node {index} {state}; {} ends:\n{}\n", node.log().display(), node.last_words());
            node.kill();
        }
        self.directory.disable_cleanup(true);
        text + &format!("everything is kept in {}", self.directory.path().display())
    }
}

fn peak_bytes(process: u32) -> Result<u64, Failure> {
    let path = format!("/proc/{process}/status");
    let status = std::fs::read_to_string(&path).map_err(Failure::of(format!("read {path}")))?;
    let kilobytes = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kilobytes.map(|kilobytes| kilobytes << 10).ok_or_else(|| Failure::broken(format!("process {process} has no memory any more")))
}

/// The folder on a real disk that everything of scenarios lies in.
pub fn test_folder() -> Result<PathBuf, Failure> {
    let folder = match std::env::var_os("STRATA_TEST_DIR") {
        Some(folder) => PathBuf::from(folder),
        None => target_directory()?.join("strata-tests"),
    };
    std::fs::create_dir_all(&folder).map_err(Failure::of(format!("create {}", folder.display())))?;
    Ok(folder)
}

fn zone(index: usize) -> String {
    format!("zone-{index}")
}
