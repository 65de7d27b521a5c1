//! `DBSIZE`: the number of keys, of every shard. It is counted as keys come and go; expired keys count until they are removed.

use super::{Keys, Merge, Run, Spec};
use crate::{Failure, Reply, View};
use bytes::Bytes;

/// The row of DBSIZE.
pub static SPEC: Spec = Spec {
    name: "dbsize",
    arity: 1,
    flags: &["readonly", "fast"],
    keys: Keys::NONE,
    run: Run::EveryShard { evaluate, merge: Merge::Sum },
    group: "server",
    since: "1.0.0",
    summary: "Answers the number of keys.",
    subcommands: &[],
};

fn evaluate(_: &[Bytes], view: &mut View<'_>) -> Result<Reply, Failure> {
    Ok(Reply::Integer(view.counts().keys as i64))
}
