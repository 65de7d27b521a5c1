//! `HSTRLEN key field`: the length of a field's value, in bytes; 0 where it is not set.

use super::{Keys, Run, Spec, Split};
use crate::{Failure, Reply, View};
use bytes::Bytes;

/// The row of HSTRLEN.
pub static SPEC: Spec = Spec {
    name: "hstrlen",
    arity: 3,
    flags: &["readonly", "fast"],
    keys: Keys::ONE,
    run: Run::Keyed { evaluate, split: Split::Refuse },
    group: "hash",
    since: "3.2.0",
    summary: "Answers the length of a field's value.",
    subcommands: &[],
};

fn evaluate(arguments: &[Bytes], view: &mut View<'_>) -> Result<Reply, Failure> {
    let hash = view.load_hash(&arguments[1])?;
    let length = view.field(&hash, &arguments[2])?.map_or(0, |value| value.len());
    Ok(Reply::Integer(length as i64))
}
