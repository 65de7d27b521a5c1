//! `DEL key [key …]`: removes keys; the number of those that existed.
//!
//! Removing a collection takes as long as removing a string: its elements are out of reach with its record, and leave by one range effect.

use super::{Keys, Merge, Run, Spec, Split};
use crate::{Failure, Reply, View};
use bytes::Bytes;

/// The row of DEL.
pub static SPEC: Spec = Spec {
    name: "del",
    arity: -2,
    flags: &["write"],
    keys: Keys::ALL,
    run: Run::Keyed { evaluate, split: Split::PerShard(Merge::Sum) },
    group: "generic",
    since: "1.0.0",
    summary: "Removes keys.",
    subcommands: &[],
};

pub(super) fn evaluate(arguments: &[Bytes], view: &mut View<'_>) -> Result<Reply, Failure> {
    let mut removed = 0;
    for key in &arguments[1..] {
        removed += i64::from(view.delete(key)?);
    }
    Ok(Reply::Integer(removed))
}
