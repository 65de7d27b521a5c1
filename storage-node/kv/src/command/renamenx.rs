//! `RENAMENX key newkey`: RENAME where the new name holds nothing; 1 where it did.

use super::{Keys, Run, Spec, Split, copy::put_copy};
use crate::{ErrorReply, Failure, Reply, View};
use bytes::Bytes;

/// The row of RENAMENX.
pub static SPEC: Spec = Spec {
    name: "renamenx",
    arity: 3,
    flags: &["write", "fast"],
    keys: Keys::TWO,
    run: Run::Keyed { evaluate, split: Split::Refuse },
    group: "generic",
    since: "1.0.0",
    summary: "Gives a key another name that holds nothing.",
    subcommands: &[],
};

fn evaluate(arguments: &[Bytes], view: &mut View<'_>) -> Result<Reply, Failure> {
    let (key, new_key) = (&arguments[1], &arguments[2]);
    let record = view.load(key)?.ok_or(ErrorReply::NO_SUCH_KEY)?;
    if view.load(new_key)?.is_some() {
        return Ok(Reply::from_bool(false));
    }
    put_copy(key, record, new_key, view)?;
    view.delete(key)?;
    Ok(Reply::from_bool(true))
}
