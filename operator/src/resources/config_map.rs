//! The nodes' configuration file. One for all zones: a pod's zone comes from its environment.

use super::metadata;
use crate::names::Names;
use k8s_openapi::api::core::v1::ConfigMap;
use strata_crds::{KVCluster, Size};

/// The file's name in the ConfigMap.
pub(super) const FILE: &str = "node.toml";
/// Where the data volume is mounted.
pub(super) const DATA: &str = "/var/lib/strata";
/// Where the configuration is mounted.
pub(super) const CONFIGURATION: &str = "/etc/strata/configuration";
/// Where the certificates are mounted.
pub(super) const CERTIFICATES: &str = "/etc/strata/certificates";
/// Where the password of clients is mounted.
pub(super) const PASSWORD: &str = "/etc/strata/password";

pub(super) fn config_map(cluster: &KVCluster) -> ConfigMap {
    let metadata = metadata(cluster, Names::of(cluster).configuration());
    ConfigMap { metadata, data: Some([(FILE.to_owned(), configuration(cluster))].into()), ..ConfigMap::default() }
}

/// The text of the file.
pub fn configuration(cluster: &KVCluster) -> String {
    let limits = &cluster.spec.limits;
    // The API server has refused what is not a size; an older one that has not, gets the node's own default by leaving the key out.
    let size = |key: &str, size: &Size| size.bytes().map(|bytes| format!("{key} = {bytes}\n")).unwrap_or_default();
    let auth = cluster.spec.auth.as_ref().map(|_| format!("\n[auth]\npassword_file = \"{PASSWORD}/password\"\n"));
    format!(
        "# Written by the operator from the KVCluster.\n\
         data_dir = \"{DATA}/node\"\n\
         \n[tls]\n\
         ca = \"{CERTIFICATES}/ca.crt\"\n\
         certificate = \"{CERTIFICATES}/tls.crt\"\n\
         key = \"{CERTIFICATES}/tls.key\"\n\
         {}\n[limits]\n\
         connections = {}\n{}{}{}{}",
        auth.unwrap_or_default(),
        limits.connections,
        size("block_cache_bytes", &limits.block_cache),
        size("write_buffer_bytes", &limits.write_buffer),
        size("log_bytes", &limits.log),
        size("disk_reserve_bytes", &limits.disk_reserve),
    )
}
