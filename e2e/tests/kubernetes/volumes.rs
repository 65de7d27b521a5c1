//! Volumes that are lost, and volumes that survive.

use crate::world::World;
use std::time::Duration;
use strata_crds::MemberState;
use strata_e2e::{failure::Failure, harness::kubernetes::manifest::manifest};

/// How long a replacement may take.
const REPLACE_DEADLINE: Duration = Duration::from_secs(120);

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
