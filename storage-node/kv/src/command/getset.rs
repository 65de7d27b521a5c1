//! `GETSET key value`: makes a key hold a string; the old one is the reply. The time to live goes with it.

use super::{Keys, Run, Spec, Split};
use crate::{Failure, Reply, View};
use bytes::Bytes;

/// The row of GETSET.
pub static SPEC: Spec = Spec {
    name: "getset",
    arity: 3,
    flags: &["write", "denyoom", "fast"],
    keys: Keys::ONE,
    run: Run::Keyed { evaluate, split: Split::Refuse },
    group: "string",
    since: "1.0.0",
    summary: "Makes a key hold a string, and answers the old one.",
    subcommands: &[],
};

fn evaluate(arguments: &[Bytes], view: &mut View<'_>) -> Result<Reply, Failure> {
    let old = view.load_string(&arguments[1])?;
    view.put_string(&arguments[1], arguments[2].clone(), None)?;
    Ok(Reply::bulk_or_null(old.map(|(value, _)| value)))
}
