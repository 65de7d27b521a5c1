//! Reports: what a node says of itself. Every number is as of one moment.

use crate::{Member, ShardOrigin};
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
    /// Its archive; none where no order opened one.
    #[serde(default)]
    pub archive: Option<ArchiveReport>,
    /// What it restores or has restored and not yet created shards of.
    #[serde(default)]
    pub restore: Option<RestoreReport>,
}

/// How a node's archive is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ArchiveReport {
    /// Whether `cluster/0` of this incarnation reads back from the bucket. Until then a restored shard serves nobody.
    pub is_published: bool,
    /// Whether this process may upload: its life stands in a cluster document that reads back.
    pub is_registered: bool,
    /// On the leader of the first shard, while it takes the path: the living owner it watches, or why the path was refused.
    pub claim: ClaimState,
    /// Whether writes are refused because the local log reached its bound.
    pub refuses_writes: bool,
    /// Log objects that this process wrote and read back.
    pub objects: u64,
    /// What keeps it from going on; none in health.
    pub problem: Option<ObjectProblem>,
}

/// How far the claim of an archive path is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "state")]
pub enum ClaimState {
    /// This node does not lead the first shard: another one claims.
    #[default]
    Elsewhere,
    /// OWNER is being read or written.
    Claiming,
    /// Another cluster's beat is watched, for three of its periods.
    Watching {
        /// That cluster.
        cluster: String,
    },
    /// The path is ours.
    Taken,
    /// The path is not ours, and stays so until the claim changes.
    Refused {
        /// Why, naming the owner, and the remedy.
        message: String,
    },
}

/// What a store of objects keeps refusing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectProblem {
    /// The class of the error, of the object tier's closed list, such as `AccessDenied`.
    pub class: String,
    /// What, and what to do, in one sentence.
    pub message: String,
    /// How long it has lasted, in milliseconds.
    pub millis: u64,
    /// Attempts that failed since.
    pub attempts: u64,
}

/// How far a restore is on one node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RestoreReport {
    /// How far.
    pub state: RestoreState,
    /// Bytes fetched and applied by this node, those found on its disk included.
    pub done_bytes: u64,
    /// All bytes that this node needs; 0 while nobody knows.
    pub total_bytes: u64,
    /// How long it has run, in milliseconds.
    pub millis: u64,
    /// What keeps it from going on; it is tried again for ever.
    pub problem: Option<ObjectProblem>,
}

/// How far a restore is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "state")]
pub enum RestoreState {
    /// The bucket is being read.
    Planning,
    /// Files and log are on their way.
    Fetching,
    /// Everything is here: shards may be created.
    Ready,
    /// An object is damaged or missing, or the bucket does not reach the cuts. Give the order again after repair.
    Failed {
        /// The class of the error.
        class: String,
        /// What, naming the object's key.
        message: String,
    },
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
    /// On the leader of an archived shard: what the bucket has of it.
    #[serde(default)]
    pub archive: Option<ShardArchive>,
    /// The last checkpoint that counts, as far as this replica applied.
    #[serde(default)]
    pub checkpoint: Option<CheckpointReport>,
    /// On the leader: a checkpoint under way.
    #[serde(default)]
    pub checkpointing: Option<Checkpointing>,
    /// The last comparison of the shard's replicas whose entry this process applied.
    #[serde(default)]
    pub comparison: Option<ComparisonReport>,
    /// Why it stopped for ever, if it did.
    #[serde(default)]
    pub stopped: Option<String>,
}

/// What a replica held at the entry of a comparison. Replicas of one shard differ where one of these differs at the same index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ComparisonReport {
    /// Which comparison, as named by its order.
    pub comparison: u64,
    /// The index of its entry.
    pub index: u64,
    /// That entry's term.
    pub term: u64,
    /// The last HLC handed out before it.
    pub hlc: Hlc,
    /// Keys as counted, expired ones included.
    pub keys: u64,
    /// Keys with a time to live, as counted.
    pub expires: u64,
    /// What was found behind these numbers.
    pub state: ComparisonState,
}

/// How far a replica is with a comparison.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "state")]
pub enum ComparisonState {
    /// It reads.
    Digesting,
    /// It has read everything.
    Done {
        /// Records: keys, elements of collections, and entries of the expiry index.
        records: u64,
        /// SHA-256 of all of them, as 64 hexadecimal digits.
        digest: String,
    },
    /// It could not read, or had no room to.
    Failed {
        /// Why, and what to do, in one sentence.
        message: String,
    },
}

/// What the bucket has of a shard. None of it is ever better than the truth.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ShardArchive {
    /// The last index of the contiguous prefix that reads back.
    pub archived: u64,
    /// Every write acknowledged before this moment survives the loss of all nodes: milliseconds since the Unix epoch.
    pub recovery_latest_millis: u64,
    /// How far that is behind, in milliseconds.
    pub lag_millis: u64,
    /// Bytes of log that only the nodes have.
    pub bytes_at_risk: u64,
    /// Entries that the archive never had, each until a checkpoint covered it: first and last index.
    pub gaps: Vec<(u64, u64)>,
}

/// A checkpoint in the bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CheckpointReport {
    /// The number of its document.
    pub number: u64,
    /// What it holds: fork epoch, index, term and HLC of its last entry, and of which shard.
    pub at: ShardOrigin,
    /// It holds every write acknowledged before this moment: milliseconds since the Unix epoch.
    pub covers_millis: u64,
    /// The size of its files, in bytes.
    pub bytes: u64,
}

/// A checkpoint under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Checkpointing {
    /// Bytes uploaded.
    pub done_bytes: u64,
    /// Bytes to upload; 0 while nobody knows.
    pub total_bytes: u64,
    /// What keeps it from going on; it is tried again for ever.
    pub problem: Option<ObjectProblem>,
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
    /// The archive's store fails, or the path is not ours.
    ArchiveFailing,
}
