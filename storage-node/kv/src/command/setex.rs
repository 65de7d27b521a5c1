//! `SETEX key seconds value`: SET with a time to live in seconds.
//!
//! PSETEX differs in the unit.

use super::{
    Keys, Run, Spec, Split,
    expire::{Deadline, Unit},
    set,
};
use crate::{Failure, Reply, View};
use bytes::Bytes;

/// The row of SETEX.
pub static SPEC: Spec = Spec {
    name: "setex",
    arity: 4,
    flags: &["write", "denyoom"],
    keys: Keys::ONE,
    run: Run::Keyed { evaluate: |arguments, view| set_until(arguments, Unit::Seconds, view, "setex"), split: Split::Refuse },
    group: "string",
    since: "2.0.0",
    summary: "Makes a key hold a string for some seconds.",
    subcommands: &[],
};

/// Evaluates both commands; `command` is named in errors.
pub(super) fn set_until(arguments: &[Bytes], unit: Unit, view: &mut View<'_>, command: &str) -> Result<Reply, Failure> {
    let expire_ms = Deadline::after(unit).parse_positive(&arguments[2], view.now_ms(), command)?;
    set::put_until(&arguments[1], &arguments[3], Some(expire_ms), view)?;
    Ok(Reply::OK)
}
