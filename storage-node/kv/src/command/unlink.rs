//! `UNLINK key [key …]`: DEL, which never blocks here either.

use super::{Keys, Merge, Run, Spec, Split, del::evaluate};

/// The row of UNLINK.
pub static SPEC: Spec = Spec {
    name: "unlink",
    arity: -2,
    flags: &["write", "fast"],
    keys: Keys::ALL,
    run: Run::Keyed { evaluate, split: Split::PerShard(Merge::Sum) },
    group: "generic",
    since: "4.0.0",
    summary: "Removes keys; the same as DEL.",
    subcommands: &[],
};
