//! `HSETNX key field value`: sets a field of a hash where it is not set; 1 where it was.

use super::{Keys, Run, Spec, Split, hset::load_to_set};
use crate::{Failure, Reply, View};
use bytes::Bytes;

/// The row of HSETNX.
pub static SPEC: Spec = Spec {
    name: "hsetnx",
    arity: 4,
    flags: &["write", "denyoom", "fast"],
    keys: Keys::ONE,
    run: Run::Keyed { evaluate, split: Split::Refuse },
    group: "hash",
    since: "2.0.0",
    summary: "Sets a field of a hash where it is not set.",
    subcommands: &[],
};

fn evaluate(arguments: &[Bytes], view: &mut View<'_>) -> Result<Reply, Failure> {
    let (key, field) = (&arguments[1], &arguments[2]);
    let mut hash = load_to_set(key, [field], view)?;
    let is_absent = view.field(&hash, field)?.is_none();
    if is_absent {
        view.set_field(&mut hash, field, &arguments[3])?;
        view.put_hash(key, &hash)?;
    }
    Ok(Reply::from_bool(is_absent))
}
