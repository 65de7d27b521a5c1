//! `READWRITE`: takes READONLY back.

use super::{Keys, Run, Spec};
use crate::{
    Failure, Reply,
    session::{Node, Session},
};
use bytes::Bytes;

/// The row of READWRITE.
pub static SPEC: Spec = Spec {
    name: "readwrite",
    arity: 1,
    flags: &["loading", "stale", "fast"],
    keys: Keys::NONE,
    run: Run::Connection(evaluate),
    group: "cluster",
    since: "3.0.0",
    summary: "Takes READONLY back.",
    subcommands: &[],
};

fn evaluate(_: &[Bytes], session: &mut Session, _: &dyn Node) -> Result<Reply, Failure> {
    session.is_read_only = false;
    Ok(Reply::OK)
}
