//! Every durable step, one by one: a process ends just before it, or just after it, starts again, and every promise is kept.
//!
//! The steps are listed by the code that does them ([`Step`]): one that is new fails here until a process comes to it.

use strata_e2e::{
    failure::Failure,
    harness::sim::{Fault, Run, Step, TimedFault},
    say::say,
};

/// Processes that must end at each side of each step.
const ENDS: usize = 3;

/// Seeds within which so many must have come to it.
const SEEDS: std::ops::RangeInclusive<u64> = 1..=60;

/// How long a process is gone, in microseconds.
const GONE_MICROS: u64 = 30_000;

/// A run with a bucket and its losses, in which every node in its turn ends when it comes to a step, before the losses and amid each restore.
fn run_with_ends(seed: u64, step: Step, is_done: bool) -> Run {
    let mut run = Run::of(seed, true, None);
    let nodes = run.options.nodes;
    let ends = |from: u64, to: u64| {
        let end = move |node| Fault::EndAt { node, step, is_done, micros: GONE_MICROS };
        (0..nodes).map(move |node| TimedFault { at_micros: from + (to - from) * node as u64 / nodes as u64, fault: end(node) })
    };
    // Where clocks are far off, a majority of the others must be there, or time is wrong for all.
    run.faults.retain(|timed| !matches!(timed.fault, Fault::SkewClock { .. }));
    run.faults.extend(ends(0, run.options.trouble_micros));
    run.losses.iter_mut().for_each(|loss| loss.faults.extend(ends(0, 1_000_000)));
    run
}

/// Plays seeds until enough processes came to a step; how many seeds that took.
fn walk(step: Step, is_done: bool) -> Result<u64, Failure> {
    let side = if is_done { "after" } else { "before" };
    let mut ended = 0;
    for seed in SEEDS {
        let played = run_with_ends(seed, step, is_done).play();
        let played = played.map_err(|violation| Failure::broken(format!("seed {seed}, ends {side} it {}: {violation}", step.text())))?;
        ended += played.ends.iter().filter(|end| **end == (step, is_done)).count();
        if ended >= ENDS {
            return Ok(seed);
        }
    }
    Err(Failure::broken(format!("within {SEEDS:?} only {ended} processes ended {side} one {}", step.text())))
}

fn walk_all(is_done: bool) -> Result<(), Failure> {
    let mut failures = Vec::new();
    for step in Step::ALL {
        match walk(*step, is_done) {
            Ok(seeds) => say(format!("walk: step={step:?} done={is_done} seeds={seeds}")),
            Err(failure) => failures.push(failure.to_string()),
        }
    }
    Failure::unless(failures.is_empty(), || failures.join("\n"))
}

#[test]
fn who_ends_before_any_durable_step_keeps_every_promise() -> Result<(), Failure> {
    walk_all(false)
}

#[test]
fn who_ends_after_any_durable_step_keeps_every_promise() -> Result<(), Failure> {
    walk_all(true)
}
