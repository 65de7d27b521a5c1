//! `TOUCH key [key …]`: the number of keys that exist. There is no idle time to change.

use super::{Keys, Merge, Run, Spec, Split, exists::evaluate};

/// The row of TOUCH.
pub static SPEC: Spec = Spec {
    name: "touch",
    arity: -2,
    flags: &["readonly", "fast"],
    keys: Keys::ALL,
    run: Run::Keyed { evaluate, split: Split::PerShard(Merge::Sum) },
    group: "generic",
    since: "3.2.1",
    summary: "Counts the keys that exist.",
    subcommands: &[],
};
