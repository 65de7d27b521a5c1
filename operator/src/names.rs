//! Names, labels, ports and paths: what builders, observers and certificates must agree on.

use std::collections::BTreeMap;
use strata_crds::KVCluster;

/// Plain Redis clients.
pub const PORT_PLAIN: u16 = 6379;
/// Redis Cluster clients.
pub const PORT_CLUSTER: u16 = 6380;
/// Raft transport and forwarding between nodes.
pub const PORT_PEER: u16 = 6390;
/// Reports and orders.
pub const PORT_API: u16 = 6391;
/// `/healthz`, `/readyz` and `/metrics`.
pub const PORT_STATUS: u16 = 9121;

/// The label that every object of a cluster carries, with the cluster's name.
pub const LABEL_CLUSTER: &str = "strata.dev/cluster";
/// The label of a node's failure domain.
pub const LABEL_ZONE: &str = "strata.dev/zone";
/// What an object was made from: it is applied again only when this differs.
pub const ANNOTATION_FINGERPRINT: &str = "strata.dev/fingerprint";
/// What a pod's configuration was made from: a change of it restarts the pods one by one.
pub const ANNOTATION_CONFIGURATION: &str = "strata.dev/configuration";
/// The label of Kubernetes that a zone is matched with.
pub const TOPOLOGY_ZONE: &str = "topology.kubernetes.io/zone";
/// Whom server-side apply knows as the owner of the fields.
pub const FIELD_MANAGER: &str = "strata-operator";

/// A cluster by its names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    /// The cluster's name.
    pub cluster: String,
    /// Its namespace.
    pub namespace: String,
}

impl Names {
    /// The names of what belongs to a cluster.
    pub fn of(cluster: &KVCluster) -> Names {
        let text = |field: &Option<String>| field.clone().unwrap_or_default();
        Names { cluster: text(&cluster.metadata.name), namespace: text(&cluster.metadata.namespace) }
    }

    /// The service under which every pod has a stable name.
    pub fn headless(&self) -> String {
        format!("{}-nodes", self.cluster)
    }

    /// The ConfigMap of the nodes.
    pub fn configuration(&self) -> String {
        format!("{}-nodes", self.cluster)
    }

    /// The Secret with the cluster's authority, which only the operator reads.
    pub fn authority(&self) -> String {
        format!("{}-authority", self.cluster)
    }

    /// The Secret with the certificates that nodes mount.
    pub fn certificates(&self) -> String {
        format!("{}-certificates", self.cluster)
    }

    /// The ServiceAccount of the nodes.
    pub fn account(&self) -> String {
        format!("{}-nodes", self.cluster)
    }

    /// The StatefulSet of a zone; an empty zone is the only one.
    pub fn stateful_set(&self, zone: &str) -> String {
        if zone.is_empty() { self.cluster.clone() } else { format!("{}-{zone}", self.cluster) }
    }

    /// The host under which a pod is reached from within Kubernetes, before and after it has an address.
    pub fn host(&self, pod: &str) -> String {
        format!("{pod}.{}.{}.svc", self.headless(), self.namespace)
    }

    /// The labels that find everything of the cluster.
    pub fn selector(&self) -> BTreeMap<String, String> {
        [(LABEL_CLUSTER.to_owned(), self.cluster.clone())].into()
    }

    /// The labels of everything of the cluster.
    pub fn labels(&self) -> BTreeMap<String, String> {
        let mut labels = self.selector();
        labels.insert("app.kubernetes.io/name".to_owned(), "strata".to_owned());
        labels.insert("app.kubernetes.io/instance".to_owned(), self.cluster.clone());
        labels.insert("app.kubernetes.io/managed-by".to_owned(), FIELD_MANAGER.to_owned());
        labels
    }
}

/// The zones of a cluster and the number of nodes in each, dealt out in turn. Without zones it is one, with an empty name.
pub fn zones(cluster: &KVCluster) -> Vec<(String, i32)> {
    let zones = &cluster.spec.zones;
    if zones.is_empty() {
        return vec![(String::new(), cluster.spec.nodes)];
    }
    let count = zones.len() as i32;
    let share = |position: i32| cluster.spec.nodes / count + i32::from(position < cluster.spec.nodes % count);
    zones.iter().cloned().zip((0..).map(share)).collect()
}

/// Every pod that a cluster shall have, and its zone.
pub fn pods(cluster: &KVCluster) -> Vec<(String, String)> {
    let names = Names::of(cluster);
    let of_zone = |(zone, nodes): (String, i32)| {
        let set = names.stateful_set(&zone);
        (0..nodes).map(move |ordinal| (format!("{set}-{ordinal}"), zone.clone())).collect::<Vec<_>>()
    };
    zones(cluster).into_iter().flat_map(of_zone).collect()
}

/// A short digest of a text, the same in every version of this program: it decides whether pods are restarted.
///
/// Source: Fowler, Noll and Vo, FNV-1a with 64 bits. Not for secrets.
pub fn fingerprint(text: &str) -> String {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    format!("{:016x}", text.bytes().fold(0xcbf2_9ce4_8422_2325, step))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_never_change() {
        assert_eq!(fingerprint(""), "cbf29ce484222325");
        assert_eq!(fingerprint("foobar"), "85944171f73967e8");
    }
}
