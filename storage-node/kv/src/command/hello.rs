//! `HELLO [2 | 3 [AUTH user password] [SETNAME name]]`: chooses the protocol, and says who answers.
//!
//! The plain port is a `standalone` server to its clients, the cluster port one of a `cluster`; the role is always `master`, since every node
//! takes writes on the one, and is announced as the master of what it leads on the other.

use super::{Keys, Run, Spec, auth, client};
use crate::{
    ErrorReply, Failure, Protocol, Reply,
    error::shown,
    limits, number,
    session::{Node, Port, REDIS_VERSION, Session},
};
use bytes::Bytes;

/// The row of HELLO.
pub static SPEC: Spec = Spec {
    name: "hello",
    arity: -1,
    flags: &["noscript", "loading", "stale", "fast", "no_auth", "allow_busy"],
    keys: Keys::NONE,
    run: Run::Connection(evaluate),
    group: "connection",
    since: "6.0.0",
    summary: "Chooses the protocol and describes the server.",
    subcommands: &[],
};

const NOT_AUTHENTICATED: ErrorReply = ErrorReply::fixed(
    "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> <pass> option can be used \
     to authenticate the client and select the RESP protocol version at the same time",
);

fn evaluate(arguments: &[Bytes], session: &mut Session, node: &dyn Node) -> Result<Reply, Failure> {
    let protocol = match arguments.get(1) {
        None => session.protocol,
        Some(version) => match number::parse_integer(version) {
            None => return Err(ErrorReply::fixed("ERR Protocol version is not an integer or out of range").into()),
            Some(2) => Protocol::Resp2,
            Some(3) => Protocol::Resp3,
            Some(_) => return Err(ErrorReply::fixed("NOPROTO unsupported protocol version").into()),
        },
    };
    let (mut credentials, mut name) = (None, None);
    let mut words = arguments.get(2..).unwrap_or_default();
    while let [word, rest @ ..] = words {
        words = match (word.to_ascii_uppercase().as_slice(), rest) {
            (b"AUTH", [user, password, rest @ ..]) => {
                credentials = Some((user, password));
                rest
            }
            (b"SETNAME", [given, rest @ ..]) => {
                client::check_name(given)?;
                name = Some(given.clone());
                rest
            }
            _ => return Err(ErrorReply::new(format!("ERR Syntax error in HELLO option '{}'", shown(word, limits::SHOWN_BYTES_MAX))).into()),
        };
    }

    if let Some((user, password)) = credentials {
        auth::authenticate(user, password, session, node)?;
    }
    if !session.is_authenticated {
        return Err(NOT_AUTHENTICATED.into());
    }
    session.name = name.unwrap_or_else(|| std::mem::take(&mut session.name));
    session.protocol = protocol;
    Ok(describe(session))
}

fn describe(session: &Session) -> Reply {
    let mode = match session.port {
        Port::Plain => "standalone",
        Port::Cluster => "cluster",
    };
    let pairs = [
        ("server", Reply::bulk("redis")),
        ("version", Reply::bulk(REDIS_VERSION)),
        ("proto", Reply::Integer(i64::from(session.protocol.number()))),
        ("id", Reply::Integer(session.id as i64)),
        ("mode", Reply::bulk(mode)),
        ("role", Reply::bulk("master")),
        ("modules", Reply::Array(Vec::new())),
    ];
    Reply::Map(pairs.into_iter().map(|(key, value)| (Reply::bulk(key), value)).collect())
}
