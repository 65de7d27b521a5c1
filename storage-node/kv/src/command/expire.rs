//! `EXPIRE key seconds [NX | XX | GT | LT]`: gives a key a time to live; 1 where it was set.
//!
//! PEXPIRE, EXPIREAT and PEXPIREAT differ in the [`Deadline`] they read. A deadline that has passed removes the key.

use super::{Keys, Run, Spec, Split};
use crate::{ErrorReply, Failure, Reply, View, error::shown, limits, number};
use bytes::Bytes;

/// The row of EXPIRE.
pub static SPEC: Spec = Spec {
    name: "expire",
    arity: -3,
    flags: &["write", "fast"],
    keys: Keys::ONE,
    run: Run::Keyed { evaluate: |arguments, view| expire(arguments, Deadline::after(Unit::Seconds), view, "expire"), split: Split::Refuse },
    group: "generic",
    since: "1.0.0",
    summary: "Gives a key a time to live in seconds.",
    subcommands: &[],
};

/// The unit of a time argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// Thousands of milliseconds.
    Seconds,
    /// What is stored.
    Milliseconds,
}

/// How a command writes the moment when a key expires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Deadline {
    unit: Unit,
    is_relative: bool,
}

impl Deadline {
    /// A span from now.
    pub(super) const fn after(unit: Unit) -> Deadline {
        Deadline { unit, is_relative: true }
    }

    /// A time since the Unix epoch.
    pub(super) const fn at(unit: Unit) -> Deadline {
        Deadline { unit, is_relative: false }
    }

    /// Reads the argument of a command that refuses what is not positive (SET, GETEX, SETEX); milliseconds since the Unix epoch.
    pub(super) fn parse_positive(self, argument: &[u8], now_ms: u64, command: &str) -> Result<u64, ErrorReply> {
        let number = number::parse_integer(argument).ok_or(ErrorReply::NOT_AN_INTEGER)?;
        if number <= 0 {
            return Err(ErrorReply::invalid_expire(command));
        }
        let expire_ms = self.resolve(number, now_ms).ok_or_else(|| ErrorReply::invalid_expire(command))?;
        Ok(expire_ms.max(0) as u64)
    }

    /// Milliseconds since the Unix epoch, negative ones before it; `None` where that leaves the 64-bit range.
    fn resolve(self, number: i64, now_ms: u64) -> Option<i64> {
        let millis = match self.unit {
            Unit::Seconds => number.checked_mul(1_000)?,
            Unit::Milliseconds => number,
        };
        if self.is_relative { millis.checked_add(i64::try_from(now_ms).ok()?) } else { Some(millis) }
    }
}

/// When to change the time to live. A key without one counts as living for ever.
#[derive(Clone, Copy, Debug, Default)]
struct Conditions {
    absent: bool,
    present: bool,
    greater: bool,
    less: bool,
}

impl Conditions {
    fn parse(words: &[Bytes]) -> Result<Conditions, ErrorReply> {
        let mut given = Conditions::default();
        for word in words {
            match word.to_ascii_uppercase().as_slice() {
                b"NX" => given.absent = true,
                b"XX" => given.present = true,
                b"GT" => given.greater = true,
                b"LT" => given.less = true,
                _ => return Err(ErrorReply::new(format!("ERR Unsupported option {}", shown(word, limits::SHOWN_BYTES_MAX)))),
            }
        }
        if given.absent && (given.present || given.greater || given.less) {
            return Err(ErrorReply::fixed("ERR NX and XX, GT or LT options at the same time are not compatible"));
        }
        if given.greater && given.less {
            return Err(ErrorReply::fixed("ERR GT and LT options at the same time are not compatible"));
        }
        Ok(given)
    }

    fn are_met(self, old: Option<u64>, new: i64) -> bool {
        let new = u64::try_from(new).unwrap_or(0);
        !(self.absent && old.is_some()
            || self.present && old.is_none()
            || self.greater && old.is_none_or(|old| new <= old)
            || self.less && old.is_some_and(|old| new >= old))
    }
}

/// Evaluates the four commands of this family; `command` is named in errors.
pub(super) fn expire(arguments: &[Bytes], deadline: Deadline, view: &mut View<'_>, command: &str) -> Result<Reply, Failure> {
    let key = &arguments[1];
    let conditions = Conditions::parse(&arguments[3..])?;
    let number = number::parse_integer(&arguments[2]).ok_or(ErrorReply::NOT_AN_INTEGER)?;
    let expire_ms = deadline.resolve(number, view.now_ms()).ok_or_else(|| ErrorReply::invalid_expire(command))?;
    let Some(record) = view.load(key)? else { return Ok(Reply::Integer(0)) };
    if !conditions.are_met(record.expire_ms, expire_ms) {
        return Ok(Reply::Integer(0));
    }
    match u64::try_from(expire_ms) {
        Ok(expire_ms) if expire_ms > view.now_ms() => view.put_expiry(key, record, Some(expire_ms))?,
        _ => {
            view.delete(key)?;
        }
    }
    Ok(Reply::Integer(1))
}
