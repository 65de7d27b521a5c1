//! `PEXPIRETIME key`: when a key expires, in milliseconds since the Unix epoch; -1 and -2 as TTL.

use super::{Keys, Run, Spec, Split, ttl::time_to_live};

/// The row of PEXPIRETIME.
pub static SPEC: Spec = Spec {
    name: "pexpiretime",
    arity: 2,
    flags: &["readonly", "fast"],
    keys: Keys::ONE,
    run: Run::Keyed { evaluate: |arguments, view| time_to_live(&arguments[1], view, |expire_ms, _| expire_ms), split: Split::Refuse },
    group: "generic",
    since: "7.0.0",
    summary: "Answers when a key expires, in milliseconds.",
    subcommands: &[],
};
