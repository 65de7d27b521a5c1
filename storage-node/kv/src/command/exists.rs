//! `EXISTS key [key …]`: the number of keys that exist; one given twice counts twice.

use super::{Keys, Merge, Run, Spec, Split};
use crate::{Failure, Reply, View};
use bytes::Bytes;

/// The row of EXISTS.
pub static SPEC: Spec = Spec {
    name: "exists",
    arity: -2,
    flags: &["readonly", "fast"],
    keys: Keys::ALL,
    run: Run::Keyed { evaluate, split: Split::PerShard(Merge::Sum) },
    group: "generic",
    since: "1.0.0",
    summary: "Counts the keys that exist.",
    subcommands: &[],
};

pub(super) fn evaluate(arguments: &[Bytes], view: &mut View<'_>) -> Result<Reply, Failure> {
    let mut found = 0;
    for key in &arguments[1..] {
        found += i64::from(view.load(key)?.is_some());
    }
    Ok(Reply::Integer(found))
}
