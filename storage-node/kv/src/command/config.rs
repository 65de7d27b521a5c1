//! `CONFIG …`: a few settings that clients and tools ask for, as a Redis server with our behaviour would answer.
//!
//! There is nothing to set: what a cluster is, its KVCluster declares, and what a node is, its configuration file says. CONFIG SET says so.

use super::{Keys, Run, Spec};
use crate::{
    ErrorReply, Failure, Reply,
    error::shown,
    glob, limits,
    session::{self, Node, Port, Session},
};
use bytes::Bytes;

/// The row of CONFIG.
pub static SPEC: Spec = Spec {
    name: "config",
    arity: -2,
    flags: &[],
    keys: Keys::NONE,
    run: Run::Connection(session::without_subcommand),
    group: "server",
    since: "2.0.0",
    summary: "A container for commands about the configuration.",
    subcommands: &[&GET, &HELP, &RESETSTAT, &REWRITE, &SET],
};

/// The row of CONFIG GET.
pub static GET: Spec = Spec {
    name: "config|get",
    arity: -3,
    flags: &["admin", "noscript", "loading", "stale"],
    keys: Keys::NONE,
    run: Run::Connection(get),
    group: "server",
    since: "2.0.0",
    summary: "Answers settings.",
    subcommands: &[],
};

/// The row of CONFIG HELP.
pub static HELP: Spec = Spec {
    name: "config|help",
    arity: 2,
    flags: &["loading", "stale"],
    keys: Keys::NONE,
    run: Run::Connection(|_, _, _| Ok(session::help(HELP_LINES))),
    group: "server",
    since: "5.0.0",
    summary: "Answers what CONFIG can do.",
    subcommands: &[],
};

/// The row of CONFIG RESETSTAT.
pub static RESETSTAT: Spec = Spec {
    name: "config|resetstat",
    arity: 2,
    flags: &["admin", "noscript", "loading", "stale"],
    keys: Keys::NONE,
    run: Run::Connection(reset_statistics),
    group: "server",
    since: "2.0.0",
    summary: "Sets the counters of INFO back to zero.",
    subcommands: &[],
};

/// The row of CONFIG REWRITE.
pub static REWRITE: Spec = Spec {
    name: "config|rewrite",
    arity: 2,
    flags: &["admin", "noscript", "loading", "stale"],
    keys: Keys::NONE,
    run: Run::Connection(refuse),
    group: "server",
    since: "2.8.0",
    summary: "Refused: the configuration is declared, not set.",
    subcommands: &[],
};

/// The row of CONFIG SET.
pub static SET: Spec = Spec {
    name: "config|set",
    arity: -4,
    flags: &["admin", "noscript", "loading", "stale"],
    keys: Keys::NONE,
    run: Run::Connection(refuse),
    group: "server",
    since: "2.0.0",
    summary: "Refused: the configuration is declared, not set.",
    subcommands: &[],
};

const HELP_LINES: &[&str] = &[
    "CONFIG <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "GET <pattern>",
    "    Return parameters matching the glob-like <pattern> and their values.",
    "SET <directive> <value>",
    "    Refused: change the KVCluster, or the configuration file of the node.",
    "RESETSTAT",
    "    Reset statistics reported by the INFO command.",
];

/// What is the same on every node: data is on disk before a reply, never evicted, and never saved by a snapshot of the process.
const FIXED: &[(&str, &str)] = &[
    ("appendfsync", "always"),
    ("appendonly", "yes"),
    ("databases", "1"),
    ("hash-max-listpack-entries", "512"),
    ("hash-max-listpack-value", "64"),
    ("lazyfree-lazy-user-del", "yes"),
    ("lazyfree-lazy-user-flush", "yes"),
    ("maxmemory", "0"),
    ("maxmemory-policy", "noeviction"),
    ("notify-keyspace-events", ""),
    ("replica-read-only", "yes"),
    ("save", ""),
    ("timeout", "0"),
];

fn get(arguments: &[Bytes], session: &mut Session, node: &dyn Node) -> Result<Reply, Failure> {
    let facts = node.facts();
    let (port, cluster_enabled) = match session.port {
        Port::Plain => (facts.plain_port, "no"),
        Port::Cluster => (facts.cluster_port, "yes"),
    };
    let own = [
        ("cluster-enabled", cluster_enabled.to_owned()),
        ("maxclients", facts.max_clients.to_string()),
        ("port", port.to_string()),
        ("proto-max-bulk-len", limits::BULK_BYTES_MAX.to_string()),
    ];
    let mut settings: Vec<_> = FIXED.iter().map(|(name, value)| (*name, (*value).to_owned())).chain(own).collect();
    settings.sort_unstable();
    settings.retain(|(name, _)| arguments[2..].iter().any(|pattern| glob::matches(&pattern.to_ascii_lowercase(), name.as_bytes())));
    Ok(Reply::Map(settings.into_iter().map(|(name, value)| (Reply::bulk(name), Reply::bulk(value))).collect()))
}

fn reset_statistics(_: &[Bytes], _: &mut Session, node: &dyn Node) -> Result<Reply, Failure> {
    node.reset_statistics();
    Ok(Reply::OK)
}

fn refuse(arguments: &[Bytes], _: &mut Session, _: &dyn Node) -> Result<Reply, Failure> {
    let word = shown(&arguments[1], limits::SHOWN_BYTES_MAX).to_ascii_uppercase();
    Err(ErrorReply::new(format!("ERR CONFIG {word} is not supported: change the KVCluster, or the configuration file of the node")).into())
}
