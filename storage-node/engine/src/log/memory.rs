//! A log in memory, with the crash behaviour of the real one: what was not synced is gone, whole batches from the end; after a failed write no
//! other succeeds; files are removed from the oldest on, and replicas whose entries keep them are named.

use super::{LogBatch, LogState, LogStore, ReplicaBatch, StoredEntry, WRITE, missing, poisoned};
use crate::EngineError;
use bytes::Bytes;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
};
use strata_base::ShardId;

/// A log in memory.
#[derive(Debug, Default)]
pub struct MemoryLogStore {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    now: Logs,
    synced: Logs,
    /// Each with the file that it went to.
    unsynced: Vec<(u64, LogBatch)>,
    /// The oldest file.
    first_file: u64,
    /// The file that is written, and what it holds, in bytes.
    active_file: u64,
    active_bytes: u64,
    /// From what size on files are removed.
    purge_bytes: u64,
    fails_next: bool,
    is_poisoned: bool,
    /// Entries that cannot be read, by shard, index and term.
    rotten: BTreeSet<(ShardId, u64, u64)>,
}

impl Default for State {
    fn default() -> State {
        const PURGE_BYTES: u64 = 64 << 20;
        State {
            now: Logs::default(),
            synced: Logs::default(),
            unsynced: Vec::new(),
            first_file: 1,
            active_file: 1,
            active_bytes: 0,
            purge_bytes: PURGE_BYTES,
            fails_next: false,
            is_poisoned: false,
            rotten: BTreeSet::new(),
        }
    }
}

#[derive(Clone, Debug, Default)]
struct Logs {
    replicas: BTreeMap<ShardId, Replica>,
}

#[derive(Clone, Debug, Default)]
struct Replica {
    entries: BTreeMap<u64, Placed<StoredEntry>>,
    states: BTreeMap<LogState, Placed<Bytes>>,
}

/// Something, and the file that holds it; none where a purge put it aside.
#[derive(Clone, Debug)]
struct Placed<T> {
    file: Option<u64>,
    what: T,
}

impl Replica {
    fn bounds(&self) -> Option<(u64, u64)> {
        Some((*self.entries.first_key_value()?.0, *self.entries.last_key_value()?.0))
    }

    fn files(&self) -> impl Iterator<Item = u64> {
        let entries = self.entries.values().filter_map(|entry| entry.file);
        entries.chain(self.states.values().filter_map(|state| state.file))
    }

    /// Whether it has at least so many entries in files up to `file`.
    fn has_entries(&self, count: usize, file: u64) -> bool {
        self.entries.values().nth(count - 1).is_some_and(|entry| entry.file.is_none_or(|at| at <= file))
    }

    fn put_aside(&mut self, up_to: u64) {
        let files = self.entries.values_mut().map(|entry| &mut entry.file);
        files.chain(self.states.values_mut().map(|state| &mut state.file)).for_each(|file| *file = file.filter(|file| *file > up_to));
    }
}

impl Logs {
    /// Whether a batch may be written.
    fn check(&self, batch: &LogBatch) -> Result<(), EngineError> {
        let mut held = BTreeMap::new();
        for replica in &batch.replicas {
            let held = held.entry(replica.shard).or_insert_with(|| self.replicas.get(&replica.shard).and_then(Replica::bounds));
            *held = replica.follow(*held)?;
        }
        Ok(())
    }

    fn write(&mut self, file: u64, batch: &LogBatch) {
        batch.replicas.iter().for_each(|replica| self.write_replica(file, replica));
    }

    fn write_replica(&mut self, file: u64, batch: &ReplicaBatch) {
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
        let file = Some(file);
        replica.entries.extend(batch.entries.iter().map(|entry| (entry.index, Placed { file, what: entry.clone() })));
        replica.states.extend(batch.states.iter().map(|(state, bytes)| (*state, Placed { file, what: bytes.clone() })));
    }
}

impl State {
    fn file_bytes(&self) -> u64 {
        (self.purge_bytes / 4).max(1)
    }

    fn write(&mut self, batch: LogBatch) -> Result<(), EngineError> {
        if self.is_poisoned {
            return Err(poisoned(WRITE));
        }
        self.now.check(&batch)?;
        let bytes = batch.replicas.iter().map(bytes_of).sum::<u64>();
        if bytes == 0 {
            return Ok(());
        }
        if self.active_bytes >= self.file_bytes() {
            (self.active_file, self.active_bytes) = (self.active_file + 1, 0);
        }
        self.active_bytes += bytes;
        for (shard, entry) in batch.replicas.iter().flat_map(|replica| replica.entries.iter().map(|entry| (replica.shard, entry))) {
            self.rotten.remove(&(shard, entry.index, entry.term));
        }
        let (file, sync) = (self.active_file, batch.sync);
        if std::mem::take(&mut self.fails_next) {
            // Nobody knows what of it reached the disk.
            self.unsynced.push((file, batch));
            return Err(EngineError::Failed { doing: WRITE, reason: "the disk is to fail".to_owned() });
        }
        self.now.write(file, &batch);
        self.unsynced.push((file, batch));
        if sync {
            self.sync();
        }
        Ok(())
    }

    fn sync(&mut self) {
        for (file, batch) in std::mem::take(&mut self.unsynced) {
            self.synced.write(file, &batch);
        }
    }

    /// By the rules of raft-engine: from the oldest files little is written anew, and much is asked to be cut.
    fn purge(&mut self) -> Vec<ShardId> {
        const MANY_ENTRIES: usize = 32;
        let files = self.active_file - self.first_file + 1;
        if files == 1 || files * self.file_bytes() <= self.purge_bytes {
            return Vec::new();
        }
        self.sync();
        let at = |tenths: u64| (self.first_file + files * tenths / 10).min(self.active_file - 1);
        let (old, young) = (at(2), at(7));
        let (mut late, mut light) = (Vec::new(), Vec::new());
        for (shard, replica) in &self.now.replicas {
            let oldest = replica.files().min().unwrap_or(u64::MAX);
            let aside = replica.entries.values().filter(|entry| entry.file.is_none()).count();
            if (oldest < old || aside > 0) && replica.has_entries(MANY_ENTRIES, young) {
                late.push(*shard);
            } else if !replica.has_entries(MANY_ENTRIES + aside, young) && oldest <= young {
                light.push(*shard);
            }
        }
        for logs in [&mut self.now, &mut self.synced] {
            let light = logs.replicas.iter_mut().filter(|(shard, _)| light.contains(shard));
            light.for_each(|(_, replica)| replica.put_aside(young));
        }
        self.first_file = self.now.replicas.values().flat_map(Replica::files).min().unwrap_or(u64::MAX).min(self.active_file);
        late
    }
}

/// What a batch takes in a file, in bytes; 0 where there is nothing in it.
fn bytes_of(batch: &ReplicaBatch) -> u64 {
    const CUT: u64 = 16;
    let entries = batch.entries.iter().map(entry_bytes).sum::<u64>();
    let states = batch.states.iter().map(|(_, bytes)| CUT + bytes.len() as u64).sum::<u64>();
    entries + states + if batch.cut_before.is_some() { CUT } else { 0 }
}

/// What an entry takes in a file, in bytes: a tag and a number, or a tag, a length and bytes, for each of its fields.
fn entry_bytes(entry: &StoredEntry) -> u64 {
    let number = |value: u64| 1 + u64::from((u64::BITS - (value | 1).leading_zeros()).div_ceil(7));
    let bytes = |value: &Bytes| number(value.len() as u64) + value.len() as u64;
    let context = if entry.context.is_empty() { 0 } else { bytes(&entry.context) };
    number(entry.index) + number(entry.term) + number(u64::from(entry.kind)) + context + bytes(&entry.data)
}

impl MemoryLogStore {
    /// What a crash leaves of it: everything up to the last sync, and the first `kept` unsynced batches after it.
    pub fn crash(&self, kept: usize) {
        let mut state = self.lock();
        let left = state.unsynced.drain(..).take(kept).collect::<Vec<_>>();
        left.iter().for_each(|(file, batch)| state.synced.write(*file, batch));
        state.now = state.synced.clone();
        (state.fails_next, state.is_poisoned) = (false, false);
    }

    /// Batches that a crash may take.
    pub fn unsynced(&self) -> usize {
        self.lock().unsynced.len()
    }

    /// From what size on files are removed, in bytes: what a real log is told when it opens.
    pub fn purge_beyond(&self, bytes: u64) {
        self.lock().purge_bytes = bytes;
    }

    /// From now on one entry in `one_in` of those of a shard that are durable cannot be read, until it is written anew. Whether there are such
    /// entries.
    pub fn rot(&self, shard: ShardId, one_in: u64) -> bool {
        let mut state = self.lock();
        let entries = state.synced.replicas.get(&shard).into_iter().flat_map(|replica| replica.entries.values());
        let taken = entries.map(|entry| &entry.what).filter(|entry| entry.index.is_multiple_of(one_in.max(1)));
        let taken: Vec<_> = taken.map(|entry| (shard, entry.index, entry.term)).collect();
        let is_any = !taken.is_empty();
        state.rotten.extend(taken);
        is_any
    }

    /// Makes the next write fail, as it does where an fsync fails. What was to be written may survive the crash that must follow.
    pub fn fail_next_write(&self) {
        self.lock().fails_next = true;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LogStore for MemoryLogStore {
    fn write(&self, batch: LogBatch) -> Result<(), EngineError> {
        let mut state = self.lock();
        let written = state.write(batch);
        state.is_poisoned |= written.is_err();
        written
    }

    fn entries(&self, shard: ShardId, from: u64, to: u64, max_bytes: u64) -> Result<Vec<StoredEntry>, EngineError> {
        if from >= to {
            return Ok(Vec::new());
        }
        let state = self.lock();
        let replica = state.now.replicas.get(&shard).ok_or_else(|| missing(shard, from, to))?;
        if replica.bounds().is_none_or(|(first, last)| from < first || to > last + 1) {
            return Err(missing(shard, from, to));
        }
        let (mut bytes, mut found) = (0, Vec::new());
        for (_, entry) in replica.entries.range(from..to) {
            bytes += entry_bytes(&entry.what);
            if !found.is_empty() && bytes > max_bytes {
                break;
            }
            if state.rotten.contains(&(shard, entry.what.index, entry.what.term)) {
                return Err(EngineError::Failed { doing: "cannot read the log", reason: "Corruption: checksum mismatch".to_owned() });
            }
            found.push(entry.what.clone());
        }
        Ok(found)
    }

    fn bounds(&self, shard: ShardId) -> Option<(u64, u64)> {
        self.lock().now.replicas.get(&shard)?.bounds()
    }

    fn state(&self, shard: ShardId, state: LogState) -> Option<Bytes> {
        self.lock().now.replicas.get(&shard)?.states.get(&state).map(|state| state.what.clone())
    }

    fn shards(&self) -> Vec<ShardId> {
        let state = self.lock();
        let known = state.now.replicas.iter().filter(|(_, replica)| !replica.entries.is_empty() || !replica.states.is_empty());
        known.map(|(shard, _)| *shard).collect()
    }

    fn purge(&self) -> Result<Vec<ShardId>, EngineError> {
        let mut state = self.lock();
        if state.is_poisoned { Err(poisoned("cannot purge the log")) } else { Ok(state.purge()) }
    }

    fn disk_bytes(&self) -> u64 {
        // One more is of what was put aside.
        let state = self.lock();
        (state.active_file - state.first_file + 2) * state.file_bytes()
    }
}
