//! `DECR key`: takes one from the integer of a key; an absent key counts as 0.

use super::{Keys, Run, Spec, Split, incr::add};

/// The row of DECR.
pub static SPEC: Spec = Spec {
    name: "decr",
    arity: 2,
    flags: &["write", "denyoom", "fast"],
    keys: Keys::ONE,
    run: Run::Keyed { evaluate: |arguments, view| add(&arguments[1], -1, view), split: Split::Refuse },
    group: "string",
    since: "1.0.0",
    summary: "Takes one from the integer of a key.",
    subcommands: &[],
};
