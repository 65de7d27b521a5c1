//! `strata-siege`: what `make siege` runs. See `strata_e2e::siege`.

use clap::Parser;
use std::{process::ExitCode, time::SystemTime};
use strata_e2e::{
    failure::Failure,
    siege::{self, Mistake, Wish, kubernetes, namespace},
};

/// Real processes on real disks, or a real Kubernetes, under all faults, judged by checkers that can fail.
#[derive(Debug, Parser)]
struct Arguments {
    /// What the schedule and the clients' choices follow from; without it, one that follows from the clock.
    #[arg(long)]
    seed: Option<u64>,
    /// How long it lasts, in minutes: 30 without this, or 20 on a Kubernetes.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=1_440))]
    minutes: Option<u64>,
    /// How long it lasts, in seconds, for a short one.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: Option<u64>,
    /// A mistake to plant, which the judges must find.
    #[arg(long, value_parser = mistake)]
    planted: Option<Mistake>,
    /// Besiege a cluster on a Kubernetes, in a lab of its own.
    #[arg(long)]
    kubernetes: bool,
    /// Only print the schedule.
    #[arg(long)]
    schedule: bool,
    /// Play: within the namespaces, where this program starts itself.
    #[arg(long, hide = true)]
    inside: bool,
    /// Play: within the network of this lab, where this program starts itself.
    #[arg(long, hide = true)]
    lab: Option<String>,
}

fn mistake(name: &str) -> Result<Mistake, String> {
    let names = || Mistake::ALL.iter().map(|mistake| mistake.name()).collect::<Vec<_>>().join(", ");
    Mistake::ALL.into_iter().find(|mistake| mistake.name() == name).ok_or_else(|| format!("choose one of {}", names()))
}

fn main() -> Result<ExitCode, Failure> {
    let Arguments { seed, minutes, seconds, planted, kubernetes: is_kubernetes, schedule, inside, lab } = Arguments::parse();
    let seed = seed.unwrap_or_else(|| SystemTime::UNIX_EPOCH.elapsed().map_or(1, |since| since.as_nanos() as u64));
    let minutes = minutes.unwrap_or(if is_kubernetes { 20 } else { 30 });
    let wish = Wish { seed, seconds: seconds.unwrap_or(minutes * 60), planted };
    if schedule {
        if is_kubernetes {
            kubernetes::say_schedule(&wish)
        } else {
            wish.say_schedule()
        }
        return Ok(ExitCode::SUCCESS);
    }
    let mut arguments = vec![format!("--seed={seed}"), format!("--seconds={}", wish.seconds)];
    arguments.extend(planted.map(|mistake| format!("--planted={}", mistake.name())));
    if is_kubernetes {
        if planted == Some(Mistake::FsyncOff) {
            return Err(Failure::Lacking("a lab's disks are folders of one disk: fsync-off is planted in a siege of processes".to_owned()));
        }
        arguments.push("--kubernetes".to_owned());
        return ended(play(async {
            match lab {
                Some(lab) => kubernetes::run(&wish, &lab).await,
                None => kubernetes::raise(&wish, &arguments).await,
            }
        })?);
    }
    let lack = if inside { None } else { namespace::is_possible().err() };
    if inside || lack.is_some() {
        return ended(play(siege::run(&wish, lack))?);
    }
    siege::prepare()?;
    arguments.push("--inside".to_owned());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    ended(runtime.map_err(Failure::of("start a runtime"))?.block_on(namespace::enter(&arguments))?.success())
}

fn play(siege: impl Future<Output = Result<bool, Failure>>) -> Result<bool, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build();
    runtime.map_err(Failure::of("start a runtime"))?.block_on(siege)
}

fn ended(is_well: bool) -> Result<ExitCode, Failure> {
    Ok(if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
