//! `FLUSHALL [ASYNC | SYNC]`: removes every key of every shard, each by one range effect, however many there are.
//!
//! FLUSHDB is the same, as there is one database.

use super::{Keys, Merge, Run, Spec};
use crate::{ErrorReply, Failure, Reply, View};
use bytes::Bytes;

/// The row of FLUSHALL.
pub static SPEC: Spec = Spec {
    name: "flushall",
    arity: -1,
    flags: &["write"],
    keys: Keys::NONE,
    run: Run::EveryShard { evaluate, merge: Merge::AllOk },
    group: "server",
    since: "1.0.0",
    summary: "Removes every key.",
    subcommands: &[],
};

pub(super) fn evaluate(arguments: &[Bytes], view: &mut View<'_>) -> Result<Reply, Failure> {
    match &arguments[1..] {
        [] => {}
        [word] if word.eq_ignore_ascii_case(b"async") || word.eq_ignore_ascii_case(b"sync") => {}
        _ => return Err(ErrorReply::SYNTAX.into()),
    }
    view.clear();
    Ok(Reply::OK)
}
