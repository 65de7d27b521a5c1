//! `INCRBY key increment`: adds to the integer of a key; an absent key counts as 0.

use super::{Keys, Run, Spec, Split, incr::add};
use crate::{ErrorReply, Failure, Reply, View, number};
use bytes::Bytes;

/// The row of INCRBY.
pub static SPEC: Spec = Spec {
    name: "incrby",
    arity: 3,
    flags: &["write", "denyoom", "fast"],
    keys: Keys::ONE,
    run: Run::Keyed { evaluate, split: Split::Refuse },
    group: "string",
    since: "1.0.0",
    summary: "Adds to the integer of a key.",
    subcommands: &[],
};

fn evaluate(arguments: &[Bytes], view: &mut View<'_>) -> Result<Reply, Failure> {
    let step = number::parse_integer(&arguments[2]).ok_or(ErrorReply::NOT_AN_INTEGER)?;
    add(&arguments[1], step, view)
}
