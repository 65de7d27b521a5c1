//! `DECRBY key decrement`: takes from the integer of a key; an absent key counts as 0.

use super::{Keys, Run, Spec, Split, incr::add};
use crate::{ErrorReply, Failure, Reply, View, number};
use bytes::Bytes;

/// The row of DECRBY.
pub static SPEC: Spec = Spec {
    name: "decrby",
    arity: 3,
    flags: &["write", "denyoom", "fast"],
    keys: Keys::ONE,
    run: Run::Keyed { evaluate, split: Split::Refuse },
    group: "string",
    since: "1.0.0",
    summary: "Takes from the integer of a key.",
    subcommands: &[],
};

fn evaluate(arguments: &[Bytes], view: &mut View<'_>) -> Result<Reply, Failure> {
    let step = number::parse_integer(&arguments[2]).ok_or(ErrorReply::NOT_AN_INTEGER)?;
    let step = step.checked_neg().ok_or(ErrorReply::fixed("ERR decrement would overflow"))?;
    add(&arguments[1], step, view)
}
