//! `KVObjectStore`: a bucket, and how to reach it.

use crate::{Condition, Problem, Reference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A bucket of an S3-compatible store, and how to reach it. Clusters, backups and restores refer to it.
///
/// Credentials may be rotated: new ones are probed before they replace working ones, and nothing restarts.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "strata.dev",
    version = "v1alpha1",
    kind = "KVObjectStore",
    namespaced,
    status = "KVObjectStoreStatus",
    derive = "PartialEq",
    shortname = "kvos",
    category = "strata",
    doc = "A bucket of an S3-compatible store, and how to reach it.",
    printcolumn(name = "Ready", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].status"#),
    printcolumn(name = "Reason", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].reason"#),
    printcolumn(name = "Bucket", type_ = "string", json_path = ".spec.bucket"),
    printcolumn(name = "Probed", type_ = "date", json_path = ".status.probedAt"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Message", type_ = "string", priority = "1", json_path = r#".status.conditions[?(@.type=="Ready")].message"#)
)]
#[serde(rename_all = "camelCase")]
pub struct KVObjectStoreSpec {
    /// The bucket. It must exist. Immutable.
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = Rule::new("self == oldSelf")
        .message("spec.bucket cannot be changed: clusters would lose sight of their archive; make another KVObjectStore"))]
    pub bucket: String,
    /// The endpoint, such as `https://s3.example.com`. Default: that of Amazon for the region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(validation = Rule::new("self.matches('^https?://[^/]+/?$')")
        .message("spec.endpoint is not an endpoint: write http:// or https:// and a host without a path, such as https://s3.example.com"))]
    pub endpoint: Option<String>,
    /// The region.
    #[serde(default = "default_region")]
    #[schemars(length(min = 1, max = 63))]
    pub region: String,
    /// Whether the bucket stands in the path of a URL rather than in its host, as stores other than Amazon's want it.
    #[serde(default = "default_path_style")]
    pub path_style: bool,
    /// The Secret with the entries `accessKeyID` and `secretAccessKey`.
    pub credentials_secret_ref: Reference,
    /// The Secret whose entry `ca.crt` holds the authorities of the endpoint's certificate, in PEM. Default: the usual ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_secret_ref: Option<Reference>,
}

/// What is known of a bucket.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct KVObjectStoreStatus {
    /// The generation of the spec that this was computed from.
    pub observed_generation: i64,
    /// When an object was last written, read back and listed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probed_at: Option<Time>,
    /// The version of the Secret whose credentials are in use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credentials_version: Option<String>,
    /// What ails it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
    /// `Ready`.
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

fn default_region() -> String {
    "us-east-1".to_owned()
}

fn default_path_style() -> bool {
    true
}
