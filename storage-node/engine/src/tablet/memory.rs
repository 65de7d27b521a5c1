//! Tablets in memory, with the crash behaviour of the real ones: what was not flushed is gone, families are flushed together, and a tablet may
//! flush by itself between any two batches. Their files can rot.

use super::{MomentReader, Tablet, TabletChange, TabletFamily, TabletMoment, TabletRead, TabletStore, TabletVisitor};
use crate::EngineError;
use bytes::Bytes;
use std::{
    collections::BTreeMap,
    ops::Bound,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use strata_base::ShardId;

/// Shared until they are written, so that a moment costs nothing.
type Families = [Arc<BTreeMap<Vec<u8>, Bytes>>; TabletFamily::ALL.len()];

/// A tablet in memory.
#[derive(Debug, Default)]
pub struct MemoryTablet {
    state: Mutex<State>,
}

#[derive(Clone, Debug, Default)]
struct State {
    now: Families,
    flushed: Families,
    /// The batches since the last flush, and about as many bytes as they take.
    unflushed: Vec<Vec<TabletChange>>,
    unflushed_bytes: usize,
    rot: Vec<Rot>,
}

/// What of the files cannot be read any more: one record in `one_in`, as long as it is what it was when they rotted.
#[derive(Clone, Debug)]
struct Rot {
    files: Families,
    one_in: u32,
}

impl Rot {
    fn takes(&self, family: TabletFamily, key: &[u8], value: &Bytes) -> bool {
        crc32fast::hash(key).is_multiple_of(self.one_in) && self.files[family as usize].get(key) == Some(value)
    }
}

fn is_rotten(rots: &[Rot], family: TabletFamily, key: &[u8], value: &Bytes) -> bool {
    rots.iter().any(|rot| rot.takes(family, key, value))
}

/// What a real tablet says where a block of its files has another checksum.
fn rotten() -> EngineError {
    EngineError::Failed { doing: "cannot read a tablet", reason: "Corruption: block checksum mismatch".to_owned() }
}

/// A real tablet flushes by itself when so much is in memory, in bytes.
const WRITE_BUFFER_BYTES: usize = 32 << 20;

impl State {
    /// What was durable from the beginning.
    fn durable(families: Families) -> State {
        State { now: families.clone(), flushed: families, ..State::default() }
    }

    fn write(&mut self, changes: Vec<TabletChange>) {
        if self.unflushed_bytes > WRITE_BUFFER_BYTES {
            self.flush();
        }
        changes.iter().for_each(|change| make(&mut self.now, change));
        self.unflushed_bytes += changes.iter().map(TabletChange::size).sum::<usize>();
        self.unflushed.push(changes);
    }

    fn flush(&mut self) {
        *self = State { rot: std::mem::take(&mut self.rot), ..State::durable(self.now.clone()) };
    }
}

fn make(families: &mut Families, change: &TabletChange) {
    match change {
        TabletChange::Put(family, key, value) => {
            Arc::make_mut(&mut families[*family as usize]).insert(key.to_vec(), value.clone());
        }
        TabletChange::Delete(family, key) => {
            Arc::make_mut(&mut families[*family as usize]).remove(&key[..]);
        }
        TabletChange::DeleteRange(family, from, to) => {
            Arc::make_mut(&mut families[*family as usize]).retain(|key, _| key[..] < from[..] || key[..] >= to[..]);
        }
    }
}

impl MemoryTablet {
    /// What a crash leaves of it: the last flush, and the first `kept` batches after it, since a real tablet may have flushed by itself between
    /// any two batches.
    pub fn crash(&self, kept: usize) {
        let mut state = self.lock();
        let State { flushed: mut left, unflushed, rot, .. } = std::mem::take(&mut *state);
        unflushed.iter().take(kept).flatten().for_each(|change| make(&mut left, change));
        *state = State { rot, ..State::durable(left) };
    }

    /// From now on one record in `one_in` of those in files cannot be read, until it is written anew. Whether there are such records: where all were
    /// written anew and not flushed, a crash brings them back.
    pub fn rot(&self, one_in: u32) -> bool {
        let mut state = self.lock();
        let rot = Rot { files: state.flushed.clone(), one_in: one_in.max(1) };
        let takes = |family: TabletFamily| rot.files[family as usize].iter().any(|(key, value)| rot.takes(family, key, value));
        let has_rotted = TabletFamily::ALL.into_iter().any(takes);
        if has_rotted {
            state.rot.push(rot);
        }
        has_rotted
    }

    /// Batches that a crash may take.
    pub fn unflushed(&self) -> usize {
        self.lock().unflushed.len()
    }

    /// Every record, for comparison, whether it can be read or not.
    pub fn records(&self, family: TabletFamily) -> Vec<(Vec<u8>, Bytes)> {
        self.lock().now[family as usize].iter().map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    fn at_once(&self, is_in_memory: bool) -> Moment {
        let state = self.lock();
        Moment { now: state.now.clone(), flushed: state.flushed.clone(), rot: state.rot.clone(), is_in_memory }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One moment of a tablet.
struct Moment {
    now: Families,
    flushed: Families,
    rot: Vec<Rot>,
    is_in_memory: bool,
}

impl Moment {
    /// What rotted is in no memory, and cannot be read from the disk.
    fn refuse_rotten(&self, family: TabletFamily, key: &[u8], value: Option<&Bytes>) -> Result<(), EngineError> {
        match value {
            Some(value) if is_rotten(&self.rot, family, key, value) => {
                Err(if self.is_in_memory { EngineError::NotInMemory } else { rotten() })
            }
            _ => Ok(()),
        }
    }

    /// A real tablet has in memory what was written since the last flush, and of the rest what was read lately. Which that is, follows here from the
    /// key: of what was flushed one record in `one_in` is not there, and of what never was, one in some more.
    fn refuse_cold(&self, family: TabletFamily, key: &[u8], one_in: u32) -> Result<(), EngineError> {
        const ONE_ABSENT_IN: u32 = 16;
        if !self.is_in_memory {
            return Ok(());
        }
        let flushed = &self.flushed[family as usize];
        let is_cold = match (self.now[family as usize].get(key), flushed.get(key)) {
            (Some(now), Some(old)) => now == old && crc32fast::hash(key).is_multiple_of(one_in),
            (None, None) => !flushed.is_empty() && crc32fast::hash(key) % ONE_ABSENT_IN == 1,
            _ => false,
        };
        if is_cold { Err(EngineError::NotInMemory) } else { Ok(()) }
    }
}

/// Of so many flushed records that are looked for, one is not in memory.
const ONE_COLD_IN: u32 = 4;

impl TabletRead for Moment {
    fn get(&self, family: TabletFamily, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        self.refuse_cold(family, key, ONE_COLD_IN)?;
        let value = self.now[family as usize].get(key);
        self.refuse_rotten(family, key, value)?;
        Ok(value.cloned())
    }

    fn scan(&self, family: TabletFamily, from: &[u8], to: &[u8], visit: &mut TabletVisitor<'_>) -> Result<(), EngineError> {
        // Neighbours lie in one block: after the first, which is looked for, few are missing; but any may be, when others were visited already.
        const ONE_NEXT_IN: u32 = 16;
        if from >= to {
            return Ok(());
        }
        let range = (Bound::Included(from), Bound::Excluded(to));
        let mut one_in = ONE_COLD_IN;
        for (key, value) in self.now[family as usize].range::<[u8], _>(range) {
            self.refuse_cold(family, key, one_in)?;
            self.refuse_rotten(family, key, Some(value))?;
            one_in = ONE_NEXT_IN;
            if visit(key, value).is_break() {
                break;
            }
        }
        Ok(())
    }
}

/// What a tablet would have in memory, with all writes until it is read.
struct InMemory<'a>(&'a MemoryTablet);

impl TabletRead for InMemory<'_> {
    fn get(&self, family: TabletFamily, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        self.0.at_once(true).get(family, key)
    }

    fn scan(&self, family: TabletFamily, from: &[u8], to: &[u8], visit: &mut TabletVisitor<'_>) -> Result<(), EngineError> {
        self.0.at_once(true).scan(family, from, to, visit)
    }
}

impl TabletMoment for Moment {
    fn read(self: Box<Self>, reader: MomentReader) {
        reader(&*self);
    }
}

impl Tablet for MemoryTablet {
    fn get(&self, family: TabletFamily, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        let state = self.lock();
        let value = state.now[family as usize].get(key);
        match value {
            Some(value) if is_rotten(&state.rot, family, key, value) => Err(rotten()),
            value => Ok(value.cloned()),
        }
    }

    fn scan(&self, family: TabletFamily, from: &[u8], to: &[u8], visit: &mut TabletVisitor<'_>) -> Result<(), EngineError> {
        self.at_once(false).scan(family, from, to, visit)
    }

    fn in_memory(&self) -> Box<dyn TabletRead + '_> {
        Box::new(InMemory(self))
    }

    fn snapshot(&self) -> Box<dyn TabletRead + '_> {
        Box::new(self.at_once(false))
    }

    fn snapshot_in_memory(&self) -> Box<dyn TabletRead + '_> {
        Box::new(self.at_once(true))
    }

    fn moment(self: Arc<Self>) -> Result<Box<dyn TabletMoment>, EngineError> {
        Ok(Box::new(self.at_once(false)))
    }

    fn write(&self, changes: Vec<TabletChange>) -> Result<(), EngineError> {
        self.lock().write(changes);
        Ok(())
    }

    fn flush(&self) -> Result<(), EngineError> {
        self.lock().flush();
        Ok(())
    }

    fn verify(&self) -> Result<(), EngineError> {
        let moment = self.at_once(false);
        let mut records =
            TabletFamily::ALL.into_iter().flat_map(|family| moment.now[family as usize].iter().map(move |record| (family, record)));
        let is_whole = moment.rot.is_empty() || !records.any(|(family, (key, value))| is_rotten(&moment.rot, family, key, value));
        if is_whole { Ok(()) } else { Err(rotten()) }
    }

    fn checkpoint(&self, _: &Path) -> Result<(), EngineError> {
        Err(EngineError::Failed { doing: "cannot make a checkpoint", reason: "this tablet is in memory".to_owned() })
    }

    fn duplicate(&self) -> Option<Arc<dyn Tablet>> {
        let mut state = self.lock();
        // Files of this moment hold what was flushed for them.
        state.flush();
        Some(Arc::new(MemoryTablet { state: Mutex::new(state.clone()) }))
    }

    fn file_bytes(&self) -> u64 {
        self.lock().flushed.iter().flat_map(|family| family.iter()).map(|(key, value)| (key.len() + value.len()) as u64).sum()
    }
}

/// The tablets of a simulated node.
#[derive(Debug, Default)]
pub struct MemoryTabletStore {
    tablets: Mutex<BTreeMap<(ShardId, u64), Arc<MemoryTablet>>>,
}

impl MemoryTabletStore {
    /// What a crash leaves of the tablets: of each as many unflushed batches as `kept` says, when it is told how many there are.
    pub fn crash(&self, mut kept: impl FnMut(usize) -> usize) {
        self.lock().values().for_each(|tablet| tablet.crash(kept(tablet.unflushed())));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_rotted_cannot_be_read_until_it_is_written_anew() {
        let tablet = Arc::new(MemoryTablet::default());
        let put = |key: &'static str, value: &'static str| TabletChange::Put(TabletFamily::Meta, key.into(), value.into());
        let get = |key: &str| tablet.get(TabletFamily::Meta, key.as_bytes());
        tablet.write(vec![put("a", "1"), put("b", "1")]).expect("memory takes it");
        assert!(!tablet.rot(1), "nothing is in files");
        tablet.flush().expect("memory takes it");
        tablet.write(vec![put("b", "2"), put("c", "1")]).expect("memory takes it");
        assert!(tablet.rot(1) && tablet.verify().is_err());
        let cold = tablet.in_memory().get(TabletFamily::Meta, b"a");
        assert!(get("a").is_err() && cold == Err(EngineError::NotInMemory));
        assert_eq!(["b", "c"].map(get), [Ok(Some("2".into())), Ok(Some("1".into()))]);
        tablet.flush().expect("memory takes it");
        tablet.crash(0);
        assert!(get("a").is_err(), "a crash mends nothing");
        tablet.write(vec![put("a", "2")]).expect("memory takes it");
        assert_eq!((get("a"), tablet.verify()), (Ok(Some("2".into())), Ok(())));
        assert!(tablet.rot(1), "what was written anew hides what rotted");
        tablet.crash(0);
        assert!(get("a").is_err() && tablet.verify().is_err(), "and a crash brings it back");
    }
}
