//! `strata-sim`: what `make sim` and `make planted` run. See `strata_e2e::campaign`.

use clap::{Parser, Subcommand};
use std::{process::ExitCode, time::SystemTime};
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
        #[arg(long)]
        seed_base: Option<u64>,
        /// How many are played at once.
        #[arg(long, default_value_t = 2)]
        threads: usize,
    },
    /// Plays one seed, and tells what it was.
    Tell {
        /// The seed.
        #[arg(long)]
        seed: u64,
        /// A mistake to plant.
        #[arg(long, value_parser = mistake)]
        planted: Option<Planted>,
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
        #[arg(long, default_value_t = 1)]
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

fn main() -> Result<ExitCode, Failure> {
    let is_well = match Arguments::parse().what {
        What::Run { seeds, seed_base, threads } => {
            let by_clock = || SystemTime::UNIX_EPOCH.elapsed().map_or(1, |since| since.as_nanos() as u64);
            campaign::run(Seeds { first: seed_base.unwrap_or_else(by_clock), count: seeds, threads })?
        }
        What::Tell { seed, planted } => campaign::tell(seed, planted)?,
        What::Planted { mistakes, seeds, at_least, seed_base, threads } => {
            let mistakes = if mistakes.is_empty() { Planted::all() } else { mistakes };
            campaign::planted(&mistakes, at_least.unwrap_or(mistakes.len()), Seeds { first: seed_base, count: seeds, threads })?
        }
    };
    Ok(if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
