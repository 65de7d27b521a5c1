//! The log store: the Raft logs of all replicas of a node in one place, so that one fsync serves them all.

use crate::EngineError;
use bytes::Bytes;
use strata_base::ShardId;

mod memory;
#[cfg(feature = "disk")]
mod raft_engine;

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
    /// Forget entries after this index: a snapshot replaced them. Only together with `cut_before`, which forgets the others.
    pub drop_after: Option<u64>,
    /// Forget entries before this index.
    pub cut_before: Option<u64>,
    /// Entries; the first may overwrite the end of the log.
    pub entries: Vec<StoredEntry>,
    /// Records to replace.
    pub states: Vec<(LogState, Bytes)>,
}

/// What to write for several replicas, all or nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogBatch {
    /// The replicas.
    pub replicas: Vec<ReplicaBatch>,
    /// Whether it must be durable when the write returns.
    pub sync: bool,
}

/// The log of all replicas of a node.
pub trait LogStore: Send + Sync {
    /// Writes a batch. Waits for the disk: not to be called from a host loop. After an error the process must stop.
    fn write(&self, batch: LogBatch) -> Result<(), EngineError>;

    /// Entries `from <= index < to` in order: at least one, and no more after `max_bytes` are reached.
    fn entries(&self, shard: ShardId, from: u64, to: u64, max_bytes: u64) -> Result<Vec<StoredEntry>, EngineError>;

    /// The first and the last entry; `None` where there is none.
    fn bounds(&self, shard: ShardId) -> Option<(u64, u64)>;

    /// A record.
    fn state(&self, shard: ShardId, state: LogState) -> Option<Bytes>;

    /// Every replica that has an entry or a record.
    fn shards(&self) -> Vec<ShardId>;

    /// Removes files that hold only cut entries, and returns the replicas whose old entries keep files alive: they should flush and be cut.
    fn purge(&self) -> Result<Vec<ShardId>, EngineError>;

    /// What the log holds on disk, in bytes.
    fn disk_bytes(&self) -> u64;
}
