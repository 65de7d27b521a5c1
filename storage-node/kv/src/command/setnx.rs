//! `SETNX key value`: makes a key hold a string where it holds nothing; 1 where it did.

use super::{Keys, Run, Spec, Split};
use crate::{Failure, Reply, View};
use bytes::Bytes;

/// The row of SETNX.
pub static SPEC: Spec = Spec {
    name: "setnx",
    arity: 3,
    flags: &["write", "denyoom", "fast"],
    keys: Keys::ONE,
    run: Run::Keyed { evaluate, split: Split::Refuse },
    group: "string",
    since: "1.0.0",
    summary: "Makes a key hold a string where it holds nothing.",
    subcommands: &[],
};

fn evaluate(arguments: &[Bytes], view: &mut View<'_>) -> Result<Reply, Failure> {
    let is_absent = view.load(&arguments[1])?.is_none();
    if is_absent {
        view.put_string(&arguments[1], arguments[2].clone(), None)?;
    }
    Ok(Reply::from_bool(is_absent))
}
