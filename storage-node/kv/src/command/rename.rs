//! `RENAME key newkey`: gives a key another name, with its value and time to live, whatever that name held before.
//!
//! A large hash is refused as in COPY.

use super::{Keys, Run, Spec, Split, copy::put_copy};
use crate::{ErrorReply, Failure, Reply, View};
use bytes::Bytes;

/// The row of RENAME.
pub static SPEC: Spec = Spec {
    name: "rename",
    arity: 3,
    flags: &["write"],
    keys: Keys::TWO,
    run: Run::Keyed { evaluate, split: Split::Refuse },
    group: "generic",
    since: "1.0.0",
    summary: "Gives a key another name.",
    subcommands: &[],
};

fn evaluate(arguments: &[Bytes], view: &mut View<'_>) -> Result<Reply, Failure> {
    let (key, new_key) = (&arguments[1], &arguments[2]);
    let record = view.load(key)?.ok_or(ErrorReply::NO_SUCH_KEY)?;
    if key != new_key {
        put_copy(key, record, new_key, view)?;
        view.delete(key)?;
    }
    Ok(Reply::OK)
}
