//! The restore of a cluster of three replicas from its bucket, whose store answers at a bounded rate: how much of that rate the nodes use.
//!
//! What is compared: the bytes that all nodes together received while they fetched, by time; the rate that the store is bounded to; and a plain parallel
//! GET of the same objects, through the same proxy, by curl.

use super::{Ground, meter, product_settings, routes::key_name, rows::Side, tell};
use crate::{
    failure::Failure,
    harness::{
        node_process::{ArchiveSettings, Settings},
        object_store::{BUCKET, ObjectStore},
        process::{Options, ProcessCluster},
        s3_proxy::S3Proxy,
        wait,
    },
    workload::client::{Door, RedisClient},
};
use redis::Value;
use std::{
    fmt::Write,
    path::Path,
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};
use strata_engine::tier::restore::Target;

/// What the store answers at most, in bytes a second.
const RATE: u64 = 200_000_000;

/// The length of a value, in bytes.
const VALUE_BYTES: usize = 64 << 10;

/// How many times what is restored the disk must have free.
const DISK_TIMES: u64 = 8;

/// Values that are read back after the restore.
const SAMPLES: u64 = 200;

/// SETs that are under way at once.
const WRITERS: u64 = 16;

/// Objects that curl gets at once.
const PLAIN_IN_FLIGHT: &str = "16";

/// How long a write that is refused for the archive's sake is tried again.
const WRITE_DEADLINE: Duration = Duration::from_secs(60);

/// The row.
pub(super) async fn restore(ground: &mut Ground) -> Result<(), Failure> {
    const NAME: &str = "restore";
    if let Some(lacking) = lacking_disk(ground)? {
        tell(&format!("bench {NAME} skipped: {lacking}"));
        return Ok(());
    }
    let (port, proxy_port) = (ground.ports.take(), ground.ports.take());
    let store = ObjectStore::start(ground.folder(), port).await?;
    let proxy = S3Proxy::start(proxy_port, store.port(), Some(RATE)).await?;
    let mut cluster = found(ground, &proxy, &store).await?;
    let values = (ground.wish.restore_mib << 20) / VALUE_BYTES as u64;
    tell(&format!("  {NAME}: writing {values} random values of {VALUE_BYTES} bytes"));
    let start = Instant::now();
    fill(&cluster, values).await?;
    tell(&format!("  {NAME}: written after {:.0} s; making checkpoints", start.elapsed().as_secs_f64()));
    cluster.checkpoint_all().await?;
    cluster.until_archived().await?;
    tell(&format!("  {NAME}: archived after {:.0} s; everything is lost now", start.elapsed().as_secs_f64()));
    cluster.lose_everything().await?;

    let (before, start) = (proxy.traffic(), Instant::now());
    let restoring = cluster.begin_restore(Target::Latest).await?;
    let resident = Arc::new(std::sync::atomic::AtomicU64::new(0));
    watch_while(cluster.processes(), &resident, cluster.until_fetched()).await?;
    let seconds = start.elapsed().as_secs_f64();
    let fetched = proxy.traffic().since(&before).bytes_down;
    cluster.finish_restore(&restoring).await?;
    let whole = start.elapsed().as_secs_f64();
    read_back(&cluster, values).await?;

    let (plain_bytes, plain_seconds) = get_plainly(&store, &proxy, ground.folder()).await?;
    let rate = |bytes: u64, seconds: f64| bytes as f64 / seconds / 1e6;
    let (ours, plain) = (rate(fetched, seconds), rate(plain_bytes, plain_seconds));
    let bar = plain.min(RATE as f64 / 1e6);
    tell(&format!(
        "bench {NAME} ours={ours:.0} peer={bar:.0} ratio={:.2} (MB/s while fetching; {} MiB counted once, three replicas; through the proxy {fetched} bytes in \
         {seconds:.1} s, serving after {whole:.1} s; bound {} MB/s, plain parallel GET {plain:.0} MB/s of {plain_bytes} bytes; a node resident {} MiB at most)",
        ours / bar,
        ground.wish.restore_mib,
        RATE / 1_000_000,
        resident.load(std::sync::atomic::Ordering::Relaxed) >> 20,
    ));
    Ok(())
}

/// What the disk lacks for this row: three replicas with their logs and checkpoints, and what is in the bucket.
fn lacking_disk(ground: &Ground) -> Result<Option<String>, Failure> {
    let disk = rustix::fs::statvfs(ground.folder()).map_err(Failure::of("ask for free disk"))?;
    let (free_mib, wanted_mib) = ((disk.f_bavail * disk.f_frsize) >> 20, ground.wish.restore_mib * DISK_TIMES);
    let lacking = || format!("it needs {wanted_mib} MiB of disk and {free_mib} are free: --restore-mib N restores less");
    Ok((free_mib < wanted_mib).then(lacking))
}

async fn found(ground: &Ground, proxy: &S3Proxy, store: &ObjectStore) -> Result<ProcessCluster, Failure> {
    let archive =
        ArchiveSettings { endpoint: proxy.endpoint(), credentials: store.credentials(), ..ArchiveSettings::below("bench/restore") };
    let settings = Settings { archive: Some(archive), ..product_settings() };
    let cluster = ProcessCluster::start(77, Options { settings, ..Options::three_nodes(ground.wish.shards) }).await?;
    cluster.bootstrap_archived().await?;
    cluster.spread_leaders().await?;
    Ok(cluster)
}

/// The value of a key: random, and the same whenever it is asked for.
fn value(key: u64) -> Vec<u8> {
    let mut value = vec![0; VALUE_BYTES];
    fastrand::Rng::with_seed(key).fill(&mut value);
    value
}

fn name(key: u64) -> String {
    key_name(key as u32)
}

async fn fill(cluster: &ProcessCluster, values: u64) -> Result<(), Failure> {
    let endpoints = Side::ours(cluster).endpoints;
    let write = async |writer: u64| {
        let mut client = RedisClient::new(Door::Cluster, endpoints.clone(), writer as usize);
        for key in (writer..values).step_by(WRITERS as usize) {
            let command = redis::cmd("SET").arg(name(key)).arg(value(key)).to_owned();
            wait::until(WRITE_DEADLINE, "a value is taken", async || match client.ask(&command).await {
                Ok(Value::Okay) => Ok(()),
                reply => Err(format!("{reply:?}")),
            })
            .await?;
        }
        Ok::<(), Failure>(())
    };
    futures_util::future::try_join_all((0..WRITERS).map(write)).await.map(drop)
}

async fn read_back(cluster: &ProcessCluster, values: u64) -> Result<(), Failure> {
    let mut client = RedisClient::new(Door::Plain, Side::ours(cluster).endpoints, 0);
    let size = client.ask(&redis::cmd("DBSIZE")).await;
    Failure::unless(size == Ok(Value::Int(values as i64)), || format!("DBSIZE after the restore: {size:?}, not {values}"))?;
    for key in (0..values).step_by((values / SAMPLES).max(1) as usize) {
        let read = client.ask(redis::cmd("GET").arg(name(key))).await;
        let is_right = matches!(&read, Ok(Value::BulkString(read)) if *read == value(key));
        Failure::unless(is_right, || format!("the value of {} is not what was written", name(key)))?;
    }
    Ok(())
}

/// Notes the most that any of the processes holds resident while something goes on.
async fn watch_while<T>(
    processes: Vec<u32>,
    most: &std::sync::atomic::AtomicU64,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    const LOOK: Duration = Duration::from_millis(100);
    let watch = async {
        loop {
            let now = processes.iter().filter_map(|process| meter::resident_bytes(*process)).max().unwrap_or(0);
            most.fetch_max(now, std::sync::atomic::Ordering::Relaxed);
            wait::pause(LOOK).await;
        }
    };
    tokio::select! {
        done = work => done,
        never = watch => never,
    }
}

/// Gets every object of the checkpoints once; how many bytes, and in how many seconds.
async fn get_plainly(store: &ObjectStore, proxy: &S3Proxy, folder: &Path) -> Result<(u64, f64), Failure> {
    let mut list = String::new();
    for key in store.keys("bench/restore")?.iter().filter(|key| key.contains("/file/")) {
        let _ = writeln!(list, "url = \"{}/{BUCKET}/{key}\"\noutput = \"/dev/null\"", proxy.endpoint());
    }
    let path = folder.join("objects");
    std::fs::write(&path, list).map_err(Failure::of("write the list of objects"))?;
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--fail", "--parallel", "--parallel-max", PLAIN_IN_FLIGHT, "--max-time", "300"]);
    curl.args(["--header", "x-amz-content-sha256: UNSIGNED-PAYLOAD"]);
    curl.args(["--aws-sigv4", "aws:amz:us-east-1:s3", "--user", &store.user(), "--config"]).arg(path);
    let (before, start) = (proxy.traffic(), Instant::now());
    let output = tokio::task::spawn_blocking(move || curl.output()).await.map_err(Failure::of("wait for curl"))?;
    let output = output.map_err(Failure::of("run curl"))?;
    let seconds = start.elapsed().as_secs_f64();
    Failure::unless(output.status.success(), || format!("curl: {}", String::from_utf8_lossy(&output.stderr)))?;
    Ok((proxy.traffic().since(&before).bytes_down, seconds))
}
