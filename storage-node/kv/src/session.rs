//! The commands that a connection's own node answers: what they see, and what they may change.

use crate::{Failure, Protocol, Reply};
use bytes::Bytes;

/// Evaluates a call on the node that the connection is with.
pub type ConnectionCommand = fn(&[Bytes], &mut Session, &dyn Node) -> Result<Reply, Failure>;

/// What a connection remembers between requests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Session {
    /// The number that CLIENT ID answers; unique per node process.
    pub id: u64,
    /// The protocol of its replies.
    pub protocol: Protocol,
    /// Whether the password was given, or none is needed.
    pub is_authenticated: bool,
    /// The name given by CLIENT SETNAME.
    pub name: Bytes,
    /// Whether the connection closes after this reply.
    pub is_closing: bool,
}

/// What a node tells its connections, as plain facts at this moment.
pub trait Node {
    /// Milliseconds since the Unix epoch.
    fn now_ms(&self) -> u64;
}
