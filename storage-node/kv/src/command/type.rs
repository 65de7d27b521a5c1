//! `TYPE key`: the type of a key's value, `none` for an absent key.

use super::{Keys, Run, Spec, Split};
use crate::{Failure, Reply, View};
use bytes::Bytes;

/// The row of TYPE.
pub static SPEC: Spec = Spec {
    name: "type",
    arity: 2,
    flags: &["readonly", "fast"],
    keys: Keys::ONE,
    run: Run::Keyed { evaluate, split: Split::Refuse },
    group: "generic",
    since: "1.0.0",
    summary: "Answers the type of a key's value.",
    subcommands: &[],
};

fn evaluate(arguments: &[Bytes], view: &mut View<'_>) -> Result<Reply, Failure> {
    let record = view.load(&arguments[1])?;
    Ok(Reply::Status(record.map_or("none", |record| record.body.type_name())))
}
