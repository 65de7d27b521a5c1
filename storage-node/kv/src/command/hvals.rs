//! `HVALS key`: every value of a hash.

use super::{
    Keys, Run, Spec, Split,
    hgetall::{bulk, gather},
};
use crate::{Failure, Reply, View};
use bytes::Bytes;

/// The row of HVALS.
pub static SPEC: Spec = Spec {
    name: "hvals",
    arity: 2,
    flags: &["readonly"],
    keys: Keys::ONE,
    run: Run::Keyed { evaluate, split: Split::Refuse },
    group: "hash",
    since: "2.0.0",
    summary: "Answers every value of a hash.",
    subcommands: &[],
};

fn evaluate(arguments: &[Bytes], view: &mut View<'_>) -> Result<Reply, Failure> {
    gather(&arguments[1], view, |_, value| bulk(value)).map(Reply::Array)
}
