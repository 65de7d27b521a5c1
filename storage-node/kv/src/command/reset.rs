//! `RESET`: makes the connection as it was when it began; a password must be given anew.

use super::{Keys, Run, Spec};
use crate::{
    Failure, Reply,
    session::{Node, Session},
};
use bytes::Bytes;

/// The row of RESET.
pub static SPEC: Spec = Spec {
    name: "reset",
    arity: 1,
    flags: &["noscript", "loading", "stale", "fast", "no_auth", "allow_busy"],
    keys: Keys::NONE,
    run: Run::Connection(evaluate),
    group: "connection",
    since: "6.2.0",
    summary: "Makes the connection as it was when it began.",
    subcommands: &[],
};

fn evaluate(_: &[Bytes], session: &mut Session, node: &dyn Node) -> Result<Reply, Failure> {
    session.reset(node);
    Ok(Reply::Status("RESET"))
}
