//! The account of what clients were told of keys whose content can be told from it: counters, and keys that one client alone writes.
//!
//! Every reply is held to it at once, so that a violation is seen where it happens; all of it is read again in the end. Whatever may have happened
//! without an answer may show, and need not.

use crate::history::{Call, Fate};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// What was said of one counter.
#[derive(Clone, Debug, Default)]
struct Tally {
    /// Increments that were given to a node, so often as they were.
    given: i64,
    acknowledged: i64,
    unknown: i64,
    /// What increments returned.
    seen: BTreeSet<i64>,
}

/// What was said of a key that one client writes.
#[derive(Clone, Debug, Default)]
struct Own {
    acknowledged: Option<String>,
    /// Writes that may have happened, now or later.
    perhaps: BTreeSet<String>,
    /// What reads saw that were answered before the write right before them: it, and that write.
    early: Vec<(Option<String>, String)>,
}

/// What the reply to a command must say, as far as the account knows when it is given.
#[derive(Clone, Debug, Default)]
pub(super) enum Expected {
    /// Anything.
    #[default]
    Any,
    /// More than this, or at least this for a plain read.
    AtLeast(i64),
    /// What was acknowledged last before.
    Last(Option<String>),
    /// What the write right before it in the same pipeline wrote, if that is acknowledged.
    Pipelined(String),
}

/// Everything that clients were told.
#[derive(Default)]
pub(super) struct Account {
    tallies: BTreeMap<String, Tally>,
    owns: BTreeMap<String, Own>,
}

fn is_own(key: &str) -> bool {
    key.starts_with("own:")
}

fn is_counter(key: &str) -> bool {
    key.starts_with("counter:")
}

impl Account {
    /// A life begins with a value of a key.
    pub(super) fn begin(&mut self, key: &str, value: &str) {
        if is_counter(key) {
            let number = value.parse().unwrap_or_default();
            self.tallies.insert(key.to_owned(), Tally { given: number, acknowledged: number, ..Tally::default() });
        }
        if is_own(key) {
            self.owns.insert(key.to_owned(), Own { acknowledged: Some(value.to_owned()), ..Own::default() });
        }
    }

    /// A command is given to a node: what its reply must say. `before` are the commands of the same pipeline that come before it.
    pub(super) fn expect(&mut self, key: &str, call: &Call, before: &[(String, Call)]) -> Expected {
        if is_counter(key) {
            let tally = self.tallies.entry(key.to_owned()).or_default();
            tally.given += i64::from(call.name == "incr");
            return Expected::AtLeast(tally.acknowledged);
        }
        if !is_own(key) || call.name != "get" {
            return Expected::Any;
        }
        let earlier = before.iter().rev().find(|(other, call)| other == key && call.name == "set");
        match earlier.and_then(|(_, set)| set.arguments.first()) {
            Some(written) => Expected::Pipelined(written.clone()),
            None => Expected::Last(self.owns.get(key).and_then(|own| own.acknowledged.clone())),
        }
    }

    /// Takes down what became of a command, and says what is wrong with it.
    pub(super) fn settle(&mut self, key: &str, call: &Call, expected: &Expected, fate: &Fate) -> Result<(), String> {
        let judged = self.judge(key, call, expected, fate);
        if is_counter(key) && call.name == "incr" {
            let tally = self.tallies.entry(key.to_owned()).or_default();
            tally.acknowledged += i64::from(matches!(fate, Fate::Ok(_)));
            tally.unknown += i64::from(*fate == Fate::Unknown);
        }
        if is_own(key) && call.name == "set" {
            let own = self.owns.entry(key.to_owned()).or_default();
            match fate {
                Fate::Ok(_) => {
                    own.acknowledged = call.arguments.first().cloned();
                    let early = std::mem::take(&mut own.early);
                    let mut of_this = early.into_iter().filter(|(_, written)| own.acknowledged.as_ref() == Some(written));
                    of_this.try_for_each(|(seen, written)| own.holds(key, seen.as_deref(), Some(&written)))?;
                }
                Fate::Unknown => own.perhaps.extend(call.arguments.first().cloned()),
                Fate::Failed => {}
            }
        }
        judged
    }

    fn judge(&mut self, key: &str, call: &Call, expected: &Expected, fate: &Fate) -> Result<(), String> {
        let Fate::Ok(value) = fate else { return Ok(()) };
        match expected {
            Expected::Any => Ok(()),
            Expected::AtLeast(floor) => {
                let tally = self.tallies.entry(key.to_owned()).or_default();
                let number = number(value).ok_or_else(|| format!("{} {key} said {value}, which is no number", call.name))?;
                let is_increment = call.name == "incr";
                if is_increment && !tally.seen.insert(number) {
                    return Err(format!("two increments of {key} returned {number}"));
                }
                let least = floor + i64::from(is_increment);
                if number < least || number > tally.given {
                    let given = tally.given;
                    return Err(format!("{} {key} said {number}, of at least {least} and at most {given} increments", call.name));
                }
                Ok(())
            }
            Expected::Last(last) => self.owns.entry(key.to_owned()).or_default().holds(key, value.as_str(), last.as_deref()),
            Expected::Pipelined(written) => {
                let own = self.owns.entry(key.to_owned()).or_default();
                if own.acknowledged.as_ref() == Some(written) {
                    return own.holds(key, value.as_str(), Some(written));
                }
                own.early.push((value.as_str().map(str::to_owned), written.clone()));
                Ok(())
            }
        }
    }

    /// All keys of which something is known.
    pub(super) fn keys(&self) -> impl Iterator<Item = &String> {
        self.tallies.keys().chain(self.owns.keys())
    }

    /// Holds the last reply for each key to what was promised.
    pub(super) fn judge_last_looks(&self, last: &BTreeMap<&str, &Value>) -> Result<(), String> {
        for (key, tally) in &self.tallies {
            let seen = last.get(key.as_str()).map_or(Some(0), |value| number(value));
            let seen = seen.ok_or_else(|| format!("{key} is no number"))?;
            if seen < tally.acknowledged || seen > tally.acknowledged + tally.unknown {
                return Err(format!("{key} is {seen}, and should be at least {}, plus up to {}", tally.acknowledged, tally.unknown));
            }
        }
        for (key, own) in &self.owns {
            own.holds(key, last.get(key.as_str()).and_then(|value| value.as_str()), own.acknowledged.as_deref())?;
        }
        Ok(())
    }
}

impl Own {
    /// Whether a read may have seen this after `last` was acknowledged.
    fn holds(&self, key: &str, seen: Option<&str>, last: Option<&str>) -> Result<(), String> {
        if seen == last || seen.is_some_and(|seen| self.perhaps.contains(seen)) {
            return Ok(());
        }
        Err(format!("{key} is {seen:?}, its last acknowledged write is {last:?}"))
    }
}

/// A reply as a number; of nothing, zero.
fn number(value: &Value) -> Option<i64> {
    match value {
        Value::Null => Some(0),
        Value::String(text) => text.parse().ok(),
        other => other.as_i64(),
    }
}
