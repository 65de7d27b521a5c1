//! What disks and bucket themselves say, whatever the hosts report: the order of commands in logs, what logs no longer hold, and whether the bucket
//! has what its documents name.

use super::{Check, Simulation, Violation, bucket::layout};
use std::collections::{BTreeMap, BTreeSet};
use strata_base::{Hlc, ShardId};
use strata_engine::{
    log::{LogState, LogStore},
    tier::{
        documents::{CheckpointDocument, Document},
        layout::{FileKind, Name},
    },
};
use strata_kv::Effect;
use strata_node::{agreement::LogEntry, bridge::commands_of, descriptor::ReplicaRecord};
use strata_node_api::ShardReport;

/// How far the log of a shard was read, on whichever disk.
#[derive(Default)]
struct LogRead {
    index: u64,
    hlc: Hlc,
}

/// What was seen of disks and bucket.
#[derive(Default)]
pub(super) struct Evidence {
    logs: BTreeMap<ShardId, LogRead>,
    /// Documents whose files were found.
    resolved: BTreeSet<String>,
}

impl Simulation {
    /// Every command in a shard's log has a later HLC than all before it.
    pub(super) fn look_at_log(&mut self, node: usize, replica: &ShardReport) -> Result<(), Violation> {
        let (log, shard) = (&self.nodes[node].disk.log, replica.shard);
        if self.nodes[node].disk.damaged.contains(&shard) {
            return Ok(());
        }
        let read = self.evidence.logs.entry(shard).or_default();
        let Some((first, last)) = log.bounds(shard) else { return Ok(()) };
        // What the log on the disk has before the replica's own first entry is of before a snapshot, and about to be replaced.
        let (from, to) = (first.max(replica.first_index).max(read.index + 1), last.min(replica.applied));
        if from > to {
            return Ok(());
        }
        for stored in log.entries(shard, from, to + 1, u64::MAX).map_err(|error| Check::Host.says(error.to_string()))? {
            let payload = commands_of(&stored);
            if payload.is_empty() {
                continue;
            }
            let LogEntry::Commands(entry) = LogEntry::decode(payload).map_err(|error| Check::Order.says(error))? else { continue };
            for effect in entry.effects {
                let Effect::Command { hlc } = effect else { continue };
                if hlc <= read.hlc {
                    let (index, before) = (stored.index, read.hlc);
                    let sentence = format!("entry {index} of shard {shard} has a command at {hlc}, after one at {before}");
                    return Err(Check::Order.says(sentence));
                }
                read.hlc = hlc;
            }
        }
        read.index = to;
        Ok(())
    }

    /// What is not archived lies in a log. New members are filled by snapshots, whose logs begin late.
    pub(super) fn look_at_cuts(&self) -> Result<(), Violation> {
        let drops = self.options.archive_bound.is_some_and(|bound| bound.drops);
        if self.bucket.is_none() || self.changes_members || drops {
            return Ok(());
        }
        for (shard, _) in &self.hand.shards {
            let records = self.nodes.iter().filter_map(|node| node.disk.log.state(*shard, LogState::Replica));
            let places: Vec<(u64, u64)> = records
                .filter_map(|bytes| match ReplicaRecord::decode(&bytes) {
                    Ok(ReplicaRecord::Here { truncated_index, archived_index, .. }) => Some((truncated_index, archived_index)),
                    _ => None,
                })
                .collect();
            let cut = places.iter().map(|(cut, _)| *cut).min().unwrap_or(0);
            let archived = places.iter().map(|(_, archived)| *archived).max().unwrap_or(0);
            if cut > archived {
                let sentence = format!("every log of shard {shard} is cut up to {cut}, and only {archived} is archived");
                return Err(Check::Cuts.says(sentence));
            }
        }
        Ok(())
    }

    /// Every file that a checkpoint's document names is in the bucket.
    pub(super) fn look_at_references(&mut self) -> Result<(), Violation> {
        let Some(bucket) = &self.bucket else { return Ok(()) };
        let store = bucket.store.inner();
        for key in store.keys() {
            let Ok(Name::Checkpoint(incarnation, ..)) = layout().parse(&key) else { continue };
            if self.evidence.resolved.contains(&key) {
                continue;
            }
            let document = CheckpointDocument::decode(&store.peek(&key).unwrap_or_default());
            let document = document.map_err(|error| Check::Bucket.says(format!("{key}: {error}")))?;
            for file in document.files {
                let name = layout().key(Name::File(incarnation, file.object, FileKind::of(&file.name)));
                let size = store.peek(&name).map(|bytes| bytes.len() as u64);
                if size != Some(file.size) {
                    let sentence = format!("{key} names {name} of {} bytes, and the bucket has {size:?}", file.size);
                    return Err(Check::Bucket.says(sentence));
                }
            }
            self.evidence.resolved.insert(key);
        }
        Ok(())
    }
}
