//! `FLUSHDB [ASYNC | SYNC]`: FLUSHALL, as there is one database.

use super::{Keys, Merge, Run, Spec, flushall::evaluate};

/// The row of FLUSHDB.
pub static SPEC: Spec = Spec {
    name: "flushdb",
    arity: -1,
    flags: &["write"],
    keys: Keys::NONE,
    run: Run::EveryShard { evaluate, merge: Merge::AllOk },
    group: "server",
    since: "1.0.0",
    summary: "Removes every key; the same as FLUSHALL.",
    subcommands: &[],
};
