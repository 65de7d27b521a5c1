//! Many seeds of the simulation: a run over new ones, and the proof that each planted mistake is found.
//!
//! ```text
//!  seeds ──► threads, a seed at a time ──► play ──► tally
//!                                            └────► a violation ──► made smaller ──► told, and kept as a schedule's file
//! ```
//!
//! What a seed plays follows from the seed alone ([`Story::of`]), so `SEED=…` repeats it. One seed in twenty is played twice, and must be the same run.

mod kept;

pub use kept::{Shelf, replay, schedules, stands, tell};

use crate::{
    checker,
    failure::Failure,
    harness::sim::{Check, Counts, Planted, Played, Run, Violation},
    say::say,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    panic,
    path::Path,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};
use strata_base::planted::CAN_PLANT;

/// One seed of so many is played a second time.
const PLAYED_TWICE: u64 = 20;

/// One seed of so many loses every disk and is restored.
const RESTORED: u64 = 6;

/// How often a run says how far it is.
const PROGRESS: Duration = Duration::from_secs(30);

/// How many violations a run shows before it ends.
const VIOLATIONS_MAX: usize = 10;

/// What a seed plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Story {
    /// Trouble, and the end of it.
    Trouble,
    /// Trouble beside a bucket, then the loss of every disk, and restores.
    Loss,
}

impl Story {
    /// The story of a seed.
    pub fn of(seed: u64) -> Story {
        if seed.is_multiple_of(RESTORED) { Story::Loss } else { Story::Trouble }
    }

    /// The story in which a mistake can show.
    fn for_mistake(mistake: Option<Planted>, seed: u64) -> Story {
        if mistake.is_some_and(Planted::needs_bucket) { Story::Loss } else { Story::of(seed) }
    }

    /// What is played.
    pub fn run(self, seed: u64, planted: Option<Planted>) -> Run {
        if planted.is_some_and(Planted::needs_operators) {
            return self.by_operators(seed, planted);
        }
        Run::of(seed, self == Story::Loss, planted)
    }

    /// Likewise, and operators look after the cluster in any case.
    fn by_operators(self, seed: u64, planted: Option<Planted>) -> Run {
        Run::by_operators(seed, self == Story::Loss, planted)
    }
}

/// Which seeds, on how many threads.
#[derive(Clone, Copy, Debug)]
pub struct Seeds {
    /// The first.
    pub first: u64,
    /// How many.
    pub count: u64,
    /// How many are played at once.
    pub threads: usize,
    /// Whether operators look after the cluster in all of them, and not only where the seed says so.
    pub by_operators: bool,
}

/// What a run has seen.
#[derive(Default)]
struct Tally {
    counts: Vec<Counts>,
    violations: usize,
    told: Option<Instant>,
}

fn median(of: impl Iterator<Item = u64>) -> u64 {
    let mut sorted: Vec<u64> = of.collect();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied().unwrap_or(0)
}

/// Plays new seeds, judges every history, and says what was seen; schedules of what was found are written below `keep`. Whether no promise was
/// broken.
pub fn run(seeds: Seeds, keep: &Path) -> Result<bool, Failure> {
    silence_panics();
    checker::prepare()?;
    let Seeds { first, count, by_operators, .. } = seeds;
    let operators = if by_operators { " OPERATORS=1" } else { "" };
    say(format!("sim: SEED_BASE={first} SEEDS={count}{operators}"));
    let (tally, pace, begun) = (Mutex::new(Tally::default()), Pace::new(seeds), Instant::now());
    let folder = tempfile::tempdir().map_err(Failure::of("make a folder for histories"))?;
    pace.over(|seed| {
        let story = Story::of(seed);
        let run = if by_operators { story.by_operators(seed, None) } else { story.run(seed, None) };
        let outcome = judge_seed(seed, &run, folder.path());
        if let Err(violation) = &outcome {
            say(format!("sim: seed {seed} breaks a promise: {violation}\nsim: again by: make sim SEED={seed}{operators}"));
            kept::make_smaller(&run, violation, &format!("seed-{seed}"), keep, folder.path());
        }
        let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
        match outcome {
            Ok(counts) => tally.counts.push(counts),
            Err(_) => tally.violations += 1,
        }
        if tally.told.unwrap_or(begun).elapsed() >= PROGRESS {
            tally.told = Some(Instant::now());
            let (played, violations, rest) = (tally.counts.len(), tally.violations, pace.rest());
            let seconds = begun.elapsed().as_secs();
            say(format!("sim: {played} of {count} seeds hold, {violations} do not; {seconds} s; from here on: {rest}"));
        }
        tally.violations < VIOLATIONS_MAX
    })?;
    let tally = tally.into_inner().unwrap_or_else(PoisonError::into_inner);
    let done = pace.done();
    if done < count {
        say(format!("sim: ended early; the rest by: {}", pace.rest()));
    }
    let rate = done as f64 * 3_600.0 / begun.elapsed().as_secs_f64();
    let of = |figure: fn(&Counts) -> u64| median(tally.counts.iter().map(figure));
    say(format!("sim: SEED_BASE={first} SEEDS={count}{operators}"));
    say(format!(
        "sim: seeds={done} violations={} seeds_per_hour={rate:.0} ops_median={} faults_median={} leader_changes_median={} restores={}",
        tally.violations,
        of(|counts| counts.operations),
        of(|counts| counts.faults),
        of(|counts| counts.leader_changes),
        tally.counts.iter().map(|counts| counts.restores).sum::<u64>(),
    ));
    Ok(tally.violations == 0)
}

/// Plays a seed and judges what it leaves: its history, and now and then that it is the same run again.
fn judge_seed(seed: u64, run: &Run, folder: &Path) -> Result<Counts, Violation> {
    let played = run.play()?;
    if seed.is_multiple_of(PLAYED_TWICE) && run.play()?.trace != played.trace {
        return Err(Check::Host.says("the same seed was another run"));
    }
    is_linearizable(&format!("{seed}"), &played, folder)?;
    Ok(played.counts)
}

/// Plays a run, and judges its history. Histories are called by name, so that several can be judged at once.
fn judge(name: &str, run: &Run, folder: &Path) -> Result<Played, Violation> {
    let played = run.play()?;
    is_linearizable(name, &played, folder)?;
    Ok(played)
}

fn is_linearizable(name: &str, played: &Played, folder: &Path) -> Result<(), Violation> {
    if played.counts.operations == 0 {
        return Ok(());
    }
    let path = folder.join(format!("{name}.jsonl"));
    let verdict = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::of("start a runtime"));
    let verdict = verdict.and_then(|runtime| runtime.block_on(checker::linearizable(&played.history, &path)));
    verdict.map_err(|failure| Check::Linearizability.says(failure.to_string()))?;
    // What was judged is of no more use; a folder that cannot be emptied is none of the seed's.
    drop(std::fs::remove_file(&path));
    drop(std::fs::remove_file(path.with_extension("verdict")));
    Ok(())
}

/// Looks for every planted mistake, plays the same seeds without any as a control, and plays the schedules that were kept for mistakes of the nodes.
/// Whether at least so many were found, nothing else, and what was kept is as it says.
pub fn planted(mistakes: &[Planted], at_least: usize, seeds: Seeds) -> Result<bool, Failure> {
    silence_panics();
    checker::prepare()?;
    let mut found = Vec::new();
    for mistake in mistakes {
        found.push(find(*mistake, seeds)?);
    }
    let control = control(Seeds { count: found.iter().flatten().copied().max().unwrap_or(1), ..seeds })?;
    let (sought, hit) = (found.len(), found.iter().flatten().count());
    let middle = median(found.iter().flatten().copied());
    let are_kept_well = !CAN_PLANT || kept::rules_stand()?;
    say(format!("planted: mistakes={sought} found={hit} seeds_median={middle} control_violations={control}"));
    Ok(hit >= at_least && control == 0 && are_kept_well)
}

/// How many seeds it took to find a mistake, if it was found.
fn find(mistake: Planted, seeds: Seeds) -> Result<Option<u64>, Failure> {
    let begun = Instant::now();
    let folder = tempfile::tempdir().map_err(Failure::of("make a folder for histories"))?;
    let finds: Mutex<BTreeMap<u64, Check>> = Mutex::default();
    Pace::new(seeds).over(|seed| {
        let run = Story::for_mistake(Some(mistake), seed).run(seed, Some(mistake));
        let outcome = judge(&format!("{seed}"), &run, folder.path());
        let mut finds = finds.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(violation) = outcome {
            finds.insert(seed.wrapping_sub(seeds.first) + 1, violation.check);
        }
        finds.is_empty()
    })?;
    let finds = finds.into_inner().unwrap_or_else(PoisonError::into_inner);
    let (name, seconds) = (mistake.name(), begun.elapsed().as_secs_f64());
    match finds.first_key_value() {
        Some((nth, check)) => say(format!("planted {name} found=yes checker={} seeds={nth} seconds={seconds:.1}", check.name())),
        None => say(format!("planted {name} found=no checker=none seeds={} seconds={seconds:.1}", seeds.count)),
    }
    Ok(finds.first_key_value().map(|(nth, _)| *nth))
}

/// How many of the same seeds break a promise when nothing is planted.
fn control(seeds: Seeds) -> Result<u64, Failure> {
    let folder = tempfile::tempdir().map_err(Failure::of("make a folder for histories"))?;
    let violations = AtomicU64::new(0);
    Pace::new(seeds).over(|seed| {
        for story in [Story::Trouble, Story::Loss] {
            if let Err(violation) = judge(&format!("{seed}"), &story.run(seed, None), folder.path()) {
                violations.fetch_add(1, Ordering::Relaxed);
                say(format!("planted: seed {seed}, {story:?}, breaks a promise with nothing planted: {violation}"));
            }
        }
        true
    })?;
    Ok(violations.into_inner())
}

/// How far a run over seeds is.
struct Pace {
    seeds: Seeds,
    place: Mutex<PlaceInSeeds>,
}

#[derive(Default)]
struct PlaceInSeeds {
    /// How many were begun.
    begun: u64,
    /// Those that are being played, counted from the first.
    playing: BTreeSet<u64>,
}

impl Pace {
    fn new(seeds: Seeds) -> Pace {
        Pace { seeds, place: Mutex::default() }
    }

    fn place(&self) -> MutexGuard<'_, PlaceInSeeds> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls `play` for one seed after the other, on several threads, until it says that it is enough.
    fn over(&self, play: impl Fn(u64) -> bool + Sync) -> Result<(), Failure> {
        let is_over = AtomicBool::new(false);
        let work = || {
            while !is_over.load(Ordering::Relaxed) {
                let Some(nth) = self.begin() else { break };
                if !play(self.seeds.first.wrapping_add(nth)) {
                    is_over.store(true, Ordering::Relaxed);
                }
                self.place().playing.remove(&nth);
            }
        };
        thread::scope(|scope| {
            let begin = |nth: usize| thread::Builder::new().name(format!("seeds-{nth}")).spawn_scoped(scope, work);
            (0..self.seeds.threads.max(1)).map(begin).collect::<Result<Vec<_>, _>>().map(drop)
        })
        .map_err(Failure::of("start a thread"))
    }

    fn begin(&self) -> Option<u64> {
        let mut place = self.place();
        let nth = place.begun;
        if nth >= self.seeds.count {
            return None;
        }
        place.begun += 1;
        place.playing.insert(nth);
        Some(nth)
    }

    /// How many were played to their end.
    fn done(&self) -> u64 {
        let place = self.place();
        place.begun - place.playing.len() as u64
    }

    /// What plays the seeds that are not played yet, as `make` takes it.
    fn rest(&self) -> String {
        let place = self.place();
        let done = place.playing.first().copied().unwrap_or(place.begun);
        let operators = if self.seeds.by_operators { " OPERATORS=1" } else { "" };
        format!("make sim SEED_BASE={} SEEDS={}{operators}", self.seeds.first.wrapping_add(done), self.seeds.count - done)
    }
}

/// A host that panics is a find, whose message comes with it.
fn silence_panics() {
    panic::set_hook(Box::new(|_| {}));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_interrupted_goes_on_where_a_seed_was_not_played_to_its_end() {
        let pace = Pace::new(Seeds { first: 100, count: 10, threads: 2, by_operators: false });
        assert_eq!(pace.rest(), "make sim SEED_BASE=100 SEEDS=10");
        assert_eq!((pace.begin(), pace.begin(), pace.begin()), (Some(0), Some(1), Some(2)));
        pace.place().playing.remove(&0);
        pace.place().playing.remove(&2);
        assert_eq!((pace.done(), pace.rest()), (2, "make sim SEED_BASE=101 SEEDS=9".to_owned()), "the second one is being played");
    }

    #[test]
    fn each_seed_is_played_once() -> Result<(), Failure> {
        let (pace, played) = (Pace::new(Seeds { first: u64::MAX, count: 50, threads: 2, by_operators: false }), Mutex::new(Vec::new()));
        pace.over(|seed| {
            played.lock().unwrap_or_else(PoisonError::into_inner).push(seed);
            true
        })?;
        let mut played = played.into_inner().unwrap_or_else(PoisonError::into_inner);
        played.sort_unstable();
        assert_eq!((pace.done(), played), (50, (0..49).chain([u64::MAX]).collect::<Vec<u64>>()));
        Ok(())
    }
}
