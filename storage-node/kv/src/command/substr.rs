//! `SUBSTR key start end`: the old name of GETRANGE.

use super::{Keys, Run, Spec, Split, getrange::evaluate};

/// The row of SUBSTR.
pub static SPEC: Spec = Spec {
    name: "substr",
    arity: 4,
    flags: &["readonly"],
    keys: Keys::ONE,
    run: Run::Keyed { evaluate, split: Split::Refuse },
    group: "string",
    since: "1.0.0",
    summary: "The old name of GETRANGE.",
    subcommands: &[],
};
