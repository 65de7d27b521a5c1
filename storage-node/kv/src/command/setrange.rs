//! `SETRANGE key offset value`: overwrites a part of a key's string, with zero bytes before it where it is too short; the new length is the
//! reply.

use super::{Keys, Run, Spec, Split};
use crate::{ErrorReply, Failure, Reply, View, limits, number};
use bytes::Bytes;

/// The row of SETRANGE.
pub static SPEC: Spec = Spec {
    name: "setrange",
    arity: 4,
    flags: &["write", "denyoom"],
    keys: Keys::ONE,
    run: Run::Keyed { evaluate, split: Split::Refuse },
    group: "string",
    since: "2.2.0",
    summary: "Overwrites a part of a key's string.",
    subcommands: &[],
};

fn evaluate(arguments: &[Bytes], view: &mut View<'_>) -> Result<Reply, Failure> {
    let (key, patch) = (&arguments[1], &arguments[3]);
    let offset = number::parse_integer(&arguments[2]).ok_or(ErrorReply::NOT_AN_INTEGER)?;
    let offset = u64::try_from(offset).map_err(|_| ErrorReply::fixed("ERR offset is out of range"))?;
    let (old, expire_ms) = view.load_string(key)?.unwrap_or_default();
    if patch.is_empty() {
        return Ok(Reply::Integer(old.len() as i64));
    }
    let end = offset.saturating_add(patch.len() as u64);
    if end > limits::STRING_BYTES_MAX as u64 {
        return Err(ErrorReply::STRING_TOO_LONG.into());
    }
    let mut value = old.to_vec();
    value.resize(value.len().max(end as usize), 0);
    value[offset as usize..end as usize].copy_from_slice(patch);
    let length = value.len();
    view.put_string(key, Bytes::from(value), expire_ms)?;
    Ok(Reply::Integer(length as i64))
}
