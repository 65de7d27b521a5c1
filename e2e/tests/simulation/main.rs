//! The simulation, seed by seed.
//!
//! `STRATA_SEED=… cargo test -p strata-e2e --test simulation` plays that seed instead of a random one. `STRATA_SEEDS=1000` plays so many
//! seeds after it. `make sim` plays many, and judges each of their histories; `make planted` breaks rules of the nodes, one by one.

mod schedules;
mod walk;

use std::{collections::BTreeSet, time::SystemTime};
use strata_e2e::{
    checker,
    failure::Failure,
    harness::sim::{Check, FINDER, Planted, Played, Run},
    say::say,
};

/// Seeds that are always played.
const SEEDS: std::ops::RangeInclusive<u64> = 1..=40;

/// Seeds that are always played beside a bucket.
const RESTORED_SEEDS: std::ops::RangeInclusive<u64> = 1..=20;

/// Seeds in which replicas are always compared by themselves, too.
const COMPARED_SEEDS: std::ops::RangeInclusive<u64> = 1..=10;

/// Seeds whose histories the checker outside judges.
const JUDGED: [u64; 5] = [4, 14, 19, 26, 27];

/// Seeds beside a bucket whose histories the checker outside judges.
const INHERITING: std::ops::RangeInclusive<u64> = 1..=4;

/// Seeds among which a planted mistake must show.
const PLANTED_SEEDS: std::ops::RangeInclusive<u64> = 1..=40;

/// A way to play a seed.
type Hold = fn(u64, Option<Planted>) -> Result<Played, Failure>;

/// Plays a seed, and says how to play it again if it fails, even by a panic.
fn hold(seed: u64, planted: Option<Planted>) -> Result<Played, Failure> {
    played(&Run::of(seed, false, planted), &format!("again: STRATA_SEED={seed} cargo test -p strata-e2e --test simulation"))
}

/// Plays a seed beside a bucket, likewise.
fn hold_restores(seed: u64, planted: Option<Planted>) -> Result<Played, Failure> {
    played(&Run::of(seed, true, planted), &format!("again: STRATA_SEED={seed} cargo test -p strata-e2e --test simulation lost"))
}

fn played(run: &Run, again: &str) -> Result<Played, Failure> {
    run.play().map_err(|violation| Failure::broken(format!("{violation}\n{again}")))
}

fn number(name: &str) -> Result<Option<u64>, Failure> {
    let Ok(text) = std::env::var(name) else { return Ok(None) };
    text.parse().map(Some).map_err(Failure::of(format!("take {text:?} in {name} for a number")))
}

#[test]
fn fixed_seeds_keep_every_promise() -> Result<(), Failure> {
    for seed in SEEDS {
        hold(seed, None)?;
    }
    Ok(())
}

#[test]
fn a_new_seed_keeps_every_promise() -> Result<(), Failure> {
    let now = SystemTime::UNIX_EPOCH.elapsed().map_or(1, |since| since.as_nanos() as u64);
    let first = number("STRATA_SEED")?.unwrap_or(now);
    let count = number("STRATA_SEEDS")?.unwrap_or(1);
    say(format!("simulation: seed {first}"));
    let mut failures = Vec::new();
    for nth in 0..count {
        let seed = first.wrapping_add(nth);
        match hold(seed, None) {
            Ok(played) if nth == 0 => say(format!("simulation: seed {seed} holds: {}", played.summary)),
            Ok(_) => {}
            Err(failure) => {
                say(format!("simulation: seed {seed} fails: {failure}"));
                failures.push(seed);
            }
        }
    }
    Failure::unless(failures.is_empty(), || format!("these seeds fail: {failures:?}"))
}

#[test]
fn what_is_lost_comes_back_from_the_bucket() -> Result<(), Failure> {
    let first = number("STRATA_SEED")?;
    let count = number("STRATA_SEEDS")?.unwrap_or(1);
    for seed in RESTORED_SEEDS.chain(first.into_iter().flat_map(|first| (0..count).map(move |nth| first.wrapping_add(nth)))) {
        let played = hold_restores(seed, None)?;
        if Some(seed) == first {
            say(format!("simulation: seed {seed} holds beside a bucket: {}", played.summary));
        }
    }
    Ok(())
}

#[test]
fn a_life_goes_on_from_what_the_one_before_left() -> Result<(), Failure> {
    let mut gone_on = 0;
    for seed in INHERITING {
        let played = hold_restores(seed, None)?;
        judge(seed, &played)?;
        let operations = played.history.operations();
        let found: BTreeSet<&String> = operations.iter().filter(|one| one.client == FINDER).map(|one| &one.key).collect();
        gone_on += operations.iter().filter(|one| one.client != FINDER && found.contains(&one.key)).count();
    }
    say(format!("simulation: {gone_on} commands on keys of earlier lives"));
    Failure::unless(gone_on > 200, || format!("only {gone_on} commands on keys of earlier lives"))
}

#[test]
fn replicas_tell_the_same_of_the_same_entry() -> Result<(), Failure> {
    let mut agreed = 0;
    for seed in COMPARED_SEEDS {
        let mut run = Run::of(seed, false, None);
        run.options.compares = true;
        agreed += played(&run, &format!("again: seed {seed} of comparisons"))?.counts.agreed;
    }
    say(format!("simulation: two replicas told the same {agreed} times"));
    Failure::unless(agreed > 100, || format!("only {agreed} times did two replicas tell of the same entry"))
}

#[test]
fn one_seed_is_one_run() -> Result<(), Failure> {
    for (hold, seed) in [(hold as Hold, 3), (hold, 23), (hold_restores, 5), (hold_restores, 11)] {
        let (first, second) = (hold(seed, None)?, hold(seed, None)?);
        assert_eq!((first.trace, first.summary), (second.trace, second.summary), "seed {seed}");
    }
    Ok(())
}

#[test]
fn histories_are_linearizable() -> Result<(), Failure> {
    for seed in JUDGED {
        judge(seed, &hold(seed, None)?)?;
    }
    Ok(())
}

fn judge(seed: u64, played: &Played) -> Result<(), Failure> {
    let folder = tempfile::tempdir().map_err(Failure::of("make a folder"))?;
    let path = folder.path().join("history.jsonl");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::of("start a runtime"))?;
    let verdict = runtime.block_on(checker::linearizable(&played.history, &path));
    verdict.map_err(|failure| failure.and(&format!("seed {seed}: {}", played.summary)))
}

/// Holds the checks to their promise: a mistake planted into the simulated world does not stay unnoticed, and is called what it is.
fn must_notice(planted: Planted, signs: &[&str]) -> Result<(), Failure> {
    let noticed: Vec<String> =
        PLANTED_SEEDS.filter_map(|seed| hold(seed, Some(planted)).err()).map(|failure| failure.to_string()).collect();
    let is_named = noticed.iter().any(|text| signs.iter().any(|sign| text.contains(sign)));
    Failure::unless(is_named, || format!("{planted:?} was planted, and no seed of {PLANTED_SEEDS:?} said {signs:?}, but {noticed:?}"))
}

#[test]
fn a_disk_that_forgets_is_noticed() -> Result<(), Failure> {
    must_notice(Planted::ForgetfulLog, &["its last acknowledged write is", "of at least", "held Content"])
}

#[test]
fn commands_that_are_done_twice_are_noticed() -> Result<(), Failure> {
    must_notice(Planted::CommandsTwice, &["and should be at least"])
}

#[test]
fn refusals_that_are_believed_are_noticed() -> Result<(), Failure> {
    must_notice(Planted::RefusalsBelieved, &["its last acknowledged write is"])
}

#[test]
fn leases_that_are_read_by_late_are_noticed() -> Result<(), Failure> {
    must_notice(Planted::LateClocks, &["by its lease of term"])
}

#[test]
fn replicas_that_differ_are_noticed() -> Result<(), Failure> {
    must_notice(Planted::StrayRecord, &["held Content"])
}

#[test]
fn promises_that_the_bucket_does_not_keep_are_noticed() -> Result<(), Failure> {
    let noticed = RESTORED_SEEDS.filter_map(|seed| hold_restores(seed, Some(Planted::PromisesTooMuch)).err());
    let is_named = noticed.map(|failure| failure.to_string()).any(|text| text.contains("was promised"));
    Failure::unless(is_named, || "an archive that promised too much was believed".to_owned())
}

#[test]
fn reads_of_the_past_are_noticed() -> Result<(), Failure> {
    for seed in JUDGED {
        // Most are seen where they happen, by the account; what passes there is for the checker outside.
        if let Err(failure) = hold(seed, Some(Planted::StaleReads)).and_then(|played| judge(seed, &played)) {
            let text = failure.to_string();
            let is_violation = text.starts_with(Check::Account.name()) || text.contains("is not linearizable");
            return Failure::unless(is_violation, || format!("a violation should have been seen: {failure}"));
        }
    }
    Err(Failure::broken("reads of the past were believed"))
}
