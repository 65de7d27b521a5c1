//! `KVBackup`: a moment of a cluster, kept.

use crate::{Condition, JobPhase, Problem, Reference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::quantity::is_immutable;

/// A moment of a cluster, kept in its bucket: a checkpoint of every shard, and the log up to one time.
///
/// A job: once Complete or Failed it stays so. It refers to files of the cluster's own path, so it survives the loss of the cluster, and
/// not the loss of the bucket.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "strata.dev",
    version = "v1alpha1",
    kind = "KVBackup",
    namespaced,
    status = "KVBackupStatus",
    derive = "PartialEq",
    shortname = "kvb",
    category = "strata",
    doc = "A moment of a cluster, kept in its bucket.",
    printcolumn(name = "Cluster", type_ = "string", json_path = ".spec.clusterRef.name"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.problem.class"),
    printcolumn(name = "Moment", type_ = "date", json_path = ".status.time", description = "How long ago the moment was that is kept."),
    printcolumn(name = "Shards", type_ = "string", json_path = ".status.shards"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Message", type_ = "string", priority = "1", json_path = ".status.problem.message")
)]
#[serde(rename_all = "camelCase")]
pub struct KVBackupSpec {
    /// The cluster. It must have an archive. Immutable.
    #[x_kube(validation = is_immutable("spec.clusterRef", "a backup is of one cluster; make another KVBackup"))]
    pub cluster_ref: Reference,
}

/// How far a backup is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct KVBackupStatus {
    /// The generation of the spec that this was computed from.
    pub observed_generation: i64,
    /// How far it is.
    pub phase: JobPhase,
    /// The incarnation of the cluster that it is of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub incarnation: Option<String>,
    /// The KVObjectStore whose bucket holds it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object_store: Option<String>,
    /// The folder in the bucket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The checkpoint of each shard, in the order of their ids.
    pub checkpoints: Vec<BackupCheckpoint>,
    /// When it began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// When it was complete or given up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Time>,
    /// The moment that is kept: every acknowledged write before it is in the backup.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<Time>,
    /// Shards whose checkpoint is in the bucket, of all, such as `16/16`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shards: Option<String>,
    /// Bytes that a restore fetches once.
    pub bytes_total: i64,
    /// What holds it up, or why it was given up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
    /// `Complete` and `Failed`.
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

/// A checkpoint that belongs to a backup.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct BackupCheckpoint {
    /// The shard.
    pub shard: String,
    /// The number of its document in the bucket.
    pub number: i64,
    /// The size of its files, in bytes.
    pub bytes: i64,
    /// The moment of its last write, in milliseconds since the Unix epoch.
    pub last_write_millis: i64,
}
