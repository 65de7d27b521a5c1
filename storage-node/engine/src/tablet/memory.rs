//! Tablets in memory, with the crash behaviour of the real ones: what was not flushed is gone, and families are flushed together.

use super::{Tablet, TabletChange, TabletFamily, TabletRead, TabletStore, TabletVisitor};
use crate::EngineError;
use bytes::Bytes;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use strata_base::ShardId;

type Families = [BTreeMap<Vec<u8>, Bytes>; TabletFamily::ALL.len()];

/// A tablet in memory.
#[derive(Debug, Default)]
pub struct MemoryTablet {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    now: Families,
    flushed: Families,
}

impl MemoryTablet {
    /// What a crash leaves of it.
    pub fn crash(&self) {
        let mut state = self.lock();
        state.now = state.flushed.clone();
    }

    /// Every record, for comparison.
    pub fn records(&self, family: TabletFamily) -> Vec<(Vec<u8>, Bytes)> {
        self.lock().now[family as usize].iter().map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a real tablet would have in memory: all but some of what was flushed. Which, follows from the key.
struct InMemory<'a>(&'a MemoryTablet);

impl InMemory<'_> {
    fn refuse_cold(&self, family: TabletFamily, key: &[u8]) -> Result<(), EngineError> {
        const ONE_IN: u32 = 4;
        let is_cold = crc32fast::hash(key).is_multiple_of(ONE_IN) && self.0.lock().flushed[family as usize].contains_key(key);
        if is_cold { Err(EngineError::NotInMemory) } else { Ok(()) }
    }
}

impl TabletRead for InMemory<'_> {
    fn get(&self, family: TabletFamily, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        self.refuse_cold(family, key)?;
        self.0.get(family, key)
    }

    fn scan(&self, family: TabletFamily, from: &[u8], to: &[u8], visit: &mut TabletVisitor<'_>) -> Result<(), EngineError> {
        self.refuse_cold(family, from)?;
        self.0.scan(family, from, to, visit)
    }
}

/// One moment.
struct AtOnce(MemoryTablet);

impl TabletRead for AtOnce {
    fn get(&self, family: TabletFamily, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        self.0.get(family, key)
    }

    fn scan(&self, family: TabletFamily, from: &[u8], to: &[u8], visit: &mut TabletVisitor<'_>) -> Result<(), EngineError> {
        self.0.scan(family, from, to, visit)
    }
}

impl Tablet for MemoryTablet {
    fn get(&self, family: TabletFamily, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        Ok(self.lock().now[family as usize].get(key).cloned())
    }

    fn scan(&self, family: TabletFamily, from: &[u8], to: &[u8], visit: &mut TabletVisitor<'_>) -> Result<(), EngineError> {
        if from < to {
            for (key, value) in self.lock().now[family as usize].range(from.to_vec()..to.to_vec()) {
                if visit(key, value).is_break() {
                    break;
                }
            }
        }
        Ok(())
    }

    fn in_memory(&self) -> Box<dyn TabletRead + '_> {
        Box::new(InMemory(self))
    }

    fn snapshot(&self) -> Box<dyn TabletRead + '_> {
        let now = self.lock().now.clone();
        Box::new(AtOnce(MemoryTablet { state: Mutex::new(State { now, flushed: Families::default() }) }))
    }

    fn snapshot_in_memory(&self) -> Box<dyn TabletRead + '_> {
        // Nothing is written while a simulation reads.
        self.in_memory()
    }

    fn write(&self, changes: Vec<TabletChange>) -> Result<(), EngineError> {
        let mut state = self.lock();
        for change in changes {
            match change {
                TabletChange::Put(family, key, value) => {
                    state.now[family as usize].insert(key.to_vec(), value);
                }
                TabletChange::Delete(family, key) => {
                    state.now[family as usize].remove(&key[..]);
                }
                TabletChange::DeleteRange(family, from, to) => {
                    state.now[family as usize].retain(|key, _| key[..] < from[..] || key[..] >= to[..]);
                }
            }
        }
        Ok(())
    }

    fn flush(&self) -> Result<(), EngineError> {
        let mut state = self.lock();
        state.flushed = state.now.clone();
        Ok(())
    }

    fn checkpoint(&self, _: &Path) -> Result<(), EngineError> {
        Err(EngineError::Failed { doing: "cannot make a checkpoint", reason: "this tablet is in memory".to_owned() })
    }

    fn duplicate(&self) -> Option<Arc<dyn Tablet>> {
        let now = self.lock().now.clone();
        Some(Arc::new(MemoryTablet { state: Mutex::new(State { flushed: now.clone(), now }) }))
    }

    fn file_bytes(&self) -> u64 {
        self.lock().flushed.iter().flatten().map(|(key, value)| (key.len() + value.len()) as u64).sum()
    }
}

/// The tablets of a simulated node.
#[derive(Debug, Default)]
pub struct MemoryTabletStore {
    tablets: Mutex<BTreeMap<(ShardId, u64), Arc<MemoryTablet>>>,
}

impl MemoryTabletStore {
    /// What a crash leaves of the tablets.
    pub fn crash(&self) {
        self.lock().values().for_each(|tablet| tablet.crash());
    }

    /// The tablet of a shard with the highest generation.
    pub fn newest(&self, shard: ShardId) -> Option<Arc<MemoryTablet>> {
        self.lock().range((shard, 0)..=(shard, u64::MAX)).next_back().map(|(_, tablet)| tablet.clone())
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(ShardId, u64), Arc<MemoryTablet>>> {
        self.tablets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TabletStore for MemoryTabletStore {
    fn create(&self, shard: ShardId, generation: u64) -> Result<Arc<dyn Tablet>, EngineError> {
        let tablet = Arc::new(MemoryTablet::default());
        self.lock().insert((shard, generation), tablet.clone());
        Ok(tablet)
    }

    fn open(&self, shard: ShardId, generation: u64) -> Result<Arc<dyn Tablet>, EngineError> {
        let found = self.lock().get(&(shard, generation)).cloned();
        let missing = || EngineError::Damaged { what: format!("tablet {shard}"), reason: format!("generation {generation} is missing") };
        Ok(found.ok_or_else(missing)?)
    }

    fn adopt(&self, shard: ShardId, generation: u64, tablet: &Arc<dyn Tablet>) -> Result<Arc<dyn Tablet>, EngineError> {
        let adopted = MemoryTablet::default();
        for family in TabletFamily::ALL {
            let mut changes = Vec::new();
            tablet.scan(family, &[], &[0xff; 32], &mut |key, value| {
                changes.push(TabletChange::Put(family, Bytes::copy_from_slice(key), Bytes::copy_from_slice(value)));
                std::ops::ControlFlow::Continue(())
            })?;
            adopted.write(changes)?;
        }
        adopted.flush()?;
        let adopted = Arc::new(adopted);
        self.lock().insert((shard, generation), adopted.clone());
        Ok(adopted)
    }

    fn build(&self, _: ShardId, _: u64, _: &[(PathBuf, String)]) -> Result<Arc<dyn Tablet>, EngineError> {
        Err(EngineError::Failed { doing: "cannot build a tablet", reason: "tablets in memory have no files".to_owned() })
    }

    fn peek(&self, _: &Path, _: TabletFamily, _: &[u8]) -> Result<Option<Bytes>, EngineError> {
        Err(EngineError::Failed { doing: "cannot read a checkpoint", reason: "tablets in memory have no files".to_owned() })
    }

    fn retain(&self, shard: ShardId, keep: Option<u64>) -> Result<(), EngineError> {
        self.lock().retain(|(of, generation), _| *of != shard || keep.is_some_and(|keep| *generation >= keep));
        Ok(())
    }

    fn forget_after(&self, shard: ShardId, last: u64) -> Result<(), EngineError> {
        self.lock().retain(|(of, generation), _| *of != shard || *generation <= last);
        Ok(())
    }

    fn shards(&self) -> Result<Vec<ShardId>, EngineError> {
        let mut shards: Vec<ShardId> = self.lock().keys().map(|(shard, _)| *shard).collect();
        shards.dedup();
        Ok(shards)
    }
}
