//! `strata-siege`: what `make siege` runs. See `strata_e2e::siege`.

use clap::Parser;
use std::{process::ExitCode, time::SystemTime};
use strata_e2e::{
    failure::Failure,
    siege::{self, Mistake, Wish, namespace},
};

/// Real processes on real disks under all faults, judged by checkers that can fail.
#[derive(Debug, Parser)]
struct Arguments {
    /// What the schedule and the clients' choices follow from; without it, one that follows from the clock.
    #[arg(long)]
    seed: Option<u64>,
    /// How long it lasts, in minutes.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=1_440))]
    minutes: u64,
    /// How long it lasts, in seconds, for a short one.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: Option<u64>,
    /// A mistake to plant, which the judges must find.
    #[arg(long, value_parser = mistake)]
    planted: Option<Mistake>,
    /// Only print the schedule.
    #[arg(long)]
    schedule: bool,
    /// Play: within the namespaces, where this program starts itself.
    #[arg(long, hide = true)]
    inside: bool,
}

fn mistake(name: &str) -> Result<Mistake, String> {
    let names = || Mistake::ALL.iter().map(|mistake| mistake.name()).collect::<Vec<_>>().join(", ");
    Mistake::ALL.into_iter().find(|mistake| mistake.name() == name).ok_or_else(|| format!("choose one of {}", names()))
}

fn main() -> Result<ExitCode, Failure> {
    let Arguments { seed, minutes, seconds, planted, schedule, inside } = Arguments::parse();
    let seed = seed.unwrap_or_else(|| SystemTime::UNIX_EPOCH.elapsed().map_or(1, |since| since.as_nanos() as u64));
    let wish = Wish { seed, seconds: seconds.unwrap_or(minutes * 60), planted };
    if schedule {
        wish.say_schedule();
        return Ok(ExitCode::SUCCESS);
    }
    let lack = if inside { None } else { namespace::is_possible().err() };
    if inside || lack.is_some() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build();
        let is_well = runtime.map_err(Failure::of("start a runtime"))?.block_on(siege::run(&wish, lack))?;
        return Ok(if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    siege::prepare()?;
    let mut arguments = vec!["--inside".to_owned(), format!("--seed={seed}"), format!("--seconds={}", wish.seconds)];
    arguments.extend(planted.map(|mistake| format!("--planted={}", mistake.name())));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let status = runtime.map_err(Failure::of("start a runtime"))?.block_on(namespace::enter(&arguments))?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
