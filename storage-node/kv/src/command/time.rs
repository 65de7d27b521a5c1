//! `TIME`: the node's clock, in seconds since the Unix epoch and microseconds within the second.
//!
//! The clock that a node gives to evaluation counts milliseconds, so the last three digits are zeros.

use super::{Keys, Run, Spec};
use crate::{
    Failure, Reply,
    session::{Node, Session},
};
use bytes::Bytes;

/// The row of TIME.
pub static SPEC: Spec = Spec {
    name: "time",
    arity: 1,
    flags: &["loading", "stale", "fast"],
    keys: Keys::NONE,
    run: Run::Connection(evaluate),
    group: "server",
    since: "2.6.0",
    summary: "Answers the time of the node.",
    subcommands: &[],
};

fn evaluate(_: &[Bytes], _: &mut Session, node: &dyn Node) -> Result<Reply, Failure> {
    let now_ms = node.now_ms();
    let parts = [now_ms / 1_000, now_ms % 1_000 * 1_000];
    Ok(Reply::Array(parts.map(|part| Reply::bulk(part.to_string())).to_vec()))
}
