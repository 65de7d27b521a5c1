//! `PING [message]`: `PONG`, or the message.

use super::{Keys, Run, Spec};
use crate::{
    ErrorReply, Failure, Reply,
    session::{Node, Session},
};
use bytes::Bytes;

/// The row of PING.
pub static SPEC: Spec = Spec {
    name: "ping",
    arity: -1,
    flags: &["fast"],
    keys: Keys::NONE,
    run: Run::Connection(evaluate),
    group: "connection",
    since: "1.0.0",
    summary: "Answers PONG, or the message.",
    subcommands: &[],
};

fn evaluate(arguments: &[Bytes], _: &mut Session, _: &dyn Node) -> Result<Reply, Failure> {
    match &arguments[1..] {
        [] => Ok(Reply::Status("PONG")),
        [message] => Ok(Reply::Bulk(message.clone())),
        _ => Err(ErrorReply::wrong_arity(SPEC.name).into()),
    }
}
