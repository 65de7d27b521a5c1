//! `HINCRBY key field increment`: adds to the integer of a field; one that is not set counts as 0.

use super::{Keys, Run, Spec, Split, hset::load_to_set};
use crate::{ErrorReply, Failure, Reply, View, number};
use bytes::Bytes;

/// The row of HINCRBY.
pub static SPEC: Spec = Spec {
    name: "hincrby",
    arity: 4,
    flags: &["write", "denyoom", "fast"],
    keys: Keys::ONE,
    run: Run::Keyed { evaluate, split: Split::Refuse },
    group: "hash",
    since: "2.0.0",
    summary: "Adds to the integer of a field.",
    subcommands: &[],
};

fn evaluate(arguments: &[Bytes], view: &mut View<'_>) -> Result<Reply, Failure> {
    const NOT_AN_INTEGER: ErrorReply = ErrorReply::fixed("ERR hash value is not an integer");
    let (key, field) = (&arguments[1], &arguments[2]);
    let step = number::parse_integer(&arguments[3]).ok_or(ErrorReply::NOT_AN_INTEGER)?;
    let mut hash = load_to_set(key, [field], view)?;
    let old = match view.field(&hash, field)? {
        None => 0,
        Some(value) => number::parse_integer(&value).ok_or(NOT_AN_INTEGER)?,
    };
    let sum = old.checked_add(step).ok_or(ErrorReply::OVERFLOW)?;
    view.set_field(&mut hash, field, number::Digits::of(sum).as_bytes())?;
    view.put_hash(key, &hash)?;
    Ok(Reply::Integer(sum))
}
