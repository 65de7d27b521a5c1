//! What is declared to the API server.

use super::{
    install::VERSION,
    lab::{ACCESS_KEY, SECRET_KEY},
};

/// A cluster of three nodes in three zones; `more` is added to its spec.
pub fn manifest(name: &str, more: &str) -> String {
    format!(
        "apiVersion: strata.dev/v1alpha1\nkind: KVCluster\nmetadata:\n  name: {name}\nspec:\n  version: {VERSION:?}\n  nodes: 3\n  \
         zones: [a, b, c]\n  replicationFactor: 3\n  shards: 16\n  storage:\n    size: 1Gi\n{more}"
    )
}

/// What a spec says more when the cluster has an archive; `more` comes after it.
pub fn archived(more: &str) -> String {
    format!("  archive:\n    objectStoreRef:\n      name: s3\n{more}")
}

/// The object store `s3`: the bucket `strata` at an endpoint of the lab.
pub fn object_store(endpoint: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Secret\nmetadata:\n  name: s3-credentials\nstringData:\n  accessKeyID: {ACCESS_KEY}\n  \
         secretAccessKey: {SECRET_KEY}\n---\napiVersion: strata.dev/v1alpha1\nkind: KVObjectStore\nmetadata:\n  name: s3\nspec:\n  \
         endpoint: {endpoint}\n  bucket: strata\n  credentialsSecretRef:\n    name: s3-credentials\n"
    )
}
