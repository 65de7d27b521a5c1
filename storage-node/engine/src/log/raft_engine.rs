//! The log on disk: one raft-engine. The only module that names it.

use super::{LogBatch, LogState, LogStore, ReplicaBatch, StoredEntry};
use crate::EngineError;
use bytes::Bytes;
use protobuf::{CachedSize, CodedInputStream, CodedOutputStream, Message, ProtobufResult, UnknownFields, reflect::MessageDescriptor};
use raft_engine::{Command, Config, Engine, LogBatch as EngineBatch, MessageExt, ReadableSize, RecoveryMode};
use std::{any::Any, collections::BTreeMap, path::Path};
use strata_base::ShardId;

/// The log of all replicas of a node, on disk.
pub struct RaftEngineLogStore {
    engine: Engine,
}

impl RaftEngineLogStore {
    /// Opens the log in `folder`, which is created where it is missing. Files are removed once the log exceeds `purge_bytes`.
    pub fn open(folder: &Path, purge_bytes: u64) -> Result<RaftEngineLogStore, EngineError> {
        let file_bytes = (purge_bytes / 4).clamp(1 << 20, 128 << 20);
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
        let engine = Engine::open(config).map_err(EngineError::failed("cannot open the log"))?;
        Ok(RaftEngineLogStore { engine })
    }
}

impl LogStore for RaftEngineLogStore {
    fn write(&self, batch: LogBatch) -> Result<(), EngineError> {
        let mut out = EngineBatch::default();
        // Batches of several turns are written as one, so what the log holds is followed within it.
        let mut held: BTreeMap<ShardId, Option<(u64, u64)>> = BTreeMap::new();
        for replica in batch.replicas {
            let held = held.entry(replica.shard).or_insert_with(|| self.bounds(replica.shard));
            add_replica(&mut out, held, replica).map_err(EngineError::failed("cannot encode a batch of the log"))?;
        }
        self.engine.write(&mut out, batch.sync).map_err(EngineError::failed("cannot write the log"))?;
        Ok(())
    }

    fn entries(&self, shard: ShardId, from: u64, to: u64, max_bytes: u64) -> Result<Vec<StoredEntry>, EngineError> {
        let mut found = Vec::new();
        let max_bytes = usize::try_from(max_bytes).ok();
        let read = self.engine.fetch_entries_to::<Codec>(shard.0, from, to, max_bytes, &mut found);
        read.map_err(EngineError::failed("cannot read the log"))?;
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
        shards.sort_unstable();
        shards
    }

    fn purge(&self) -> Result<Vec<ShardId>, EngineError> {
        let late = self.engine.purge_expired_files().map_err(EngineError::failed("cannot purge the log"))?;
        Ok(late.into_iter().map(ShardId).collect())
    }

    fn disk_bytes(&self) -> u64 {
        self.engine.get_used_size() as u64
    }
}

fn add_replica(out: &mut EngineBatch, held: &mut Option<(u64, u64)>, replica: ReplicaBatch) -> raft_engine::Result<()> {
    let id = replica.shard.0;
    if let (Some(index), Some((first, last))) = (replica.drop_after, *held)
        && first <= index
        && index < last
    {
        // raft-engine drops a tail only by overwriting it; the entry that does so is cut in the same batch.
        let tombstone = StoredEntry { index, ..StoredEntry::default() };
        out.add_entries::<Codec>(id, &[WireEntry::new(tombstone)])?;
        *held = Some((first, index));
    }
    if let Some(index) = replica.cut_before {
        out.add_command(id, Command::Compact { index });
        *held = held.and_then(|(first, last)| (index <= last).then_some((first.max(index), last)));
    }
    if let (Some(first), Some(last)) = (replica.entries.first(), replica.entries.last()) {
        *held = Some((held.map_or(first.index, |(held, _)| held.min(first.index)), last.index));
    }
    let entries: Vec<WireEntry> = replica.entries.into_iter().map(WireEntry::new).collect();
    out.add_entries::<Codec>(id, &entries)?;
    for (state, bytes) in replica.states {
        out.put(id, vec![state as u8], bytes.to_vec())?;
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

/// The message that raft-engine stores: `{1: index, 2: term, 3: kind, 4: context, 5: data}`. Written by hand, so that neither generated code
/// nor raft-rs's types are needed here.
#[derive(Clone, Debug, Default, PartialEq)]
struct WireEntry {
    entry: StoredEntry,
    unknown: UnknownFields,
    size: CachedSize,
}

impl WireEntry {
    fn new(entry: StoredEntry) -> WireEntry {
        WireEntry { entry, ..WireEntry::default() }
    }
}

const INDEX: u32 = 1;
const TERM: u32 = 2;
const KIND: u32 = 3;
const CONTEXT: u32 = 4;
const DATA: u32 = 5;

impl protobuf::Clear for WireEntry {
    fn clear(&mut self) {
        *self = WireEntry::default();
    }
}

impl Message for WireEntry {
    fn descriptor(&self) -> &'static MessageDescriptor {
        unreachable!("raft-engine encodes and decodes; it does not reflect")
    }

    fn is_initialized(&self) -> bool {
        true
    }

    fn merge_from(&mut self, input: &mut CodedInputStream<'_>) -> ProtobufResult<()> {
        while !input.eof()? {
            let (field, wire_type) = input.read_tag_unpack()?;
            match field {
                INDEX => self.entry.index = input.read_uint64()?,
                TERM => self.entry.term = input.read_uint64()?,
                KIND => self.entry.kind = u8::try_from(input.read_uint32()?).unwrap_or(u8::MAX),
                CONTEXT => self.entry.context = input.read_bytes()?.into(),
                DATA => self.entry.data = input.read_bytes()?.into(),
                _ => input.skip_field(wire_type)?,
            }
        }
        Ok(())
    }

    fn write_to_with_cached_sizes(&self, out: &mut CodedOutputStream<'_>) -> ProtobufResult<()> {
        out.write_uint64(INDEX, self.entry.index)?;
        out.write_uint64(TERM, self.entry.term)?;
        out.write_uint32(KIND, u32::from(self.entry.kind))?;
        if !self.entry.context.is_empty() {
            out.write_bytes(CONTEXT, &self.entry.context)?;
        }
        out.write_bytes(DATA, &self.entry.data)
    }

    fn compute_size(&self) -> u32 {
        use protobuf::rt::{bytes_size, value_size};
        use protobuf::wire_format::WireTypeVarint;
        let mut size = value_size(INDEX, self.entry.index, WireTypeVarint)
            + value_size(TERM, self.entry.term, WireTypeVarint)
            + value_size(KIND, u32::from(self.entry.kind), WireTypeVarint)
            + bytes_size(DATA, &self.entry.data);
        if !self.entry.context.is_empty() {
            size += bytes_size(CONTEXT, &self.entry.context);
        }
        self.size.set(size);
        size
    }

    fn get_cached_size(&self) -> u32 {
        self.size.get()
    }

    fn get_unknown_fields(&self) -> &UnknownFields {
        &self.unknown
    }

    fn mut_unknown_fields(&mut self) -> &mut UnknownFields {
        &mut self.unknown
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn new() -> WireEntry {
        WireEntry::default()
    }

    fn default_instance() -> &'static WireEntry {
        unreachable!("raft-engine makes instances with new()")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::MemoryLogStore;

    fn entries(range: std::ops::RangeInclusive<u64>, term: u64) -> Vec<StoredEntry> {
        range.map(|index| StoredEntry { index, term, ..StoredEntry::default() }).collect()
    }

    fn write(store: &dyn LogStore, replicas: Vec<ReplicaBatch>) {
        store.write(LogBatch { replicas, sync: true }).expect("the log takes it");
    }

    /// The same traces on disk, after a restart, and in memory.
    fn check(traces: &[Vec<&ReplicaBatch>], expected: Option<(u64, u64)>) {
        let folder = tempfile::tempdir().expect("a folder");
        let memory = MemoryLogStore::default();
        let disk = RaftEngineLogStore::open(folder.path(), 1 << 20).expect("opens");
        for trace in traces {
            write(&disk, trace.iter().copied().cloned().collect());
            write(&memory, trace.iter().copied().cloned().collect());
        }
        assert_eq!((disk.bounds(ShardId(1)), memory.bounds(ShardId(1))), (expected, expected));
        drop(disk);
        let disk = RaftEngineLogStore::open(folder.path(), 1 << 20).expect("opens again");
        assert_eq!(disk.bounds(ShardId(1)), expected, "after a restart");
        if let Some((first, last)) = expected {
            let read = |store: &dyn LogStore| store.entries(ShardId(1), first, last + 1, u64::MAX).expect("they are there");
            assert_eq!(read(&disk), read(&memory));
        }
    }

    #[test]
    fn a_snapshot_leaves_no_divergent_tail() {
        let shard = ShardId(1);
        let old = ReplicaBatch { shard, entries: entries(1..=10, 1), ..ReplicaBatch::default() };
        let install = ReplicaBatch { shard, drop_after: Some(5), cut_before: Some(6), ..ReplicaBatch::default() };
        let new = ReplicaBatch { shard, entries: entries(6..=7, 2), ..ReplicaBatch::default() };
        check(&[vec![&old], vec![&install]], None);
        check(&[vec![&old], vec![&install], vec![&new]], Some((6, 7)));
        check(&[vec![&old, &install, &new]], Some((6, 7)));
        let short = ReplicaBatch { entries: entries(1..=3, 1), ..old.clone() };
        check(&[vec![&short], vec![&install], vec![&new]], Some((6, 7)));
        check(&[vec![&install], vec![&new]], Some((6, 7)));
    }
}
