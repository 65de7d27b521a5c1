//! `strata-node`: one storage node.

use clap::{Parser, Subcommand};
use std::{io::Write, path::PathBuf, process::ExitCode};
use strata_node::{config::Config, verify_bucket, verify_replicas};

/// For RocksDB, too: blocks of the cache come and go on many threads, and with the system's allocator a node kept four times the memory it was given.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const _: () =
    assert!(!strata_base::planted::CAN_PLANT, "a node that serves cannot make mistakes on purpose: build it without the feature `planted`");

/// A storage node of Strata.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// The configuration file; environment variables STRATA_* override its keys.
    #[arg(long, default_value = "/etc/strata/node.toml")]
    config: PathBuf,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Reads the configuration, says what is wrong with it, and ends.
    CheckConfig,
    /// Reads a bucket alone and says what is restorable to which moment, and which objects are damaged, missing or unreferenced.
    ///
    /// Ends with 0 where the bucket is sound, 1 where it is not, and 2 where it cannot be read.
    VerifyBucket(verify_bucket::Arguments),
    /// Has the replicas of a running cluster compared, each shard at one entry of its log, and says which of them differ.
    ///
    /// Ends with 0 where all are equal, 1 where some differ, and 2 where it could not be told of all.
    VerifyReplicas(verify_replicas::Arguments),
}

#[expect(clippy::disallowed_methods, reason = "the one place that reads the environment, for the configuration")]
fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match &arguments.command {
        Some(Command::VerifyBucket(bucket)) => return verify_bucket::run(bucket, std::env::vars()),
        Some(Command::VerifyReplicas(cluster)) => return verify_replicas::run(cluster, std::env::vars()),
        Some(Command::CheckConfig) | None => {}
    }
    let config = match Config::load(&arguments.config, std::env::vars()) {
        Ok(config) => config,
        Err(error) => return fail(&error),
    };
    if let Some(Command::CheckConfig) = arguments.command {
        return ExitCode::SUCCESS;
    }
    match strata_node::run::run(config, &arguments.config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&*error),
    }
}

fn fail(error: &dyn std::error::Error) -> ExitCode {
    // There is nobody left to tell if this fails.
    let _ = writeln!(std::io::stderr(), "strata-node: {error}");
    ExitCode::FAILURE
}
