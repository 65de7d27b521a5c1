//! `HGET key field`: the value of a field of a hash.

use super::{Keys, Run, Spec, Split};
use crate::{Failure, Reply, View};
use bytes::Bytes;

/// The row of HGET.
pub static SPEC: Spec = Spec {
    name: "hget",
    arity: 3,
    flags: &["readonly", "fast"],
    keys: Keys::ONE,
    run: Run::Keyed { evaluate, split: Split::Refuse },
    group: "hash",
    since: "2.0.0",
    summary: "Answers the value of a field of a hash.",
    subcommands: &[],
};

fn evaluate(arguments: &[Bytes], view: &mut View<'_>) -> Result<Reply, Failure> {
    let hash = view.load_hash(&arguments[1])?;
    Ok(Reply::bulk_or_null(view.field(&hash, &arguments[2])?))
}
