//! Kubernetes, as far as the simulated operators see it: one KVCluster with its versions, what was applied for it, and who leads.
//!
//! Its pods are of the template that was declared when each was made; one that is deleted under its UID is made anew.
//!
//! A status is written under the resourceVersion that it was decided from. Writes may be lost, or happen and never be answered; reads may show an
//! older version; all of it may be away, or be rebuilt with nothing in it.

use super::{node::EPOCH_MILLIS, options::Options, queue::MILLI};
use k8s_openapi::jiff::Timestamp;
use serde_json::json;
use std::collections::{BTreeMap, VecDeque};
use strata_crds::{KVCluster, KVClusterStatus};
use strata_operator::{names, observation::SecretsFact};

/// How many versions of the KVCluster a read may still show.
const VERSIONS_KEPT: usize = 8;

/// The object store of the archive.
pub(super) const OBJECT_STORE: &str = "simulated";

/// The time that the API server and the operators share.
pub(super) fn time(now: u64) -> Timestamp {
    let millis = i64::try_from(EPOCH_MILLIS + now / MILLI).unwrap_or(i64::MAX);
    Timestamp::from_millisecond(millis).unwrap_or(Timestamp::MAX)
}

/// The API server and what it keeps.
pub(super) struct Kubernetes {
    /// The KVCluster, the newest version last.
    versions: VecDeque<KVCluster>,
    next_version: u64,
    next_uid: u64,
    /// The fingerprints of what was applied, by kind and name.
    pub(super) applied: BTreeMap<(String, String), String>,
    pub(super) secrets: SecretsFact,
    /// How often the lease changed hands.
    pub(super) lease_transitions: u64,
    /// Until when it answers nobody, in microseconds.
    pub(super) away_until: u64,
    /// Until when its reads show any version, in microseconds.
    pub(super) stale_until: u64,
    /// Which template of pods is declared: another one with every rollout.
    template: u64,
    /// The pods, by the place of their node.
    pods: Vec<PodObject>,
    next_pod: u64,
}

/// A pod, as far as operators look at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PodObject {
    pub(super) uid: u64,
    template: u64,
}

/// A KVCluster as its manifest says it.
fn declared(options: &Options, zones: usize, uid: u64) -> KVCluster {
    let zones: Vec<String> = ["a", "b", "c"].into_iter().take(zones).map(str::to_owned).collect();
    let mut manifest = json!({
        "apiVersion": "strata.dev/v1alpha1",
        "kind": "KVCluster",
        "metadata": { "name": "simulated", "namespace": "simulated", "uid": format!("kvcluster-{uid}"), "generation": 1 },
        "spec": {
            "version": "0.1.0",
            "nodes": options.nodes,
            "zones": zones,
            "replicationFactor": options.replicas,
            "shards": options.shards,
            "storage": { "size": "1Gi" },
        },
    });
    if options.store.is_some() {
        manifest["spec"]["archive"] = json!({ "objectStoreRef": { "name": OBJECT_STORE }, "path": "simulated/cluster" });
    }
    serde_json::from_value(manifest).expect("the manifest is a KVCluster")
}

impl Kubernetes {
    pub(super) fn new(options: &Options, zones: usize) -> Kubernetes {
        let mut kubernetes = Kubernetes {
            versions: VecDeque::new(),
            next_version: 0,
            next_uid: 0,
            applied: BTreeMap::new(),
            secrets: SecretsFact::default(),
            lease_transitions: 0,
            away_until: 0,
            stale_until: 0,
            template: 0,
            pods: Vec::new(),
            next_pod: 0,
        };
        kubernetes.declare(options, zones);
        kubernetes.make_pods(options.nodes);
        kubernetes
    }

    /// The manifest is applied: another object than any before, of which nothing is known.
    pub(super) fn declare(&mut self, options: &Options, zones: usize) {
        self.next_uid += 1;
        let cluster = declared(options, zones, self.next_uid);
        self.keep(cluster);
    }

    /// Everything in it is lost, and the manifest is applied again. Older versions are not shown any more.
    pub(super) fn rebuild(&mut self, options: &Options, zones: usize) {
        self.versions.clear();
        (self.applied, self.secrets, self.lease_transitions) = (BTreeMap::new(), SecretsFact::default(), 0);
        self.declare(options, zones);
        self.make_pods(options.nodes);
    }

    /// Every pod is made anew, of the template that is declared.
    pub(super) fn make_pods(&mut self, nodes: usize) {
        self.pods = (0..nodes).map(|_| self.next_pod()).collect();
    }

    fn next_pod(&mut self) -> PodObject {
        self.next_pod += 1;
        PodObject { uid: self.next_pod, template: self.template }
    }

    /// Another template is declared: every pod is out of date.
    pub(super) fn change_template(&mut self) {
        self.template += 1;
    }

    /// The pods as they are.
    pub(super) fn pods(&self) -> &[PodObject] {
        &self.pods
    }

    /// Whether a pod is of another template than the one that is declared.
    pub(super) fn is_outdated(&self, pod: PodObject) -> bool {
        pod.template != self.template
    }

    /// Deletes the pod of a node if it is still the one with this UID; its set makes it anew. Whether it was.
    pub(super) fn delete_pod(&mut self, node: usize, uid: u64) -> bool {
        let is_there = self.pods[node].uid == uid;
        if is_there {
            self.pods[node] = self.next_pod();
        }
        is_there
    }

    fn keep(&mut self, mut cluster: KVCluster) {
        self.next_version += 1;
        cluster.metadata.resource_version = Some(self.next_version.to_string());
        self.versions.push_back(cluster);
        if self.versions.len() > VERSIONS_KEPT {
            self.versions.pop_front();
        }
    }

    /// The KVCluster as it is.
    pub(super) fn cluster(&self) -> &KVCluster {
        self.versions.back().expect("a KVCluster is declared from the beginning on")
    }

    /// The status as it is.
    pub(super) fn status(&self) -> KVClusterStatus {
        self.cluster().status.clone().unwrap_or_default()
    }

    /// The UID of the KVCluster as it is.
    pub(super) fn uid(&self) -> String {
        self.cluster().metadata.uid.clone().unwrap_or_default()
    }

    /// The KVCluster as it was `back` versions ago, or as long ago as is known.
    pub(super) fn cluster_before(&self, back: usize) -> &KVCluster {
        let newest = self.versions.len() - 1;
        &self.versions[newest.saturating_sub(back)]
    }

    /// Whether a read at this moment may show any version.
    pub(super) fn is_stale(&self, now: u64) -> bool {
        now < self.stale_until
    }

    /// Whether it answers nobody.
    pub(super) fn is_away(&self, now: u64) -> bool {
        now < self.away_until
    }

    /// Writes a status that was decided from what was read. Whether it was still the newest; `is_blind` does not ask.
    pub(super) fn replace_status(&mut self, read: &KVCluster, status: &KVClusterStatus, is_blind: bool) -> bool {
        let version = |cluster: &KVCluster| (cluster.metadata.uid.clone(), cluster.metadata.resource_version.clone());
        let is_newest = version(self.cluster()) == version(read);
        if is_newest || is_blind {
            let mut cluster = self.cluster().clone();
            cluster.status = Some(status.clone());
            self.keep(cluster);
        }
        is_newest || is_blind
    }

    /// All trouble ends.
    pub(super) fn mend(&mut self) {
        (self.away_until, self.stale_until) = (0, 0);
    }
}

/// The pod of each node, by its place.
pub(super) fn pods(cluster: &KVCluster) -> Vec<String> {
    names::pods(cluster).into_iter().map(|(pod, _)| pod).collect()
}
