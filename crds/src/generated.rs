//! The definitions as YAML: what `generated/` holds, and what the chart `strata-crds` is made of.

use crate::{KVBackup, KVCluster, KVObjectStore, KVRestore};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::core::CustomResourceExt;

/// The definition of every kind, and the name of its file without the ending.
pub fn definitions() -> Vec<(&'static str, CustomResourceDefinition)> {
    vec![
        ("kvbackups", KVBackup::crd()),
        ("kvclusters", KVCluster::crd()),
        ("kvobjectstores", KVObjectStore::crd()),
        ("kvrestores", KVRestore::crd()),
    ]
}

/// A definition as its file holds it.
pub fn yaml(definition: &CustomResourceDefinition) -> String {
    let text = serde_yaml_ng::to_string(definition).expect("a definition is YAML");
    format!("# Generated from crds/src; `UPDATE=1 cargo test -p strata-crds` writes it anew.\n{text}")
}
