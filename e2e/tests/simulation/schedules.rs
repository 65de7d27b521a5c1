//! Runs as plain data: those that are kept in `schedules/`, those that are made smaller, and what is no schedule.

use std::{fs, path::Path, process::Command};
use strata_e2e::{
    campaign::{Shelf, Story, schedules, stands},
    failure::Failure,
    harness::{
        node_process::target_directory,
        sim::{Check, Planted, Run, SHRINK_ATTEMPTS_MAX, shrink},
    },
};

/// Seeds among which a mistake shows that is made smaller.
const SEEDS: std::ops::RangeInclusive<u64> = 1..=40;

#[test]
fn kept_schedules_are_as_they_say() -> Result<(), Failure> {
    let paths = schedules(Shelf::World)?;
    for path in &paths {
        let verdict = stands(&Run::read(path)?)?;
        Failure::unless(verdict.is_ok(), || format!("{verdict:?}\nagain: make sim SCHEDULE={}", path.display()))?;
    }
    Failure::unless(paths.len() >= 2, || "the folder of kept schedules has nothing to play".to_owned())
}

/// A kept schedule that finds a mistake finds nothing without it, those that `make planted` plays among them.
#[test]
fn without_the_mistake_kept_schedules_keep_every_promise() -> Result<(), Failure> {
    for path in schedules(Shelf::World)?.into_iter().chain(schedules(Shelf::Rules)?) {
        let run = Run::read(&path)?;
        if run.planted.is_none() {
            continue;
        }
        let verdict = stands(&Run { planted: None, expects: None, ..run })?;
        Failure::unless(verdict.is_ok(), || format!("{} without its mistake: {verdict:?}", path.display()))?;
    }
    Ok(())
}

/// The first seed that notices a mistake is made smaller: far fewer faults, the same check, and nothing where the mistake is not made.
fn must_shrink(planted: Planted, most: usize) -> Result<(), Failure> {
    let story = if planted.needs_bucket() { Story::Loss } else { Story::Trouble };
    let mut runs = SEEDS.map(|seed| story.run(seed, Some(planted)));
    let found = runs.find_map(|run| run.play().err().map(|violation| (run, violation)));
    let (run, violation) = found.ok_or_else(|| Failure::broken(format!("{planted:?} was not noticed by any seed of {SEEDS:?}")))?;
    let shrunk = shrink(&run, &violation, |smaller| smaller.play().err());
    let told =
        || format!("of {} faults {} are left after {} attempts: {}", run.faults(), shrunk.run.faults(), shrunk.attempts, shrunk.run.log());
    assert!(shrunk.run.faults() <= most.min(run.faults()), "{}", told());
    assert!(shrunk.attempts <= SHRINK_ATTEMPTS_MAX, "{}", told());

    let read = Run::decode(&shrunk.run.encode()).map_err(Failure::broken)?;
    let again = read.play().err();
    assert_eq!(again.as_ref().map(|violation| violation.check), Some(violation.check), "{}", told());
    assert_eq!(again, Some(shrunk.violation.clone()), "the same schedule is the same run: {}", told());
    let control = Run { planted: None, ..read }.play().err();
    assert_eq!(control, None, "nothing is planted: {}", told());
    Ok(())
}

#[test]
fn a_forgetful_disk_needs_few_crashes() -> Result<(), Failure> {
    must_shrink(Planted::ForgetfulLog, 6)
}

#[test]
fn commands_that_are_done_twice_need_no_fault() -> Result<(), Failure> {
    must_shrink(Planted::CommandsTwice, 0)
}

#[test]
fn promises_that_are_too_large_need_one_loss() -> Result<(), Failure> {
    must_shrink(Planted::PromisesTooMuch, 2)
}

/// Runs `strata-sim`; what it says, and whether it ended well.
fn strata_sim(arguments: &[&str]) -> Result<(String, bool), Failure> {
    let program = target_directory()?.join("strata-sim");
    let output = Command::new(&program).args(arguments).output();
    let output = output.map_err(Failure::of(format!("run {}; cargo builds it beside this test", program.display())))?;
    Ok((String::from_utf8_lossy(&output.stderr).into_owned(), output.status.success()))
}

fn must_refuse(arguments: &[&str], sign: &str) -> Result<(), Failure> {
    let (said, is_well) = strata_sim(arguments)?;
    let sentence = || format!("strata-sim {arguments:?} ended {}, and said {said}", if is_well { "well" } else { "badly" });
    Failure::unless(!is_well && said.contains(sign) && said.trim().lines().count() <= 3, sentence)
}

fn written(folder: &Path, name: &str, text: &str) -> Result<String, Failure> {
    let path = folder.join(name);
    fs::write(&path, text).map_err(Failure::of("write a schedule"))?;
    Ok(path.to_string_lossy().into_owned())
}

#[test]
fn what_is_no_seed_and_what_is_no_schedule_is_refused_in_a_sentence() -> Result<(), Failure> {
    let folder = tempfile::tempdir().map_err(Failure::of("make a folder"))?;
    let text = Story::Trouble.run(1, None).encode();
    let later = written(folder.path(), "later.json", &text.replace("strata-sim/1", "strata-sim/2"))?;
    let torn = written(folder.path(), "torn.json", &text[..text.len() / 2])?;
    let absent = folder.path().join("absent.json").to_string_lossy().into_owned();
    must_refuse(&["tell", "--seed", "seven"], "a seed is a whole number from 0 to")?;
    must_refuse(&["run", "--seed-base", "12a"], "a seed is a whole number from 0 to")?;
    must_refuse(&["replay", &later], "it is of version \"strata-sim/2\", and this program plays \"strata-sim/1\"")?;
    must_refuse(&["replay", &torn], "it cannot be parsed")?;
    must_refuse(&["replay", &absent], "it cannot be read")
}

#[test]
fn a_schedule_is_played_from_its_file() -> Result<(), Failure> {
    let folder = tempfile::tempdir().map_err(Failure::of("make a folder"))?;
    let run = Story::Trouble.run(3, None);
    let path = written(folder.path(), "third.json", &run.encode())?;
    let (said, is_well) = strata_sim(&["replay", &path])?;
    Failure::unless(is_well && said.contains("every promise is kept") && said.contains(&run.log()), || said)
}

#[test]
fn a_mistake_is_told_made_smaller_and_kept() -> Result<(), Failure> {
    let folder = tempfile::tempdir().map_err(Failure::of("make a folder"))?;
    let planted = Planted::CommandsTwice;
    let is_noticed =
        |seed: &u64| Story::of(*seed).run(*seed, Some(planted)).play().is_err_and(|violation| violation.check == Check::Account);
    let mut seeds = SEEDS;
    let noticed = seeds.find(is_noticed);
    let seed = noticed.ok_or_else(|| Failure::broken("commands that are done twice were not noticed"))?;
    let keep = folder.path().to_string_lossy();
    let (said, is_well) = strata_sim(&["tell", "--seed", &seed.to_string(), "--planted", planted.name(), "--keep", &keep])?;
    let path = folder.path().join(format!("seed-{seed}-{}-account.json", planted.name()));
    let is_told = said.contains("was made smaller: ") && said.contains(&format!("make sim SCHEDULE={}", path.display()));
    Failure::unless(!is_well && is_told, || said)?;
    let (said, is_well) = strata_sim(&["replay", &path.to_string_lossy()])?;
    Failure::unless(is_well && said.contains("is as it says: seed 0 of it breaks account"), || said)
}
