//! `HMSET key field value [field value …]`: HSET with the reply OK.

use super::{Keys, Run, Spec, Split, hset::set_fields};
use crate::Reply;

/// The row of HMSET.
pub static SPEC: Spec = Spec {
    name: "hmset",
    arity: -4,
    flags: &["write", "denyoom", "fast"],
    keys: Keys::ONE,
    run: Run::Keyed { evaluate: |arguments, view| set_fields(arguments, view, "hmset").map(|_| Reply::OK), split: Split::Refuse },
    group: "hash",
    since: "2.0.0",
    summary: "Sets fields of a hash.",
    subcommands: &[],
};
