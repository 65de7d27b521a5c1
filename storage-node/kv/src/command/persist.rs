//! `PERSIST key`: takes the time to live from a key; 1 where it had one.

use super::{Keys, Run, Spec, Split};
use crate::{Failure, Reply, View};
use bytes::Bytes;

/// The row of PERSIST.
pub static SPEC: Spec = Spec {
    name: "persist",
    arity: 2,
    flags: &["write", "fast"],
    keys: Keys::ONE,
    run: Run::Keyed { evaluate, split: Split::Refuse },
    group: "generic",
    since: "2.2.0",
    summary: "Takes the time to live from a key.",
    subcommands: &[],
};

fn evaluate(arguments: &[Bytes], view: &mut View<'_>) -> Result<Reply, Failure> {
    let record = view.load(&arguments[1])?.filter(|record| record.expire_ms.is_some());
    let Some(record) = record else { return Ok(Reply::from_bool(false)) };
    view.put_expiry(&arguments[1], record, None)?;
    Ok(Reply::from_bool(true))
}
