//! `MGET key [key …]`: the strings of keys, in their order; no value for a key that is absent or holds another type.

use super::{Keys, Merge, Run, Spec, Split};
use crate::{Failure, Reply, View, record::Body};
use bytes::Bytes;

/// The row of MGET.
pub static SPEC: Spec = Spec {
    name: "mget",
    arity: -2,
    flags: &["readonly", "fast"],
    keys: Keys::ALL,
    run: Run::Keyed { evaluate, split: Split::PerShard(Merge::InKeyOrder) },
    group: "string",
    since: "1.0.0",
    summary: "Answers the strings of keys.",
    subcommands: &[],
};

fn evaluate(arguments: &[Bytes], view: &mut View<'_>) -> Result<Reply, Failure> {
    let mut values = Vec::with_capacity(arguments.len() - 1);
    for key in &arguments[1..] {
        values.push(match view.load(key)?.map(|record| record.body) {
            Some(Body::String(value)) => Reply::Bulk(value),
            _ => Reply::Null,
        });
    }
    Ok(Reply::Array(values))
}
