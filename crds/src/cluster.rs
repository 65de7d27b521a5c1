//! `KVCluster`: one cluster, declared.

mod status;

pub use status::{
    ClusterPhase, KVClusterStatus, MemberState, MemberStatus, PersistedPlan, RecoveryStatus, RestoreProgress, RolloutStatus, ShardsStatus,
};

use crate::{
    Period, Reference, SecretKeyReference, Size,
    quantity::{is_bytes, is_immutable, is_period, is_quantity},
};
use k8s_openapi::api::core::v1::Toleration;
use kube::{CustomResource, KubeSchema, core::Rule};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A cluster of Strata: nodes on volumes, shards on nodes, an archive in a bucket.
///
/// Re-applied after the loss of everything but the bucket, the same manifest brings the data back.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "strata.dev",
    version = "v1alpha1",
    kind = "KVCluster",
    namespaced,
    status = "KVClusterStatus",
    derive = "PartialEq",
    shortname = "kvc",
    category = "strata",
    doc = "A cluster of Strata: nodes on volumes, shards on nodes, an archive in a bucket.",
    scale(spec_replicas_path = ".spec.nodes", status_replicas_path = ".status.nodes", label_selector_path = ".status.selector"),
    printcolumn(name = "Ready", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].status"#),
    printcolumn(name = "Reason", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].reason"#),
    printcolumn(name = "Nodes", type_ = "string", json_path = ".status.nodesReady", description = "Nodes that report, of those declared."),
    printcolumn(
        name = "Degraded",
        type_ = "integer",
        json_path = ".status.shards.underReplicated",
        description = "Shards with fewer replicas than declared."
    ),
    printcolumn(
        name = "Recoverable",
        type_ = "date",
        json_path = ".status.recovery.latest",
        description = "How long ago the moment was that the bucket alone brings back."
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Message",
        type_ = "string",
        priority = "1",
        json_path = r#".status.conditions[?(@.type=="Ready")].message"#
    ),
    validation = Rule::new("self.metadata.name.size() <= 26").message(
        "metadata.name is too long: names of pods are made of it; choose one of at most 26 characters"
    )
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = fits_nodes(), validation = has_node_per_zone(), validation = keeps_archive())]
pub struct KVClusterSpec {
    /// The version of the storage nodes, such as `0.1.0`.
    #[schemars(length(min = 1, max = 64))]
    #[x_kube(validation = Rule::new(r"self.matches('^[0-9]+\\.[0-9]+\\.[0-9]+([-+][0-9A-Za-z.-]+)?$')")
        .message("spec.version is not a version: write three numbers, such as 0.1.0"))]
    pub version: String,
    /// The image of the storage nodes. Default: the repository that the operator was installed with, at this version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub image: Option<String>,
    /// How many nodes; they are dealt out to the zones in turn. May be raised, never lowered.
    #[schemars(range(min = 1, max = 256))]
    #[x_kube(validation = Rule::new("self >= oldSelf")
        .message("spec.nodes cannot be lowered: this version cannot drain a node; restore the old number"))]
    pub nodes: i32,
    /// The failure domains, as the nodes of Kubernetes are labelled with `topology.kubernetes.io/zone`; one StatefulSet each.
    /// Empty: one StatefulSet, spread over hosts. Immutable.
    #[serde(default)]
    #[schemars(length(max = 16), inner(length(min = 1, max = 25), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")))]
    #[x_kube(
        merge_strategy = ListMerge::Set,
        validation = is_immutable("spec.zones", "volumes do not move between zones; make a new cluster and restore into it")
    )]
    pub zones: Vec<String>,
    /// Replicas per shard. 1 makes no promise about disks. Immutable.
    #[serde(default = "default_replication_factor")]
    #[schemars(range(min = 1, max = 9))]
    #[x_kube(
        validation = Rule::new("self % 2 == 1").message(
            "spec.replicationFactor must be odd: an even number survives no more losses than the odd one below it; choose 1, 3 or 5"
        ),
        validation = is_immutable("spec.replicationFactor", "make a new cluster and restore into it")
    )]
    pub replication_factor: i32,
    /// Shards of the table. Immutable.
    #[serde(default = "default_shards")]
    #[x_kube(
        validation = Rule::new("self >= 1 && self <= 1024").message("spec.shards is out of bounds: choose between 1 and 1024, 16 if in doubt"),
        validation = is_immutable("spec.shards", "this version cannot split shards; make a new cluster and restore into it")
    )]
    pub shards: i32,
    /// The volume of each node.
    pub storage: Storage,
    /// Processor and memory of each node.
    #[serde(default)]
    pub resources: Resources,
    /// How much a node may take. A change restarts nodes one by one.
    #[serde(default)]
    pub limits: Limits,
    /// What is laid over the pods of the nodes. A change restarts nodes one by one.
    #[serde(default)]
    pub pod_template: PodTemplate,
    /// How pods are restarted.
    #[serde(default)]
    pub update: Update,
    /// When leaders are moved.
    #[serde(default)]
    pub balance: Balance,
    /// Where the log and the checkpoints go. Without it nothing outlives the volumes. Neither added nor removed later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archive: Option<Archive>,
    /// How often the tablets go to the bucket, which bounds what a restore must replay.
    #[serde(default)]
    pub checkpoint: Checkpoint,
    /// How the cluster begins. Has no effect once it has begun.
    #[serde(default)]
    pub bootstrap: Bootstrap,
    /// Who may connect as a client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<Auth>,
    /// What may reach the nodes.
    #[serde(default)]
    pub network_policy: NetworkPolicySettings,
    /// What becomes of things when this object is deleted. The archive is always kept.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
}

fn fits_nodes() -> Rule {
    Rule::new("self.replicationFactor <= self.nodes")
        .message("spec.replicationFactor is above spec.nodes: every replica needs a node of its own; raise spec.nodes or lower it")
        .field_path(".replicationFactor")
}

fn has_node_per_zone() -> Rule {
    Rule::new("self.zones.size() <= self.nodes")
        .message("spec.zones has more zones than spec.nodes has nodes: a zone without a node holds nothing; raise spec.nodes or drop zones")
        .field_path(".zones")
}

fn keeps_archive() -> Rule {
    Rule::new("has(self.archive) == has(oldSelf.archive)")
        .message("spec.archive cannot be added or removed: make a new cluster and load the data into it")
        .field_path(".archive")
}

/// The volume of each node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = keeps_class())]
pub struct Storage {
    /// Its size. May grow where the storage class allows it, never shrinks.
    #[x_kube(
        validation = is_bytes("spec.storage.size"),
        validation = Rule::new("!isQuantity(self) || !isQuantity(oldSelf) || quantity(self).compareTo(quantity(oldSelf)) >= 0")
            .message("spec.storage.size cannot shrink: restore the old size, or make a new cluster and restore into it")
    )]
    pub size: Size,
    /// The storage class. Default: the default class of the Kubernetes cluster. Immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub class_name: Option<String>,
}

fn keeps_class() -> Rule {
    Rule::new("has(self.className) == has(oldSelf.className) && (!has(self.className) || self.className == oldSelf.className)")
        .message("spec.storage.className cannot be changed: volumes keep their class; make a new cluster and restore into it")
        .field_path(".className")
}

/// Processor and memory.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Resources {
    /// What is set aside for a node.
    #[serde(default)]
    pub requests: Amounts,
    /// What a node gets at most.
    #[serde(default)]
    pub limits: Amounts,
}

/// Amounts of processor and memory.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Amounts {
    /// Processors, such as `2` or `500m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = is_quantity("cpu"))]
    pub cpu: Option<Size>,
    /// Memory, such as `8Gi`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = is_quantity("memory"))]
    pub memory: Option<Size>,
}

/// How much a node may take.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Limits {
    /// Client connections of one node, both ports together.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub connections: i32,
    /// The block cache of one node.
    #[schemars(extend("x-kubernetes-validations" = [is_bytes("spec.limits.blockCache")]))]
    pub block_cache: Size,
    /// The memtables of one node, all tablets together.
    #[schemars(extend("x-kubernetes-validations" = [is_bytes("spec.limits.writeBuffer")]))]
    pub write_buffer: Size,
    /// What the log of one node may hold on disk before it is cut behind flushed and archived entries.
    #[schemars(extend("x-kubernetes-validations" = [is_bytes("spec.limits.log")]))]
    pub log: Size,
    /// Below this much free disk a node refuses writes that grow data.
    #[schemars(extend("x-kubernetes-validations" = [is_bytes("spec.limits.diskReserve")]))]
    pub disk_reserve: Size,
}

impl Default for Limits {
    fn default() -> Limits {
        let size = |text: &str| Size(text.to_owned());
        Limits {
            connections: 10_000,
            block_cache: size("128Mi"),
            write_buffer: size("64Mi"),
            log: size("512Mi"),
            disk_reserve: size("256Mi"),
        }
    }
}

/// What is laid over the pods of the nodes. Labels and annotations of `strata.dev` cannot be overridden.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PodTemplate {
    /// More labels.
    #[schemars(length(max = 32))]
    pub labels: BTreeMap<String, String>,
    /// More annotations. To change one restarts the nodes one by one.
    #[schemars(length(max = 32))]
    pub annotations: BTreeMap<String, String>,
    /// Labels that a node of Kubernetes must have.
    #[schemars(length(max = 32))]
    pub node_selector: BTreeMap<String, String>,
    /// Taints that are tolerated.
    #[schemars(length(max = 32))]
    pub tolerations: Vec<Toleration>,
    /// The priority class.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority_class_name: Option<String>,
    /// Secrets with which the image is pulled.
    #[schemars(length(max = 8))]
    pub image_pull_secrets: Vec<Reference>,
    /// When the image is pulled.
    pub image_pull_policy: ImagePullPolicy,
}

/// When an image is pulled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ImagePullPolicy {
    /// At every start of a pod.
    Always,
    /// When the node of Kubernetes does not have it.
    #[default]
    IfNotPresent,
    /// Not at all.
    Never,
}

/// How pods are restarted: one at a time, behind the restart gate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Update {
    /// For how long a node that is about to be restarted leads nothing. Should the operator die meanwhile, the node leads again after it.
    #[schemars(extend("x-kubernetes-validations" = [is_period("spec.update.leaderDrainTimeout")]))]
    pub leader_drain_timeout: Period,
}

impl Default for Update {
    fn default() -> Update {
        Update { leader_drain_timeout: Period("60s".to_owned()) }
    }
}

/// When leaders are moved.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Balance {
    /// Leaders of shards.
    pub leaders: LeaderBalance,
}

/// When leaders are moved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct LeaderBalance {
    /// How many leaders a node may have above or below its share before any is moved.
    #[schemars(range(min = 1, max = 1_024))]
    pub tolerance: i32,
}

impl Default for LeaderBalance {
    fn default() -> LeaderBalance {
        LeaderBalance { tolerance: 1 }
    }
}

/// Where the log and the checkpoints go.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = keeps_path())]
pub struct Archive {
    /// The object store. Immutable; its credentials may change.
    #[x_kube(validation = is_immutable("spec.archive.objectStoreRef", "change the KVObjectStore itself, or make a new cluster"))]
    pub object_store_ref: Reference,
    /// The folder in the bucket. Default: namespace and name of this object, so that the same manifest finds the same data. Immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(validation = Rule::new("self.matches('^[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*$')")
        .message("spec.archive.path is not a path: write names of letters, digits, '.', '_' and '-', with '/' between them, such as shop/orders"))]
    pub path: Option<String>,
    /// How long a committed write may wait for its upload.
    #[serde(default = "default_flush_interval")]
    #[x_kube(validation = is_period("spec.archive.flushInterval"))]
    pub flush_interval: Period,
    /// How much log a node keeps while the store is down.
    #[serde(default = "default_local_log_bound")]
    #[x_kube(validation = is_bytes("spec.archive.localLogBound"))]
    pub local_log_bound: Size,
    /// What happens when a node keeps that much.
    #[serde(default)]
    pub on_store_down: OnStoreDown,
}

fn keeps_path() -> Rule {
    Rule::new("has(self.path) == has(oldSelf.path) && (!has(self.path) || self.path == oldSelf.path)")
        .message("spec.archive.path cannot be changed: restore the old path, or make a new cluster and restore into it")
        .field_path(".path")
}

/// What happens when the store is down and the log has reached its bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OnStoreDown {
    /// Writes are refused until the store is back. Nothing acknowledged is missing from the archive for longer than the bound.
    #[default]
    KeepThenRefuseWrites,
    /// The oldest entries are dropped from the archive, and the gap is recorded. Writes go on.
    KeepThenDrop,
}

/// How often the tablets go to the bucket.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Checkpoint {
    /// The longest time between two checkpoints of a shard that has changed.
    #[schemars(extend("x-kubernetes-validations" = [is_period("spec.checkpoint.interval")]))]
    pub interval: Period,
}

impl Default for Checkpoint {
    fn default() -> Checkpoint {
        Checkpoint { interval: Period("6h".to_owned()) }
    }
}

/// How the cluster begins.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = [agrees_with_policy()]))]
pub struct Bootstrap {
    /// What is allowed when every volume is new. Volumes that survived come first, whatever is said here.
    pub policy: BootstrapPolicy,
    /// The KVRestore to begin from, of mode NewCluster. Default: what the cluster's own path in the bucket holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restore_ref: Option<Reference>,
    /// Pods whose volumes are gone for good, such as `orders-a-0`: their silence holds up no decision any more.
    #[schemars(length(max = 256), inner(length(min = 1, max = 63)))]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub lost_volumes: Vec<String>,
}

fn agrees_with_policy() -> Rule {
    Rule::new("!has(self.restoreRef) || self.policy != 'InitOnly'")
        .message("spec.bootstrap.restoreRef contradicts spec.bootstrap.policy InitOnly: remove it, or choose RestoreOnly")
        .field_path(".restoreRef")
}

/// What is allowed when every volume is new.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum BootstrapPolicy {
    /// Begin empty; refuse where the bucket holds a cluster.
    InitOnly,
    /// Begin from the bucket; refuse where it holds none.
    RestoreOnly,
    /// Begin from the bucket where it holds a cluster, and empty where it holds none.
    #[default]
    RestoreIfExists,
}

/// Who may connect as a client.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Auth {
    /// The password of the default user. Without it every client is let in.
    pub password_secret_ref: SecretKeyReference,
}

/// What may reach the nodes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct NetworkPolicySettings {
    /// Whether a NetworkPolicy admits clients to the client ports only, and nodes and operator to the rest.
    pub enabled: bool,
}

impl Default for NetworkPolicySettings {
    fn default() -> NetworkPolicySettings {
        NetworkPolicySettings { enabled: true }
    }
}

/// What becomes of things when the cluster is deleted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct DeletionPolicy {
    /// The volumes.
    pub volumes: VolumePolicy,
}

/// What becomes of volumes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum VolumePolicy {
    /// They stay, and the same manifest applied again adopts them.
    #[default]
    Retain,
    /// They go with the cluster.
    Delete,
}

fn default_replication_factor() -> i32 {
    3
}

fn default_shards() -> i32 {
    16
}

fn default_flush_interval() -> Period {
    Period("1s".to_owned())
}

fn default_local_log_bound() -> Size {
    Size("20Gi".to_owned())
}
