//! `HKEYS key`: every field of a hash.

use super::{
    Keys, Run, Spec, Split,
    hgetall::{bulk, gather},
};
use crate::{Failure, Reply, View};
use bytes::Bytes;

/// The row of HKEYS.
pub static SPEC: Spec = Spec {
    name: "hkeys",
    arity: 2,
    flags: &["readonly"],
    keys: Keys::ONE,
    run: Run::Keyed { evaluate, split: Split::Refuse },
    group: "hash",
    since: "2.0.0",
    summary: "Answers every field of a hash.",
    subcommands: &[],
};

fn evaluate(arguments: &[Bytes], view: &mut View<'_>) -> Result<Reply, Failure> {
    gather(&arguments[1], view, |field, _| bulk(field)).map(Reply::Array)
}
