//! `HEXISTS key field`: whether a field of a hash is set.

use super::{Keys, Run, Spec, Split};
use crate::{Failure, Reply, View};
use bytes::Bytes;

/// The row of HEXISTS.
pub static SPEC: Spec = Spec {
    name: "hexists",
    arity: 3,
    flags: &["readonly", "fast"],
    keys: Keys::ONE,
    run: Run::Keyed { evaluate, split: Split::Refuse },
    group: "hash",
    since: "2.0.0",
    summary: "Says whether a field of a hash is set.",
    subcommands: &[],
};

fn evaluate(arguments: &[Bytes], view: &mut View<'_>) -> Result<Reply, Failure> {
    let hash = view.load_hash(&arguments[1])?;
    Ok(Reply::from_bool(view.field(&hash, &arguments[2])?.is_some()))
}
