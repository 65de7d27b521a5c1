//! `GETEX key [EX seconds | PX milliseconds | EXAT unix-seconds | PXAT unix-milliseconds | PERSIST]`
//!
//! The string of a key, whose time to live is changed on the way. A moment that has passed removes the key.

use super::{
    Keys, Run, Spec, Split,
    set::{TimeToLive, take_deadline},
};
use crate::{ErrorReply, Failure, Reply, View, record::Body};
use bytes::Bytes;

/// The row of GETEX.
pub static SPEC: Spec = Spec {
    name: "getex",
    arity: -2,
    flags: &["write", "fast"],
    keys: Keys::ONE,
    run: Run::Keyed { evaluate, split: Split::Refuse },
    group: "string",
    since: "6.2.0",
    summary: "Answers the string of a key, and changes its time to live.",
    subcommands: &[],
};

fn evaluate(arguments: &[Bytes], view: &mut View<'_>) -> Result<Reply, Failure> {
    let key = &arguments[1];
    let time_to_live = parse_options(&arguments[2..])?;
    let Some(record) = view.load(key)? else { return Ok(Reply::Null) };
    let Body::String(value) = record.body.clone() else { return Err(ErrorReply::WRONG_TYPE.into()) };
    match time_to_live {
        Some(TimeToLive::Until(deadline, number)) => {
            let expire_ms = deadline.parse_positive(number, view.now_ms(), SPEC.name)?;
            if expire_ms > view.now_ms() {
                view.put_expiry(key, record, Some(expire_ms))?;
            } else {
                view.delete(key)?;
            }
        }
        Some(TimeToLive::Remove) if record.expire_ms.is_some() => view.put_expiry(key, record, None)?,
        _ => {}
    }
    Ok(Reply::Bulk(value))
}

fn parse_options(words: &[Bytes]) -> Result<Option<TimeToLive<'_>>, ErrorReply> {
    let mut time_to_live = None;
    let mut rest = words;
    while let [word, after @ ..] = rest {
        rest = if word.eq_ignore_ascii_case(b"persist") && matches!(time_to_live, None | Some(TimeToLive::Remove)) {
            time_to_live = Some(TimeToLive::Remove);
            after
        } else {
            take_deadline(word, after, &mut time_to_live)?
        };
    }
    Ok(time_to_live)
}
