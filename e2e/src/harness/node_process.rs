//! One storage node as a process of its own: its files, its ports, and the signals that a scenario sends it.

use super::{
    certificates::Identity,
    child::Ward,
    object_store::{BUCKET, CredentialFiles},
    ports::Ports,
    wall_clock::WallClock,
};
use crate::failure::Failure;
use rustix::process::Signal;
use std::{
    path::{Path, PathBuf},
    process::ExitStatus,
};

/// How much of a node's log a failure shows, in bytes.
const LOG_TAIL_BYTES: usize = 3_000;

/// The ports of one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodePorts {
    /// Plain Redis clients.
    pub plain: u16,
    /// Redis Cluster clients.
    pub cluster: u16,
    /// Raft transport and forwarding.
    pub peer: u16,
    /// Reports and orders.
    pub api: u16,
    /// Probes and metrics.
    pub status: u16,
}

impl NodePorts {
    /// Five ports of a reserved block.
    pub fn take(ports: &mut Ports) -> NodePorts {
        NodePorts { plain: ports.take(), cluster: ports.take(), peer: ports.take(), api: ports.take(), status: ports.take() }
    }
}

/// What may differ between the configurations of two nodes.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What the log may hold on disk, in bytes.
    pub log_bytes: u64,
    /// The length of a Raft tick, in milliseconds.
    pub tick_millis: u64,
    /// Whether leaders that were just confirmed answer reads by themselves.
    pub leases: bool,
    /// Client connections, both ports together.
    pub connections: usize,
    /// How long a client may take to receive replies, in milliseconds.
    pub client_write_millis: u64,
    /// Where the node archives to; none for nowhere.
    pub archive: Option<ArchiveSettings>,
    /// What all tablets together may cache of their files, in bytes.
    pub block_cache_bytes: u64,
    /// What all tablets together may hold unflushed, in bytes.
    pub write_buffer_bytes: u64,
    /// Whether tablets are read and written past the page cache.
    pub direct_io: bool,
    /// What is to stay free of the disk, in bytes.
    pub disk_reserve_bytes: u64,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            log_bytes: 64 << 20,
            tick_millis: 50,
            leases: true,
            connections: 1_000,
            client_write_millis: 60_000,
            archive: None,
            block_cache_bytes: 16 << 20,
            write_buffer_bytes: 16 << 20,
            direct_io: false,
            disk_reserve_bytes: 16 << 20,
        }
    }
}

/// Where a node archives to, and how.
#[derive(Clone, Debug)]
pub struct ArchiveSettings {
    /// The store.
    pub endpoint: String,
    /// What everything lies under in its bucket.
    pub path: String,
    /// The credentials.
    pub credentials: CredentialFiles,
    /// How long entries gather, in milliseconds.
    pub flush_interval_millis: u64,
    /// How much log the node keeps that the store does not have, in bytes.
    pub local_log_bound_bytes: u64,
    /// What happens at that bound.
    pub on_store_down: &'static str,
    /// How old the last checkpoint of a shard may get, in seconds; 0: only by order.
    pub checkpoint_seconds: u64,
}

impl ArchiveSettings {
    /// An archive below `path` with checkpoints by order only, of a store that the scenario's ground will name.
    pub fn below(path: &str) -> ArchiveSettings {
        ArchiveSettings {
            endpoint: String::new(),
            path: path.to_owned(),
            credentials: CredentialFiles::default(),
            flush_interval_millis: 200,
            local_log_bound_bytes: 1 << 30,
            on_store_down: "KeepThenRefuseWrites",
            checkpoint_seconds: 0,
        }
    }

    /// The sections of a node's configuration.
    pub fn sections(&self) -> String {
        format!(
            "\n[archive]\nendpoint = {:?}\nbucket = {BUCKET:?}\npath = {:?}\naccess_key_id_file = {:?}\nsecret_access_key_file = {:?}\n\
             flush_interval_millis = {}\nlocal_log_bound_bytes = {}\non_store_down = {:?}\n\n[checkpoint]\ninterval_seconds = {}\n",
            self.endpoint,
            self.path,
            self.credentials.access_key_id,
            self.credentials.secret_access_key,
            self.flush_interval_millis,
            self.local_log_bound_bytes,
            self.on_store_down,
            self.checkpoint_seconds,
        )
    }
}

/// A node's process and disk. Dropping it kills the process; the disk belongs to whoever owns the folder.
pub struct NodeProcess {
    binary: PathBuf,
    directory: PathBuf,
    ports: NodePorts,
    group: Option<u32>,
    clock: Option<WallClock>,
    ward: Option<Ward>,
}

impl NodeProcess {
    /// Writes the configuration of node `index` into `directory`, and starts nothing yet.
    pub fn prepare(
        binary: &Path,
        directory: PathBuf,
        ports: NodePorts,
        (cluster, zone): (&str, &str),
        tls: (&Path, &Identity),
        settings: &Settings,
    ) -> Result<NodeProcess, Failure> {
        let (authority, identity) = tls;
        let text = format!(
            "data_dir = {data:?}\ncluster = {cluster:?}\nzone = {zone:?}\n\n\
             [listen]\nplain = \"127.0.0.1:{}\"\ncluster = \"127.0.0.1:{}\"\npeer = \"127.0.0.1:{}\"\n\
             api = \"127.0.0.1:{}\"\nstatus = \"127.0.0.1:{}\"\n\n\
             [tls]\nca = {authority:?}\ncertificate = {:?}\nkey = {:?}\n\n\
             [limits]\nconnections = {}\nclient_write_millis = {}\nlog_bytes = {}\nblock_cache_bytes = {}\nwrite_buffer_bytes = {}\ndirect_io = {}\ndisk_reserve_bytes = {}\n\n\
             [raft]\ntick_millis = {}\nleases = {}\n",
            ports.plain,
            ports.cluster,
            ports.peer,
            ports.api,
            ports.status,
            identity.certificate,
            identity.key,
            settings.connections,
            settings.client_write_millis,
            settings.log_bytes,
            settings.block_cache_bytes,
            settings.write_buffer_bytes,
            settings.direct_io,
            settings.disk_reserve_bytes,
            settings.tick_millis,
            settings.leases,
            data = directory.join("data"),
        );
        let text = text + &settings.archive.as_ref().map(ArchiveSettings::sections).unwrap_or_default();
        let node = NodeProcess { binary: binary.to_owned(), directory, ports, group: None, clock: None, ward: None };
        std::fs::create_dir_all(node.data()).map_err(Failure::of(format!("create {}", node.data().display())))?;
        std::fs::write(node.config(), text).map_err(Failure::of(format!("write {}", node.config().display())))?;
        Ok(node)
    }

    /// The same node, whose process is in a group of its own.
    #[must_use]
    pub fn in_group(self, group: Option<u32>) -> NodeProcess {
        NodeProcess { group, ..self }
    }

    /// The same node, whose process goes by a wall clock of its own.
    #[must_use]
    pub fn by_clock(self, clock: Option<WallClock>) -> NodeProcess {
        NodeProcess { clock, ..self }
    }

    /// The wall clock of its own that the process goes by.
    pub fn clock(&self) -> Option<&WallClock> {
        self.clock.as_ref()
    }

    /// Starts the process. It must not run.
    pub fn start(&mut self) -> Result<(), Failure> {
        assert!(self.ward.is_none(), "{} runs already", self.directory.display());
        let environment = self.clock.iter().flat_map(WallClock::environment);
        let arguments = [Path::new("--config"), &self.config()];
        self.ward = Some(Ward::start_in_group(&self.binary, arguments, &self.log(), self.group, environment)?);
        Ok(())
    }

    /// Ends the process without a word, as `kill -9` does, and waits for its end. Does nothing where none runs.
    pub fn kill(&mut self) {
        self.ward = None;
    }

    /// Freezes the process: to the others it is silent, and when it thaws it believes that no time has passed.
    pub fn freeze(&self) -> Result<(), Failure> {
        self.signal(Signal::STOP)
    }

    /// Thaws the process.
    pub fn thaw(&self) -> Result<(), Failure> {
        self.signal(Signal::CONT)
    }

    /// The process, if it was started and not killed.
    pub fn id(&self) -> Option<u32> {
        self.ward.as_ref().map(Ward::id)
    }

    /// Whether it was started and not killed.
    pub fn is_started(&self) -> bool {
        self.ward.is_some()
    }

    /// How the process ended by itself, if it did.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.ward.as_mut().and_then(Ward::ended)
    }

    fn signal(&self, signal: Signal) -> Result<(), Failure> {
        let ward = self.ward.as_ref().ok_or_else(|| Failure::broken(format!("{} does not run", self.directory.display())))?;
        ward.signal(signal)
    }

    /// The node's ports, the same for all its starts.
    pub fn ports(&self) -> NodePorts {
        self.ports
    }

    /// The folder that the node takes for its disk.
    pub fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    /// The file that all its output of all its starts goes to.
    pub fn log(&self) -> PathBuf {
        self.directory.join("log")
    }

    /// The file that it is configured by.
    pub fn config(&self) -> PathBuf {
        self.directory.join("node.toml")
    }

    /// The end of its output.
    pub fn last_words(&self) -> String {
        let text = std::fs::read(self.log()).unwrap_or_default();
        String::from_utf8_lossy(&text[text.len().saturating_sub(LOG_TAIL_BYTES)..]).into_owned()
    }
}

/// Where the storage node's program is: what `STRATA_NODE_BIN` names, or what cargo put beside the program of this test.
pub fn node_binary() -> Result<PathBuf, Failure> {
    if let Some(path) = std::env::var_os("STRATA_NODE_BIN") {
        return Ok(path.into());
    }
    let path = target_directory()?.join("strata-node");
    if path.is_file() {
        return Ok(path);
    }
    Err(Failure::Lacking(format!("there is no {}: run `cargo build -p strata-node`, or name a program in STRATA_NODE_BIN", path.display())))
}

/// Cargo's folder for what this profile builds: a test's program lies in `deps` below it.
pub fn target_directory() -> Result<PathBuf, Failure> {
    let program = std::env::current_exe().map_err(Failure::of("find the program of this test"))?;
    let parent = program.parent().unwrap_or(Path::new("/"));
    Ok(if parent.ends_with("deps") { parent.parent().unwrap_or(parent) } else { parent }.to_owned())
}
