//! `HMGET key field [field …]`: the values of fields of a hash, in their order; no value for one that is not set.

use super::{Keys, Run, Spec, Split};
use crate::{Failure, Reply, View};
use bytes::Bytes;

/// The row of HMGET.
pub static SPEC: Spec = Spec {
    name: "hmget",
    arity: -3,
    flags: &["readonly", "fast"],
    keys: Keys::ONE,
    run: Run::Keyed { evaluate, split: Split::Refuse },
    group: "hash",
    since: "2.0.0",
    summary: "Answers the values of fields of a hash.",
    subcommands: &[],
};

fn evaluate(arguments: &[Bytes], view: &mut View<'_>) -> Result<Reply, Failure> {
    let hash = view.load_hash(&arguments[1])?;
    let mut values = Vec::with_capacity(arguments.len() - 2);
    for field in &arguments[2..] {
        values.push(Reply::bulk_or_null(view.field(&hash, field)?));
    }
    Ok(Reply::Array(values))
}
