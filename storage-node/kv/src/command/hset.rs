//! `HSET key field value [field value …]`: sets fields of a hash; the number of those that are new.
//!
//! HMSET differs in its reply.

use super::{Keys, Run, Spec, Split};
use crate::{ErrorReply, Failure, Hash, Reply, View, limits, view::check_key};
use bytes::Bytes;

/// The row of HSET.
pub static SPEC: Spec = Spec {
    name: "hset",
    arity: -4,
    flags: &["write", "denyoom", "fast"],
    keys: Keys::ONE,
    run: Run::Keyed { evaluate: |arguments, view| Ok(Reply::Integer(set_fields(arguments, view, "hset")?)), split: Split::Refuse },
    group: "hash",
    since: "2.0.0",
    summary: "Sets fields of a hash.",
    subcommands: &[],
};

/// The hash of a key, and a refusal where the key or one of the fields to set is too long: asked before the first of them is written.
pub(super) fn load_to_set<'a>(key: &[u8], fields: impl IntoIterator<Item = &'a Bytes>, view: &mut View<'_>) -> Result<Hash, Failure> {
    let hash = view.load_hash(key)?;
    check_key(key)?;
    if fields.into_iter().any(|field| field.len() > limits::FIELD_BYTES_MAX) {
        return Err(ErrorReply::FIELD_TOO_LONG.into());
    }
    Ok(hash)
}

/// Sets all fields; the number of new ones. `command` is named in errors.
pub(super) fn set_fields(arguments: &[Bytes], view: &mut View<'_>, command: &str) -> Result<i64, Failure> {
    let key = &arguments[1];
    let (pairs, []) = arguments[2..].as_chunks::<2>() else { return Err(ErrorReply::wrong_arity(command).into()) };
    let mut hash = load_to_set(key, pairs.iter().map(|[field, _]| field), view)?;
    let mut created = 0;
    for [field, value] in pairs {
        created += i64::from(view.set_field(&mut hash, field, value)?.is_none());
    }
    view.put_hash(key, &hash)?;
    Ok(created)
}
