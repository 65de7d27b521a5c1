//! `COMMAND …`: the command table, for clients that find the keys of a call by it.
//!
//! Everything shown follows from the rows: the categories and key specifications from flags, group and keys, the tips from how a call is
//! evaluated. What a row does not say is not shown: arguments and complexity in COMMAND DOCS, and exact flags of key specifications.

use super::{Keys, Merge, Run, Spec, Split, TABLE, lookup, parse};
use crate::{
    ErrorReply, Failure, Reply, glob,
    session::{self, Node, Session},
};
use bytes::Bytes;

/// The row of COMMAND.
pub static SPEC: Spec = Spec {
    name: "command",
    arity: -1,
    flags: &["loading", "stale"],
    keys: Keys::NONE,
    run: Run::Connection(|_, _, _| Ok(Reply::Array(TABLE.iter().map(|spec| describe(spec)).collect()))),
    group: "server",
    since: "2.8.13",
    summary: "Describes every command.",
    subcommands: &[&COUNT, &DOCS, &GETKEYS, &HELP, &INFO, &LIST],
};

/// The row of COMMAND COUNT.
pub static COUNT: Spec = Spec {
    name: "command|count",
    arity: 2,
    flags: &["loading", "stale"],
    keys: Keys::NONE,
    run: Run::Connection(|_, _, _| Ok(Reply::Integer(TABLE.len() as i64))),
    group: "server",
    since: "2.8.13",
    summary: "Counts the commands.",
    subcommands: &[],
};

/// The row of COMMAND DOCS.
pub static DOCS: Spec = Spec {
    name: "command|docs",
    arity: -2,
    flags: &["loading", "stale"],
    keys: Keys::NONE,
    run: Run::Connection(docs),
    group: "server",
    since: "7.0.0",
    summary: "Documents commands.",
    subcommands: &[],
};

/// The row of COMMAND GETKEYS.
pub static GETKEYS: Spec = Spec {
    name: "command|getkeys",
    arity: -3,
    flags: &["loading", "stale"],
    keys: Keys::NONE,
    run: Run::Connection(get_keys),
    group: "server",
    since: "2.8.13",
    summary: "Answers the keys of a call.",
    subcommands: &[],
};

/// The row of COMMAND HELP.
pub static HELP: Spec = Spec {
    name: "command|help",
    arity: 2,
    flags: &["loading", "stale"],
    keys: Keys::NONE,
    run: Run::Connection(|_, _, _| Ok(session::help(HELP_LINES))),
    group: "server",
    since: "5.0.0",
    summary: "Answers what COMMAND can do.",
    subcommands: &[],
};

/// The row of COMMAND INFO.
pub static INFO: Spec = Spec {
    name: "command|info",
    arity: -2,
    flags: &["loading", "stale"],
    keys: Keys::NONE,
    run: Run::Connection(info),
    group: "server",
    since: "2.8.13",
    summary: "Describes commands.",
    subcommands: &[],
};

/// The row of COMMAND LIST.
pub static LIST: Spec = Spec {
    name: "command|list",
    arity: -2,
    flags: &["loading", "stale"],
    keys: Keys::NONE,
    run: Run::Connection(list),
    group: "server",
    since: "7.0.0",
    summary: "Lists the names of commands.",
    subcommands: &[],
};

const HELP_LINES: &[&str] = &[
    "COMMAND <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "(no subcommand)",
    "    Return details about all Redis commands.",
    "COUNT",
    "    Return the total number of commands in this Redis server.",
    "LIST [FILTERBY (MODULE <module-name>|ACLCAT <cat>|PATTERN <pattern>)]",
    "    Return a list of all commands in this Redis server.",
    "INFO [<command-name> ...]",
    "    Return details about multiple Redis commands.",
    "DOCS [<command-name> ...]",
    "    Return documentation details about multiple Redis commands.",
    "GETKEYS <full-command>",
    "    Return the keys from a full Redis command.",
];

/// The row of `name` or `container|name`.
fn find(name: &[u8]) -> Option<&'static Spec> {
    let Some(bar) = name.iter().position(|byte| *byte == b'|') else { return lookup(name) };
    lookup(&name[..bar])?.subcommand(&name[bar + 1..])
}

fn info(arguments: &[Bytes], _: &mut Session, _: &dyn Node) -> Result<Reply, Failure> {
    if arguments.len() == 2 {
        return Ok(Reply::Array(TABLE.iter().map(|spec| describe(spec)).collect()));
    }
    Ok(Reply::Array(arguments[2..].iter().map(|name| find(name).map_or(Reply::NullArray, describe)).collect()))
}

fn statuses(words: &[&'static str]) -> Vec<Reply> {
    words.iter().map(|word| Reply::Status(word)).collect()
}

fn describe(spec: &Spec) -> Reply {
    let Keys { first, last, step } = spec.keys;
    let place = [first as i64, i64::from(last), step as i64].map(Reply::Integer);
    let mut parts = vec![Reply::bulk(spec.name), Reply::Integer(i64::from(spec.arity)), Reply::Set(statuses(spec.flags))];
    parts.extend(place);
    parts.push(Reply::Set(statuses(&categories(spec))));
    parts.push(Reply::Set(tips(spec).iter().map(|tip| Reply::bulk(*tip)).collect()));
    parts.push(Reply::Set(key_specification(spec).into_iter().collect()));
    parts.push(Reply::Set(spec.subcommands.iter().map(|spec| describe(spec)).collect()));
    Reply::Array(parts)
}

/// The ACL categories, in Redis's order.
fn categories(spec: &Spec) -> Vec<&'static str> {
    let has = |flag: &str| spec.flags.contains(&flag);
    let of_group = |group: &str| spec.group == group;
    [
        (of_group("generic") && spec.subcommands.is_empty() && !is_about_connections(spec), "@keyspace"),
        (of_group("server") && (has("write") || has("readonly")), "@keyspace"),
        (has("readonly"), "@read"),
        (has("write"), "@write"),
        (of_group("hash"), "@hash"),
        (of_group("string"), "@string"),
        (has("admin"), "@admin"),
        (has("fast"), "@fast"),
        (!has("fast"), "@slow"),
        (has("admin") || ["keys", "flushall", "flushdb", "info"].contains(&spec.name), "@dangerous"),
        (is_about_connections(spec), "@connection"),
    ]
    .into_iter()
    .filter_map(|(is_member, category)| is_member.then_some(category))
    .collect()
}

fn is_about_connections(spec: &Spec) -> bool {
    let is_named = spec.name.starts_with("command") || ["readonly", "readwrite", "wait"].contains(&spec.name);
    spec.subcommands.is_empty() && spec.group == "connection" || is_named
}

/// How a client with several servers asks and merges; follows from how the plain port does it.
fn tips(spec: &Spec) -> Vec<&'static str> {
    let (request, merge) = match spec.run {
        Run::Keyed { split: Split::PerShard(merge), .. } => ("request_policy:multi_shard", merge),
        Run::EveryShard { merge, .. } => ("request_policy:all_shards", merge),
        _ => return Vec::new(),
    };
    let response = match merge {
        Merge::Sum => Some("response_policy:agg_sum"),
        Merge::AllOk => Some("response_policy:all_succeeded"),
        Merge::InKeyOrder | Merge::Concatenate => None,
    };
    std::iter::once(request).chain(response).collect()
}

fn map(pairs: Vec<(&'static str, Reply)>) -> Reply {
    Reply::Map(pairs.into_iter().map(|(key, value)| (Reply::bulk(key), value)).collect())
}

fn key_specification(spec: &Spec) -> Option<Reply> {
    let Keys { first, last, step } = spec.keys;
    if first == 0 {
        return None;
    }
    let flags: &[&str] = if spec.is_write() { &["RW", "ACCESS", "UPDATE"] } else { &["RO", "ACCESS"] };
    let begin = map(vec![("type", Reply::bulk("index")), ("spec", map(vec![("index", Reply::Integer(first as i64))]))]);
    let last = if last < 0 { i64::from(last) } else { i64::from(last) - first as i64 };
    let range = map(vec![("lastkey", Reply::Integer(last)), ("keystep", Reply::Integer(step as i64)), ("limit", Reply::Integer(0))]);
    let find = map(vec![("type", Reply::bulk("range")), ("spec", range)]);
    Some(map(vec![("flags", Reply::Set(statuses(flags))), ("begin_search", begin), ("find_keys", find)]))
}

fn docs(arguments: &[Bytes], _: &mut Session, _: &dyn Node) -> Result<Reply, Failure> {
    let named: Vec<&Spec> = match &arguments[2..] {
        [] => TABLE.to_vec(),
        names => names.iter().filter_map(|name| find(name)).collect(),
    };
    Ok(Reply::Map(named.into_iter().map(document).collect()))
}

fn document(spec: &Spec) -> (Reply, Reply) {
    let mut pairs = vec![("summary", Reply::bulk(spec.summary)), ("since", Reply::bulk(spec.since)), ("group", Reply::bulk(spec.group))];
    if !spec.subcommands.is_empty() {
        pairs.push(("subcommands", Reply::Map(spec.subcommands.iter().map(|spec| document(spec)).collect())));
    }
    (Reply::bulk(spec.name), map(pairs))
}

fn get_keys(arguments: &[Bytes], _: &mut Session, _: &dyn Node) -> Result<Reply, Failure> {
    const INVALID_COMMAND: ErrorReply = ErrorReply::fixed("ERR Invalid command specified");
    const NO_KEYS: ErrorReply = ErrorReply::fixed("ERR The command has no key arguments");
    const INVALID_ARITY: ErrorReply = ErrorReply::fixed("ERR Invalid number of arguments specified for command");
    let inner = arguments[2..].to_vec();
    let spec = lookup(&inner[0]).ok_or(INVALID_COMMAND)?;
    let call = parse(inner).map_err(|_| if spec.keys == Keys::NONE && spec.subcommands.is_empty() { NO_KEYS } else { INVALID_ARITY })?;
    let keys: Vec<_> = call.key_positions().map(|position| Reply::Bulk(call.arguments[position].clone())).collect();
    if keys.is_empty() { Err(NO_KEYS.into()) } else { Ok(Reply::Array(keys)) }
}

fn list(arguments: &[Bytes], _: &mut Session, _: &dyn Node) -> Result<Reply, Failure> {
    let names = |is_wanted: &dyn Fn(&Spec) -> bool| {
        let wanted = TABLE.iter().filter(|spec| is_wanted(spec));
        Ok(Reply::Set(wanted.map(|spec| Reply::bulk(spec.name)).collect()))
    };
    let [filter, kind, value] = &arguments[2..] else {
        return if arguments.len() == 2 { names(&|_| true) } else { Err(ErrorReply::SYNTAX.into()) };
    };
    match (filter.to_ascii_uppercase().as_slice(), kind.to_ascii_uppercase().as_slice()) {
        (b"FILTERBY", b"PATTERN") => names(&|spec| glob::matches(value, spec.name.as_bytes())),
        (b"FILTERBY", b"ACLCAT") => {
            names(&|spec| categories(spec).iter().any(|category| category.as_bytes()[1..].eq_ignore_ascii_case(value)))
        }
        (b"FILTERBY", b"MODULE") => names(&|_| false),
        _ => Err(ErrorReply::SYNTAX.into()),
    }
}
