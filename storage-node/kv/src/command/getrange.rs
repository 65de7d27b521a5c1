//! `GETRANGE key start end`: a part of a key's string, both ends included; negative ones count from the end.
//!
//! SUBSTR is its old name.

use super::{Keys, Run, Spec, Split};
use crate::{ErrorReply, Failure, Reply, View, number};
use bytes::Bytes;

/// The row of GETRANGE.
pub static SPEC: Spec = Spec {
    name: "getrange",
    arity: 4,
    flags: &["readonly"],
    keys: Keys::ONE,
    run: Run::Keyed { evaluate, split: Split::Refuse },
    group: "string",
    since: "2.4.0",
    summary: "Answers a part of a key's string.",
    subcommands: &[],
};

pub(super) fn evaluate(arguments: &[Bytes], view: &mut View<'_>) -> Result<Reply, Failure> {
    let start = number::parse_integer(&arguments[2]).ok_or(ErrorReply::NOT_AN_INTEGER)?;
    let end = number::parse_integer(&arguments[3]).ok_or(ErrorReply::NOT_AN_INTEGER)?;
    let Some((value, _)) = view.load_string(&arguments[1])? else { return Ok(Reply::Bulk(Bytes::new())) };
    Ok(Reply::Bulk(part(&value, start, end)))
}

fn part(value: &Bytes, start: i64, end: i64) -> Bytes {
    let length = value.len() as i64;
    let place = |index: i64| if index < 0 { index.saturating_add(length) } else { index };
    // Redis: two negative ends that cross are nothing, even where both lie before the first byte.
    if start < 0 && end < 0 && start > end {
        return Bytes::new();
    }
    let (start, end) = (place(start).max(0), place(end).max(0).min(length - 1));
    if start > end || length == 0 { Bytes::new() } else { value.slice(start as usize..=end as usize) }
}
