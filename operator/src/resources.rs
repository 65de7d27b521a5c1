//! What a cluster is made of in Kubernetes: pure functions from a KVCluster to objects, one file each.
//!
//! A pod's template depends on the spec of the KVCluster and of its KVObjectStore alone, never on a status, and never on the operator's version: upgrading the operator restarts nothing.

mod account;
mod config_map;
mod disruption_budget;
mod network_policy;
mod services;
mod stateful_set;

use crate::names::{ANNOTATION_FINGERPRINT, Names, fingerprint};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::{Resource, core::DynamicObject};
use serde::Serialize;
use strata_crds::{KVCluster, KVObjectStoreSpec};

pub use config_map::configuration;

/// What the operator was installed with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Defaults {
    /// The repository of the image of nodes whose KVCluster names no image.
    pub node_image: String,
}

/// Every object of a cluster but its Secrets, in the order of application; each with a fingerprint of itself. `store` is the bucket of
/// its archive: while that is not known, what depends on it is left as it is.
pub fn objects(cluster: &KVCluster, store: Option<&KVObjectStoreSpec>, defaults: &Defaults) -> Vec<DynamicObject> {
    let is_known = cluster.spec.archive.is_none() || store.is_some();
    let mut all = vec![dynamic(account::account(cluster))];
    all.extend(is_known.then(|| dynamic(config_map::config_map(cluster, store))));
    all.extend([
        dynamic(services::headless(cluster)),
        dynamic(services::clients(cluster)),
        dynamic(disruption_budget::disruption_budget(cluster)),
    ]);
    all.extend(cluster.spec.network_policy.enabled.then(|| dynamic(network_policy::network_policy(cluster))));
    if is_known {
        all.extend(stateful_set::stateful_sets(cluster, store, defaults).into_iter().map(dynamic));
    }
    all
}

/// The metadata of an object of the cluster: it goes when the cluster goes.
fn metadata(cluster: &KVCluster, name: String) -> ObjectMeta {
    let names = Names::of(cluster);
    ObjectMeta {
        name: Some(name),
        namespace: Some(names.namespace.clone()),
        labels: Some(names.labels()),
        owner_references: Some(vec![owner(cluster)]),
        ..ObjectMeta::default()
    }
}

/// The cluster, as what it owns names it.
pub fn owner(cluster: &KVCluster) -> OwnerReference {
    OwnerReference {
        api_version: KVCluster::api_version(&()).into_owned(),
        kind: KVCluster::kind(&()).into_owned(),
        name: Names::of(cluster).cluster,
        uid: cluster.metadata.uid.clone().unwrap_or_default(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}

fn dynamic(object: impl Serialize) -> DynamicObject {
    let value = serde_json::to_value(object).expect("an object of Kubernetes is JSON");
    let digest = fingerprint(&value.to_string());
    let mut object: DynamicObject = serde_json::from_value(value).expect("an object of Kubernetes has a kind and metadata");
    object.metadata.annotations.get_or_insert_default().insert(ANNOTATION_FINGERPRINT.to_owned(), digest);
    object
}
