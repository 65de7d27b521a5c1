//! `COPY source destination [DB 0] [REPLACE]`: gives another key the same value and time to live; 1 where it did.
//!
//! A hash is written anew, field by field, within one entry; one of more than [`limits::COPY_BYTES_MAX`] is refused. RENAME does the same,
//! since the elements of a hash lie under its key.

use super::{Keys, Run, Spec, Split, select::parse_index};
use crate::{
    ErrorReply, Failure, Reply, View, limits,
    record::{Body, Record},
    view::check_key,
};
use bytes::Bytes;
use std::ops::ControlFlow;

/// The row of COPY.
pub static SPEC: Spec = Spec {
    name: "copy",
    arity: -3,
    flags: &["write", "denyoom"],
    keys: Keys::TWO,
    run: Run::Keyed { evaluate, split: Split::Refuse },
    group: "generic",
    since: "6.2.0",
    summary: "Gives another key the same value and time to live.",
    subcommands: &[],
};

fn evaluate(arguments: &[Bytes], view: &mut View<'_>) -> Result<Reply, Failure> {
    let (source, destination) = (&arguments[1], &arguments[2]);
    let replaces = parse_options(&arguments[3..])?;
    if source == destination {
        return Err(ErrorReply::fixed("ERR source and destination objects are the same").into());
    }
    let Some(record) = view.load(source)? else { return Ok(Reply::from_bool(false)) };
    if !replaces && view.load(destination)?.is_some() {
        return Ok(Reply::from_bool(false));
    }
    put_copy(source, record, destination, view)?;
    Ok(Reply::from_bool(true))
}

fn parse_options(words: &[Bytes]) -> Result<bool, ErrorReply> {
    let mut replaces = false;
    let mut rest = words;
    while let [word, after @ ..] = rest {
        rest = after;
        match (word.to_ascii_uppercase().as_slice(), after) {
            (b"REPLACE", _) => replaces = true,
            (b"DB", [index, after @ ..]) => {
                if parse_index(index)? != 0 {
                    return Err(ErrorReply::NO_SUCH_DATABASE);
                }
                rest = after;
            }
            _ => return Err(ErrorReply::SYNTAX),
        }
    }
    Ok(replaces)
}

/// Makes `destination` hold what `source` holds, which is `record`, whatever it held before.
pub(super) fn put_copy(source: &[u8], record: Record, destination: &[u8], view: &mut View<'_>) -> Result<(), Failure> {
    check_key(destination)?;
    if let Body::String(_) = record.body {
        return view.put_record(destination, Record { hlc: view.hlc(), ..record });
    }
    let fields = gather(source, view)?;
    view.delete(destination)?;
    let mut copy = view.load_hash(destination)?;
    for (field, value) in fields {
        view.set_field(&mut copy, &field, &value)?;
    }
    copy.expire_ms = record.expire_ms;
    view.put_hash(destination, &copy)
}

fn gather(key: &[u8], view: &mut View<'_>) -> Result<Vec<(Bytes, Bytes)>, Failure> {
    let hash = view.load_hash(key)?;
    let (mut fields, mut bytes) = (Vec::new(), 0);
    view.scan_fields(&hash, 0, &mut |_, field, value| {
        bytes += field.len() + value.len();
        fields.push((Bytes::copy_from_slice(field), Bytes::copy_from_slice(value)));
        if bytes > limits::COPY_BYTES_MAX { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    if bytes > limits::COPY_BYTES_MAX { Err(ErrorReply::TOO_LARGE_TO_COPY.into()) } else { Ok(fields) }
}
