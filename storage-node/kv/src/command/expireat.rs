//! `EXPIREAT key unix-seconds [NX | XX | GT | LT]`: EXPIRE with a moment instead of a span.

use super::{
    Keys, Run, Spec, Split,
    expire::{Deadline, Unit, expire},
};

/// The row of EXPIREAT.
pub static SPEC: Spec = Spec {
    name: "expireat",
    arity: -3,
    flags: &["write", "fast"],
    keys: Keys::ONE,
    run: Run::Keyed { evaluate: |arguments, view| expire(arguments, Deadline::at(Unit::Seconds), view, "expireat"), split: Split::Refuse },
    group: "generic",
    since: "1.2.0",
    summary: "Gives a key a moment to expire at, in seconds.",
    subcommands: &[],
};
