//! The operator ends at the worst of moments, and somebody goes on from there.

use crate::world::World;
use k8s_openapi::api::apps::v1::StatefulSet;
use std::time::Duration;
use strata_crds::KVClusterStatus;
use strata_e2e::{
    failure::Failure,
    harness::{
        kubernetes::{cluster::Cluster, install, manifest::manifest},
        wait,
    },
};

/// How long a creation may take to get to a moment.
const MOMENT_DEADLINE: Duration = Duration::from_secs(60);

/// The moments of a creation at which the operator is killed.
const MOMENTS: [&str; 3] = ["its first objects exist", "its incarnation is written", "its first shards are led"];

pub async fn the_operator_is_killed_in_mid_creation(world: &mut World) -> Result<(), Failure> {
    // A cluster that runs must not notice.
    let running = world.cluster().await?;
    let load = world.load(&running).await?;
    for (nth, moment) in MOMENTS.into_iter().enumerate() {
        let cluster = Cluster::new(&world.kube, &format!("born-{nth}"));
        world.kube.apply(&manifest(&cluster.name, "")).await?;
        let what = format!("{moment} ({})", cluster.name);
        wait::until(MOMENT_DEADLINE, &what, async || has_come(world, &cluster, moment).await).await?;
        let written = status(&cluster).await.incarnation;
        kill_operator(world).await?;
        let ready = cluster.until_ready().await?;
        let total = ready.shards.clone().unwrap_or_default().total;
        Failure::unless(total == 16, || format!("{total} shards were made, after a death when {moment}"))?;
        Failure::unless(written.is_none() || written == ready.incarnation, || {
            format!("incarnation {written:?} became {:?}, after a death when {moment}", ready.incarnation)
        })?;
        world.remove(&cluster).await?;
    }
    world.judge(&running, load).await
}

async fn status(cluster: &Cluster) -> KVClusterStatus {
    cluster.status().await.unwrap_or_default()
}

async fn has_come(world: &World, cluster: &Cluster, moment: &str) -> Result<(), String> {
    let has = match moment {
        "its first objects exist" => {
            let labels = format!("strata.dev/cluster={}", cluster.name);
            !world.kube.list::<StatefulSet>(&labels).await.map_err(|failure| failure.to_string())?.is_empty()
        }
        "its incarnation is written" => status(cluster).await.incarnation.is_some(),
        "its first shards are led" => status(cluster).await.shards.is_some_and(|shards| shards.led > 0),
        _ => true,
    };
    if has { Ok(()) } else { Err("not yet".to_owned()) }
}

async fn kill_operator(world: &World) -> Result<(), Failure> {
    let names: Vec<String> = install::operators(&world.kube).await?.into_iter().filter_map(|pod| pod.metadata.name).collect();
    world.lab.kill(&names.iter().map(String::as_str).collect::<Vec<_>>()).await
}
