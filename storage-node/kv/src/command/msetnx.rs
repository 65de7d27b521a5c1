//! `MSETNX key value [key value …]`: makes keys hold strings where none of them holds anything; 1 where it did.

use super::{
    Keys, Run, Spec, Split,
    mset::{pairs, put_all},
};
use crate::{Failure, Reply, View};
use bytes::Bytes;

/// The row of MSETNX.
pub static SPEC: Spec = Spec {
    name: "msetnx",
    arity: -3,
    flags: &["write", "denyoom"],
    keys: Keys::PAIRS,
    run: Run::Keyed { evaluate, split: Split::Refuse },
    group: "string",
    since: "1.0.1",
    summary: "Makes keys hold strings where none of them holds anything.",
    subcommands: &[],
};

fn evaluate(arguments: &[Bytes], view: &mut View<'_>) -> Result<Reply, Failure> {
    let pairs = pairs(arguments, SPEC.name)?;
    for [key, _] in pairs {
        if view.load(key)?.is_some() {
            return Ok(Reply::from_bool(false));
        }
    }
    put_all(pairs, view)?;
    Ok(Reply::from_bool(true))
}
