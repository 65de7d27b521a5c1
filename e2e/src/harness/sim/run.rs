//! A run, whole: options, faults, losses and the seed of all other draws; and the file that keeps one.
//!
//! A seed names a run only as long as the draws stay what they are. A schedule's file names it by what it is: it is JSON, its `version` is
//! [`VERSION`], and `strata-sim replay FILE` plays it.

use super::{
    Check, Played, Simulation, Violation, damage,
    limits::{FAULTS_MAX, LOSSES_MAX, SEEDS_MAX},
    operator_faults,
    options::{ArchiveBound, LONG_PLEDGE_MILLIS, Options},
    planted::Planted,
    scenes,
    schedule::{Loss, TimedFault, draw_faults, draw_losses},
};
use crate::failure::Failure;
use fastrand::Rng;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{fmt::Write, path::Path};

/// One seed of so many has its replicas compared, again and again.
const COMPARED: u8 = 8;

/// The version of schedules' files. Another one begins where a file of this one would be played differently than it was meant.
pub const VERSION: &str = "strata-sim/1";

/// Everything that a run follows from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// What it is kept for, in a sentence.
    pub about: String,
    /// The mistake that is made on purpose, by its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub planted: Option<Planted>,
    /// The check that must find it. Without one, every promise must be kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expects: Option<Check>,
    /// The seed of every draw that is neither an option nor a fault.
    pub seed: u64,
    /// How many seeds are played, from `seed` on: what is expected must be found by one of them, and promises must be kept in all. More than one
    /// keeps a file worth something when other draws change.
    #[serde(default = "one_seed", skip_serializing_if = "is_one_seed")]
    pub seeds: u64,
    /// Where it is played.
    pub options: Options,
    /// What breaks until the trouble ends, by its moment.
    pub faults: Vec<TimedFault>,
    /// Losses of everything, one after the other.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub losses: Vec<Loss>,
}

fn one_seed() -> u64 {
    1
}

fn is_one_seed(seeds: &u64) -> bool {
    *seeds == 1
}

/// A file: the version first.
#[derive(Serialize)]
struct Written<'a> {
    version: &'static str,
    #[serde(flatten)]
    run: &'a Run,
}

impl Run {
    /// The run that a seed stands for: options, faults and the rest are drawn from streams of their own.
    pub fn of(seed: u64, has_bucket: bool, planted: Option<Planted>) -> Run {
        Run::drawn(seed, has_bucket, planted, false)
    }

    /// Likewise, and operators look after the cluster in any case.
    pub fn by_operators(seed: u64, has_bucket: bool, planted: Option<Planted>) -> Run {
        Run::drawn(seed, has_bucket, planted, true)
    }

    fn drawn(seed: u64, has_bucket: bool, planted: Option<Planted>, by_operators: bool) -> Run {
        let mut root = Rng::with_seed(seed);
        let (mut of_options, mut of_faults, mut of_losses) = (root.fork(), root.fork(), root.fork());
        let (mut options, swarm) = Options::draw(has_bucket, &mut of_options);
        if let Some(leases) = planted.and_then(Planted::needs_leases) {
            (options.leases, options.pledge_millis) = (leases, LONG_PLEDGE_MILLIS);
        }
        let (draws, mut of_operator) = (root.u64(..), root.fork());
        let operated = operator_faults::draw(&mut options, by_operators, &mut of_operator);
        let mut faults = draw_faults(&options, &swarm, &mut of_faults);
        let losses = if has_bucket { draw_losses(&options, &swarm, &mut of_losses) } else { Vec::new() };
        faults.extend(operated);
        faults.extend(damage::draw(&options, &swarm, &mut root.fork()));
        scenes::stage(&options, &swarm, &mut faults, &mut root.fork());
        options.compares = root.u8(..COMPARED) == 0;
        options.archive_bound = ArchiveBound::draw(&mut root).filter(|_| has_bucket);
        faults.sort_by_key(|timed| timed.at_micros);
        Run { about: format!("drawn from seed {seed}"), planted, expects: None, seed: draws, seeds: 1, options, faults, losses }
    }

    /// Plays it once, with the first of its seeds.
    pub fn play(&self) -> Result<Played, Violation> {
        self.play_and_tell().0
    }

    /// Likewise; and what happened, a sentence a line.
    pub fn play_and_tell(&self) -> (Result<Played, Violation>, String) {
        Simulation::new(self).run()
    }

    /// The same run with other draws: those of its `nth` seed.
    #[must_use]
    pub fn nth(&self, nth: u64) -> Run {
        Run { seed: self.seed.wrapping_add(nth), ..self.clone() }
    }

    /// How many faults it has, those amid restores among them.
    pub fn faults(&self) -> usize {
        self.faults.len() + self.losses.iter().map(|loss| loss.all_faults().count()).sum::<usize>()
    }

    /// All faults, losses included, in sentences: a line each.
    pub fn log(&self) -> String {
        let Options { nodes, replicas, shards, clients, trouble_micros, .. } = self.options;
        let mut out =
            format!("{nodes} nodes, {replicas} replicas, {shards} shards, {clients} clients, {} ms of trouble", trouble_micros / 1_000);
        if let Some(planted) = self.planted {
            write!(out, "; planted: {}", planted.name()).expect("text takes what is written to it");
        }
        for fault in &self.faults {
            write!(out, "\n  {fault}").expect("text takes what is written to it");
        }
        for (nth, loss) in self.losses.iter().enumerate() {
            let nth = nth + 1;
            write!(out, "\n  loss {nth}: every disk is lost, and the bucket is restored").expect("text takes what is written to it");
            for fault in &loss.faults {
                write!(out, "\n  {fault}").expect("text takes what is written to it");
            }
            if let Some(work) = &loss.work {
                write!(out, "\n  clients work for {} ms with what was restored", work.micros / 1_000)
                    .expect("text takes what is written to it");
                for fault in &work.faults {
                    write!(out, "\n  {fault}").expect("text takes what is written to it");
                }
            }
            if loss.old_owner_returns {
                write!(out, "\n  the lost incarnation claims its path once more").expect("text takes what is written to it");
            }
            if let Some(micros) = loss.next_after_micros {
                write!(out, "\n  {} ms later, amid the restore:", micros / 1_000).expect("text takes what is written to it");
            }
        }
        out
    }

    /// The text of its file.
    pub fn encode(&self) -> String {
        let written = Written { version: VERSION, run: self };
        let text = serde_json::to_string_pretty(&written).expect("a run is plain data with names for keys");
        format!("{text}\n")
    }

    /// Reads the text of a file. The error is a sentence that says what is wrong and what to do.
    pub fn decode(text: &str) -> Result<Run, String> {
        let unreadable =
            |error: serde_json::Error| format!("it cannot be parsed ({error}); mend it, or write it anew with `strata-sim tell`");
        let mut value: Value = serde_json::from_str(text).map_err(unreadable)?;
        let version = value.as_object_mut().and_then(|fields| fields.remove("version"));
        match version.as_ref().and_then(Value::as_str) {
            Some(VERSION) => {}
            Some(other) => {
                return Err(format!(
                    "it is of version {other:?}, and this program plays {VERSION:?}; play it with the program that wrote it, or write it anew with \
                     `strata-sim tell`"
                ));
            }
            None => return Err(format!("it names no version, so it is no schedule; one begins with \"version\": {VERSION:?}")),
        }
        let run: Run = serde_json::from_value(value).map_err(unreadable)?;
        run.check().map_err(|reason| format!("it cannot be played, since {reason}; mend it"))?;
        Ok(run)
    }

    /// Reads a file.
    pub fn read(path: &Path) -> Result<Run, Failure> {
        let failure = Failure::of::<String>(format!("play the schedule {}", path.display()));
        match std::fs::read_to_string(path) {
            Ok(text) => Run::decode(&text).map_err(failure),
            Err(error) => Err(failure(format!("it cannot be read ({error}); name a file that `strata-sim tell` wrote"))),
        }
    }

    /// Whether it can be played.
    fn check(&self) -> Result<(), String> {
        self.options.check()?;
        let within = |is_within: bool, sentence: &str| if is_within { Ok(()) } else { Err(sentence.to_owned()) };
        within((1..=SEEDS_MAX).contains(&self.seeds), &format!("seeds is not between 1 and {SEEDS_MAX}"))?;
        within(self.faults() <= FAULTS_MAX, &format!("it has more than {FAULTS_MAX} faults"))?;
        within(self.losses.len() <= LOSSES_MAX, &format!("it has more than {LOSSES_MAX} losses"))?;
        within(self.losses.is_empty() || self.options.store.is_some(), "everything is lost and there is no store to restore from")?;
        let amid = self.losses.iter().flat_map(Loss::all_faults);
        self.faults.iter().chain(amid).try_for_each(|timed| timed.fault.check(&self.options))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_holds_all_of_a_run() {
        for seed in 1..=50 {
            for has_bucket in [false, true] {
                let run = Run::of(seed, has_bucket, Some(Planted::ForgetfulLog));
                assert_eq!(Run::decode(&run.encode()), Ok(run), "seed {seed}");
            }
        }
    }

    #[test]
    fn what_is_no_schedule_is_refused_in_a_sentence() {
        let text = Run::of(1, true, None).encode();
        let refused = |text: &str, sign: &str| {
            let sentence = Run::decode(text).expect_err("it cannot be played");
            assert!(sentence.contains(sign) && !sentence.contains('\n'), "{sentence}");
        };
        refused("no JSON", "it cannot be parsed");
        refused("[]", "it names no version");
        refused(&text.replace(VERSION, "strata-sim/2"), "it is of version \"strata-sim/2\", and this program plays");
        refused(&text.replace("\"seed\"", "\"sneed\""), "unknown field `sneed`");
        refused(&text.replace("\"clients\": ", "\"clients\": 1"), "clients are not between");
        refused(&text.replace("\"about\"", "\"planted\": \"nothing\", \"about\""), "there is no mistake called");
        let mut stray = Run::of(1, true, None);
        stray.options.nodes = 3;
        stray.options.replicas = 3;
        stray.faults[0].fault = super::super::schedule::Fault::Stall { node: 3, micros: 1 };
        refused(&stray.encode(), "names a node or a shard that is not there");
    }

    #[test]
    fn one_fault_less_leaves_the_others_as_they_were() {
        let run = Run::of(7, true, None);
        let again = Run::of(7, true, Some(Planted::StaleReads));
        assert_eq!((&run.options, &run.faults, run.seed), (&again.options, &again.faults, again.seed));
        assert!(run.log().lines().count() > run.faults(), "{}", run.log());
    }
}
