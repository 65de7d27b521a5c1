//! `INCR key`: adds one to the integer of a key; an absent key counts as 0.
//!
//! INCRBY, DECR and DECRBY are the same addition.

use super::{Keys, Run, Spec, Split};
use crate::{ErrorReply, Failure, Reply, View, number};
use bytes::Bytes;

/// The row of INCR.
pub static SPEC: Spec = Spec {
    name: "incr",
    arity: 2,
    flags: &["write", "denyoom", "fast"],
    keys: Keys::ONE,
    run: Run::Keyed { evaluate: |arguments, view| add(&arguments[1], 1, view), split: Split::Refuse },
    group: "string",
    since: "1.0.0",
    summary: "Adds one to the integer of a key.",
    subcommands: &[],
};

/// Adds `step` to the integer of a key, keeping its time to live; the reply is the sum.
pub(super) fn add(key: &[u8], step: i64, view: &mut View<'_>) -> Result<Reply, Failure> {
    let (old, expire_ms) = match view.load_string(key)? {
        None => (0, None),
        Some((value, expire_ms)) => (number::parse_integer(&value).ok_or(ErrorReply::NOT_AN_INTEGER)?, expire_ms),
    };
    let sum = old.checked_add(step).ok_or(ErrorReply::OVERFLOW)?;
    view.put_string(key, Bytes::copy_from_slice(number::Digits::of(sum).as_bytes()), expire_ms)?;
    Ok(Reply::Integer(sum))
}
