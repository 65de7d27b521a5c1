//! `ECHO message`: the message.

use super::{Keys, Run, Spec};
use crate::Reply;

/// The row of ECHO.
pub static SPEC: Spec = Spec {
    name: "echo",
    arity: 2,
    flags: &["loading", "stale", "fast"],
    keys: Keys::NONE,
    run: Run::Connection(|arguments, _, _| Ok(Reply::Bulk(arguments[1].clone()))),
    group: "connection",
    since: "1.0.0",
    summary: "Answers the message.",
    subcommands: &[],
};
