//! `RANDOMKEY`: a key drawn at random: the first after a random place among the shard's slots and hashes.
//!
//! Places are evenly spread, so keys are drawn about evenly; keys of one hash tag share one place, so all but the first of them are never
//! drawn. Expired keys are passed over, at most [`limits::SCAN_RECORDS_MAX`] of them.

use super::{Keys, Run, Spec};
use crate::{Failure, Reply, View, limits, record};
use bytes::Bytes;
use std::ops::ControlFlow;

/// The row of RANDOMKEY.
pub static SPEC: Spec = Spec {
    name: "randomkey",
    arity: 1,
    flags: &["readonly"],
    keys: Keys::NONE,
    run: Run::AnyShard(evaluate),
    group: "generic",
    since: "1.0.0",
    summary: "Answers a key drawn at random.",
    subcommands: &[],
};

fn evaluate(_: &[Bytes], view: &mut View<'_>) -> Result<Reply, Failure> {
    let (slots, random) = (view.slots(), view.random());
    let count = u64::from(slots.last() - slots.first()) + 1;
    let slot = slots.first() + (((random >> 32) * count) >> 32) as u16;
    let mut passed = 0;
    for from in [record::place_bound(slot, random as u32), Bytes::new()] {
        let mut found = None;
        view.scan_keys(&from, &mut |encoded, head| {
            passed += 1;
            if head.is_some() {
                found = record::user_key(encoded).map(Bytes::copy_from_slice);
            }
            if found.is_some() || passed >= limits::SCAN_RECORDS_MAX { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        if found.is_some() {
            return Ok(Reply::bulk_or_null(found));
        }
    }
    Ok(Reply::Null)
}
