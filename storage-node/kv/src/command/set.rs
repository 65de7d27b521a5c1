//! `SET key value [NX | XX] [GET] [EX seconds | PX milliseconds | EXAT unix-seconds | PXAT unix-milliseconds | KEEPTTL]`
//!
//! Makes a key hold a string, whatever it held before. Without KEEPTTL the key loses its time to live. With GET the reply is the old string,
//! and the call is refused where the key holds another type. A time to live that has passed already removes the key.

use super::{Keys, Run, Spec, Split};
use crate::{
    ErrorReply, Failure, Reply, View,
    record::Body,
    command::expire::{Deadline, Unit},
};
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
    summary: "Sets the string value of a key, ignoring its type. The key is created if it doesn't exist.",
};

/// When to write.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Condition {
    Absent,
    Present,
}

/// What becomes of the time to live.
#[derive(Clone, Copy, PartialEq, Eq)]
enum TimeToLive {
    Keep,
    Until(u64),
}

#[derive(Default)]
struct Options {
    condition: Option<Condition>,
    time_to_live: Option<TimeToLive>,
    get: bool,
}

fn evaluate(arguments: &[Bytes], view: &mut View<'_>) -> Result<Reply, Failure> {
    let (key, value) = (&arguments[1], &arguments[2]);
    let options = parse_options(&arguments[3..], view.now_ms())?;
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
        None => None,
        Some(TimeToLive::Keep) => old.and_then(|record| record.expire_ms),
        Some(TimeToLive::Until(expire_ms)) => Some(expire_ms),
    };
    if expire_ms.is_some_and(|expire_ms| expire_ms <= view.now_ms()) {
        view.delete(key)?;
    } else {
        view.put_string(key, value.clone(), expire_ms)?;
    }
    Ok(answer.unwrap_or(Reply::OK))
}

fn parse_options(words: &[Bytes], now_ms: u64) -> Result<Options, Failure> {
    let mut options = Options::default();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let deadline = match word.to_ascii_uppercase().as_slice() {
            b"NX" if options.condition.is_none_or(|given| given == Condition::Absent) => {
                options.condition = Some(Condition::Absent);
                continue;
            }
            b"XX" if options.condition.is_none_or(|given| given == Condition::Present) => {
                options.condition = Some(Condition::Present);
                continue;
            }
            b"GET" => {
                options.get = true;
                continue;
            }
            b"KEEPTTL" if options.time_to_live.is_none_or(|given| given == TimeToLive::Keep) => {
                options.time_to_live = Some(TimeToLive::Keep);
                continue;
            }
            b"EX" => Deadline::after(Unit::Seconds),
            b"PX" => Deadline::after(Unit::Milliseconds),
            b"EXAT" => Deadline::at(Unit::Seconds),
            b"PXAT" => Deadline::at(Unit::Milliseconds),
            _ => return Err(ErrorReply::SYNTAX.into()),
        };
        let (None, Some(number)) = (options.time_to_live, words.next()) else { return Err(ErrorReply::SYNTAX.into()) };
        options.time_to_live = Some(TimeToLive::Until(deadline.parse_positive(number, now_ms, SPEC.name)?));
    }
    Ok(options)
}
