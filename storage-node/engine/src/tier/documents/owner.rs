//! `OWNER`: whose path it is. Written only when a path is taken, after reading it.

use super::Document;
use crate::tier::{Place, layout::Layout};
use serde::{Deserialize, Serialize};
use strata_base::IncarnationId;

/// Whose path it is, and every incarnation that ever lived below it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Owner {
    /// The cluster, by a UUID drawn when it was first created.
    pub cluster: String,
    /// The UID of the Kubernetes namespace.
    pub namespace_uid: String,
    /// The UID of the `KVCluster`.
    pub kv_cluster_uid: String,
    /// The one incarnation that may write below the path.
    pub incarnation: IncarnationId,
    /// Oldest first. One without a `cluster/0` does not exist: it was given up before it lived.
    pub incarnations: Vec<OwnedIncarnation>,
}

/// An incarnation that lived, or was about to, below the path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OwnedIncarnation {
    /// Which.
    pub id: IncarnationId,
    /// What it was restored from; none for one that began empty.
    pub parent: Option<ParentReference>,
    /// Whether an explicit restore went on from elsewhere, so that it no longer counts as a leaf.
    pub retired: bool,
}

/// Where a parent lies.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ParentReference {
    /// The bucket.
    pub place: Place,
    /// The path within.
    pub path: Layout,
    /// The incarnation below the path.
    pub incarnation: IncarnationId,
}

impl Document for Owner {
    const FORMAT: &'static str = "strata/owner";
}
