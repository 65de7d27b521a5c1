//! `HGETALL key`: every field of a hash with its value. A hash too large for one reply is refused: HSCAN walks over it.
//!
//! HKEYS and HVALS show one half of the same.

use super::{Keys, Run, Spec, Split};
use crate::{ErrorReply, Failure, Reply, View, limits};
use bytes::Bytes;
use std::ops::ControlFlow;

/// The row of HGETALL.
pub static SPEC: Spec = Spec {
    name: "hgetall",
    arity: 2,
    flags: &["readonly"],
    keys: Keys::ONE,
    run: Run::Keyed { evaluate, split: Split::Refuse },
    group: "hash",
    since: "2.0.0",
    summary: "Answers every field of a hash with its value.",
    subcommands: &[],
};

fn evaluate(arguments: &[Bytes], view: &mut View<'_>) -> Result<Reply, Failure> {
    gather(&arguments[1], view, |field, value| (bulk(field), bulk(value))).map(Reply::Map)
}

/// A bulk string of bytes that a scan only lends.
pub(super) fn bulk(bytes: &[u8]) -> Reply {
    Reply::Bulk(Bytes::copy_from_slice(bytes))
}

/// What `show` makes of every field and value.
pub(super) fn gather<T>(key: &[u8], view: &mut View<'_>, show: impl Fn(&[u8], &[u8]) -> T) -> Result<Vec<T>, Failure> {
    let hash = view.load_hash(key)?;
    let (mut shown, mut bytes) = (Vec::new(), 0);
    if hash.is_empty() {
        return Ok(shown);
    }
    view.scan_fields(&hash, 0, &mut |_, field, value| {
        bytes += field.len() + value.len() + size_of::<T>();
        shown.push(show(field, value));
        if bytes > limits::REPLY_BYTES_MAX { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    if bytes > limits::REPLY_BYTES_MAX { Err(ErrorReply::REPLY_TOO_LARGE.into()) } else { Ok(shown) }
}
