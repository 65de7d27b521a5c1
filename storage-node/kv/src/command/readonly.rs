//! `READONLY`: a cluster client allows reads from replicas.
//!
//! Every read of ours is linearizable, whichever node it reaches, so this changes nothing but what CLIENT INFO shows.

use super::{Keys, Run, Spec};
use crate::{
    Failure, Reply,
    session::{Node, Session},
};
use bytes::Bytes;

/// The row of READONLY.
pub static SPEC: Spec = Spec {
    name: "readonly",
    arity: 1,
    flags: &["loading", "stale", "fast"],
    keys: Keys::NONE,
    run: Run::Connection(evaluate),
    group: "cluster",
    since: "3.0.0",
    summary: "Allows reads from replicas.",
    subcommands: &[],
};

fn evaluate(_: &[Bytes], session: &mut Session, _: &dyn Node) -> Result<Reply, Failure> {
    session.is_read_only = true;
    Ok(Reply::OK)
}
