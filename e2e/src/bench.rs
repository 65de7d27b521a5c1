//! `make bench`: what we cost beside those that we are compared with, in turn, in one run, on one disk.
//!
//! ```text
//!  rows ──► generator (RESP, by CLUSTER SLOTS) ──► our nodes | redis-server
//!    │ └──► etcd (gRPC, on the leader) ──────────► three members
//!    └───► meter: CPU time, fsyncs, memory, latencies, the disk itself
//! ```
//!
//! The rules it keeps:
//! - Ratios, not numbers: both sides of a row are measured in turn, several times, and the medians are compared. The machine may be busy with
//!   other work; then both sides are.
//! - fsync is on everywhere and counted from outside, by the kernel's tracepoints. What lies in memory only is refused as a disk.
//! - A peer is loaded as well as we are: the same generator for redis-server, and one of the same making for etcd, on its leader.
//! - Per core means operations for each second of CPU time of all the side's server processes together.
//! - Nothing here fails for being slow: the bars stand in the issue, the figures in `docs/src/internals/performance.md`.
//!
//! Not done, and why: no second machine. The client's CPU time is printed, so that a reader sees when it was the client that was measured.

use crate::{
    failure::Failure,
    harness::{
        node_process::Settings,
        ports::Ports,
        process::{Options, ProcessCluster, test_folder},
    },
    workload::client::Endpoints,
};
use std::{
    io::Write,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tempfile::TempDir;

#[cfg(feature = "disk")]
pub mod cold;
mod etcd;
mod generator;
mod meter;
#[cfg(feature = "disk")]
mod restore;
mod routes;
mod rows;
mod sample;

/// Every row's name.
pub const ROWS: [&str; 7] = [
    "idle_16_shards",
    "get_3x_vs_redis",
    "get_3x_p16_vs_redis",
    "set_3x_vs_etcd",
    "set_1x_vs_redis_always",
    "get_cold_vs_rocksdb",
    "restore",
];

/// How a run is wished.
#[derive(Clone, Debug)]
pub struct Wish {
    /// Only these rows; all where none is named.
    pub rows: Vec<String>,
    /// How long each side is measured each time.
    pub length: Duration,
    /// How long it runs warm before.
    pub warm: Duration,
    /// How often both sides are measured.
    pub rounds: usize,
    /// Shards of the one table.
    pub shards: u16,
    /// The length of a value, in bytes.
    pub value_bytes: usize,
    /// Keys that reads choose from: they fit all caches.
    pub read_keys: u32,
    /// Keys that writes choose from.
    pub write_keys: u32,
    /// What the restored cluster holds, counted once, in MiB.
    pub restore_mib: u64,
    /// etcd's program.
    pub etcd: Option<PathBuf>,
}

impl Wish {
    fn has(&self, row: &str) -> bool {
        self.rows.is_empty() || self.rows.iter().any(|wished| wished == row)
    }
}

/// What all rows stand on.
struct Ground {
    wish: Wish,
    folder: TempDir,
    ports: Ports,
}

impl Ground {
    fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn times(&self) -> (Duration, Duration) {
        (self.wish.warm, self.wish.length)
    }
}

/// Runs the rows, and prints a line for each.
pub async fn run(wish: Wish) -> Result<(), Failure> {
    if let Some(unknown) = wish.rows.iter().find(|row| !ROWS.contains(&row.as_str())) {
        return Err(Failure::Lacking(format!("there is no row `{unknown}`: there are {}", ROWS.join(", "))));
    }
    let parent = test_folder()?;
    let folder = tempfile::Builder::new().prefix("bench-").tempdir_in(parent).map_err(Failure::of("make a folder"))?;
    let mut ground = Ground { wish, folder, ports: Ports::reserve(77)? };
    sample::tell_ground(&ground)?;
    let wish = ground.wish.clone();
    if wish.has("idle_16_shards") {
        rows::idle(&ground).await?;
    }
    if wish.has("get_3x_vs_redis") || wish.has("get_3x_p16_vs_redis") || wish.has("set_3x_vs_etcd") {
        let cluster = found_product(&wish, Options::three_nodes(wish.shards)).await?;
        for (row, depth) in [("get_3x_vs_redis", 1), ("get_3x_p16_vs_redis", 16)] {
            if wish.has(row) {
                rows::get_3x(&mut ground, &cluster, row, depth).await?;
            }
        }
        if wish.has("set_3x_vs_etcd") {
            rows::set_3x(&mut ground, &cluster).await?;
        }
    }
    if wish.has("set_1x_vs_redis_always") {
        let cluster = found_product(&wish, Options::one_node(wish.shards)).await?;
        rows::set_1x(&mut ground, &cluster).await?;
    }
    #[cfg(feature = "disk")]
    if wish.has("get_cold_vs_rocksdb") {
        cold::get_cold(&ground).await?;
    }
    #[cfg(feature = "disk")]
    if wish.has("restore") {
        restore::restore(&mut ground).await?;
    }
    Ok(())
}

/// The limits that a node of the product has by default; those of tests are small.
fn product_settings() -> Settings {
    Settings {
        log_bytes: 512 << 20,
        connections: 10_000,
        block_cache_bytes: 128 << 20,
        write_buffer_bytes: 64 << 20,
        ..Settings::default()
    }
}

/// A cluster as the product's are.
async fn found_product(wish: &Wish, options: Options) -> Result<ProcessCluster, Failure> {
    found(wish, Options { settings: product_settings(), ..options }).await
}

/// A cluster that is led by all its nodes alike.
async fn found(wish: &Wish, options: Options) -> Result<ProcessCluster, Failure> {
    let cluster = ProcessCluster::start(u64::from(wish.shards), options).await?;
    cluster.bootstrap().await?;
    cluster.spread_leaders().await?;
    Ok(cluster)
}

fn endpoints(cluster: &ProcessCluster) -> Arc<Endpoints> {
    let address = |port: u16| format!("127.0.0.1:{port}");
    let ports: Vec<_> = cluster.indexes().map(|node| cluster.ports(node)).collect();
    Arc::new(Endpoints {
        plain: ports.iter().map(|ports| address(ports.plain)).collect(),
        cluster: ports.iter().map(|ports| address(ports.cluster)).collect(),
    })
}

/// Writes one line to standard output.
fn tell(line: &str) {
    // Where nobody listens there is nobody to tell.
    drop(writeln!(std::io::stdout(), "{line}"));
}
