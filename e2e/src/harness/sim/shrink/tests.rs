use super::*;
use crate::harness::sim::{Check, schedule::Fault};

/// A run that is found by what it holds, without being played.
fn found(at_micros: u64) -> Violation {
    Violation { at_micros: Some(at_micros), ..Check::Account.says("it is wrong") }
}

fn crashes_of_first(run: &Run) -> Vec<u64> {
    let of_first = |timed: &&TimedFault| matches!(timed.fault, Fault::Crash { node: 0, .. });
    run.faults.iter().filter(of_first).map(|timed| timed.at_micros).collect()
}

/// The first seed whose faults suffice.
fn run_with(suffices: impl Fn(&Run) -> bool) -> Run {
    let mut runs = (1..1_000).map(|seed| Run::of(seed, false, None));
    runs.find(|run| suffices(run)).expect("crashes of a node are no rarity")
}

#[test]
fn two_faults_of_many_are_left() {
    // It takes two crashes of the first node, and is seen at the second one.
    let play = |run: &Run| crashes_of_first(run).get(1).map(|at| found(*at));
    let run = run_with(|run| run.faults.len() > 50 && crashes_of_first(run).len() > 4);
    let shrunk = shrink(&run, &play(&run).expect("it crashes twice"), play);
    assert_eq!((shrunk.run.faults.len(), crashes_of_first(&shrunk.run).len()), (2, 2), "{}", shrunk.run.log());
    let options = &shrunk.run.options;
    assert_eq!((options.nodes, options.replicas, options.shards, options.clients), (3, 3, 1, 1));
    assert_eq!(options.trouble_micros, shrunk.violation.at_micros.expect("it was seen") + 1, "what came after the find is gone");
    assert!(shrunk.attempts <= SHRINK_ATTEMPTS_MAX, "{} attempts", shrunk.attempts);
}

#[test]
fn another_promise_is_another_story() {
    let run = run_with(|run| run.faults.len() > 20);
    let play = |run: &Run| {
        let is_whole = run.faults.len() > 10;
        Some(if is_whole { found(30_000_000) } else { Check::Liveness.says("it hangs") })
    };
    let shrunk = shrink(&run, &found(30_000_000), play);
    assert_eq!((shrunk.run.faults.len(), shrunk.violation.check), (11, Check::Account));
}

#[test]
fn attempts_have_a_bound() {
    // A run that no attempt makes smaller, and one that every attempt does.
    let run = run_with(|run| run.faults.len() > 50);
    let stubborn = shrink(&run, &found(1), |_| None);
    assert_eq!(stubborn.run, run);
    let easy = shrink(&run, &found(1), |_| Some(found(1)));
    assert_eq!(easy.run.faults.len(), 0);
    assert!(stubborn.attempts.max(easy.attempts) <= SHRINK_ATTEMPTS_MAX);
}
