//! Reports: what a node says of itself. Every number is as of one moment.

use crate::Member;
use serde::{Deserialize, Serialize};
use strata_base::{Epoch, Hlc, IncarnationId, PeerId, ShardId, SlotRange, StoreId, TableId};

/// What a node says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The version of the software.
    pub version: String,
    /// The store on its disk.
    pub store: StoreId,
    /// The life of this process: drawn anew at every start.
    pub life: u64,
    /// Whether it belongs to a cluster, and to which.
    pub state: NodeState,
    /// The highest epoch it has obeyed.
    pub epoch: Epoch,
    /// Its failure domain.
    pub zone: String,
    /// How long the process has run, in milliseconds.
    pub uptime_millis: u64,
    /// How long it will still lead nothing by order, in milliseconds; 0 where it may lead.
    pub evicted_millis: u64,
    /// Its clock less the median of its quorum's, in milliseconds.
    pub clock_offset_millis: i64,
    /// Its disk.
    pub disk: DiskReport,
    /// Its replicas, in the order of their slots.
    pub shards: Vec<ShardReport>,
    /// The other nodes it hears.
    pub heard: Vec<Heard>,
    /// What ails it; empty in health.
    pub problems: Vec<Problem>,
}

/// Whether a node belongs to a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "state")]
pub enum NodeState {
    /// Its store is new and waits for orders.
    Empty,
    /// Its store belongs to a cluster.
    Member {
        /// The cluster's UUID.
        cluster: String,
        /// The cluster's incarnation.
        incarnation: IncarnationId,
    },
}

/// The state of a node's disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DiskReport {
    /// The file system's size, in bytes.
    pub total_bytes: u64,
    /// What is left of it for us, in bytes.
    pub free_bytes: u64,
    /// Below this many free bytes, writes that grow data are refused.
    pub reserve_bytes: u64,
    /// The median time of an fsync of the log of late, in microseconds.
    pub fsync_micros: u64,
    /// fsyncs of the log since the process started.
    pub fsyncs: u64,
    /// What the log holds on disk, in bytes.
    pub log_bytes: u64,
}

/// What a replica is at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ShardRole {
    /// It leads, and has applied an entry of its own term.
    Leader,
    /// It leads, and serves nothing until an entry of its own term is applied.
    LeaderElect,
    /// It follows.
    Follower,
    /// It follows, and has no vote.
    Learner,
    /// It asks for votes.
    Candidate,
}

/// One replica.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ShardReport {
    /// Which shard.
    pub shard: ShardId,
    /// The table it is a part of.
    pub table: TableId,
    /// Its slots.
    pub slots: SlotRange,
    /// The epoch of its descriptor.
    pub shard_epoch: Epoch,
    /// This replica's member id.
    pub peer: PeerId,
    /// What this replica is.
    pub role: ShardRole,
    /// The Raft term.
    pub term: u64,
    /// The member that leads, as far as this replica knows.
    pub leader: Option<PeerId>,
    /// The members, as of the applied index.
    pub members: Vec<Member>,
    /// Whether a joint change is under way.
    pub is_joint: bool,
    /// The last entry in the log.
    pub last_index: u64,
    /// The last entry known to be committed.
    pub committed: u64,
    /// The last entry applied.
    pub applied: u64,
    /// The last entry whose effects are in files of the tablet.
    pub flushed: u64,
    /// The first entry still in the log.
    pub first_index: u64,
    /// The HLC of the last applied entry.
    pub hlc: Hlc,
    /// Keys, expired ones included.
    pub keys: u64,
    /// Keys with a time to live.
    pub expires: u64,
    /// On the leader: how far each other member is.
    pub progress: Vec<Progress>,
}

/// How far a member is, as its leader sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// Which member.
    pub peer: PeerId,
    /// The last entry known to be on its disk.
    pub matched: u64,
    /// Whether it is being sent a snapshot.
    pub in_snapshot: bool,
    /// Whether it answered within the last election timeout.
    pub is_active: bool,
}

/// A node that this one hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Heard {
    /// The other's store.
    pub store: StoreId,
    /// How long ago, in milliseconds.
    pub millis_ago: u64,
}

/// Something that ails a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// What kind.
    pub class: ProblemClass,
    /// What, and what to do, in one sentence.
    pub message: String,
}

/// What ails a node: a closed list, shared by conditions, events and metric labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ProblemClass {
    /// The disk is below its reserve.
    DiskFull,
    /// The disk takes long to sync.
    DiskSlow,
    /// The clock is too far from the quorum's to lead.
    ClockSkew,
    /// A replica stopped because applying an entry failed.
    ReplicaStopped,
}
