//! `HINCRBYFLOAT key field increment`: adds to the number of a field; one that is not set counts as 0. The sum is the reply and the new value.
//!
//! The numbers are those of [`crate::float`], as in INCRBYFLOAT.

use super::{Keys, Run, Spec, Split, hset::load_to_set};
use crate::{
    ErrorReply, Failure, Reply, View,
    float::{self, Extended, Parsed},
};
use bytes::Bytes;

/// The row of HINCRBYFLOAT.
pub static SPEC: Spec = Spec {
    name: "hincrbyfloat",
    arity: 4,
    flags: &["write", "denyoom", "fast"],
    keys: Keys::ONE,
    run: Run::Keyed { evaluate, split: Split::Refuse },
    group: "hash",
    since: "2.6.0",
    summary: "Adds to the number of a field.",
    subcommands: &[],
};

fn evaluate(arguments: &[Bytes], view: &mut View<'_>) -> Result<Reply, Failure> {
    const NOT_A_FLOAT: ErrorReply = ErrorReply::fixed("ERR hash value is not a float");
    const STEP_NOT_FINITE: ErrorReply = ErrorReply::fixed("ERR value is NaN or Infinity");
    let (key, field) = (&arguments[1], &arguments[2]);
    let step = float::parse(&arguments[3]).ok_or(ErrorReply::NOT_A_FLOAT)?;
    if step == Parsed::Infinite {
        return Err(STEP_NOT_FINITE.into());
    }
    let mut hash = load_to_set(key, [field], view)?;
    let old = match view.field(&hash, field)? {
        None => Parsed::Finite(Extended::ZERO),
        Some(value) => float::parse(&value).ok_or(NOT_A_FLOAT)?,
    };
    let sum = Bytes::from(old.add(step).ok_or(ErrorReply::NOT_FINITE)?.format());
    view.set_field(&mut hash, field, &sum)?;
    view.put_hash(key, &hash)?;
    Ok(Reply::Bulk(sum))
}
