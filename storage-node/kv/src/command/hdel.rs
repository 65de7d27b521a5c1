//! `HDEL key field [field …]`: removes fields of a hash; the number of those that were set. A hash without fields is gone.

use super::{Keys, Run, Spec, Split};
use crate::{Failure, Reply, View};
use bytes::Bytes;

/// The row of HDEL.
pub static SPEC: Spec = Spec {
    name: "hdel",
    arity: -3,
    flags: &["write", "fast"],
    keys: Keys::ONE,
    run: Run::Keyed { evaluate, split: Split::Refuse },
    group: "hash",
    since: "2.0.0",
    summary: "Removes fields of a hash.",
    subcommands: &[],
};

fn evaluate(arguments: &[Bytes], view: &mut View<'_>) -> Result<Reply, Failure> {
    let key = &arguments[1];
    let mut hash = view.load_hash(key)?;
    let mut removed = 0;
    for field in &arguments[2..] {
        removed += i64::from(view.remove_field(&mut hash, field)?);
    }
    if removed > 0 {
        view.put_hash(key, &hash)?;
    }
    Ok(Reply::Integer(removed))
}
