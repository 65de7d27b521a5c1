//! `INCRBYFLOAT key increment`: adds to the number of a key; an absent key counts as 0. The sum is the reply and the new string.
//!
//! The numbers are those of [`crate::float`]: 80 bits, as Redis counts on x86-64.

use super::{Keys, Run, Spec, Split};
use crate::{
    ErrorReply, Failure, Reply, View,
    float::{self, Extended, Parsed},
};
use bytes::Bytes;

/// The row of INCRBYFLOAT.
pub static SPEC: Spec = Spec {
    name: "incrbyfloat",
    arity: 3,
    flags: &["write", "denyoom", "fast"],
    keys: Keys::ONE,
    run: Run::Keyed { evaluate, split: Split::Refuse },
    group: "string",
    since: "2.6.0",
    summary: "Adds to the number of a key.",
    subcommands: &[],
};

fn evaluate(arguments: &[Bytes], view: &mut View<'_>) -> Result<Reply, Failure> {
    let key = &arguments[1];
    let (old, expire_ms) = match view.load_string(key)? {
        None => (Parsed::Finite(Extended::ZERO), None),
        Some((value, expire_ms)) => (float::parse(&value).ok_or(ErrorReply::NOT_A_FLOAT)?, expire_ms),
    };
    let step = float::parse(&arguments[2]).ok_or(ErrorReply::NOT_A_FLOAT)?;
    let sum = Bytes::from(old.add(step).ok_or(ErrorReply::NOT_FINITE)?.format());
    view.put_string(key, sum.clone(), expire_ms)?;
    Ok(Reply::Bulk(sum))
}
