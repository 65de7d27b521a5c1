//! The ServiceAccount of the nodes. They never speak to Kubernetes, so it has no token and no rights.

use super::metadata;
use crate::names::Names;
use k8s_openapi::api::core::v1::ServiceAccount;
use strata_crds::KVCluster;

pub(super) fn account(cluster: &KVCluster) -> ServiceAccount {
    let metadata = metadata(cluster, Names::of(cluster).account());
    ServiceAccount { metadata, automount_service_account_token: Some(false), ..ServiceAccount::default() }
}
