//! `HSCAN key cursor [MATCH pattern] [COUNT count]`: walks over the fields of a hash, a page per call.
//!
//! Fields lie in the order of their hashes; a cursor is the upper 63 bits of the hash to go on at, and fields that agree in them come in one
//! reply. A hash of few fields comes in one page whatever COUNT says, as in Redis.

use super::{
    Keys, Run, Spec, Split,
    hgetall::bulk,
    scan::{Options, parse_cursor},
};
use crate::{Failure, Reply, View, limits};
use bytes::Bytes;
use std::ops::ControlFlow;

/// The row of HSCAN.
pub static SPEC: Spec = Spec {
    name: "hscan",
    arity: -3,
    flags: &["readonly"],
    keys: Keys::ONE,
    run: Run::Keyed { evaluate, split: Split::Refuse },
    group: "hash",
    since: "2.8.0",
    summary: "Walks over the fields of a hash.",
    subcommands: &[],
};

fn evaluate(arguments: &[Bytes], view: &mut View<'_>) -> Result<Reply, Failure> {
    let begin = parse_cursor(&arguments[2])?;
    let hash = view.load_hash(&arguments[1])?;
    let page = |cursor: u64, fields| Ok(Reply::Array(vec![Reply::bulk(cursor.to_string()), Reply::Array(fields)]));
    if hash.is_empty() {
        return page(0, Vec::new());
    }
    let options = Options::parse(&arguments[3..], false)?;
    let count = if hash.len() <= limits::SMALL_HASH_FIELDS_MAX { usize::MAX } else { options.count };
    let (mut fields, mut next, mut visited, mut bytes, mut last) = (Vec::new(), 0, 0, 0, None);
    view.scan_fields(&hash, begin << 1, &mut |field_hash, field, value| {
        let place = field_hash >> 1;
        if last != Some(place) && (visited >= count || bytes > limits::PAGE_BYTES_MAX) {
            next = place;
            return ControlFlow::Break(());
        }
        (visited, last) = (visited + 1, Some(place));
        if options.matches(field) {
            bytes += field.len() + value.len();
            fields.extend([bulk(field), bulk(value)]);
        }
        ControlFlow::Continue(())
    })?;
    page(next, fields)
}
