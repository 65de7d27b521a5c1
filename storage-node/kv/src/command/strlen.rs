//! `STRLEN key`: the length of a key's string, in bytes; 0 for an absent key.

use super::{Keys, Run, Spec, Split};
use crate::{Failure, Reply, View};
use bytes::Bytes;

/// The row of STRLEN.
pub static SPEC: Spec = Spec {
    name: "strlen",
    arity: 2,
    flags: &["readonly", "fast"],
    keys: Keys::ONE,
    run: Run::Keyed { evaluate, split: Split::Refuse },
    group: "string",
    since: "2.2.0",
    summary: "Answers the length of a key's string.",
    subcommands: &[],
};

fn evaluate(arguments: &[Bytes], view: &mut View<'_>) -> Result<Reply, Failure> {
    let length = view.load_string(&arguments[1])?.map_or(0, |(value, _)| value.len());
    Ok(Reply::Integer(length as i64))
}
