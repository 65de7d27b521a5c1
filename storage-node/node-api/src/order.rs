//! Orders: what the operator asks of one node.

use serde::{Deserialize, Serialize};
use strata_base::{Epoch, Hlc, IncarnationId, PeerId, ShardId, SlotRange, StoreId, TableId};

/// One order to one node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Order {
    /// The epoch it was made for; a node refuses what is older than it has seen.
    pub epoch: Epoch,
    /// The cluster it is for, as named by the operator (a UUID).
    pub cluster: String,
    /// The incarnation it is for.
    pub incarnation: IncarnationId,
    /// The store it is for: a disk that was emptied is another store, and must not obey what was meant for its predecessor.
    pub store: StoreId,
    /// What to do.
    pub order: OrderKind,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields, tag = "kind")]
pub enum OrderKind {
    /// Belong to the cluster and incarnation of this order. Only an empty store obeys; one that already belongs there is done.
    Join,
    /// Know these nodes: where peers are reached, and what clients are told. Replaces what was known.
    Directory {
        /// Every node of the cluster, this one included.
        nodes: Vec<NodeAddress>,
    },
    /// Create this replica of a shard that never existed before. All members get the same order.
    CreateShard {
        /// Follows from (incarnation, table, ordinal).
        shard: ShardId,
        /// The table it is a part of.
        table: TableId,
        /// Its slots.
        slots: SlotRange,
        /// All its first members, all voters.
        members: Vec<Member>,
        /// What it continues: fetched before by [`OrderKind::Restore`]. None for a shard that begins empty.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        origin: Option<ShardOrigin>,
    },
    /// Give the leadership of a shard to another member that has caught up.
    TransferLeader {
        /// Which shard.
        shard: ShardId,
        /// The member that shall lead.
        to: PeerId,
    },
    /// Lead nothing for this long, then lead again if elected: a lease, so that a dead operator does not leave a node without leaders for ever.
    EvictLeaders {
        /// How long, in milliseconds from receipt; 0 ends the eviction.
        for_millis: u64,
    },
    /// Change the members of a shard that this node leads: one learner added, or voters swapped in one joint change.
    ChangeMembers {
        /// Which shard.
        shard: ShardId,
        /// The epoch of the shard's descriptor that the change was decided on.
        shard_epoch: Epoch,
        /// All changes, made at once.
        changes: Vec<MemberChange>,
    },
    /// Archive below the path of the node's configuration from now on, as this owner. Every node of the cluster gets the same order; the leader
    /// of the first shard takes the path, writes `cluster/0` and registers the lives of all nodes. Reports show how far it is.
    OpenArchive {
        /// Who claims the path, and what for.
        claim: ArchiveClaim,
    },
    /// Fetch from a bucket what these shards continue, up to their cuts, and keep it until [`OrderKind::CreateShard`] names it. Nothing of it is
    /// served before. Given again, after a restart too, it goes on without fetching finished files twice.
    Restore {
        /// What to fetch.
        restore: RestoreOrder,
    },
    /// Have a checkpoint of a shard that this node leads, in the bucket, which holds every write acknowledged before that moment. Done when there is
    /// one; reports show it.
    Checkpoint {
        /// Which shard.
        shard: ShardId,
        /// Milliseconds since the Unix epoch. An older checkpoint serves where nothing was written since.
        not_before_millis: u64,
    },
    /// Have every replica of a shard that this node leads digest what it holds at one entry of the shard's log. Nothing of the data changes. Reports
    /// show what each replica found. No node of an earlier version may have a replica of the shard: it would stop at an entry that it does not know.
    Compare {
        /// Which shard.
        shard: ShardId,
        /// Names the comparison: drawn at random by who asks for it, so that its outcome is told from that of others.
        comparison: u64,
    },
}

/// Who claims an archive path, and what for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ArchiveClaim {
    /// The UID of the Kubernetes namespace.
    pub namespace_uid: String,
    /// The UID of the `KVCluster`.
    pub kv_cluster_uid: String,
    /// Whether a cluster may lie there already, to be continued; otherwise only a path where nobody ever was is taken.
    pub may_continue: bool,
    /// The UID of a `KVCluster` of the same namespace that Kubernetes, asked live, no longer has: its path needs no watching.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gone: Option<String>,
    /// Incarnations that an explicit restore leaves behind.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub retire: Vec<IncarnationId>,
    /// The bytes of `cluster/0.json`, as first persisted in status: exactly these go into the bucket.
    pub document: String,
}

/// Where a cluster's archive lies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ArchivePlace {
    /// The store's endpoint, such as `https://s3.example.org`. Credentials are those of the node's configuration.
    pub store: String,
    /// The bucket.
    pub bucket: String,
    /// The path within.
    pub path: String,
}

/// What to fetch from a bucket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RestoreOrder {
    /// Where the parent lies.
    pub source: ArchivePlace,
    /// The parent incarnation.
    pub incarnation: IncarnationId,
    /// Whether the plan was made without objects that are damaged or missing.
    #[serde(default)]
    pub accept_damage: bool,
    /// All shards of the new incarnation; the node fetches those that have it as a member.
    pub shards: Vec<RestoreShard>,
}

/// A shard that continues one of the parent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RestoreShard {
    /// The new shard.
    pub shard: ShardId,
    /// The stores of its first members.
    pub stores: Vec<StoreId>,
    /// What it continues.
    pub origin: ShardOrigin,
}

/// What a shard continues, and up to where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ShardOrigin {
    /// The shard of the parent incarnation.
    pub shard: ShardId,
    /// Which history of it.
    pub fork_epoch: u64,
    /// The last entry that counts; the new shard's first has the next index.
    pub index: u64,
    /// That entry's term.
    pub term: u64,
    /// That entry's HLC.
    pub hlc: Hlc,
}

/// A member of a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Member {
    /// Its id in the shard's Raft group.
    pub peer: PeerId,
    /// The store it lies on.
    pub store: StoreId,
    /// Whether it votes.
    pub role: MemberRole,
}

/// Whether a member votes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum MemberRole {
    /// Counts for a quorum.
    Voter,
    /// Receives the log, and counts for nothing.
    Learner,
}

/// A change of one member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields, tag = "change")]
pub enum MemberChange {
    /// Add it, or change its role.
    Put {
        /// The member as it shall be.
        member: Member,
    },
    /// Remove it for ever.
    Remove {
        /// The member's id, never to be used again.
        peer: PeerId,
    },
}

/// Where a node is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NodeAddress {
    /// The node's store.
    pub store: StoreId,
    /// Its failure domain.
    pub zone: String,
    /// `host:port` of the Raft transport, as other nodes reach it.
    pub peer: String,
    /// The host that clients are told in MOVED and CLUSTER SLOTS.
    pub client_host: String,
    /// The port for plain clients.
    pub plain_port: u16,
    /// The port for Redis Cluster clients.
    pub cluster_port: u16,
}

/// What became of an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "answer")]
pub enum Answer {
    /// It is done, now or before.
    Done,
    /// It has begun; reports show how far it is.
    Accepted,
    /// It was not done, and nothing changed.
    Refused {
        /// What kind of reason.
        class: RefusalClass,
        /// The reason, and the remedy, in one sentence.
        message: String,
    },
}

/// Why an order was refused: a closed list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum RefusalClass {
    /// A newer epoch was obeyed before.
    #[error("StaleEpoch")]
    StaleEpoch,
    /// The node's store belongs to another cluster or incarnation, or is another store.
    #[error("WrongIdentity")]
    WrongIdentity,
    /// The node does not lead the shard; another one may.
    #[error("NotLeader")]
    NotLeader,
    /// The node has no replica of the shard.
    #[error("NoSuchShard")]
    NoSuchShard,
    /// The order contradicts what exists: other members, other slots, an older descriptor.
    #[error("Conflict")]
    Conflict,
    /// Not now: something it needs is still under way.
    #[error("NotReady")]
    NotReady,
    /// The archive path belongs to another living cluster, or holds one where none was expected.
    #[error("ForeignOwner")]
    ForeignOwner,
    /// The order makes no sense.
    #[error("Invalid")]
    Invalid,
}
