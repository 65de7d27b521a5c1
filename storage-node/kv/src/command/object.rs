//! `OBJECT …`: how Redis would hold a key's value. Ours is on disk; the answers are those of a Redis that had just read it from there.

use super::{Keys, Run, Spec, Split};
use crate::{ErrorReply, Failure, Hash, Reply, View, limits, number, record::Body, session};
use bytes::Bytes;
use std::ops::ControlFlow;

/// The row of OBJECT.
pub static SPEC: Spec = Spec {
    name: "object",
    arity: -2,
    flags: &[],
    keys: Keys::NONE,
    run: Run::Connection(session::without_subcommand),
    group: "generic",
    since: "2.2.3",
    summary: "A container for commands about how values are held.",
    subcommands: &[&ENCODING, &FREQ, &HELP, &IDLETIME, &REFCOUNT],
};

/// The row of OBJECT ENCODING.
pub static ENCODING: Spec = Spec {
    name: "object|encoding",
    arity: 3,
    flags: &["readonly"],
    keys: Keys::SECOND,
    run: Run::Keyed { evaluate: encoding, split: Split::Refuse },
    group: "generic",
    since: "2.2.3",
    summary: "Answers how Redis would hold a value.",
    subcommands: &[],
};

/// The row of OBJECT FREQ.
pub static FREQ: Spec = Spec {
    name: "object|freq",
    arity: 3,
    flags: &["readonly"],
    keys: Keys::SECOND,
    run: Run::Keyed { evaluate: frequency, split: Split::Refuse },
    group: "generic",
    since: "4.0.0",
    summary: "Refused: accesses are not counted.",
    subcommands: &[],
};

/// The row of OBJECT HELP.
pub static HELP: Spec = Spec {
    name: "object|help",
    arity: 2,
    flags: &["loading", "stale"],
    keys: Keys::NONE,
    run: Run::Connection(|_, _, _| Ok(session::help(HELP_LINES))),
    group: "generic",
    since: "6.2.0",
    summary: "Answers what OBJECT can do.",
    subcommands: &[],
};

/// The row of OBJECT IDLETIME.
pub static IDLETIME: Spec = Spec {
    name: "object|idletime",
    arity: 3,
    flags: &["readonly"],
    keys: Keys::SECOND,
    run: Run::Keyed { evaluate: |arguments, view| constant(&arguments[2], 0, view), split: Split::Refuse },
    group: "generic",
    since: "2.2.3",
    summary: "Answers 0: accesses are not timed.",
    subcommands: &[],
};

/// The row of OBJECT REFCOUNT.
pub static REFCOUNT: Spec = Spec {
    name: "object|refcount",
    arity: 3,
    flags: &["readonly"],
    keys: Keys::SECOND,
    run: Run::Keyed { evaluate: |arguments, view| constant(&arguments[2], 1, view), split: Split::Refuse },
    group: "generic",
    since: "2.2.3",
    summary: "Answers 1: values are not shared.",
    subcommands: &[],
};

const HELP_LINES: &[&str] = &[
    "OBJECT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "ENCODING <key>",
    "    Return the kind of internal representation used in order to store the value",
    "    associated with a <key>.",
    "FREQ <key>",
    "    Refused: accesses are not counted.",
    "IDLETIME <key>",
    "    Return 0: accesses are not timed.",
    "REFCOUNT <key>",
    "    Return 1: values are not shared.",
];

fn constant(key: &[u8], number: i64, view: &mut View<'_>) -> Result<Reply, Failure> {
    Ok(view.load(key)?.map_or(Reply::Null, |_| Reply::Integer(number)))
}

fn frequency(arguments: &[Bytes], view: &mut View<'_>) -> Result<Reply, Failure> {
    const NOT_COUNTED: ErrorReply = ErrorReply::fixed(
        "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when switching between policies at \
         runtime LRU and LFU data will take some time to adjust.",
    );
    if view.load(&arguments[2])?.is_none() { Ok(Reply::Null) } else { Err(NOT_COUNTED.into()) }
}

fn encoding(arguments: &[Bytes], view: &mut View<'_>) -> Result<Reply, Failure> {
    const EMBEDDED_BYTES_MAX: usize = 44;
    let key = &arguments[2];
    let name = match view.load(key)?.map(|record| record.body) {
        None => return Ok(Reply::Null),
        Some(Body::String(value)) if number::parse_integer(&value).is_some() => "int",
        Some(Body::String(value)) if value.len() <= EMBEDDED_BYTES_MAX => "embstr",
        Some(Body::String(_)) => "raw",
        Some(Body::Hash(_)) => {
            let hash = view.load_hash(key)?;
            if is_small(&hash, view)? { "listpack" } else { "hashtable" }
        }
    };
    Ok(Reply::bulk(name))
}

/// Whether a hash has few fields, and only short ones.
fn is_small(hash: &Hash, view: &View<'_>) -> Result<bool, Failure> {
    const LISTPACK_BYTES_MAX: usize = 64;
    let mut is_small = hash.len() <= limits::SMALL_HASH_FIELDS_MAX;
    if is_small {
        view.scan_fields(hash, 0, &mut |_, field, value| {
            is_small = field.len().max(value.len()) <= LISTPACK_BYTES_MAX;
            if is_small { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
    }
    Ok(is_small)
}
