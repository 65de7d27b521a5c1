//! `HRANDFIELD key [count [WITHVALUES]]`: fields of a hash, drawn at random: one; up to `count` different ones; or `-count`, each drawn anew.
//!
//! From a hash of up to [`limits::SMALL_HASH_FIELDS_MAX`] fields each is drawn with the same chance. From a larger one a field is the
//! first after a random hash, and different ones are a stretch from there on: hashes are evenly spread, so that is about even for one field,
//! and costs what is answered instead of a walk over the whole hash.

use super::{Keys, Run, Spec, Split, hgetall::bulk};
use crate::{ErrorReply, Failure, Hash, Reply, View, limits, number, random::Stream};
use bytes::Bytes;
use std::ops::ControlFlow;

/// The row of HRANDFIELD.
pub static SPEC: Spec = Spec {
    name: "hrandfield",
    arity: -2,
    flags: &["readonly"],
    keys: Keys::ONE,
    run: Run::Keyed { evaluate, split: Split::Refuse },
    group: "hash",
    since: "6.2.0",
    summary: "Answers fields of a hash, drawn at random.",
    subcommands: &[],
};

fn evaluate(arguments: &[Bytes], view: &mut View<'_>) -> Result<Reply, Failure> {
    const OUT_OF_RANGE: ErrorReply =
        ErrorReply::fixed("ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807");
    const TOO_MANY: ErrorReply = ErrorReply::fixed("ERR value is out of range");
    let Some(count) = arguments.get(2) else {
        let hash = view.load_hash(&arguments[1])?;
        let drawn = if hash.is_empty() { Vec::new() } else { draw(&hash, -1, view)? };
        return Ok(drawn.into_iter().next().map_or(Reply::Null, |(field, _)| field));
    };
    let count = number::parse_integer(count).ok_or(ErrorReply::NOT_AN_INTEGER)?;
    if count == i64::MIN {
        return Err(OUT_OF_RANGE.into());
    }
    let with_values = match &arguments[3..] {
        [] => false,
        [word] if word.eq_ignore_ascii_case(b"withvalues") => true,
        _ => return Err(ErrorReply::SYNTAX.into()),
    };
    if with_values && count.unsigned_abs() > i64::MAX as u64 / 2 {
        return Err(TOO_MANY.into());
    }
    let hash = view.load_hash(&arguments[1])?;
    let drawn = if hash.is_empty() || count == 0 { Vec::new() } else { draw(&hash, count, view)? };
    Ok(if with_values { Reply::Pairs(drawn) } else { Reply::Array(drawn.into_iter().map(|(field, _)| field).collect()) })
}

/// `count` different fields with their values, or `-count` with repeats.
fn draw(hash: &Hash, count: i64, view: &View<'_>) -> Result<Vec<(Reply, Reply)>, Failure> {
    let mut stream = Stream::new(view.random());
    let wanted = count.unsigned_abs();
    let is_small = hash.len() <= limits::SMALL_HASH_FIELDS_MAX;
    if count > 0 && (wanted >= hash.len() || is_small) {
        let mut all = stretch(hash, 0, hash.len(), view)?;
        // The first `wanted` of a shuffle.
        for place in 0..wanted.min(hash.len() - 1) as usize {
            let other = place + stream.below((all.len() - place) as u64) as usize;
            all.swap(place, other);
        }
        all.truncate(wanted as usize);
        return Ok(all);
    }
    if count > 0 {
        return stretch(hash, stream.next(), wanted, view);
    }
    let all = if is_small { stretch(hash, 0, hash.len(), view)? } else { Vec::new() };
    let (mut drawn, mut bytes) = (Vec::new(), 0);
    for _ in 0..wanted {
        let pair = if is_small {
            all[stream.below(all.len() as u64) as usize].clone()
        } else {
            stretch(hash, stream.next(), 1, view)?.swap_remove(0)
        };
        bytes += size_of_pair(&pair);
        if bytes > limits::REPLY_BYTES_MAX {
            return Err(ErrorReply::REPLY_TOO_LARGE.into());
        }
        drawn.push(pair);
    }
    Ok(drawn)
}

fn size_of_pair((field, value): &(Reply, Reply)) -> usize {
    let size = |reply: &Reply| if let Reply::Bulk(bytes) = reply { bytes.len() } else { 0 };
    size(field) + size(value) + size_of::<(Reply, Reply)>()
}

/// `count` fields from a hash on, going on at the beginning after the end; `count` is at most the number of fields.
fn stretch(hash: &Hash, from_hash: u64, count: u64, view: &View<'_>) -> Result<Vec<(Reply, Reply)>, Failure> {
    let (mut found, mut bytes) = (Vec::new(), 0);
    for from in [from_hash, 0] {
        view.scan_fields(hash, from, &mut |_, field, value| {
            if found.len() as u64 == count || bytes > limits::REPLY_BYTES_MAX {
                return ControlFlow::Break(());
            }
            let pair = (bulk(field), bulk(value));
            bytes += size_of_pair(&pair);
            found.push(pair);
            ControlFlow::Continue(())
        })?;
        if found.len() as u64 == count {
            break;
        }
    }
    if bytes > limits::REPLY_BYTES_MAX { Err(ErrorReply::REPLY_TOO_LARGE.into()) } else { Ok(found) }
}
