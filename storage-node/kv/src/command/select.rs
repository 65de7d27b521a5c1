//! `SELECT index`: chooses a database; there is one, 0.

use super::{Keys, Run, Spec};
use crate::{
    ErrorReply, Failure, Reply, number,
    session::{Node, Port, Session},
};
use bytes::Bytes;

/// The row of SELECT.
pub static SPEC: Spec = Spec {
    name: "select",
    arity: 2,
    flags: &["loading", "stale", "fast"],
    keys: Keys::NONE,
    run: Run::Connection(evaluate),
    group: "connection",
    since: "1.0.0",
    summary: "Chooses database 0, the only one.",
    subcommands: &[],
};

fn evaluate(arguments: &[Bytes], session: &mut Session, _: &dyn Node) -> Result<Reply, Failure> {
    match number::parse_integer(&arguments[1]).ok_or(ErrorReply::NOT_AN_INTEGER)? {
        0 => Ok(Reply::OK),
        _ if session.port == Port::Cluster => Err(ErrorReply::fixed("ERR SELECT is not allowed in cluster mode").into()),
        _ => Err(ErrorReply::NO_SUCH_DATABASE.into()),
    }
}
