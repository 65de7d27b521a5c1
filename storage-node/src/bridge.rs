//! Where the leaves meet: each speaks its own types, and this shell converts them.

use bytes::Bytes;
use std::sync::Arc;
use strata_base::{
    ShardId,
    planted::{Mistake, planted},
};
use strata_engine::{
    EngineError,
    log::{LogStore, StoredEntry},
    tablet::{Tablet, TabletChange, TabletFamily, TabletRead},
};
use strata_kv::{Counts, Effect, Family, Read, ReadError, Visitor};
use strata_raft_group::{EntryKind, LogEntry, LogRead, LogReadError};

/// A replica's log, as Raft reads it.
#[derive(Clone)]
pub struct LogReader {
    /// The log of the node.
    pub log: Arc<dyn LogStore>,
    /// Whose entries.
    pub shard: ShardId,
}

impl LogRead for LogReader {
    fn entries(&self, from: u64, to: u64, max_bytes: u64) -> Result<Vec<LogEntry>, LogReadError> {
        let read = self.log.entries(self.shard, from, to, max_bytes);
        let stored = read.map_err(|error| LogReadError { from, to, reason: error.to_string() })?;
        Ok(stored.into_iter().map(from_stored).collect())
    }
}

const KIND_NORMAL: u8 = 0;
const KIND_CHANGE: u8 = 1;

fn from_stored(entry: StoredEntry) -> LogEntry {
    let kind = if entry.kind == KIND_CHANGE { EntryKind::Change } else { EntryKind::Normal };
    LogEntry { index: entry.index, term: entry.term, kind, context: entry.context, data: entry.data }
}

/// An entry on its way to the log.
pub fn to_stored(entry: LogEntry) -> StoredEntry {
    let kind = match entry.kind {
        EntryKind::Normal => KIND_NORMAL,
        EntryKind::Change => KIND_CHANGE,
    };
    StoredEntry { index: entry.index, term: entry.term, kind, context: entry.context, data: entry.data }
}

/// Whether a stored entry changes who the members are.
pub fn is_change(entry: &StoredEntry) -> bool {
    entry.kind == KIND_CHANGE
}

/// The bytes of a stored entry that its shard applies; none for Raft's own.
pub fn commands_of(entry: &StoredEntry) -> Bytes {
    if is_change(entry) { Bytes::new() } else { entry.data.clone() }
}

/// A tablet, as commands read it.
pub struct TabletReader(pub Arc<dyn Tablet>);

impl Read for TabletReader {
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Bytes>, ReadError> {
        to_read(self.0.get(to_tablet_family(family), key))
    }

    fn scan(&self, family: Family, from: &[u8], to: &[u8], visit: &mut Visitor<'_>) -> Result<(), ReadError> {
        self.0.scan(to_tablet_family(family), from, to, visit).map_err(to_read_error)
    }
}

/// A tablet in one particular way, as commands read it.
pub struct ViewReader<'a>(pub Box<dyn TabletRead + 'a>);

impl Read for ViewReader<'_> {
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Bytes>, ReadError> {
        to_read(self.0.get(to_tablet_family(family), key))
    }

    fn scan(&self, family: Family, from: &[u8], to: &[u8], visit: &mut Visitor<'_>) -> Result<(), ReadError> {
        self.0.scan(to_tablet_family(family), from, to, visit).map_err(to_read_error)
    }
}

fn to_read(read: Result<Option<Bytes>, EngineError>) -> Result<Option<Bytes>, ReadError> {
    match read.map_err(to_read_error) {
        Err(ReadError::Storage(_)) if planted(Mistake::DamageRead) => Ok(None),
        read => read,
    }
}

fn to_read_error(error: EngineError) -> ReadError {
    match error {
        EngineError::NotInMemory => ReadError::Cold,
        error => ReadError::Storage(error.to_string()),
    }
}

fn to_tablet_family(family: Family) -> TabletFamily {
    match family {
        Family::Meta => TabletFamily::Meta,
        Family::Data => TabletFamily::Data,
        Family::Expiry => TabletFamily::Expiry,
    }
}

/// Adds what an effect does to a batch of a tablet, and to the counts that will go with it.
pub fn apply_effect(effect: Effect, changes: &mut Vec<TabletChange>, counts: &mut Counts) {
    match effect {
        Effect::Put { family, key, value } => changes.push(TabletChange::Put(to_tablet_family(family), key, value)),
        Effect::Delete { family, key } => changes.push(TabletChange::Delete(to_tablet_family(family), key)),
        Effect::DeleteRange { family, from, to } => changes.push(TabletChange::DeleteRange(to_tablet_family(family), from, to)),
        Effect::DropElements { prefix } => {
            let end = strata_kv::record::prefix_end(&prefix).expect("a slot is below 0xffff, so a prefix has an end");
            changes.push(TabletChange::DeleteRange(TabletFamily::Data, prefix, end));
        }
        Effect::Count { keys, expires } => {
            counts.keys = counts.keys.saturating_add_signed(keys);
            counts.expires = counts.expires.saturating_add_signed(expires);
        }
        Effect::ResetCounts => *counts = Counts::default(),
        Effect::Command { .. } => {}
    }
}
