//! `GET key`: the string of a key.

use super::{Evaluate, Keys, Run, Spec, Split};
use crate::Reply;

/// The row of GET.
pub static SPEC: Spec = Spec {
    name: "get",
    arity: 2,
    flags: &["readonly", "fast"],
    keys: Keys::ONE,
    run: Run::Keyed { evaluate: EVALUATE, split: Split::Refuse },
    group: "string",
    since: "1.0.0",
    summary: "Returns the string value of a key.",
};

const EVALUATE: Evaluate = |arguments, view| {
    let value = view.load_string(&arguments[1])?;
    Ok(Reply::bulk_or_null(value.map(|(value, _)| value)))
};
