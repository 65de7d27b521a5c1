//! `strata-bench`: what `make bench` runs. See `strata_e2e::bench`.

use clap::Parser;
use std::{path::PathBuf, time::Duration};
use strata_e2e::{
    bench::{ROWS, Wish, cold, run},
    failure::Failure,
};

/// What we cost beside etcd and redis-server: ratios, measured in turn in one run on one disk.
#[derive(Debug, Parser)]
#[command(after_help = format!("Rows: {}", ROWS.join(", ")))]
struct Arguments {
    /// Only these rows.
    rows: Vec<String>,
    /// How long each side of a row is measured each time, in seconds.
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// How long it runs warm before, in seconds.
    #[arg(long, default_value_t = 1)]
    warm_seconds: u64,
    /// How often both sides are measured, in turn.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Shards of the one table.
    #[arg(long, default_value_t = 16)]
    shards: u16,
    /// The length of a value, in bytes.
    #[arg(long, default_value_t = 128)]
    value_bytes: usize,
    /// Keys that reads choose from.
    #[arg(long, default_value_t = 20_000)]
    read_keys: u32,
    /// Keys that writes choose from.
    #[arg(long, default_value_t = 200_000)]
    write_keys: u32,
    /// What the restored cluster holds, counted once, in MiB.
    #[arg(long, default_value_t = 4_096)]
    restore_mib: u64,
    /// Be the reader that a row compares with: read these tablets, and tell how fast.
    #[arg(long, hide = true)]
    read_tablets: Option<PathBuf>,
    /// The program of etcd.
    #[arg(long)]
    etcd: Option<PathBuf>,
}

fn main() -> Result<(), Failure> {
    let Arguments { rows, seconds, warm_seconds, rounds, shards, value_bytes, read_keys, write_keys, restore_mib, read_tablets, etcd } =
        Arguments::parse();
    let (length, warm, rounds) = (Duration::from_secs(seconds), Duration::from_secs(warm_seconds), rounds as usize);
    let wish = Wish { rows, length, warm, rounds, shards, value_bytes, read_keys, write_keys, restore_mib, etcd };
    // One thread, whatever is loaded: what a server shares the machine with is then at most one core of client.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(Failure::of("start a runtime"))?;
    match read_tablets {
        Some(folder) => runtime.block_on(cold::read_tablets(&folder, warm, length)),
        None => runtime.block_on(run(wish)),
    }
}
