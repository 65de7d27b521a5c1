//! `GETDEL key`: removes a key that holds a string, which is the reply.

use super::{Keys, Run, Spec, Split};
use crate::{Failure, Reply, View};
use bytes::Bytes;

/// The row of GETDEL.
pub static SPEC: Spec = Spec {
    name: "getdel",
    arity: 2,
    flags: &["write", "fast"],
    keys: Keys::ONE,
    run: Run::Keyed { evaluate, split: Split::Refuse },
    group: "string",
    since: "6.2.0",
    summary: "Removes a key, and answers the string it held.",
    subcommands: &[],
};

fn evaluate(arguments: &[Bytes], view: &mut View<'_>) -> Result<Reply, Failure> {
    let Some((value, _)) = view.load_string(&arguments[1])? else { return Ok(Reply::Null) };
    view.delete(&arguments[1])?;
    Ok(Reply::Bulk(value))
}
