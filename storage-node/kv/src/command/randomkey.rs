//! `RANDOMKEY`: a key drawn at random: one of those at the first place after a random one, among the shard's slots and hashes.
//!
//! Places are evenly spread, so keys without a hash tag are drawn about evenly; all keys of one tag share one place, and with it its chance.
//! At most [`limits::SCAN_RECORDS_MAX`] records are looked at, expired ones included.

use super::{Keys, Run, Spec};
use crate::{Failure, Reply, View, limits, random::Stream, record};
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
    let mut stream = Stream::new(view.random());
    let slots = view.slots();
    let slot = slots.first() + stream.below(u64::from(slots.last() - slots.first()) + 1) as u16;
    let (mut looked_at, mut same_place) = (0, 0);
    let mut drawn: Option<Bytes> = None;
    for from in [record::place_bound(slot, stream.next() as u32), Bytes::new()] {
        view.scan_keys(&from, &mut |encoded, head| {
            let is_elsewhere = drawn.as_ref().is_some_and(|drawn| record::place(drawn) != record::place(encoded));
            if is_elsewhere || looked_at == limits::SCAN_RECORDS_MAX {
                return ControlFlow::Break(());
            }
            looked_at += 1;
            if head.is_some() {
                // Each key of the place replaces the one before with a chance that makes all equally likely.
                same_place += 1;
                if stream.below(same_place) == 0 {
                    drawn = Some(Bytes::copy_from_slice(encoded));
                }
            }
            ControlFlow::Continue(())
        })?;
        if drawn.is_some() {
            break;
        }
    }
    Ok(Reply::bulk_or_null(drawn.and_then(|encoded| record::user_key(&encoded).map(Bytes::copy_from_slice))))
}
