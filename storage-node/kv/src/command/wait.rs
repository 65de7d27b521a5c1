//! `WAIT numreplicas timeout`: how many replicas hold the writes of this connection.
//!
//! A write is on a quorum's disks before its reply, so there is nothing to wait for, and no number to reach by waiting: the reply is always
//! the number of voters beside the leader that surely hold it, 1 with three replicas. Asking for more is answered at once with that number,
//! as Redis does when the time is up. The host evaluates WAIT after the replies of the connection's earlier writes are known.

use super::{Keys, Run, Spec};
use crate::{
    ErrorReply, Failure, Reply, number,
    session::{Node, Session},
};
use bytes::Bytes;

/// The row of WAIT.
pub static SPEC: Spec = Spec {
    name: "wait",
    arity: 3,
    flags: &["noscript"],
    keys: Keys::NONE,
    run: Run::Connection(evaluate),
    group: "generic",
    since: "3.0.0",
    summary: "Answers how many replicas hold the writes of this connection.",
    subcommands: &[],
};

fn evaluate(arguments: &[Bytes], _: &mut Session, node: &dyn Node) -> Result<Reply, Failure> {
    let timeout = number::parse_integer(&arguments[2]).ok_or(ErrorReply::fixed("ERR timeout is not an integer or out of range"));
    number::parse_integer(&arguments[1]).ok_or(ErrorReply::NOT_AN_INTEGER)?;
    if timeout? < 0 {
        return Err(ErrorReply::fixed("ERR timeout is negative").into());
    }
    Ok(Reply::Integer(node.replicas_holding_writes() as i64))
}
