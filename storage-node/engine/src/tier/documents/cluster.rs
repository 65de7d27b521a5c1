//! `cluster/<n>.json`: what a cluster is. Each is first agreed as an entry of shard 0; the first one makes its incarnation exist.

use super::{Document, ParentReference};
use crate::tier::{Cut, layout::LifeId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use strata_base::{Epoch, IncarnationId, PeerId, ShardId, SlotRange, StoreId, TableId};

/// What a cluster is, as of one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClusterDocument {
    /// The cluster's UUID.
    pub cluster: String,
    /// The incarnation it describes.
    pub incarnation: IncarnationId,
    /// From 0, dense.
    pub number: u64,
    /// What the incarnation was restored from; the same in all its documents.
    pub parent: Option<ParentReference>,
    /// All shards, in the order of their ids.
    pub shards: Vec<ShardDocument>,
    /// The lives that may write log objects. A life counts for ever once any document named it.
    pub lives: Vec<LifeDocument>,
    /// All tables, in the order of their ids.
    pub tables: Vec<TableDocument>,
    /// Settings of the cluster, as its declaration words them.
    pub settings: BTreeMap<String, serde_json::Value>,
}

/// A shard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ShardDocument {
    /// Which.
    pub shard: ShardId,
    /// The table it is a part of.
    pub table: TableId,
    /// Its slots.
    pub slots: SlotRange,
    /// The epoch of its descriptor.
    pub epoch: Epoch,
    /// Its members.
    pub members: Vec<MemberDocument>,
    /// Its histories after the first, oldest first. The first has fork epoch 0 and starts where the shard starts.
    pub forks: Vec<Fork>,
    /// What it continues; none for a shard that began empty at index 0. The same in all documents of an incarnation.
    pub origin: Option<Origin>,
    /// Where its log begins if it began empty: the position before its first entry.
    pub start: Cut,
}

/// A member of a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MemberDocument {
    /// Its id in the shard's Raft group.
    pub peer: PeerId,
    /// The store it lies on.
    pub store: StoreId,
    /// Whether it counts for a quorum.
    pub voter: bool,
}

/// A survivor went on without its quorum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Fork {
    /// The fork epoch of the entries from here on; above the ones before.
    pub epoch: u64,
    /// The last index of the history before that counts.
    pub after: u64,
}

/// What a shard continues.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Origin {
    /// The shard of the parent incarnation.
    pub shard: ShardId,
    /// Up to where the parent's log counts. The first entry of this shard has the next index.
    pub cut: Cut,
}

/// A life of a node's process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LifeDocument {
    /// Which.
    pub life: LifeId,
    /// The node's store.
    pub store: StoreId,
}

/// A table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TableDocument {
    /// Which.
    pub table: TableId,
    /// Its name.
    pub name: String,
    /// Its settings, as its declaration words them.
    pub settings: BTreeMap<String, serde_json::Value>,
}

impl Document for ClusterDocument {
    const FORMAT: &'static str = "strata/cluster";
}

impl ClusterDocument {
    /// The shard of this id.
    pub fn shard(&self, shard: ShardId) -> Option<&ShardDocument> {
        self.shards.iter().find(|candidate| candidate.shard == shard)
    }
}

impl ShardDocument {
    /// The fork epoch that an index counts in.
    pub fn fork_epoch_of(&self, index: u64) -> u64 {
        self.forks.iter().rev().find(|fork| fork.after < index).map_or(0, |fork| fork.epoch)
    }
}
