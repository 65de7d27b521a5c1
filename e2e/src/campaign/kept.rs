//! One run at a time: a seed that is told, a run that is made smaller and kept, a schedule's file that is played again.

use super::{Story, is_linearizable, judge, silence_panics};
use crate::{
    checker,
    failure::Failure,
    harness::sim::{Check, Planted, Run, Violation, shrink},
    place::home,
    say::say,
};
use std::path::{Path, PathBuf};

/// Plays one seed and tells it: what breaks in it, and what came of it. A run that breaks a promise is made smaller and written below `keep`.
/// Whether it holds.
pub fn tell(seed: u64, planted: Option<Planted>, by_operators: bool, keep: &Path) -> Result<bool, Failure> {
    silence_panics();
    checker::prepare()?;
    let story = Story::for_mistake(planted, seed);
    let run = if by_operators { story.by_operators(seed, planted) } else { story.run(seed, planted) };
    say(format!("sim: seed {seed}, {story:?}: {}", run.log()));
    let folder = tempfile::tempdir().map_err(Failure::of("make a folder for a history"))?;
    let (outcome, journal) = run.play_and_tell();
    say(format!("sim: this happened:\n{journal}"));
    let outcome = outcome.and_then(|played| is_linearizable("told", &played, folder.path()).map(|()| played));
    match &outcome {
        Ok(played) => say(format!("sim: seed {seed} holds: {}", played.summary)),
        Err(violation) => {
            say(format!("sim: seed {seed} breaks a promise: {violation}"));
            make_smaller(&run, violation, &format!("seed-{seed}"), keep, folder.path());
            say(format!("sim: seed {seed} breaks a promise: {}", violation.check.name()));
        }
    }
    Ok(outcome.is_ok())
}

/// Makes a run that breaks a promise smaller, writes it below `keep`, and tells all of it.
pub(super) fn make_smaller(run: &Run, violation: &Violation, name: &str, keep: &Path, folder: &Path) {
    // The checker outside is asked only where it was the one that noticed.
    let is_of_history = violation.check == Check::Linearizability;
    let history = format!("{name}-smaller");
    let shrunk =
        shrink(run, violation, |smaller| if is_of_history { judge(&history, smaller, folder).err() } else { smaller.play().err() });
    let check = shrunk.violation.check.name();
    let (left, all, attempts) = (shrunk.run.faults(), run.faults(), shrunk.attempts);
    say(format!("sim: {name} was made smaller: {left} of {all} faults, {attempts} attempts; it still breaks {}", shrunk.violation));
    say(format!("sim: {}", shrunk.run.log()));
    say(format!("sim: this happened:\n{}", shrunk.run.play_and_tell().1));
    let first_line = shrunk.violation.sentence.lines().next().unwrap_or_default().to_owned();
    // With a mistake in it, the check must go on finding it; without one, the promise must be kept once it is mended.
    let expects = run.planted.map(|_| shrunk.violation.check);
    let kept = Run { about: format!("{name}, made smaller; found by {check}: {first_line}"), expects, ..shrunk.run };
    let planted = run.planted.map_or(String::new(), |planted| format!("-{}", planted.name()));
    let path = keep.join(format!("{name}{planted}-{check}.json"));
    match write(&kept, &path) {
        Ok(()) => {
            let build =
                if run.planted.is_some_and(|planted| !planted.is_of_world()) { ", built with --features strata-e2e/planted" } else { "" };
            say(format!("sim: written to {}; again by: make sim SCHEDULE={}{build}", path.display(), path.display()));
        }
        Err(failure) => say(format!("sim: {failure}; it is:\n{}", kept.encode())),
    }
}

/// Writes a run, and reads it again: what cannot be played is worth nothing.
fn write(run: &Run, path: &Path) -> Result<(), Failure> {
    let folder = path.parent().map(PathBuf::from).unwrap_or_default();
    std::fs::create_dir_all(&folder).map_err(Failure::of(format!("make the folder {}", folder.display())))?;
    std::fs::write(path, run.encode()).map_err(Failure::of(format!("write {}", path.display())))?;
    let read = Run::read(path)?;
    Failure::unless(read == *run, || format!("{} holds another run than was written", path.display()))
}

/// Plays a schedule's file. Whether it is as the file says.
pub fn replay(path: &Path) -> Result<bool, Failure> {
    silence_panics();
    let run = Run::read(path)?;
    checker::prepare()?;
    say(format!("sim: {}: {}", path.display(), run.about));
    say(format!("sim: {}", run.log()));
    let stands = stands(&run)?;
    match &stands {
        Ok(sentence) => say(format!("sim: {} is as it says: {sentence}", path.display())),
        Err(sentence) => say(format!("sim: {} is not as it says: {sentence}", path.display())),
    }
    Ok(stands.is_ok())
}

/// Where schedules are kept: those that any build can play, and below, those that break a rule of the nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shelf {
    /// Those that any build can play.
    World,
    /// Those that only builds with the feature `planted` can play.
    Rules,
}

/// The files of the schedules that are kept, in the order of their names.
pub fn schedules(shelf: Shelf) -> Result<Vec<PathBuf>, Failure> {
    let world = home().join("tests/simulation/schedules");
    let folder = if shelf == Shelf::World { world } else { world.join("rules") };
    let listed = std::fs::read_dir(&folder).map_err(Failure::of(format!("list {}", folder.display())))?;
    let paths: Result<Vec<PathBuf>, std::io::Error> = listed.map(|entry| entry.map(|entry| entry.path())).collect();
    let mut paths = paths.map_err(Failure::of(format!("list {}", folder.display())))?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    paths.sort();
    Ok(paths)
}

/// Plays the kept schedules that break a rule of the nodes. Whether all are as they say.
pub(super) fn rules_stand() -> Result<bool, Failure> {
    let (paths, mut well) = (schedules(Shelf::Rules)?, 0);
    for path in &paths {
        match stands(&Run::read(path)?)? {
            Ok(_) => well += 1,
            Err(sentence) => say(format!("planted: {}: {sentence}", path.display())),
        }
    }
    say(format!("planted: schedules={} as_they_say={well}", paths.len()));
    Ok(well == paths.len())
}

/// Whether a kept run is as it says: with all of its seeds promises are kept, or with one of them the check finds what it shall find. Both are told
/// in a sentence. A failure where it cannot be played.
pub fn stands(run: &Run) -> Result<Result<String, String>, Failure> {
    if let Some(planted) = run.planted.filter(|planted| !planted.can_be_made()) {
        let name = planted.name();
        return Err(Failure::Lacking(format!("this build cannot break the rule {name}: build it with --features strata-e2e/planted")));
    }
    let folder = tempfile::tempdir().map_err(Failure::of("make a folder for histories"))?;
    let (mut held, mut others) = (String::new(), Vec::new());
    for nth in 0..run.seeds {
        let outcome = judge("kept", &run.nth(nth), folder.path());
        match (outcome, run.expects) {
            (Ok(played), _) => held = played.summary,
            (Err(violation), Some(check)) if violation.check == check => return Ok(Ok(format!("seed {nth} of it breaks {violation}"))),
            (Err(violation), Some(_)) => others.push(violation.to_string()),
            (Err(violation), None) => return Ok(Err(format!("seed {nth} of it breaks a promise: {violation}"))),
        }
    }
    Ok(match run.expects {
        None => Ok(format!("every promise is kept: {held}")),
        Some(check) => Err(format!("{} found nothing in {} seeds; the others said {others:?}", check.name(), run.seeds)),
    })
}
