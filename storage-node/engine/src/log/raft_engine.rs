//! The log on disk: one raft-engine. The only module that names it.

use super::{LogBatch, LogState, LogStore, ReplicaBatch, StoredEntry, WRITE, missing, poisoned, stored::WireEntry};
use crate::EngineError;
use bytes::Bytes;
use raft_engine::{
    Command, Config, Engine, LogBatch as EngineBatch, MessageExt, ReadableSize, RecoveryMode,
    env::{DefaultFileSystem, FileSystem},
};
use std::{
    collections::BTreeMap,
    fs::File,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};
use strata_base::ShardId;

/// The log of all replicas of a node, on disk.
pub struct RaftEngineLogStore<F: FileSystem = DefaultFileSystem> {
    engine: Engine<F>,
    /// Whether something was written that a crash may take. Held while files are removed.
    has_unsynced: Mutex<bool>,
    /// Whether a write failed: none may succeed after it.
    is_poisoned: AtomicBool,
}

impl RaftEngineLogStore {
    /// Opens the log in `folder`, which is created where it is missing. Files are removed once the log exceeds `purge_bytes`.
    pub fn open(folder: &Path, purge_bytes: u64) -> Result<RaftEngineLogStore, EngineError> {
        let file_bytes = (purge_bytes / 4).clamp(1 << 20, 128 << 20);
        let opened = RaftEngineLogStore::open_on(Arc::new(DefaultFileSystem), folder, file_bytes, purge_bytes)?;
        // The names of the first files are theirs only with the folder, and raft-engine leaves them to chance.
        let folders = [Some(folder), folder.parent().filter(|parent| !parent.as_os_str().is_empty())];
        let synced = folders.into_iter().flatten().try_for_each(|folder| File::open(folder)?.sync_all());
        synced.map_err(EngineError::failed("cannot sync the folder of the log"))?;
        Ok(opened)
    }
}

impl<F: FileSystem> RaftEngineLogStore<F> {
    /// A replica that is none, for what must be written although there is nothing to write.
    const NOBODY: u64 = u64::MAX;

    fn open_on(file_system: Arc<F>, folder: &Path, file_bytes: u64, purge_bytes: u64) -> Result<RaftEngineLogStore<F>, EngineError> {
        let config = Config {
            dir: folder.to_string_lossy().into_owned(),
            // A torn write at the end is what a crash leaves; anything else is damage, and must not be passed over.
            recovery_mode: RecoveryMode::TolerateTailCorruption,
            recovery_threads: 2,
            batch_compression_threshold: ReadableSize::kb(8),
            target_file_size: ReadableSize(file_bytes),
            purge_threshold: ReadableSize(purge_bytes.max(4 * file_bytes)),
            purge_rewrite_threshold: Some(ReadableSize(purge_bytes.max(4 * file_bytes))),
            ..Config::default()
        };
        let engine = Engine::open_with_file_system(config, file_system).map_err(EngineError::failed("cannot open the log"))?;
        Ok(RaftEngineLogStore { engine, has_unsynced: Mutex::new(false), is_poisoned: AtomicBool::new(false) })
    }

    fn held(&self, shard: ShardId) -> Held {
        let states = LogState::ALL.into_iter().filter_map(|state| Some((state, self.state(shard, state)?)));
        Held { bounds: self.bounds(shard), states: states.collect() }
    }

    /// Lets raft-engine write. It panics where an fsync fails, and would take the next write as if nothing had been.
    fn drive<T>(&self, doing: &'static str, act: impl FnOnce(&Engine<F>) -> raft_engine::Result<T>) -> Result<T, EngineError> {
        if self.is_poisoned.load(Ordering::SeqCst) {
            return Err(poisoned(doing));
        }
        match catch_unwind(AssertUnwindSafe(|| act(&self.engine))) {
            Ok(done) => done.map_err(EngineError::failed(doing)),
            Err(panic) => {
                self.is_poisoned.store(true, Ordering::SeqCst);
                let said = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
                Err(EngineError::Failed { doing, reason: said.unwrap_or("raft-engine panicked").to_owned() })
            }
        }
    }

    fn write_batch(&self, batch: LogBatch) -> Result<(), EngineError> {
        let mut out = EngineBatch::default();
        // Batches of several turns are written as one, so what the log holds is followed within it.
        let mut held: BTreeMap<ShardId, Held> = BTreeMap::new();
        for replica in batch.replicas {
            let held = held.entry(replica.shard).or_insert_with(|| self.held(replica.shard));
            let bounds = replica.follow(held.bounds)?;
            add_replica(&mut out, held, replica).map_err(EngineError::failed("cannot encode a batch of the log"))?;
            held.bounds = bounds;
        }
        // While files are removed, everything is synced: they may hold what this batch replaces.
        let mut has_unsynced = if batch.sync { None } else { self.has_unsynced.try_lock().ok() };
        let sync = has_unsynced.is_none();
        self.drive(WRITE, |engine| engine.write(&mut out, sync))?;
        if let Some(has_unsynced) = &mut has_unsynced {
            **has_unsynced = true;
        }
        Ok(())
    }
}

impl<F: FileSystem> LogStore for RaftEngineLogStore<F> {
    fn write(&self, batch: LogBatch) -> Result<(), EngineError> {
        let written = self.write_batch(batch);
        if written.is_err() {
            self.is_poisoned.store(true, Ordering::SeqCst);
        }
        written
    }

    fn entries(&self, shard: ShardId, from: u64, to: u64, max_bytes: u64) -> Result<Vec<StoredEntry>, EngineError> {
        if from >= to {
            return Ok(Vec::new());
        }
        let mut found = Vec::new();
        let max_bytes = usize::try_from(max_bytes).ok();
        let read = self.engine.fetch_entries_to::<Codec>(shard.0, from, to, max_bytes, &mut found);
        read.map_err(EngineError::failed("cannot read the log"))?;
        if found.is_empty() {
            return Err(missing(shard, from, to));
        }
        Ok(found.into_iter().map(|wire: WireEntry| wire.entry).collect())
    }

    fn bounds(&self, shard: ShardId) -> Option<(u64, u64)> {
        Some((self.engine.first_index(shard.0)?, self.engine.last_index(shard.0)?))
    }

    fn state(&self, shard: ShardId, state: LogState) -> Option<Bytes> {
        self.engine.get(shard.0, &[state as u8]).map(Bytes::from)
    }

    fn shards(&self) -> Vec<ShardId> {
        let mut shards: Vec<ShardId> = self.engine.raft_groups().into_iter().map(ShardId).collect();
        shards.retain(|shard| self.bounds(*shard).is_some() || LogState::ALL.iter().any(|state| self.state(*shard, *state).is_some()));
        shards.sort_unstable();
        shards
    }

    fn purge(&self) -> Result<Vec<ShardId>, EngineError> {
        let mut has_unsynced = self.has_unsynced.lock().unwrap_or_else(PoisonError::into_inner);
        if *has_unsynced {
            // Files go by what memory holds. A cut or a record that a crash takes would not bring back what it replaced. An empty batch would
            // not be synced.
            let mut mark = EngineBatch::default();
            mark.add_command(Self::NOBODY, Command::Compact { index: 0 });
            self.drive("cannot sync the log", |engine| engine.write(&mut mark, true))?;
            *has_unsynced = false;
        }
        let late = self.drive("cannot purge the log", |engine| engine.purge_expired_files())?;
        Ok(late.into_iter().map(ShardId).collect())
    }

    fn disk_bytes(&self) -> u64 {
        self.engine.get_used_size() as u64
    }
}

/// What the log of a replica holds while a batch is put together.
struct Held {
    bounds: Option<(u64, u64)>,
    states: BTreeMap<LogState, Bytes>,
}

/// Adds what is to be written for a replica, to whose log `held` is all but the new bounds.
fn add_replica(out: &mut EngineBatch, held: &mut Held, replica: ReplicaBatch) -> raft_engine::Result<()> {
    let id = replica.shard.0;
    let is_emptied = |(_, last): (u64, u64)| replica.cut_before.is_some_and(|cut| replica.drop_after.is_some() || cut > last);
    if held.bounds.is_some_and(is_emptied) {
        // Entries that a purge put aside and later ones replaced would be back at the next opening if nothing stood in their place. Only this
        // command takes them, and it takes the records, too.
        out.add_command(id, Command::Clean);
        for (state, bytes) in &held.states {
            out.put(id, vec![*state as u8], bytes.to_vec())?;
        }
    } else if let Some(index) = replica.cut_before {
        out.add_command(id, Command::Compact { index });
    }
    let entries: Vec<WireEntry> = replica.entries.into_iter().map(WireEntry::new).collect();
    out.add_entries::<Codec>(id, &entries)?;
    for (state, bytes) in replica.states {
        out.put(id, vec![state as u8], bytes.to_vec())?;
        held.states.insert(state, bytes);
    }
    Ok(())
}

struct Codec;

impl MessageExt for Codec {
    type Entry = WireEntry;

    fn index(entry: &WireEntry) -> u64 {
        entry.entry.index
    }
}

#[cfg(test)]
mod disk;
#[cfg(test)]
mod tests;
