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
    match parse_index(&arguments[1])? {
        0 => Ok(Reply::OK),
        _ if session.port == Port::Cluster => Err(ErrorReply::fixed("ERR SELECT is not allowed in cluster mode").into()),
        _ => Err(ErrorReply::NO_SUCH_DATABASE.into()),
    }
}

/// The number of a database, which is one of 32 bits to Redis.
pub(super) fn parse_index(text: &[u8]) -> Result<i32, ErrorReply> {
    const OUT_OF_RANGE: ErrorReply = ErrorReply::fixed("ERR value is out of range, value must between -2147483648 and 2147483647");
    let number = number::parse_integer(text).ok_or(ErrorReply::NOT_AN_INTEGER)?;
    i32::try_from(number).map_err(|_| OUT_OF_RANGE)
}
