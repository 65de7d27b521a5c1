//! `KEYS pattern`: every key that matches a pattern, of every shard. Walks all of them: SCAN is for programs, this is for people.

use super::{Keys, Merge, Run, Spec};
use crate::{ErrorReply, Failure, Reply, View, glob, limits, record};
use bytes::Bytes;
use std::ops::ControlFlow;

/// The row of KEYS.
pub static SPEC: Spec = Spec {
    name: "keys",
    arity: 2,
    flags: &["readonly"],
    keys: Keys::NONE,
    run: Run::EveryShard { evaluate, merge: Merge::Concatenate },
    group: "generic",
    since: "1.0.0",
    summary: "Answers every key that matches a pattern.",
    subcommands: &[],
};

fn evaluate(arguments: &[Bytes], view: &mut View<'_>) -> Result<Reply, Failure> {
    let (mut keys, mut bytes) = (Vec::new(), 0);
    view.scan_keys(&[], &mut |encoded, head| {
        let key = record::user_key(encoded).unwrap_or_default();
        if head.is_some() && glob::matches(&arguments[1], key) {
            bytes += key.len() + size_of::<Reply>();
            keys.push(Reply::Bulk(Bytes::copy_from_slice(key)));
        }
        if bytes > limits::REPLY_BYTES_MAX { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    if bytes > limits::REPLY_BYTES_MAX { Err(ErrorReply::REPLY_TOO_LARGE.into()) } else { Ok(Reply::Array(keys)) }
}
