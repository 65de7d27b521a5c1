//! `PEXPIREAT key unix-milliseconds [NX | XX | GT | LT]`: EXPIRE with a moment in milliseconds instead of a span.

use super::{
    Keys, Run, Spec, Split,
    expire::{Deadline, Unit, expire},
};

/// The row of PEXPIREAT.
pub static SPEC: Spec = Spec {
    name: "pexpireat",
    arity: -3,
    flags: &["write", "fast"],
    keys: Keys::ONE,
    run: Run::Keyed {
        evaluate: |arguments, view| expire(arguments, Deadline::at(Unit::Milliseconds), view, "pexpireat"),
        split: Split::Refuse,
    },
    group: "generic",
    since: "2.6.0",
    summary: "Gives a key a moment to expire at, in milliseconds.",
    subcommands: &[],
};
