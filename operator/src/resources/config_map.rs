//! The nodes' configuration file. One for all zones: a pod's zone comes from its environment.

use super::metadata;
use crate::{names::Names, object_store, origin};
use k8s_openapi::api::core::v1::ConfigMap;
use strata_crds::{KVCluster, KVObjectStoreSpec, OnStoreDown, Period, Size};

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

/// Where the credentials of the object store are mounted. Nodes read them anew for each request, so rotation restarts nothing.
pub(super) const OBJECT_STORE: &str = "/etc/strata/object-store";

/// The file, with the cluster's UUID in front once that is known. The UUID is no part of what pods are restarted for: those that run were told
/// by an order, and whoever starts later refuses a disk of another cluster at once.
pub(super) fn config_map(cluster: &KVCluster, store: Option<&KVObjectStoreSpec>) -> ConfigMap {
    let metadata = metadata(cluster, Names::of(cluster).configuration());
    let known = cluster.status.as_ref().and_then(|status| status.cluster_id.as_ref());
    let text = known.map(|uuid| format!("cluster = \"{uuid}\"\n")).unwrap_or_default() + &configuration(cluster, store);
    ConfigMap { metadata, data: Some([(FILE.to_owned(), text)].into()), ..ConfigMap::default() }
}

/// What a change of restarts pods: the text of the file but for the cluster's UUID.
pub fn configuration(cluster: &KVCluster, store: Option<&KVObjectStoreSpec>) -> String {
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
         connections = {}\n{}{}{}{}{}",
        auth.unwrap_or_default(),
        limits.connections,
        size("block_cache_bytes", &limits.block_cache),
        size("write_buffer_bytes", &limits.write_buffer),
        size("log_bytes", &limits.log),
        size("disk_reserve_bytes", &limits.disk_reserve),
        store.map(|store| archive(cluster, store)).unwrap_or_default(),
    )
}

/// Where the log and the checkpoints go.
fn archive(cluster: &KVCluster, store: &KVObjectStoreSpec) -> String {
    let Some(archive) = &cluster.spec.archive else { return String::new() };
    let place = object_store::place(store);
    // Within what a node takes: a value that it refuses would keep it from serving.
    let millis = |period: &Period| period.millis().map(|millis| format!("flush_interval_millis = {}\n", millis.clamp(10, 60_000)));
    let log = cluster.spec.limits.log.bytes().unwrap_or_default();
    let bound = archive.local_log_bound.bytes().map(|bytes| format!("local_log_bound_bytes = {}\n", bytes.max(log))).unwrap_or_default();
    let on_store_down = match archive.on_store_down {
        OnStoreDown::KeepThenRefuseWrites => "KeepThenRefuseWrites",
        OnStoreDown::KeepThenDrop => "KeepThenDrop",
    };
    let interval = cluster.spec.checkpoint.interval.millis().map(|millis| millis.div_ceil(1_000).min(30 * 86_400));
    format!(
        "\n[archive]\n\
         endpoint = \"{}\"\n\
         region = \"{}\"\n\
         bucket = \"{}\"\n\
         path = \"{}\"\n\
         access_key_id_file = \"{OBJECT_STORE}/{}\"\n\
         secret_access_key_file = \"{OBJECT_STORE}/{}\"\n\
         {}{bound}on_store_down = \"{on_store_down}\"\n\
         {}",
        place.store,
        store.region,
        place.bucket,
        origin::path(cluster),
        object_store::ACCESS_KEY,
        object_store::SECRET_KEY,
        millis(&archive.flush_interval).unwrap_or_default(),
        interval.map(|seconds| format!("\n[checkpoint]\ninterval_seconds = {seconds}\n")).unwrap_or_default(),
    )
}
