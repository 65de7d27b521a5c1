//! `strata-sim`: what `make sim` and `make planted` run. See `strata_e2e::campaign`.

use clap::{Parser, Subcommand};
use std::{env, path::PathBuf, process::ExitCode, time::SystemTime};
use strata_e2e::{
    campaign::{self, Seeds},
    failure::Failure,
    harness::sim::Planted,
};

/// The whole cluster in a seeded simulation, judged by checkers that can fail.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Plays seeds, and ends with one line of figures.
    Run {
        /// How many seeds.
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
        seeds: u64,
        /// The first one; without it, one that follows from the clock.
        #[arg(long, value_parser = seed)]
        seed_base: Option<u64>,
        /// How many are played at once.
        #[arg(long, default_value_t = 2)]
        threads: usize,
        /// Have operators look after the cluster in every seed.
        #[arg(long)]
        operators: bool,
        /// Where schedules of runs that break a promise are written.
        #[arg(long, default_value_os_t = schedules())]
        keep: PathBuf,
    },
    /// Plays one seed, and tells what breaks in it and what came of it.
    Tell {
        /// The seed.
        #[arg(long, value_parser = seed)]
        seed: u64,
        /// A mistake to plant.
        #[arg(long, value_parser = mistake)]
        planted: Option<Planted>,
        /// Have operators look after the cluster.
        #[arg(long)]
        operators: bool,
        /// Where the schedule is written if it breaks a promise.
        #[arg(long, default_value_os_t = schedules())]
        keep: PathBuf,
    },
    /// Plays a schedule's file, and says whether it is as the file says.
    Replay {
        /// The file.
        schedule: PathBuf,
    },
    /// Looks for every planted mistake; fails when one is not found.
    Planted {
        /// The mistakes; all of them if none is named.
        #[arg(value_parser = mistake)]
        mistakes: Vec<Planted>,
        /// The seeds that may be tried for each.
        #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..))]
        seeds: u64,
        /// How many of the mistakes must be found; without it, all.
        #[arg(long)]
        at_least: Option<usize>,
        /// The first one.
        #[arg(long, default_value_t = 1, value_parser = seed)]
        seed_base: u64,
        /// How many are played at once.
        #[arg(long, default_value_t = 2)]
        threads: usize,
    },
}

fn mistake(name: &str) -> Result<Planted, String> {
    let all = Planted::all();
    let names = || all.iter().map(|mistake| mistake.name()).collect::<Vec<_>>().join(", ");
    all.iter().find(|mistake| mistake.name() == name).copied().ok_or_else(|| format!("choose one of {}", names()))
}

fn seed(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("a seed is a whole number from 0 to {}; take one that a run printed", u64::MAX))
}

/// Beside what else is built and kept, or where temporary files go.
fn schedules() -> PathBuf {
    env::var_os("STRATA_CACHE").map_or_else(env::temp_dir, PathBuf::from).join("schedules")
}

fn main() -> Result<ExitCode, Failure> {
    let is_well = match Arguments::parse().what {
        What::Run { seeds, seed_base, threads, operators, keep } => {
            let by_clock = || SystemTime::UNIX_EPOCH.elapsed().map_or(1, |since| since.as_nanos() as u64);
            let first = seed_base.unwrap_or_else(by_clock);
            campaign::run(Seeds { first, count: seeds, threads, by_operators: operators }, &keep)?
        }
        What::Tell { seed, planted, operators, keep } => campaign::tell(seed, planted, operators, &keep)?,
        What::Replay { schedule } => campaign::replay(&schedule)?,
        What::Planted { mistakes, seeds, at_least, seed_base, threads } => {
            let mistakes = if mistakes.is_empty() { Planted::all() } else { mistakes };
            let seeds = Seeds { first: seed_base, count: seeds, threads, by_operators: false };
            campaign::planted(&mistakes, at_least.unwrap_or(mistakes.len()), seeds)?
        }
    };
    Ok(if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
