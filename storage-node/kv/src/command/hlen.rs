//! `HLEN key`: the number of fields of a hash. It stands in the key's record.

use super::{Keys, Run, Spec, Split};
use crate::{Failure, Reply, View};
use bytes::Bytes;

/// The row of HLEN.
pub static SPEC: Spec = Spec {
    name: "hlen",
    arity: 2,
    flags: &["readonly", "fast"],
    keys: Keys::ONE,
    run: Run::Keyed { evaluate, split: Split::Refuse },
    group: "hash",
    since: "2.0.0",
    summary: "Answers the number of fields of a hash.",
    subcommands: &[],
};

fn evaluate(arguments: &[Bytes], view: &mut View<'_>) -> Result<Reply, Failure> {
    Ok(Reply::Integer(view.load_hash(&arguments[1])?.len() as i64))
}
