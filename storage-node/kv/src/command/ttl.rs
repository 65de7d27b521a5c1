//! `TTL key`: how long a key still lives, in seconds, rounded; -1 where it has no end, -2 where there is no such key.
//!
//! PTTL, EXPIRETIME and PEXPIRETIME differ in the unit and in what they count from.

use super::{Keys, Run, Spec, Split};
use crate::{Failure, Reply, View};

/// The row of TTL.
pub static SPEC: Spec = Spec {
    name: "ttl",
    arity: 2,
    flags: &["readonly", "fast"],
    keys: Keys::ONE,
    run: Run::Keyed {
        evaluate: |arguments, view| time_to_live(&arguments[1], view, |expire_ms, now_ms| (expire_ms.saturating_sub(now_ms) + 500) / 1_000),
        split: Split::Refuse,
    },
    group: "generic",
    since: "1.0.0",
    summary: "Answers how long a key still lives, in seconds.",
    subcommands: &[],
};

/// Evaluates the four commands of this family: `show` turns the expire time and the time of now into the number to answer.
pub(super) fn time_to_live(key: &[u8], view: &mut View<'_>, show: fn(u64, u64) -> u64) -> Result<Reply, Failure> {
    let number = match view.load(key)?.map(|record| record.expire_ms) {
        None => -2,
        Some(None) => -1,
        Some(Some(expire_ms)) => show(expire_ms, view.now_ms()) as i64,
    };
    Ok(Reply::Integer(number))
}
