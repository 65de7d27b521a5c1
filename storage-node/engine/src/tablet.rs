//! Tablets: the applied state of one replica.
//!
//! A tablet is four ordered families of bytes. Writes are batches that become visible at once and durable together, at the next flush: there is
//! no write-ahead log, because the Raft log is one already. After a crash a tablet is what its last completed flush, of all families
//! together, made of it; it may have flushed by itself, between any two batches. It says itself how far that is: the host writes the applied
//! index into the same batch.

use crate::EngineError;
use bytes::Bytes;
use std::{
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::Arc,
};
use strata_base::ShardId;

mod digest;
mod memory;
#[cfg(feature = "disk")]
mod rocks;

pub use digest::TabletDigest;
pub use memory::{MemoryTablet, MemoryTabletStore};
#[cfg(feature = "disk")]
pub use rocks::{RocksSettings, RocksTabletStore};

/// A column family of a tablet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TabletFamily {
    /// One record per key.
    Meta = 0,
    /// Elements of collections.
    Data = 1,
    /// The expiry index.
    Expiry = 2,
    /// What the host keeps with the data: applied index, descriptor.
    System = 3,
}

impl TabletFamily {
    /// Every family, in the order of their numbers.
    pub const ALL: [TabletFamily; 4] = [TabletFamily::Meta, TabletFamily::Data, TabletFamily::Expiry, TabletFamily::System];

    /// What clients can read, and what is removed from it when its time comes: equal in replicas that applied the same entry. What the host keeps
    /// in the other family may differ.
    pub const CONTENT: [TabletFamily; 3] = [TabletFamily::Meta, TabletFamily::Data, TabletFamily::Expiry];

    /// The family's name on disk.
    pub const fn name(self) -> &'static str {
        match self {
            TabletFamily::Meta => "meta",
            TabletFamily::Data => "data",
            TabletFamily::Expiry => "expiry",
            TabletFamily::System => "default",
        }
    }
}

/// A change of a tablet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TabletChange {
    /// Writes a key.
    Put(TabletFamily, Bytes, Bytes),
    /// Removes a key.
    Delete(TabletFamily, Bytes),
    /// Removes `from <= key < to`; nothing where `from` is not before `to`.
    DeleteRange(TabletFamily, Bytes, Bytes),
}

impl TabletChange {
    /// About as many bytes as it takes in a batch.
    pub fn size(&self) -> usize {
        const OVERHEAD: usize = 16;
        let bytes = match self {
            TabletChange::Put(_, key, value) => key.len() + value.len(),
            TabletChange::Delete(_, key) => key.len(),
            TabletChange::DeleteRange(_, from, to) => from.len() + to.len(),
        };
        OVERHEAD + bytes
    }
}

/// Sees one key and value of a scan, and says whether to go on.
pub type TabletVisitor<'a> = dyn FnMut(&[u8], &[u8]) -> ControlFlow<()> + 'a;

/// A way to read a tablet.
pub trait TabletRead {
    /// The value of a key.
    fn get(&self, family: TabletFamily, key: &[u8]) -> Result<Option<Bytes>, EngineError>;

    /// Visits `from <= key < to` in order, until the visitor breaks. Some may have been visited before memory turns out not to suffice.
    fn scan(&self, family: TabletFamily, from: &[u8], to: &[u8], visit: &mut TabletVisitor<'_>) -> Result<(), EngineError>;
}

/// Reads a moment, once.
pub type MomentReader = Box<dyn FnOnce(&dyn TabletRead) + Send>;

/// One moment of a tablet, to be read later, whatever is written meanwhile. While it is kept, what it shows takes room on the disk.
pub trait TabletMoment: Send {
    /// Has it read: by a thread of its own where the tablet has files, and at once where it is in memory.
    fn read(self: Box<Self>, reader: MomentReader);
}

/// The applied state of one replica. Reads see all writes before them.
pub trait Tablet: Send + Sync {
    /// The value of a key.
    fn get(&self, family: TabletFamily, key: &[u8]) -> Result<Option<Bytes>, EngineError>;

    /// Visits `from <= key < to` in order, until the visitor breaks.
    fn scan(&self, family: TabletFamily, from: &[u8], to: &[u8], visit: &mut TabletVisitor<'_>) -> Result<(), EngineError>;

    /// Reads what memory holds, and says [`EngineError::NotInMemory`] where that does not suffice: a host loop does not wait for the disk.
    fn in_memory(&self) -> Box<dyn TabletRead + '_>;

    /// Reads of this moment, whatever is written meanwhile.
    fn snapshot(&self) -> Box<dyn TabletRead + '_>;

    /// What memory holds of this moment: both of the above.
    fn snapshot_in_memory(&self) -> Box<dyn TabletRead + '_>;

    /// Keeps this moment for somebody who reads all of it, in order and past the block cache. Waits for no disk.
    fn moment(self: Arc<Self>) -> Result<Box<dyn TabletMoment>, EngineError>;

    /// Makes changes visible, all at once.
    fn write(&self, changes: Vec<TabletChange>) -> Result<(), EngineError>;

    /// Makes everything written before this call durable. Waits for the disk: not to be called from a host loop.
    fn flush(&self) -> Result<(), EngineError>;

    /// Reads all of its files, past the block cache, and says whether they are what was written. Waits for the disk.
    fn verify(&self) -> Result<(), EngineError>;

    /// Writes the files of this moment into `folder`, which must not exist; damaged ones as they are. Waits for the disk.
    fn checkpoint(&self, folder: &Path) -> Result<(), EngineError>;

    /// A tablet of its own with the same content, for a simulated snapshot; `None` where a snapshot means files.
    fn duplicate(&self) -> Option<Arc<dyn Tablet>>;

    /// The size of its files, in bytes.
    fn file_bytes(&self) -> u64;
}

/// The tablets of one node. A replica's tablet has a generation: an installed snapshot is a new one, and replaces the old as a whole.
pub trait TabletStore: Send + Sync {
    /// Makes a new, empty tablet; what was left of an unfinished attempt is removed.
    fn create(&self, shard: ShardId, generation: u64) -> Result<Arc<dyn Tablet>, EngineError>;

    /// Opens a tablet that exists.
    fn open(&self, shard: ShardId, generation: u64) -> Result<Arc<dyn Tablet>, EngineError>;

    /// Takes over a tablet that was received as a snapshot, as the given generation. Survives a crash from here on.
    fn adopt(&self, shard: ShardId, generation: u64, tablet: &Arc<dyn Tablet>) -> Result<Arc<dyn Tablet>, EngineError>;

    /// Makes a tablet of files that were fetched: paths, and the names under which the tablet knows them. What was left of an unfinished attempt
    /// is removed. Waits for the disk.
    fn build(&self, shard: ShardId, generation: u64, files: &[(PathBuf, String)]) -> Result<Arc<dyn Tablet>, EngineError>;

    /// A value in the files of a checkpoint, without changing them. Waits for the disk.
    fn peek(&self, checkpoint: &Path, family: TabletFamily, key: &[u8]) -> Result<Option<Bytes>, EngineError>;

    /// Removes the generations of a shard before `keep`, or all of them. Newer ones stay, so that this may be done late. The tablets removed
    /// may still be read by whoever holds them.
    fn retain(&self, shard: ShardId, keep: Option<u64>) -> Result<(), EngineError>;

    /// Removes the generations of a shard after `last`: snapshots that were taken over, and whose record a crash took. Only while nothing of the
    /// shard is open.
    fn forget_after(&self, shard: ShardId, last: u64) -> Result<(), EngineError>;

    /// The shards that have files.
    fn shards(&self) -> Result<Vec<ShardId>, EngineError>;
}
