//! `PEXPIRE key milliseconds [NX | XX | GT | LT]`: EXPIRE with a span in milliseconds.

use super::{
    Keys, Run, Spec, Split,
    expire::{Deadline, Unit, expire},
};

/// The row of PEXPIRE.
pub static SPEC: Spec = Spec {
    name: "pexpire",
    arity: -3,
    flags: &["write", "fast"],
    keys: Keys::ONE,
    run: Run::Keyed {
        evaluate: |arguments, view| expire(arguments, Deadline::after(Unit::Milliseconds), view, "pexpire"),
        split: Split::Refuse,
    },
    group: "generic",
    since: "2.6.0",
    summary: "Gives a key a time to live in milliseconds.",
    subcommands: &[],
};
