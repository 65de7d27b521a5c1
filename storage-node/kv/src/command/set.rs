//! `SET key value [NX | XX] [GET] [EX seconds | PX milliseconds | EXAT unix-seconds | PXAT unix-milliseconds | KEEPTTL]`
//!
//! Makes a key hold a string, whatever it held before. Without KEEPTTL the key loses its time to live. With GET the reply is the old string,
//! and the call is refused where the key holds another type. A time to live that has passed already removes the key.

use super::{
    Keys, Run, Spec, Split,
    expire::{Deadline, Unit},
};
use crate::{ErrorReply, Failure, Reply, View, record::Body};
use bytes::Bytes;

/// The row of SET.
pub static SPEC: Spec = Spec {
    name: "set",
    arity: -3,
    flags: &["write", "denyoom"],
    keys: Keys::ONE,
    run: Run::Keyed { evaluate, split: Split::Refuse },
    group: "string",
    since: "1.0.0",
    summary: "Makes a key hold a string, whatever it held before.",
    subcommands: &[],
};

/// When to write.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Condition {
    Absent,
    Present,
}

/// What becomes of the time to live. The number is read last: words that make no call are refused before a number that is none.
#[derive(Clone, Copy)]
pub(super) enum TimeToLive<'a> {
    Keep,
    Remove,
    Until(Deadline, &'a Bytes),
}

#[derive(Default)]
struct Options<'a> {
    condition: Option<Condition>,
    time_to_live: Option<TimeToLive<'a>>,
    get: bool,
}

fn evaluate(arguments: &[Bytes], view: &mut View<'_>) -> Result<Reply, Failure> {
    let (key, value) = (&arguments[1], &arguments[2]);
    let options = parse_options(&arguments[3..])?;
    let until = match options.time_to_live {
        Some(TimeToLive::Until(deadline, number)) => Some(deadline.parse_positive(number, view.now_ms(), SPEC.name)?),
        _ => None,
    };
    // Nothing but these looks at what the key holds; the write itself reads its record to keep index and counts.
    let old = view.load(key)?;
    let answer = match old.as_ref().map(|record| &record.body) {
        _ if !options.get => None,
        None => Some(Reply::Null),
        Some(Body::String(old)) => Some(Reply::Bulk(old.clone())),
        Some(_) => return Err(ErrorReply::WRONG_TYPE.into()),
    };
    let is_met = match options.condition {
        None => true,
        Some(Condition::Absent) => old.is_none(),
        Some(Condition::Present) => old.is_some(),
    };
    if !is_met {
        return Ok(answer.unwrap_or(Reply::Null));
    }
    let expire_ms = match options.time_to_live {
        Some(TimeToLive::Keep) => old.and_then(|record| record.expire_ms),
        _ => until,
    };
    put_until(key, value, expire_ms, view)?;
    Ok(answer.unwrap_or(Reply::OK))
}

/// Makes a key hold a string until a time; one that has passed removes the key.
pub(super) fn put_until(key: &[u8], value: &Bytes, expire_ms: Option<u64>, view: &mut View<'_>) -> Result<(), Failure> {
    if expire_ms.is_some_and(|expire_ms| expire_ms <= view.now_ms()) {
        view.delete(key)?;
        Ok(())
    } else {
        view.put_string(key, value.clone(), expire_ms)
    }
}

fn parse_options(words: &[Bytes]) -> Result<Options<'_>, ErrorReply> {
    let mut options = Options::default();
    let mut rest = words;
    while let [word, after @ ..] = rest {
        rest = after;
        match word.to_ascii_uppercase().as_slice() {
            b"NX" if options.condition != Some(Condition::Present) => options.condition = Some(Condition::Absent),
            b"XX" if options.condition != Some(Condition::Absent) => options.condition = Some(Condition::Present),
            b"GET" => options.get = true,
            b"KEEPTTL" if matches!(options.time_to_live, None | Some(TimeToLive::Keep)) => options.time_to_live = Some(TimeToLive::Keep),
            _ => rest = take_deadline(word, after, &mut options.time_to_live)?,
        }
    }
    Ok(options)
}

/// Reads EX, PX, EXAT or PXAT and its number, and returns what follows them. Given twice, the same word counts as it was given last.
pub(super) fn take_deadline<'a>(word: &[u8], after: &'a [Bytes], to: &mut Option<TimeToLive<'a>>) -> Result<&'a [Bytes], ErrorReply> {
    let deadline = match word.to_ascii_uppercase().as_slice() {
        b"EX" => Deadline::after(Unit::Seconds),
        b"PX" => Deadline::after(Unit::Milliseconds),
        b"EXAT" => Deadline::at(Unit::Seconds),
        b"PXAT" => Deadline::at(Unit::Milliseconds),
        _ => return Err(ErrorReply::SYNTAX),
    };
    let is_free = match to {
        None => true,
        Some(TimeToLive::Until(given, _)) => *given == deadline,
        Some(TimeToLive::Keep | TimeToLive::Remove) => false,
    };
    let ([number, rest @ ..], true) = (after, is_free) else { return Err(ErrorReply::SYNTAX) };
    *to = Some(TimeToLive::Until(deadline, number));
    Ok(rest)
}
