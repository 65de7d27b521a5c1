//! Volumes that are lost, and volumes that survive.

use crate::world::World;
use k8s_openapi::api::core::v1::Pod;
use std::time::Duration;
use strata_crds::MemberState;
use strata_e2e::{
    failure::Failure,
    harness::kubernetes::{cluster::Cluster, manifest::manifest},
};

/// How long a replacement may take.
const REPLACE_DEADLINE: Duration = Duration::from_secs(120);

/// How long a pod may take to appear, and to be made anew.
const POD_DEADLINE: Duration = Duration::from_secs(60);

/// The component of the lab that places pods.
const SCHEDULER: &str = "kube-scheduler";

pub async fn a_disk_is_emptied_and_its_member_replaced(world: &mut World) -> Result<(), Failure> {
    let cluster = world.cluster().await?;
    let load = world.load(&cluster).await?;
    load.until_acknowledged(500).await?;
    let before = cluster.busiest().await?;
    world.lab.empty_disk(&cluster.volume_of(&before.pod).await?).await?;
    load.turn_page();
    load.until_acknowledged(200).await?;
    let is_replaced = |status: &strata_crds::KVClusterStatus| {
        let member = status.members.iter().find(|member| member.pod == before.pod);
        match member {
            Some(member) if member.store != before.store && member.state == MemberState::Up && member.replicas == 16 => Ok(()),
            other => Err(format!("it is {other:?}")),
        }
    };
    cluster.until(REPLACE_DEADLINE, &format!("has another store in {}, with every replica", before.pod), is_replaced).await?;
    world.judge(&cluster, load).await
}

pub async fn a_cluster_is_deleted_and_adopts_its_surviving_volumes(world: &mut World) -> Result<(), Failure> {
    let cluster = world.cluster().await?;
    let before = cluster.status().await?;
    let load = world.load(&cluster).await?;
    load.until_acknowledged(500).await?;
    cluster.delete().await?;
    world.kube.apply(&manifest(&cluster.name, "")).await?;
    let after = cluster.until_ready().await?;
    Failure::unless(before.incarnation == after.incarnation && before.cluster_id == after.cluster_id, || {
        format!("it was {:?} in {:?}, and is {:?} in {:?}", before.cluster_id, before.incarnation, after.cluster_id, after.incarnation)
    })?;
    load.until_acknowledged(200).await?;
    world.judge(&cluster, load).await
}

pub async fn a_pod_that_was_placed_without_its_volume_is_made_anew(world: &mut World) -> Result<(), Failure> {
    let cluster = Cluster::new(&world.kube, "misplaced");
    world.lab.hold(SCHEDULER).await?;
    let is_made_anew = misplace(world, &cluster).await;
    world.lab.release(SCHEDULER).await?;
    is_made_anew?;
    cluster.until_ready().await?;
    world.remove(&cluster).await
}

/// Declares a cluster and places a pod as a scheduler does that takes its claim for bound; waits until there is another pod of this name.
async fn misplace(world: &World, cluster: &Cluster) -> Result<(), Failure> {
    world.kube.apply(&manifest(&cluster.name, "")).await?;
    let pod = format!("{}-a-0", cluster.name);
    let uid_of = |pod: &Pod| pod.metadata.uid.clone().ok_or_else(|| "it has no UID".to_owned());
    let placed = world.kube.until(&pod, POD_DEADLINE, &format!("there is a pod {pod}"), uid_of).await?;
    let target = r#"{"apiVersion": "v1", "kind": "Node", "name": "node-1"}"#;
    let binding = format!(r#"{{"apiVersion": "v1", "kind": "Binding", "metadata": {{"name": "{pod}"}}, "target": {target}}}"#);
    let path = format!("/api/v1/namespaces/default/pods/{pod}/binding");
    world.kube.kubectl_with(&["create", "--raw", &path, "--filename", "-"], &binding).await?;
    let is_another = |pod: &Pod| if uid_of(pod)? == placed { Err("it is the one that was placed".to_owned()) } else { Ok(()) };
    world.kube.until(&pod, POD_DEADLINE, &format!("{pod}, placed without its volume, is made anew"), is_another).await
}
