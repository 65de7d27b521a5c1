//! A log in memory, with the crash behaviour of the real one: what was not synced is gone, whole batches from the end.

use super::{LogBatch, LogState, LogStore, ReplicaBatch, StoredEntry};
use crate::EngineError;
use bytes::Bytes;
use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};
use strata_base::ShardId;

/// A log in memory.
#[derive(Debug, Default)]
pub struct MemoryLogStore {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    now: Logs,
    synced: Logs,
    unsynced: Vec<LogBatch>,
}

#[derive(Clone, Debug, Default)]
struct Logs {
    replicas: BTreeMap<ShardId, Replica>,
}

#[derive(Clone, Debug, Default)]
struct Replica {
    entries: BTreeMap<u64, StoredEntry>,
    states: BTreeMap<LogState, Bytes>,
}

impl Logs {
    fn write(&mut self, batch: &ReplicaBatch) {
        let replica = self.replicas.entry(batch.shard).or_default();
        if let Some(drop_after) = batch.drop_after {
            replica.entries.retain(|index, _| *index <= drop_after);
        }
        if let Some(cut_before) = batch.cut_before {
            replica.entries.retain(|index, _| *index >= cut_before);
        }
        if let Some(first) = batch.entries.first() {
            replica.entries.retain(|index, _| *index < first.index);
        }
        replica.entries.extend(batch.entries.iter().map(|entry| (entry.index, entry.clone())));
        replica.states.extend(batch.states.iter().cloned());
    }
}

impl MemoryLogStore {
    /// What a crash leaves of it: everything up to the last sync, and the first `kept` unsynced batches after it.
    pub fn crash(&self, kept: usize) {
        let mut state = self.lock();
        let mut logs = state.synced.clone();
        for batch in state.unsynced.iter().take(kept) {
            batch.replicas.iter().for_each(|replica| logs.write(replica));
        }
        *state = State { now: logs.clone(), synced: logs, unsynced: Vec::new() };
    }

    /// Batches that a crash may take.
    pub fn unsynced(&self) -> usize {
        self.lock().unsynced.len()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LogStore for MemoryLogStore {
    fn write(&self, batch: LogBatch) -> Result<(), EngineError> {
        let mut state = self.lock();
        batch.replicas.iter().for_each(|replica| state.now.write(replica));
        let sync = batch.sync;
        state.unsynced.push(batch);
        if sync {
            for batch in std::mem::take(&mut state.unsynced) {
                batch.replicas.iter().for_each(|replica| state.synced.write(replica));
            }
        }
        Ok(())
    }

    fn entries(&self, shard: ShardId, from: u64, to: u64, max_bytes: u64) -> Result<Vec<StoredEntry>, EngineError> {
        let state = self.lock();
        let damaged =
            || EngineError::Damaged { what: format!("the log of shard {shard}"), reason: format!("entries {from} to {to} are missing") };
        let replica = state.now.replicas.get(&shard).ok_or_else(damaged)?;
        let (mut bytes, mut found) = (0, Vec::new());
        for index in from..to {
            let entry = replica.entries.get(&index).ok_or_else(damaged)?;
            bytes += entry.data.len() as u64;
            if !found.is_empty() && bytes > max_bytes {
                break;
            }
            found.push(entry.clone());
        }
        Ok(found)
    }

    fn bounds(&self, shard: ShardId) -> Option<(u64, u64)> {
        let state = self.lock();
        let entries = &state.now.replicas.get(&shard)?.entries;
        Some((*entries.first_key_value()?.0, *entries.last_key_value()?.0))
    }

    fn state(&self, shard: ShardId, state: LogState) -> Option<Bytes> {
        self.lock().now.replicas.get(&shard)?.states.get(&state).cloned()
    }

    fn shards(&self) -> Vec<ShardId> {
        self.lock().now.replicas.keys().copied().collect()
    }

    fn purge(&self) -> Result<Vec<ShardId>, EngineError> {
        Ok(Vec::new())
    }

    fn disk_bytes(&self) -> u64 {
        let state = self.lock();
        state.now.replicas.values().flat_map(|replica| replica.entries.values()).map(|entry| entry.data.len() as u64).sum()
    }
}
