//! The Kubernetes API of Strata: four kinds, one file each, and the YAML that is generated from them.
//!
//! ```text
//!            KVCluster ──archive.objectStoreRef──► KVObjectStore ◄──source.objectStoreRef── KVRestore
//!             ▲     └────────────bootstrap.restoreRef──────────────────────────────────────────▲
//!         clusterRef
//!             │
//!          KVBackup
//! ```
//!
//! Rules that every kind keeps:
//!
//! - Nonsense is refused by the API server, by CEL rules in the schema, in one sentence that names the field and the remedy. There is no webhook
//!   that could be unreachable. `testdata/refused` holds an object for every rule, with the sentence it gets.
//! - Schemas are structural and keep no unknown fields, so kubectl's strict validation names a misspelt one.
//! - Every status and every condition carries `observedGeneration`. `Ready` says whether it is usable; jobs have `Complete` and `Failed`, and what is
//!   terminal stays as it is.
//! - An error has a [`ErrorClass`] from one closed list, which is also the reason of conditions and events and the label of metrics.
//! - References and whatever else cannot be changed later are immutable, and the rule says what to do instead.
//! - Sizes are quantities ([`Size`]), lengths of time are [`Period`]s, times carry a zone.
//!
//! One worked example, the manifest that begins it all, as the operator reads it:
//!
//! ```
//! use strata_crds::{BootstrapPolicy, KVCluster};
//!
//! let text = r#"
//! apiVersion: strata.dev/v1alpha1
//! kind: KVCluster
//! metadata: {name: orders, namespace: shop}
//! spec: {version: "0.1.0", nodes: 3, zones: [a, b, c], storage: {size: 20Gi}}
//! "#;
//! let cluster: KVCluster = serde_yaml_ng::from_str(text)?;
//! assert_eq!(cluster.spec.storage.size.bytes(), Some(20 << 30));
//! assert_eq!((cluster.spec.shards, cluster.spec.replication_factor), (16, 3));
//! assert_eq!(cluster.spec.bootstrap.policy, BootstrapPolicy::RestoreIfExists);
//! # Ok::<(), serde_yaml_ng::Error>(())
//! ```
//!
//! Not done here, and why: tables, schedules, bulk loads and mirrors are later issues, and so are the fields of tiering and of moving
//! replicas; a field that nothing obeys would be a lie. No defaults are computed here but those that the schema itself can state.

#![expect(
    clippy::duplicated_attributes,
    reason = "every printer column of kube's derive has a type and a path; clippy takes them for repetitions"
)]

mod backup;
mod cluster;
mod condition;
mod generated;
mod object_store;
mod quantity;
mod reference;
mod restore;

pub use backup::{BackupCheckpoint, KVBackup, KVBackupSpec, KVBackupStatus};
pub use cluster::{
    Amounts, Archive, Auth, Balance, Bootstrap, BootstrapPolicy, Checkpoint, ClusterPhase, DeletionPolicy, ImagePullPolicy, KVCluster,
    KVClusterSpec, KVClusterStatus, LeaderBalance, Limits, MemberState, MemberStatus, NetworkPolicySettings, OnStoreDown, PersistedPlan,
    PodTemplate, RecoveryStatus, Resources, RestoreProgress, RolloutStatus, ShardsStatus, Storage, Update, VolumePolicy,
};
pub use condition::{Condition, ErrorClass, JobPhase, Problem, time_of_millis};
pub use generated::{definitions, yaml};
pub use object_store::{KVObjectStore, KVObjectStoreSpec, KVObjectStoreStatus};
pub use quantity::{Period, Size};
pub use reference::{Reference, SecretKeyReference};
pub use restore::{
    BeyondEnd, KVRestore, KVRestoreSpec, KVRestoreStatus, RestoreMode, RestorePlan, RestoreSource, RestoreTarget, TargetKind,
};

/// The group of all kinds.
pub const GROUP: &str = "strata.dev";

/// The version of all kinds.
pub const VERSION: &str = "v1alpha1";
