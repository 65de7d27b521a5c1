//! `MSET key value [key value …]`: makes keys hold strings, whatever they held before. A key given twice holds the last value.
//!
//! MSETNX writes all of them or none.

use super::{Keys, Merge, Run, Spec, Split};
use crate::{ErrorReply, Failure, Reply, View, view::check_key};
use bytes::Bytes;

/// The row of MSET.
pub static SPEC: Spec = Spec {
    name: "mset",
    arity: -3,
    flags: &["write", "denyoom"],
    keys: Keys::PAIRS,
    run: Run::Keyed { evaluate, split: Split::PerShard(Merge::AllOk) },
    group: "string",
    since: "1.0.1",
    summary: "Makes keys hold strings.",
    subcommands: &[],
};

fn evaluate(arguments: &[Bytes], view: &mut View<'_>) -> Result<Reply, Failure> {
    let pairs = pairs(arguments, SPEC.name)?;
    put_all(pairs, view)?;
    Ok(Reply::OK)
}

/// Keys and their values, none too long to write; `command` is named in errors.
pub(super) fn pairs<'a>(arguments: &'a [Bytes], command: &str) -> Result<&'a [[Bytes; 2]], ErrorReply> {
    let (pairs, []) = arguments[1..].as_chunks() else { return Err(ErrorReply::wrong_arity(command)) };
    pairs.iter().try_for_each(|[key, _]| check_key(key))?;
    Ok(pairs)
}

pub(super) fn put_all(pairs: &[[Bytes; 2]], view: &mut View<'_>) -> Result<(), Failure> {
    pairs.iter().try_for_each(|[key, value]| view.put_string(key, value.clone(), None))
}
