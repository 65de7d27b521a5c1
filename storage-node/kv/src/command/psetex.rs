//! `PSETEX key milliseconds value`: SET with a time to live in milliseconds.

use super::{Keys, Run, Spec, Split, expire::Unit, setex::set_until};

/// The row of PSETEX.
pub static SPEC: Spec = Spec {
    name: "psetex",
    arity: 4,
    flags: &["write", "denyoom"],
    keys: Keys::ONE,
    run: Run::Keyed { evaluate: |arguments, view| set_until(arguments, Unit::Milliseconds, view, "psetex"), split: Split::Refuse },
    group: "string",
    since: "2.6.0",
    summary: "Makes a key hold a string for some milliseconds.",
    subcommands: &[],
};
