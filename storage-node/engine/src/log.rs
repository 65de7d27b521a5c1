//! The log store: the Raft logs of all replicas of a node in one place, so that one fsync serves them all.

use crate::EngineError;
use bytes::Bytes;
use strata_base::ShardId;

mod memory;
#[cfg(feature = "disk")]
mod raft_engine;
pub mod stored;

pub use memory::MemoryLogStore;
#[cfg(feature = "disk")]
pub use raft_engine::RaftEngineLogStore;

/// An entry as it is stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredEntry {
    /// Its place.
    pub index: u64,
    /// Its term.
    pub term: u64,
    /// What the host says it is.
    pub kind: u8,
    /// What the host attached.
    pub context: Bytes,
    /// Its content.
    pub data: Bytes,
}

/// A small record beside a replica's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogState {
    /// Term, vote, commit.
    HardState = 1,
    /// That the replica exists, or existed; its generation, and where its log begins.
    Replica = 2,
}

impl LogState {
    /// Every kind of record.
    pub const ALL: [LogState; 2] = [LogState::HardState, LogState::Replica];
}

/// What to write for one replica, in this order: drop, cut, entries, states.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplicaBatch {
    /// Whose log.
    pub shard: ShardId,
    /// Forget entries after this index: a snapshot replaced them. Only together with a later `cut_before`, which forgets the others.
    pub drop_after: Option<u64>,
    /// Forget entries before this index.
    pub cut_before: Option<u64>,
    /// Entries without a gap; the first may overwrite the end of the log, and leaves no gap behind it.
    pub entries: Vec<StoredEntry>,
    /// Records to replace.
    pub states: Vec<(LogState, Bytes)>,
}

impl ReplicaBatch {
    /// The first and the last entry of the replica's log after this batch, where `held` is what it was before; an error where it is against the
    /// rules of its fields. A real log would take it, and could not be opened again.
    fn follow(&self, held: Option<(u64, u64)>) -> Result<Option<(u64, u64)>, EngineError> {
        let refused = |why: String| EngineError::Failed { doing: WRITE, reason: format!("of shard {}, {why}", self.shard) };
        let mut held = held;
        if let Some(index) = self.drop_after {
            if self.cut_before.is_none_or(|cut| cut <= index) {
                return Err(refused(format!("entries after {index} are dropped, and not those before")));
            }
            held = held.filter(|(first, _)| *first <= index).map(|(first, last)| (first, last.min(index)));
        }
        if let Some(cut) = self.cut_before {
            held = held.filter(|(_, last)| cut <= *last).map(|(first, last)| (first.max(cut), last));
        }
        let (Some(begin), Some(end)) = (self.entries.first(), self.entries.last()) else { return Ok(held) };
        let is_row = self.entries.iter().zip(begin.index..).all(|(entry, index)| entry.index == index);
        if !is_row || held.is_some_and(|(first, last)| begin.index < first || begin.index > last + 1) {
            return Err(refused(format!("entries {} to {} do not continue {held:?}", begin.index, end.index)));
        }
        Ok(Some((held.map_or(begin.index, |(first, _)| first), end.index)))
    }
}

/// What to write for several replicas, all or nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogBatch {
    /// The replicas.
    pub replicas: Vec<ReplicaBatch>,
    /// Whether it must be durable when the write returns, and all before it. To be set wherever there are entries: the pages of what is not synced
    /// reach a disk in any order, and only the entries of the last batch are verified when a log is opened. A batch with nothing in it syncs nothing.
    pub sync: bool,
}

const WRITE: &str = "cannot write the log";

/// What is said of every write after one that failed.
fn poisoned(doing: &'static str) -> EngineError {
    EngineError::Failed { doing, reason: "an earlier write of it failed, so this process must end".to_owned() }
}

/// What is said where entries are asked for that are not there.
fn missing(shard: ShardId, from: u64, to: u64) -> EngineError {
    EngineError::Damaged { what: format!("the log of shard {shard}"), reason: format!("entries {from} to {to} are missing") }
}

/// The log of all replicas of a node. A crash takes only what was not synced: whole batches, from the end.
pub trait LogStore: Send + Sync {
    /// Writes a batch. Waits for the disk: not to be called from a host loop. After an error the process must stop; until then every other write
    /// fails, too, since an fsync that succeeds after one that failed says nothing of what was before both.
    fn write(&self, batch: LogBatch) -> Result<(), EngineError>;

    /// Entries `from <= index < to` in order, all of which must be there: at least one, and no more than `max_bytes` beyond that.
    fn entries(&self, shard: ShardId, from: u64, to: u64, max_bytes: u64) -> Result<Vec<StoredEntry>, EngineError>;

    /// The first and the last entry; `None` where there is none.
    fn bounds(&self, shard: ShardId) -> Option<(u64, u64)>;

    /// A record.
    fn state(&self, shard: ShardId, state: LogState) -> Option<Bytes>;

    /// Every replica that has an entry or a record.
    fn shards(&self) -> Vec<ShardId>;

    /// Removes files that hold only cut entries, and returns the replicas whose old entries keep files alive: they should flush and be cut.
    /// Before a file goes, what was written becomes durable: the file may hold what a batch that a crash would take replaced.
    fn purge(&self) -> Result<Vec<ShardId>, EngineError>;

    /// What the log holds on disk, in bytes: whole files.
    fn disk_bytes(&self) -> u64;
}
