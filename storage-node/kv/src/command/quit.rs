//! `QUIT`: closes the connection after the reply.

use super::{Keys, Run, Spec};
use crate::{
    Failure, Reply,
    session::{Node, Session},
};
use bytes::Bytes;

/// The row of QUIT.
pub static SPEC: Spec = Spec {
    name: "quit",
    arity: -1,
    flags: &["noscript", "loading", "stale", "fast", "no_auth", "allow_busy"],
    keys: Keys::NONE,
    run: Run::Connection(evaluate),
    group: "connection",
    since: "1.0.0",
    summary: "Closes the connection.",
    subcommands: &[],
};

fn evaluate(_: &[Bytes], session: &mut Session, _: &dyn Node) -> Result<Reply, Failure> {
    session.is_closing = true;
    Ok(Reply::OK)
}
