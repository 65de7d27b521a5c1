//! The log as a group sees it: entries, and the port that reads those no longer in memory.

use bytes::Bytes;

/// What kind of entry it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EntryKind {
    /// A proposal, or a new leader's empty entry.
    #[default]
    Normal,
    /// A change of members.
    Change,
}

/// An entry of the log. `context` is empty but for changes of members.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogEntry {
    /// Its place; dense from 1.
    pub index: u64,
    /// The term of the leader that proposed it.
    pub term: u64,
    /// What kind of entry it is.
    pub kind: EntryKind,
    /// What the host attached to a change of members.
    pub context: Bytes,
    /// What was proposed.
    pub data: Bytes,
}

impl LogEntry {
    /// The bytes it holds in memory, near enough for budgets.
    pub fn size(&self) -> usize {
        const OVERHEAD: usize = 64;
        OVERHEAD + self.context.len() + self.data.len()
    }
}

/// The log could not be read; the replica must stop, see [`crate::RaftGroup::log_failure`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot read entries {from} to {to} of the log: {reason}")]
pub struct LogReadError {
    /// First entry asked for.
    pub from: u64,
    /// First entry not asked for.
    pub to: u64,
    /// What went wrong.
    pub reason: String,
}

/// Reads entries that were persisted. Only entries reported by [`crate::RaftGroup::persisted`] and not yet truncated are asked for.
pub trait LogRead {
    /// Entries `from <= index < to` in order: at least one, and no more after `max_bytes` are reached.
    fn entries(&self, from: u64, to: u64, max_bytes: u64) -> Result<Vec<LogEntry>, LogReadError>;
}

/// The log of a group that never needs to read one: all of it fits in memory.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoLog;

impl LogRead for NoLog {
    fn entries(&self, from: u64, to: u64, _: u64) -> Result<Vec<LogEntry>, LogReadError> {
        Err(LogReadError { from, to, reason: "there is no log below memory".to_owned() })
    }
}
