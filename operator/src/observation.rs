//! What a pass knows: objects of Kubernetes and reports of nodes, all of one moment. Plain data; [`crate::observe`] fills it.

use crate::{
    bucket::{Inquiry, Question},
    resources::Defaults,
};
use k8s_openapi::jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use strata_base::StoreId;
use strata_crds::{ErrorClass, KVBackup, KVCluster, KVObjectStoreSpec, KVRestore};
use strata_node_api::Report;

/// What a pass knows of one cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct Observation {
    /// The time of the pass.
    pub now: Timestamp,
    /// The cluster, read live and not from a cache.
    pub cluster: KVCluster,
    /// This operator process.
    pub identity: String,
    /// How often the leadership among operators has changed hands.
    pub lease_transitions: u64,
    /// What the operator was installed with.
    pub defaults: Defaults,
    /// The fingerprints of the objects that exist, by kind and name.
    pub applied: BTreeMap<(String, String), String>,
    /// Which of the cluster's Secrets exist.
    pub secrets: SecretsFact,
    /// The pods that exist, by name.
    pub pods: BTreeMap<String, PodFact>,
    /// What nodes said a moment ago, by pod; silent ones are missing.
    pub reports: BTreeMap<String, Report>,
    /// The UID of the namespace.
    pub namespace_uid: String,
    /// The UIDs of all KVClusters of the namespace, where a decision needs them: asked live, none of another namespace.
    pub living: BTreeSet<String>,
    /// The object stores that the cluster refers to, by name.
    pub stores: BTreeMap<String, StoreFact>,
    /// The KVRestore that the cluster refers to.
    pub restore: Option<RestoreFact>,
    /// What buckets said to what was asked.
    pub answers: BTreeMap<Question, Inquiry>,
}

/// A KVObjectStore.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StoreFact {
    /// As declared; none where there is no such object.
    pub spec: Option<KVObjectStoreSpec>,
    /// Why it cannot be asked: it is missing, or its Secret is.
    pub problem: Option<(ErrorClass, String)>,
}

/// A KVRestore, with what it refers to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RestoreFact {
    /// Its name.
    pub name: String,
    /// None where there is no such object.
    pub found: Option<KVRestore>,
    /// The KVBackup that it names; none where there is no such object.
    pub backup: Option<KVBackup>,
}

/// Which Secrets exist.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SecretsFact {
    /// The cluster's authority and the operator's certificate.
    pub authority: bool,
    /// The nodes' certificates.
    pub certificates: bool,
}

/// A pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodFact {
    /// Whether it was made from another template than the one that is declared now.
    pub is_outdated: bool,
    /// Whether its process ended and does not stay up.
    pub is_crashed: bool,
    /// Why it does not run yet, in the words of Kubernetes.
    pub waits: Option<String>,
    /// Whether it was placed on a machine although a volume claim of its own has no volume. A scheduler that still knows the claim of the same name that is gone does so, and
    /// nobody mends it: the claim waits for a pod to be placed, and the pod is.
    pub lacks_volume: bool,
}

impl Observation {
    /// The store of each pod: as it reports, or as it last reported.
    pub fn stores(&self) -> BTreeMap<String, StoreId> {
        let members = self.cluster.status.iter().flat_map(|status| &status.members);
        let known = members.filter_map(|member| Some((member.pod.clone(), member.store.as_ref()?.parse().ok()?)));
        let mut stores: BTreeMap<String, StoreId> = known.collect();
        stores.extend(self.reports.iter().map(|(pod, report)| (pod.clone(), report.store)));
        stores
    }

    /// The highest epoch that anybody knows of: the lease, the status and every node.
    pub fn highest_epoch(&self) -> u64 {
        let status = self.cluster.status.as_ref().map_or(0, |status| status.epoch.max(0) as u64);
        let nodes = self.reports.values().map(|report| report.epoch.0).max().unwrap_or_default();
        self.lease_transitions.max(status).max(nodes)
    }
}
