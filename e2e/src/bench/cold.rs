//! GETs of data far larger than memory, beside a program that does nothing but read the same files through RocksDB.
//!
//! The reader is this program again, started anew with other arguments, so that its memory and its CPU time are its own. It opens the tablets of
//! the running node read-only, with the node's own options and cache, learns all keys by a scan, and reads random ones with as many threads as
//! the load on the node has requests in flight.

use super::{
    Ground, found,
    generator::{Load, Work, fill},
    meter,
    routes::Routes,
    rows::Side,
    sample::tell_row,
    tell,
};
use crate::{
    failure::Failure,
    harness::{node_process::Settings, process::Options, wait},
};
use std::{
    io::Write,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use strata_engine::tablet::{RocksSettings, RocksTabletStore, Tablet, TabletFamily};

/// What the node may cache of its files, in bytes.
const CACHE_BYTES: u64 = 32 << 20;

/// What the node may hold unflushed, in bytes.
const BUFFER_BYTES: u64 = 16 << 20;

/// How many times the node's memory its data is.
const TIMES_MEMORY: u64 = 10;

/// The length of a value, in bytes.
const VALUE_BYTES: usize = 1_024;

/// Requests in flight.
const IN_FLIGHT: usize = 64;

/// The row.
pub(super) async fn get_cold(ground: &Ground) -> Result<(), Failure> {
    const NAME: &str = "get_cold_vs_rocksdb";
    let settings = Settings {
        log_bytes: 512 << 20,
        connections: 10_000,
        block_cache_bytes: CACHE_BYTES,
        write_buffer_bytes: BUFFER_BYTES,
        direct_io: true,
        ..Settings::default()
    };
    let cluster = found(&ground.wish, Options { settings, ..Options::one_node(ground.wish.shards) }).await?;
    let side = Side::ours(&cluster);
    let keys = (TIMES_MEMORY * (CACHE_BYTES + BUFFER_BYTES) / VALUE_BYTES as u64) as u32;
    tell(&format!("  {NAME}: writing {keys} values of {VALUE_BYTES} bytes"));
    fill(&Routes::ask(side.endpoints.clone(), keys).await?, VALUE_BYTES, 7).await?;
    until_quiet(&side.processes).await?;
    let mut rates = Vec::new();
    for round in 1..=ground.wish.rounds {
        let load = Load { work: Work::Get, connections: IN_FLIGHT, depth: 1, value_bytes: VALUE_BYTES };
        let ours = side.measure(ground, load, keys).await?;
        tell(&format!("  {NAME} round {round}: ours {ours}"));
        let peer = ask_reader(&cluster.disk(0).join("tablets"), ground.times()).await?;
        tell(&format!("  {NAME} round {round}: peer {:.0}/s server={:.2} cores", peer.rate, peer.cores));
        rates.push((ours.rate(), peer.rate));
    }
    let resident = meter::resident_bytes(side.processes[0]).unwrap_or(0) >> 20;
    let settings = format!("GETs a second; {IN_FLIGHT} in flight, one replica, direct I/O, node resident {resident} MiB");
    tell_row(
        NAME,
        &settings,
        super::sample::medians(&rates),
        &format!("values of {VALUE_BYTES} bytes, {TIMES_MEMORY} times the memory given"),
    );
    Ok(())
}

/// Waits until nothing is compacted any more.
async fn until_quiet(processes: &[u32]) -> Result<(), Failure> {
    const QUIET_CORES: f64 = 0.1;
    wait::until(Duration::from_secs(120), "the node has compacted what was written", async || {
        let before = meter::cpu_seconds(processes);
        wait::pause(Duration::from_secs(2)).await;
        let cores = (meter::cpu_seconds(processes) - before) / 2.0;
        if cores < QUIET_CORES { Ok(()) } else { Err(format!("it uses {cores:.2} cores")) }
    })
    .await
}

struct Answer {
    rate: f64,
    cores: f64,
}

async fn ask_reader(tablets: &Path, (warm, length): (Duration, Duration)) -> Result<Answer, Failure> {
    let program = std::env::current_exe().map_err(Failure::of("find this program"))?;
    let mut command = Command::new(program);
    command.arg("--read-tablets").arg(tablets);
    command.args(["--seconds", &length.as_secs().to_string(), "--warm-seconds", &warm.as_secs().to_string()]);
    let output = tokio::task::spawn_blocking(move || command.output()).await.map_err(Failure::of("wait for the reader"))?;
    let output = output.map_err(Failure::of("run the reader"))?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut numbers = said.split_whitespace().filter_map(|word| word.parse().ok());
    match (output.status.success(), numbers.next(), numbers.next()) {
        (true, Some(rate), Some(cores)) => Ok(Answer { rate, cores }),
        _ => Err(Failure::broken(format!("the reader ended with {}: {said}{}", output.status, String::from_utf8_lossy(&output.stderr)))),
    }
}

/// What this program does as the reader: prints reads in a second, and the cores they took.
pub async fn read_tablets(folder: &Path, warm: Duration, length: Duration) -> Result<(), Failure> {
    let settings = RocksSettings { block_cache_bytes: CACHE_BYTES, write_buffer_bytes: BUFFER_BYTES, direct_io: true };
    let store = RocksTabletStore::new(folder, settings).map_err(Failure::of("open the tablets"))?;
    let mut tablets = Vec::new();
    for path in newest_generations(folder)? {
        let tablet = store.open_read_only(&path).map_err(Failure::of(format!("open {}", path.display())))?;
        let keys = keys_of(&*tablet)?;
        if !keys.is_empty() {
            tablets.push((tablet, keys));
        }
    }
    let shared = Arc::new(Shared { tablets, reads: AtomicU64::new(0), is_over: AtomicBool::new(false) });
    let readers: Vec<_> = (0..IN_FLIGHT as u64).map(|seed| start_reader(shared.clone(), seed)).collect::<Result<_, Failure>>()?;
    let own = [std::process::id()];
    wait::pause(warm).await;
    let (start, cpu, reads) = (Instant::now(), meter::cpu_seconds(&own), shared.reads.load(Ordering::Relaxed));
    wait::pause(length).await;
    let seconds = start.elapsed().as_secs_f64();
    let (cpu, reads) = (meter::cpu_seconds(&own) - cpu, shared.reads.load(Ordering::Relaxed) - reads);
    shared.is_over.store(true, Ordering::Relaxed);
    for reader in readers {
        reader.join().map_err(|_| Failure::broken("a reader panicked"))??;
    }
    writeln!(std::io::stdout(), "{} {}", reads as f64 / seconds, cpu / seconds).map_err(Failure::of("tell the result"))
}

/// A tablet, and all its keys.
type Filled = (Arc<dyn Tablet>, Vec<Vec<u8>>);

struct Shared {
    tablets: Vec<Filled>,
    reads: AtomicU64,
    is_over: AtomicBool,
}

fn start_reader(shared: Arc<Shared>, seed: u64) -> Result<std::thread::JoinHandle<Result<(), Failure>>, Failure> {
    let read = move || {
        let mut random = fastrand::Rng::with_seed(seed);
        while !shared.is_over.load(Ordering::Relaxed) {
            let (tablet, keys) = &shared.tablets[random.usize(..shared.tablets.len())];
            let found = tablet.get(TabletFamily::Meta, &keys[random.usize(..keys.len())]).map_err(Failure::of("read a tablet"))?;
            if found.is_none() {
                return Err(Failure::broken("a key that was scanned is not found"));
            }
            shared.reads.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    };
    std::thread::Builder::new().spawn(read).map_err(Failure::of("start a thread"))
}

/// The folders `<tablets>/<shard>/<generation>`, of every shard the newest.
fn newest_generations(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let list = |folder: &Path| -> Result<Vec<PathBuf>, Failure> {
        let entries = std::fs::read_dir(folder).map_err(Failure::of(format!("list {}", folder.display())))?;
        Ok(entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.is_dir()).collect())
    };
    let mut found = Vec::new();
    for shard in list(folder)? {
        let number = |path: &PathBuf| path.file_name()?.to_str()?.parse::<u64>().ok();
        found.extend(list(&shard)?.into_iter().filter(|path| number(path).is_some()).max_by_key(number));
    }
    Ok(found)
}

fn keys_of(tablet: &dyn Tablet) -> Result<Vec<Vec<u8>>, Failure> {
    let mut keys = Vec::new();
    let scanned = tablet.scan(TabletFamily::Meta, &[], &[0xff; 8], &mut |key, _| {
        keys.push(key.to_vec());
        std::ops::ControlFlow::Continue(())
    });
    scanned.map_err(Failure::of("scan a tablet"))?;
    Ok(keys)
}
