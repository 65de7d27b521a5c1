//! `PTTL key`: TTL in milliseconds.

use super::{Keys, Run, Spec, Split, ttl::time_to_live};

/// The row of PTTL.
pub static SPEC: Spec = Spec {
    name: "pttl",
    arity: 2,
    flags: &["readonly", "fast"],
    keys: Keys::ONE,
    run: Run::Keyed {
        evaluate: |arguments, view| time_to_live(&arguments[1], view, |expire_ms, now_ms| expire_ms.saturating_sub(now_ms)),
        split: Split::Refuse,
    },
    group: "generic",
    since: "2.6.0",
    summary: "Answers how long a key still lives, in milliseconds.",
    subcommands: &[],
};
