//! One KVCluster: its status, its pods, its services, and clients that reach it by name.

use super::kube::{Kube, NAMESPACE};
use crate::{failure::Failure, harness::wait, workload::client::Endpoints};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use std::time::Duration;
use strata_crds::{KVCluster, KVClusterStatus, MemberState, MemberStatus};

/// How long a declared cluster may take until it serves. The bar on the time itself is the demo's.
const READY_DEADLINE: Duration = Duration::from_secs(90);

/// How long a cluster may take to come to rest after a fault, and its pods to come back.
const REST_DEADLINE: Duration = Duration::from_secs(120);

/// A KVCluster, by its name.
#[derive(Clone)]
pub struct Cluster {
    /// The API server that it is declared to.
    pub kube: Kube,
    /// Its name.
    pub name: String,
}

impl Cluster {
    /// The cluster of this name, which need not exist yet.
    pub fn new(kube: &Kube, name: &str) -> Cluster {
        Cluster { kube: kube.clone(), name: name.to_owned() }
    }

    /// Its status as it is now.
    pub async fn status(&self) -> Result<KVClusterStatus, Failure> {
        let found = self.kube.find::<KVCluster>(&self.name).await?;
        found.and_then(|cluster| cluster.status).ok_or_else(|| Failure::broken(format!("KVCluster {} has no status", self.name)))
    }

    /// Waits until it is Ready.
    pub async fn until_ready(&self) -> Result<KVClusterStatus, Failure> {
        self.until(READY_DEADLINE, "is Ready", is_ready).await
    }

    /// Waits until it is Ready, every node is up and leads its share, and nothing is out of date.
    pub async fn until_whole(&self) -> Result<KVClusterStatus, Failure> {
        self.until(REST_DEADLINE, "is whole", is_whole).await
    }

    /// Waits until its status, computed from the newest spec, meets a condition.
    pub async fn until(
        &self,
        deadline: Duration,
        what: &str,
        condition: impl Fn(&KVClusterStatus) -> Result<(), String>,
    ) -> Result<KVClusterStatus, Failure> {
        let what = format!("KVCluster {} {what}", self.name);
        self.kube
            .until(&self.name, deadline, &what, |cluster: &KVCluster| {
                let status = cluster.status.clone().unwrap_or_default();
                if cluster.metadata.generation != Some(status.observed_generation) {
                    return Err("the operator has not looked at it".to_owned());
                }
                condition(&status).map(|()| status)
            })
            .await
    }

    /// The pod that leads most shards; the first one of equals.
    pub async fn busiest(&self) -> Result<MemberStatus, Failure> {
        let members = self.status().await?.members;
        let busiest = members.into_iter().rev().max_by_key(|member| member.leaders);
        busiest.ok_or_else(|| Failure::broken(format!("KVCluster {} has no members", self.name)))
    }

    /// Its pods.
    pub async fn pods(&self) -> Result<Vec<Pod>, Failure> {
        self.kube.list(&self.labels()).await
    }

    /// The names of its pods.
    pub async fn pod_names(&self) -> Result<Vec<String>, Failure> {
        Ok(self.pods().await?.into_iter().filter_map(|pod| pod.metadata.name).collect())
    }

    /// The machine that a pod runs on.
    pub async fn machine_of(&self, pod: &str) -> Result<String, Failure> {
        let found = self.kube.find::<Pod>(pod).await?.and_then(|pod| pod.spec).and_then(|spec| spec.node_name);
        found.ok_or_else(|| Failure::broken(format!("pod {pod} runs nowhere")))
    }

    /// How often the processes of a pod were started again, and whether they are ready.
    async fn starts_of(&self, pod: &str) -> Result<(i32, bool), Failure> {
        let status = self.kube.find::<Pod>(pod).await?.and_then(|pod| pod.status).unwrap_or_default();
        let containers = status.container_statuses.unwrap_or_default();
        Ok((containers.iter().map(|container| container.restart_count).sum(), containers.iter().all(|container| container.ready)))
    }

    /// How often the processes of a pod were started again so far.
    pub async fn restarts_of(&self, pod: &str) -> Result<i32, Failure> {
        Ok(self.starts_of(pod).await?.0)
    }

    /// Waits until the processes of a pod were started again more often than so, and are ready: a status that is whole may be from before they ended.
    pub async fn until_restarted(&self, pod: &str, restarts: i32) -> Result<(), Failure> {
        wait::until(REST_DEADLINE, &format!("pod {pod} was started again and is ready"), async || {
            let (times, is_ready) = self.starts_of(pod).await.map_err(|failure| failure.to_string())?;
            if times > restarts && is_ready { Ok(()) } else { Err(format!("{times} times so far, ready: {is_ready}")) }
        })
        .await
    }

    /// The volume of a pod.
    pub async fn volume_of(&self, pod: &str) -> Result<String, Failure> {
        let claim = self.kube.find::<PersistentVolumeClaim>(&format!("data-{pod}")).await?;
        let volume = claim.and_then(|claim| claim.spec).and_then(|spec| spec.volume_name);
        volume.ok_or_else(|| Failure::broken(format!("pod {pod} has no volume")))
    }

    /// Deletes it and everything it is made of but its volumes, and waits until its pods are gone.
    pub async fn delete(&self) -> Result<(), Failure> {
        self.kube.delete(&["kvcluster", &self.name]).await?;
        let what = format!("the pods of KVCluster {} are gone", self.name);
        wait::until(REST_DEADLINE, &what, async || {
            wait::pause(Duration::from_millis(100)).await;
            let left = self.pod_names().await.map_err(|failure| failure.to_string())?;
            if left.is_empty() { Ok(()) } else { Err(format!("{left:?} are there")) }
        })
        .await
    }

    /// Deletes the claims on its volumes.
    pub async fn delete_claims(&self) -> Result<(), Failure> {
        self.kube.delete(&["persistentvolumeclaims", "--selector", &self.labels()]).await
    }

    /// Where clients reach its nodes one by one.
    pub async fn endpoints(&self) -> Result<Endpoints, Failure> {
        let hosts: Vec<String> = self.pod_names().await?.iter().map(|pod| self.host(pod)).collect();
        let at = |port: u16| hosts.iter().map(|host| format!("{host}:{port}")).collect();
        Ok(Endpoints { plain: at(6379), cluster: at(6380) })
    }

    /// Where clients reach whichever node is ready.
    pub fn service(&self) -> Endpoints {
        let at = |port: u16| vec![format!("{}.{NAMESPACE}.svc.cluster.local:{port}", self.name)];
        Endpoints { plain: at(6379), cluster: at(6380) }
    }

    /// The name of a pod in the network.
    pub fn host(&self, pod: &str) -> String {
        format!("{pod}.{}-nodes.{NAMESPACE}.svc.cluster.local", self.name)
    }

    fn labels(&self) -> String {
        format!("strata.dev/cluster={}", self.name)
    }
}

/// Whether a status says that it is Ready, every node is up and leads its share, and nothing is out of date; if not, what it says.
pub fn is_whole(status: &KVClusterStatus) -> Result<(), String> {
    is_ready(status)?;
    let shards = status.shards.clone().unwrap_or_default();
    let up = status.members.iter().filter(|member| member.state == MemberState::Up).count();
    let is_whole = up == status.members.len() && shards.under_replicated == 0 && shards.led == shards.total;
    let is_still = shards.leader_skew <= 2 && status.update.is_none() && status.waiting.is_empty();
    let seen = || format!("{up} of {} nodes are up, {shards:?}, waits for {:?}", status.members.len(), status.waiting);
    if is_whole && is_still { Ok(()) } else { Err(seen()) }
}

/// Whether a status says Ready; if not, what it says.
pub fn is_ready(status: &KVClusterStatus) -> Result<(), String> {
    let ready = status.conditions.iter().find(|condition| condition.type_ == "Ready");
    match ready {
        Some(ready) if ready.status == "True" => Ok(()),
        Some(ready) => Err(format!("{:?}, {}: {}", status.phase, ready.reason, ready.message)),
        None => Err(format!("{:?}", status.phase)),
    }
}
