//! What is known of a cluster.

use crate::{Condition, Problem};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is known of a cluster. It is computed anew at every pass but for identity, epoch and plan.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct KVClusterStatus {
    /// The generation of the spec that this was computed from.
    pub observed_generation: i64,
    /// Where the cluster is in its life.
    pub phase: ClusterPhase,
    /// The cluster's UUID, drawn when it began; it stays the same through restores.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster_id: Option<String>,
    /// The life of the cluster that it is in: a new one after every restore.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub incarnation: Option<String>,
    /// The epoch of the latest orders. Older ones are refused by the nodes.
    pub epoch: i64,
    /// The operator process that this epoch was made for; another one makes a higher epoch before its first order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epoch_holder: Option<String>,
    /// What was decided when the incarnation began, persisted before the first order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<PersistedPlan>,
    /// Nodes that exist, for the scale subresource.
    pub nodes: i32,
    /// Nodes that report, of those declared, such as `3/3`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nodes_ready: Option<String>,
    /// The labels of the pods, for the scale subresource.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    /// Every node.
    pub members: Vec<MemberStatus>,
    /// All shards together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shards: Option<ShardsStatus>,
    /// What the bucket alone brings back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recovery: Option<RecoveryStatus>,
    /// How far a restore is, while one is under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restore: Option<RestoreProgress>,
    /// How far a rolling restart is, while one is under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub update: Option<RolloutStatus>,
    /// What ails the cluster.
    pub problems: Vec<Problem>,
    /// What is waited for, one sentence each.
    pub waiting: Vec<String>,
    /// `Ready`, `Available`, `Progressing` and `Degraded`.
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

/// Where a cluster is in its life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ClusterPhase {
    /// Pods are on their way, or a decision is waited for.
    #[default]
    Pending,
    /// Shards are being created.
    Creating,
    /// Data is being brought back from the bucket.
    Restoring,
    /// Every shard serves.
    Running,
    /// Nothing is done until somebody has decided: see the condition `Ready`.
    Refused,
}

/// What was decided when an incarnation began.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PersistedPlan {
    /// The incarnation that it began from; none if it began empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// For each shard, in the order of slots, its first members as `peer:store`, the expected leader first, with a space between them.
    /// Ids of shards follow from incarnation, table and position; their slots from position and count.
    pub members: Vec<String>,
    /// The bytes of `cluster/0.json` below the archive's path: exactly these go into the bucket. None without an archive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub document: Option<String>,
    /// Whether the archive's path may hold a cluster already, to be continued; otherwise only a path where nobody ever was is taken.
    pub continues: bool,
    /// The UID of the KVCluster that owned the path and, as Kubernetes said when asked, is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gone: Option<String>,
    /// Incarnations that the KVRestore left behind: they no longer count as living.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub retire: Vec<String>,
    /// The KVRestore that was obeyed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restore: Option<String>,
    /// Stretches of log that the bucket lacked, one sentence each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gaps: Vec<String>,
}

/// A node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MemberStatus {
    /// Its pod.
    pub pod: String,
    /// The store on its disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<String>,
    /// Its failure domain.
    pub zone: String,
    /// What it is.
    pub state: MemberState,
    /// Shards that it leads.
    pub leaders: i32,
    /// Shards that it has a replica of.
    pub replicas: i32,
    /// The version of its software.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// How full its disk is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_used_percent: Option<i32>,
}

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum MemberState {
    /// It belongs to the cluster and reports.
    Up,
    /// Its store is new and waits for orders.
    Empty,
    /// It does not report, but other nodes hear it.
    Unreported,
    /// Nobody hears it.
    Down,
    /// Its store belongs to another cluster or incarnation; it serves nothing and is left alone.
    Foreign,
}

/// All shards together.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ShardsStatus {
    /// How many there are.
    pub total: i32,
    /// How many have a leader that serves.
    pub led: i32,
    /// How many have fewer voters than declared, or one that is not heard.
    pub under_replicated: i32,
    /// How many leaders the node with most has above its share, or the one with fewest below it.
    pub leader_skew: i32,
}

/// What the bucket alone brings back.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct RecoveryStatus {
    /// The first moment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub earliest: Option<Time>,
    /// The last moment: every acknowledged write before it is in the bucket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latest: Option<Time>,
    /// Bytes of log that only the nodes hold.
    pub bytes_at_risk: i64,
    /// Stretches of log that the bucket lacks, one sentence each.
    pub gaps: Vec<String>,
}

/// How far a restore is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct RestoreProgress {
    /// The incarnation that is restored from.
    pub parent: String,
    /// Nodes that have all they need, of all, such as `1/3`.
    pub nodes_done: String,
    /// Bytes fetched, all replicas together.
    pub bytes_done: i64,
    /// Bytes to fetch.
    pub bytes_total: i64,
    /// Bytes fetched of those to fetch.
    pub percent: i32,
    /// When it will be done at the pace of now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected_end: Option<Time>,
}

/// How far a rolling restart is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct RolloutStatus {
    /// Pods that are as declared.
    pub done: i32,
    /// Pods.
    pub total: i32,
    /// The pod that is next or under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current: Option<String>,
    /// What is not met for it, one sentence each.
    pub blocked_by: Vec<String>,
}
