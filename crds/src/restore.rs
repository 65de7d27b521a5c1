//! `KVRestore`: what a bucket brings back, planned or done.

use crate::{Condition, JobPhase, Problem, Reference, quantity::is_immutable};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{CustomResource, KubeSchema, core::Rule};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A restore: from a path of a bucket, to a moment, into a new cluster; or only the plan of one.
///
/// Never destructive: the source is read, and the new cluster writes under a path of its own. A KVCluster asks for it by
/// `spec.bootstrap.restoreRef`. A job: once Complete or Failed it stays so.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "strata.dev",
    version = "v1alpha1",
    kind = "KVRestore",
    namespaced,
    status = "KVRestoreStatus",
    derive = "PartialEq",
    shortname = "kvr",
    category = "strata",
    doc = "A restore from a path of a bucket, or the plan of one.",
    printcolumn(name = "Mode", type_ = "string", json_path = ".spec.mode"),
    printcolumn(name = "Cluster", type_ = "string", json_path = ".status.cluster"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.problem.class"),
    printcolumn(name = "Percent", type_ = "integer", json_path = ".status.percent"),
    printcolumn(name = "Reaches", type_ = "string", json_path = ".status.plan.reachable"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Message", type_ = "string", priority = "1", json_path = ".status.problem.message")
)]
#[serde(rename_all = "camelCase")]
pub struct KVRestoreSpec {
    /// What is to be done. Immutable.
    #[x_kube(validation = is_immutable("spec.mode", "make another KVRestore"))]
    pub mode: RestoreMode,
    /// Where the data is. Immutable.
    #[x_kube(validation = is_immutable("spec.source", "make another KVRestore"))]
    pub source: RestoreSource,
    /// The moment to go back to. Immutable.
    #[serde(default)]
    #[x_kube(validation = is_immutable("spec.target", "make another KVRestore"))]
    pub target: RestoreTarget,
    /// What happens when the bucket does not reach that moment; decided before any data moves. Immutable.
    #[serde(default)]
    #[x_kube(validation = is_immutable("spec.onTargetBeyondEnd", "make another KVRestore"))]
    pub on_target_beyond_end: BeyondEnd,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RestoreMode {
    /// Fill the new KVCluster whose `spec.bootstrap.restoreRef` names this object.
    NewCluster,
    /// Only say what it would take, in `status.plan`.
    Plan,
}

/// Where the data is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RestoreSource {
    /// The object store.
    pub object_store_ref: Reference,
    /// The folder in the bucket: what the cluster had as `spec.archive.path`, by default its namespace and name.
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(validation = Rule::new("self.matches('^[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*$')")
        .message("spec.source.path is not a path: write names of letters, digits, '.', '_' and '-', with '/' between them, such as shop/orders"))]
    pub path: String,
    /// The incarnation, where more than one lives under the path. Default: the only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    #[x_kube(validation = Rule::new("self.matches('^[0-9a-f]{16}$')")
        .message("spec.source.incarnation is not an id: copy the 16 hexadecimal digits from status.incarnation"))]
    pub incarnation: Option<String>,
}

/// The moment to go back to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = [time_with_its_type(), backup_with_its_type()]))]
pub struct RestoreTarget {
    /// What kind of moment.
    #[serde(rename = "type")]
    pub kind: TargetKind,
    /// A time with its zone, such as `2026-03-01T12:00:00Z`: writes before it are there, later ones are not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<Time>,
    /// The name of a KVBackup of this namespace that is Complete: its status names what to read.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub backup: Option<String>,
}

fn time_with_its_type() -> Rule {
    Rule::new("has(self.time) == (self.type == 'Time')")
        .message("spec.target.time belongs to spec.target.type Time, and only to it: set both or neither")
        .field_path(".time")
}

fn backup_with_its_type() -> Rule {
    Rule::new("has(self.backup) == (self.type == 'Backup')")
        .message("spec.target.backup belongs to spec.target.type Backup, and only to it: set both or neither")
        .field_path(".backup")
}

/// What kind of moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TargetKind {
    /// The last that the bucket holds.
    #[default]
    Latest,
    /// That of a backup.
    Backup,
    /// A given one.
    Time,
}

/// What happens when the bucket does not reach the wanted moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum BeyondEnd {
    /// Give up, before any data moves.
    #[default]
    Fail,
    /// Go to the last moment that it holds.
    RestoreToLatest,
}

/// How far a restore is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct KVRestoreStatus {
    /// The generation of the spec that this was computed from.
    pub observed_generation: i64,
    /// How far it is.
    pub phase: JobPhase,
    /// The KVCluster that is filled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// What it takes, known before any data moves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<RestorePlan>,
    /// Bytes fetched, all replicas together.
    pub bytes_done: i64,
    /// Bytes fetched of those to fetch.
    pub percent: i32,
    /// When it began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// When it will be done at the pace of now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected_end: Option<Time>,
    /// When it was complete or given up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Time>,
    /// What holds it up, or why it was given up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
    /// `Complete` and `Failed`.
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

/// What a restore takes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct RestorePlan {
    /// The incarnation that is read.
    pub parent: String,
    /// The moment that is reached.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reachable: Option<Time>,
    /// Shards.
    pub shards: i32,
    /// Bytes of checkpoints, counted once.
    pub checkpoint_bytes: i64,
    /// Bytes of log to replay on top, counted once.
    pub log_bytes: i64,
    /// Stretches of log that are missing before that moment, one sentence each.
    pub gaps: Vec<String>,
}
