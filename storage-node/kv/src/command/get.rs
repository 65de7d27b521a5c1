//! `GET key`: the string of a key.

use super::{Keys, Run, Spec, Split};
use crate::{Failure, Reply, View};
use bytes::Bytes;

/// The row of GET.
pub static SPEC: Spec = Spec {
    name: "get",
    arity: 2,
    flags: &["readonly", "fast"],
    keys: Keys::ONE,
    run: Run::Keyed { evaluate, split: Split::Refuse },
    group: "string",
    since: "1.0.0",
    summary: "Answers the string of a key.",
    subcommands: &[],
};

fn evaluate(arguments: &[Bytes], view: &mut View<'_>) -> Result<Reply, Failure> {
    let value = view.load_string(&arguments[1])?;
    Ok(Reply::bulk_or_null(value.map(|(value, _)| value)))
}
