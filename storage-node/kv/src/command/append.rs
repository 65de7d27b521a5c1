//! `APPEND key value`: adds to the end of a key's string, which an absent key has none of; the new length is the reply.

use super::{Keys, Run, Spec, Split};
use crate::{ErrorReply, Failure, Reply, View, limits};
use bytes::Bytes;

/// The row of APPEND.
pub static SPEC: Spec = Spec {
    name: "append",
    arity: 3,
    flags: &["write", "denyoom", "fast"],
    keys: Keys::ONE,
    run: Run::Keyed { evaluate, split: Split::Refuse },
    group: "string",
    since: "2.0.0",
    summary: "Adds to the end of a key's string.",
    subcommands: &[],
};

fn evaluate(arguments: &[Bytes], view: &mut View<'_>) -> Result<Reply, Failure> {
    let (key, tail) = (&arguments[1], &arguments[2]);
    let (value, expire_ms) = match view.load_string(key)? {
        None => (tail.clone(), None),
        Some((old, _)) if old.len() + tail.len() > limits::STRING_BYTES_MAX => return Err(ErrorReply::STRING_TOO_LONG.into()),
        Some((old, expire_ms)) => (Bytes::from([&old[..], tail].concat()), expire_ms),
    };
    let length = value.len();
    view.put_string(key, value, expire_ms)?;
    Ok(Reply::Integer(length as i64))
}
