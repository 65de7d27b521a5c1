//! Many seeds of the simulation: a run over new ones, and the proof that each planted mistake is found.
//!
//! ```text
//!  seeds ──► threads, a seed at a time ──► play ──► tally, or a violation with its seed
//! ```
//!
//! What a seed plays follows from the seed alone ([`Story::of`]), so `SEED=…` repeats it. One seed in twenty is played twice, and must be the same run.

use crate::{
    checker,
    failure::Failure,
    harness::sim::{Check, Counts, Planted, Played, Violation, play, play_restores},
    say::say,
};
use std::{
    any::Any,
    collections::BTreeMap,
    panic::{self, AssertUnwindSafe, catch_unwind},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

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

    /// Plays it. A panic of a host is a violation like any other.
    pub fn play(self, seed: u64, planted: Option<Planted>) -> Result<Played, Violation> {
        let played = catch_unwind(AssertUnwindSafe(|| match self {
            Story::Trouble => play(seed, planted),
            Story::Loss => play_restores(seed, planted),
        }));
        played.unwrap_or_else(|payload| Err(Check::Host.says(format!("it panicked: {}", message_of(payload.as_ref())))))
    }
}

fn message_of(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a message")
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
}

/// What a run has seen.
#[derive(Default)]
struct Tally {
    counts: Vec<Counts>,
    violations: Vec<(u64, Violation)>,
}

fn median(of: impl Iterator<Item = u64>) -> u64 {
    let mut sorted: Vec<u64> = of.collect();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied().unwrap_or(0)
}

/// Plays new seeds, judges every history, and says what was seen. Whether no promise was broken.
pub fn run(seeds: Seeds) -> Result<bool, Failure> {
    silence_panics();
    checker::prepare()?;
    let Seeds { first, count, .. } = seeds;
    say(format!("sim: seeds {first} to {}", first.wrapping_add(count - 1)));
    let (tally, begun) = (Mutex::new(Tally::default()), Instant::now());
    let told = Mutex::new(begun);
    let folder = tempfile::tempdir().map_err(Failure::of("make a folder for histories"))?;
    let done = over(seeds, |seed| {
        let outcome = Story::of(seed).play(seed, None).and_then(|played| judge(seed, played, folder.path()));
        let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
        match outcome {
            Ok(counts) => tally.counts.push(counts),
            Err(violation) => {
                say(format!("sim: seed {seed} breaks a promise: {violation}\nsim: again by: make sim SEED={seed}"));
                tally.violations.push((seed, violation));
            }
        }
        let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.elapsed() >= PROGRESS {
            *told = Instant::now();
            let (played, violations) = (tally.counts.len(), tally.violations.len());
            say(format!("sim: {played} of {count} seeds hold, {violations} do not; {} s", begun.elapsed().as_secs()));
        }
        tally.violations.len() < VIOLATIONS_MAX
    })?;
    let tally = tally.into_inner().unwrap_or_else(PoisonError::into_inner);
    let rate = done as f64 * 3_600.0 / begun.elapsed().as_secs_f64();
    let of = |figure: fn(&Counts) -> u64| median(tally.counts.iter().map(figure));
    say(format!(
        "sim: seeds={done} violations={} seeds_per_hour={rate:.0} ops_median={} faults_median={} leader_changes_median={} restores={}",
        tally.violations.len(),
        of(|counts| counts.operations),
        of(|counts| counts.faults),
        of(|counts| counts.leader_changes),
        tally.counts.iter().map(|counts| counts.restores).sum::<u64>(),
    ));
    if done < count {
        say(format!("sim: ended early; the rest by: make sim SEED_BASE={} SEEDS={}", first.wrapping_add(done), count - done));
    }
    Ok(tally.violations.is_empty())
}

/// What is left to judge once a seed has ended well: its history, and now and then that it is the same run again.
fn judge(seed: u64, played: Played, folder: &std::path::Path) -> Result<Counts, Violation> {
    if seed.is_multiple_of(PLAYED_TWICE) {
        let again = Story::of(seed).play(seed, None)?;
        if again.trace != played.trace {
            return Err(Check::Host.says("the same seed was another run"));
        }
    }
    is_linearizable(seed, &played, folder)?;
    Ok(played.counts)
}

fn is_linearizable(seed: u64, played: &Played, folder: &std::path::Path) -> Result<(), Violation> {
    if played.counts.operations == 0 {
        return Ok(());
    }
    let path = folder.join(format!("{seed}.jsonl"));
    let verdict = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::of("start a runtime"));
    let verdict = verdict.and_then(|runtime| runtime.block_on(checker::linearizable(&played.history, &path)));
    verdict.map_err(|failure| Check::Linearizability.says(failure.to_string()))?;
    // What was judged is of no more use; a folder that cannot be emptied is none of the seed's.
    drop(std::fs::remove_file(&path));
    drop(std::fs::remove_file(path.with_extension("verdict")));
    Ok(())
}

/// Plays one seed and tells it. Whether it holds.
pub fn tell(seed: u64, planted: Option<Planted>) -> Result<bool, Failure> {
    checker::prepare()?;
    let story = Story::for_mistake(planted, seed);
    say(format!("sim: seed {seed}, {story:?}"));
    let folder = tempfile::tempdir().map_err(Failure::of("make a folder for a history"))?;
    let outcome = story.play(seed, planted);
    let outcome = outcome.and_then(|played| is_linearizable(seed, &played, folder.path()).map(|()| played));
    match &outcome {
        Ok(played) => say(format!("sim: seed {seed} holds: {}", played.summary)),
        Err(violation) => say(format!("sim: seed {seed} breaks a promise: {violation}")),
    }
    Ok(outcome.is_ok())
}

/// Looks for every planted mistake, and plays the same seeds without any as a control. Whether at least so many were found, and nothing else.
pub fn planted(mistakes: &[Planted], at_least: usize, seeds: Seeds) -> Result<bool, Failure> {
    silence_panics();
    checker::prepare()?;
    let mut found = Vec::new();
    for mistake in mistakes {
        found.push(find(*mistake, seeds)?);
    }
    let control = control(seeds.first, found.iter().flatten().copied().max().unwrap_or(1), seeds.threads)?;
    let (sought, hit) = (found.len(), found.iter().flatten().count());
    let middle = median(found.iter().flatten().copied());
    say(format!("planted: mistakes={sought} found={hit} seeds_median={middle} control_violations={control}"));
    Ok(hit >= at_least && control == 0)
}

/// How many seeds it took to find a mistake, if it was found.
fn find(mistake: Planted, seeds: Seeds) -> Result<Option<u64>, Failure> {
    let begun = Instant::now();
    let folder = tempfile::tempdir().map_err(Failure::of("make a folder for histories"))?;
    let finds: Mutex<BTreeMap<u64, Check>> = Mutex::default();
    over(seeds, |seed| {
        let outcome = Story::for_mistake(Some(mistake), seed)
            .play(seed, Some(mistake))
            .and_then(|played| is_linearizable(seed, &played, folder.path()));
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
fn control(first: u64, count: u64, threads: usize) -> Result<u64, Failure> {
    let folder = tempfile::tempdir().map_err(Failure::of("make a folder for histories"))?;
    let violations = AtomicU64::new(0);
    over(Seeds { first, count, threads }, |seed| {
        for story in [Story::Trouble, Story::Loss] {
            let outcome = story.play(seed, None).and_then(|played| is_linearizable(seed, &played, folder.path()));
            if let Err(violation) = outcome {
                violations.fetch_add(1, Ordering::Relaxed);
                say(format!("planted: seed {seed}, {story:?}, breaks a promise with nothing planted: {violation}"));
            }
        }
        true
    })?;
    Ok(violations.into_inner())
}

/// Calls `play` for one seed after the other, on several threads, until it says that it is enough. How many were played.
fn over(seeds: Seeds, play: impl Fn(u64) -> bool + Sync) -> Result<u64, Failure> {
    let (next, done, is_over) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
    let work = || {
        while !is_over.load(Ordering::Relaxed) {
            let nth = next.fetch_add(1, Ordering::Relaxed);
            if nth >= seeds.count {
                break;
            }
            if !play(seeds.first.wrapping_add(nth)) {
                is_over.store(true, Ordering::Relaxed);
            }
            done.fetch_add(1, Ordering::Relaxed);
        }
    };
    thread::scope(|scope| {
        let begin = |nth: usize| thread::Builder::new().name(format!("seeds-{nth}")).spawn_scoped(scope, work);
        (0..seeds.threads.max(1)).map(begin).collect::<Result<Vec<_>, _>>().map(drop)
    })
    .map_err(Failure::of("start a thread"))?;
    Ok(done.into_inner())
}

/// A host that panics is a find, whose message comes with it.
fn silence_panics() {
    panic::set_hook(Box::new(|_| {}));
}
