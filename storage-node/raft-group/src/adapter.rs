//! What raft-rs reads: the newest entries from memory, the others through the port.

use crate::{
    configuration::Configuration,
    limits,
    log::{EntryKind, LogEntry, LogRead, LogReadError},
};
use bytes::Bytes;
use raft::{
    GetEntriesContext, RaftState, Storage, StorageError,
    eraftpb::{Entry, EntryType, HardState, Snapshot},
};
use std::{cell::OnceCell, collections::VecDeque};

/// The storage of one group.
///
/// Invariants: entries `truncated.0 < index <= last` exist; those from the front of `cache` on are in memory, and the cache reaches to `last`.
pub(crate) struct Adapter<L> {
    log: L,
    hard_state: HardState,
    pub(crate) configuration: Configuration,
    pub(crate) truncated: (u64, u64),
    last: (u64, u64),
    cache: VecDeque<LogEntry>,
    cache_bytes: usize,
    /// Index and term up to which entries are applied: what a snapshot made now would hold.
    pub(crate) applied: (u64, u64),
    /// What the host attaches to a snapshot's metadata.
    pub(crate) snapshot_data: Bytes,
    /// Why the log could not be read, the first time. raft-rs would panic: it is told of no entries, and of term 0, which no entry has; nothing
    /// that it says afterwards may leave the member.
    failure: OnceCell<LogReadError>,
}

impl<L: LogRead> Adapter<L> {
    pub(crate) fn new(
        log: L,
        hard_state: HardState,
        configuration: Configuration,
        truncated: (u64, u64),
        last: (u64, u64),
        applied: (u64, u64),
    ) -> Adapter<L> {
        let (cache, cache_bytes, snapshot_data) = (VecDeque::new(), 0, Bytes::new());
        let failure = OnceCell::new();
        Adapter { log, hard_state, configuration, truncated, last, cache, cache_bytes, applied, snapshot_data, failure }
    }

    /// Whether the log can be read where entries that come in overlap it: raft-rs takes one without a term for another one, and panics where that is
    /// committed.
    pub(crate) fn can_compare(&self, entries: &[Entry]) -> bool {
        for entry in entries.iter().take_while(|entry| entry.index <= self.last.0) {
            // It is remembered where it cannot be read.
            let _ = self.term(entry.index);
        }
        self.failure.get().is_none()
    }

    pub(crate) fn failure(&self) -> Option<&LogReadError> {
        self.failure.get()
    }

    pub(crate) fn append(&mut self, entries: &[LogEntry]) {
        let Some(first) = entries.first() else { return };
        assert!(first.index <= self.last.0 + 1, "the log has no gaps: entry {} after {}", first.index, self.last.0);
        while self.cache.back().is_some_and(|entry| entry.index >= first.index) {
            self.cache_bytes -= self.cache.pop_back().map_or(0, |entry| entry.size());
        }
        if self.cache.back().is_some_and(|entry| entry.index + 1 != first.index) {
            self.clear_cache();
        }
        for entry in entries {
            self.cache_bytes += entry.size();
            self.last = (entry.index, entry.term);
            self.cache.push_back(entry.clone());
        }
    }

    /// Forgets entries that are applied, once they exceed the budget; what is not applied is always served from memory.
    pub(crate) fn trim_cache(&mut self, persisted: u64) {
        let keep_from = self.applied.0.min(persisted) + 1;
        while self.cache_bytes > limits::CACHE_BYTES_MAX && self.cache.front().is_some_and(|entry| entry.index < keep_from) {
            self.cache_bytes -= self.cache.pop_front().map_or(0, |entry| entry.size());
        }
    }

    pub(crate) fn truncate(&mut self, index: u64, term: u64) {
        self.truncated = (index, term);
        while self.cache.front().is_some_and(|entry| entry.index <= index) {
            self.cache_bytes -= self.cache.pop_front().map_or(0, |entry| entry.size());
        }
    }

    pub(crate) fn install(&mut self, index: u64, term: u64, configuration: Configuration) {
        self.clear_cache();
        self.truncated = (index, term);
        self.last = (index, term);
        self.applied = (index, term);
        self.configuration = configuration;
    }

    pub(crate) fn last_index_now(&self) -> u64 {
        self.last.0
    }

    fn clear_cache(&mut self) {
        self.cache.clear();
        self.cache_bytes = 0;
    }

    fn cached(&self, index: u64) -> Option<&LogEntry> {
        let first = self.cache.front()?.index;
        self.cache.get(usize::try_from(index.checked_sub(first)?).ok()?)
    }

    fn read(&self, from: u64, to: u64, max_bytes: u64) -> Result<Vec<LogEntry>, raft::Error> {
        let to_log = self.cache.front().map_or(to, |entry| entry.index.min(to));
        if from < to_log {
            return Ok(self.log.entries(from, to_log, max_bytes).unwrap_or_else(|error| {
                // The first one is told.
                let _ = self.failure.set(error);
                Vec::new()
            }));
        }
        let mut bytes = 0;
        let mut out = Vec::new();
        for index in from..to {
            let entry = self.cached(index).ok_or(StorageError::Unavailable)?;
            bytes += entry.size() as u64;
            if !out.is_empty() && bytes > max_bytes {
                break;
            }
            out.push(entry.clone());
        }
        Ok(out)
    }
}

pub(crate) fn to_raft_entry(entry: LogEntry) -> Entry {
    let mut out = Entry::default();
    out.set_index(entry.index);
    out.set_term(entry.term);
    out.set_entry_type(match entry.kind {
        EntryKind::Normal => EntryType::EntryNormal,
        EntryKind::Change => EntryType::EntryConfChangeV2,
    });
    out.set_context(entry.context);
    out.set_data(entry.data);
    out
}

pub(crate) fn from_raft_entry(mut entry: Entry) -> LogEntry {
    let kind = match entry.get_entry_type() {
        EntryType::EntryNormal => EntryKind::Normal,
        // The first form of membership changes is never proposed here.
        EntryType::EntryConfChange | EntryType::EntryConfChangeV2 => EntryKind::Change,
    };
    LogEntry { index: entry.index, term: entry.term, kind, context: entry.take_context(), data: entry.take_data() }
}

impl<L: LogRead> Storage for Adapter<L> {
    fn initial_state(&self) -> raft::Result<RaftState> {
        Ok(RaftState::new(self.hard_state.clone(), self.configuration.to_raft()))
    }

    fn entries(&self, low: u64, high: u64, max_size: impl Into<Option<u64>>, _: GetEntriesContext) -> raft::Result<Vec<Entry>> {
        if low <= self.truncated.0 {
            return Err(StorageError::Compacted.into());
        }
        if high > self.last.0 + 1 {
            return Err(StorageError::Unavailable.into());
        }
        let max_bytes = max_size.into().unwrap_or(u64::MAX);
        Ok(self.read(low, high, max_bytes)?.into_iter().map(to_raft_entry).collect())
    }

    fn term(&self, index: u64) -> raft::Result<u64> {
        match index {
            _ if index == self.truncated.0 => Ok(self.truncated.1),
            _ if index < self.truncated.0 => Err(StorageError::Compacted.into()),
            _ if index > self.last.0 => Err(StorageError::Unavailable.into()),
            _ if index == self.last.0 => Ok(self.last.1),
            _ => match self.cached(index) {
                Some(entry) => Ok(entry.term),
                None => Ok(self.read(index, index + 1, u64::MAX)?.first().map_or(0, |entry| entry.term)),
            },
        }
    }

    fn first_index(&self) -> raft::Result<u64> {
        Ok(self.truncated.0 + 1)
    }

    fn last_index(&self) -> raft::Result<u64> {
        Ok(self.last.0)
    }

    fn snapshot(&self, request_index: u64, _to: u64) -> raft::Result<Snapshot> {
        if request_index > self.applied.0 {
            return Err(StorageError::SnapshotTemporarilyUnavailable.into());
        }
        let mut snapshot = Snapshot::default();
        snapshot.mut_metadata().set_index(self.applied.0);
        snapshot.mut_metadata().set_term(self.applied.1);
        snapshot.mut_metadata().set_conf_state(self.configuration.to_raft());
        snapshot.set_data(self.snapshot_data.clone());
        Ok(snapshot)
    }
}
