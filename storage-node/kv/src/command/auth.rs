//! `AUTH [user] password`: authenticates the connection; the only user is `default`.

use super::{Keys, Run, Spec};
use crate::{
    ErrorReply, Failure, Reply,
    session::{Node, Session},
};
use bytes::Bytes;

/// The row of AUTH.
pub static SPEC: Spec = Spec {
    name: "auth",
    arity: -2,
    flags: &["noscript", "loading", "stale", "fast", "no_auth", "allow_busy"],
    keys: Keys::NONE,
    run: Run::Connection(evaluate),
    group: "connection",
    since: "1.0.0",
    summary: "Authenticates the connection.",
    subcommands: &[],
};

const NO_PASSWORD: ErrorReply = ErrorReply::fixed(
    "ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?",
);

fn evaluate(arguments: &[Bytes], session: &mut Session, node: &dyn Node) -> Result<Reply, Failure> {
    match &arguments[1..] {
        [_] if !node.requires_password() => Err(NO_PASSWORD.into()),
        [password] => authenticate(b"default", password, session, node),
        [user, password] => authenticate(user, password, session, node),
        _ => Err(ErrorReply::SYNTAX.into()),
    }
}

/// Checks user and password; a connection that was authenticated stays so when they are wrong. Without a password to give, `default` may
/// give any.
pub(super) fn authenticate(user: &[u8], password: &[u8], session: &mut Session, node: &dyn Node) -> Result<Reply, Failure> {
    let is_right = if node.requires_password() { node.check_password(user, password) } else { user == b"default" };
    if !is_right {
        return Err(ErrorReply::WRONG_PASSWORD.into());
    }
    session.is_authenticated = true;
    Ok(Reply::OK)
}
