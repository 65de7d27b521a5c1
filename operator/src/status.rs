//! What all statuses share: conditions that remember when they changed, and problems that remember since when.

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
use strata_crds::{Condition, ErrorClass, KVBackup, KVObjectStore, KVRestore, Problem};

/// An object with conditions, whose changes are told.
pub trait Told {
    /// What is said of it now.
    fn conditions(&self) -> &[Condition];
}

impl Told for KVObjectStore {
    fn conditions(&self) -> &[Condition] {
        self.status.as_ref().map_or(&[], |status| &status.conditions)
    }
}

impl Told for KVBackup {
    fn conditions(&self) -> &[Condition] {
        self.status.as_ref().map_or(&[], |status| &status.conditions)
    }
}

impl Told for KVRestore {
    fn conditions(&self) -> &[Condition] {
        self.status.as_ref().map_or(&[], |status| &status.conditions)
    }
}

/// The first condition that is said otherwise than before: an event tells of it, once.
pub fn news<'a>(before: &[Condition], now: &'a [Condition]) -> Option<&'a Condition> {
    let is_same = |now: &&Condition| {
        let before = before.iter().find(|before| before.type_ == now.type_);
        before.is_some_and(|before| (&before.status, &before.reason) == (&now.status, &now.reason))
    };
    now.iter().find(|now| !is_same(now))
}

/// What is said of an object.
#[derive(Clone, Debug)]
pub struct Change {
    /// The time of the pass.
    pub now: Timestamp,
    /// The generation of the spec that it is said of.
    pub generation: Option<i64>,
    /// One word: a class of problems, or a phase.
    pub reason: String,
    /// A sentence.
    pub message: String,
}

/// A condition; one that holds as before keeps its time.
pub fn condition(before: &[Condition], change: &Change, kind: &str, holds: bool) -> Condition {
    let value = if holds { "True" } else { "False" };
    let before = before.iter().find(|condition| condition.type_ == kind && condition.status == value);
    Condition {
        type_: kind.to_owned(),
        status: value.to_owned(),
        reason: change.reason.clone(),
        message: change.message.clone(),
        last_transition_time: before.map_or(Time(change.now), |before| before.last_transition_time.clone()),
        observed_generation: change.generation,
    }
}

/// A job's problem; one of the same class keeps its beginning.
pub fn problem(now: Timestamp, before: Option<&Problem>, class: ErrorClass, message: String, retryable: bool) -> Problem {
    let before = before.filter(|before| before.class == class);
    let since = before.map_or(Time(now), |before| before.since.clone());
    // What is merely seen again is no attempt: a status that changed at every pass would call for the next pass at once.
    Problem { class, message, retryable, since, attempts: before.map_or(1, |before| before.attempts) }
}
