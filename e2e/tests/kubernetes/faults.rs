//! Pods and machines that end or stop without a word.

use crate::world::World;
use std::time::Duration;
use strata_crds::MemberState;
use strata_e2e::{
    failure::Failure,
    harness::{
        kubernetes::{cluster::Cluster, install},
        wait,
    },
};

/// How long the operator may take to notice, and to forget.
const NOTICE_DEADLINE: Duration = Duration::from_secs(60);

/// How often the leader is killed.
const TRIALS: usize = 3;

pub async fn the_leader_pod_is_killed_under_load(world: &mut World) -> Result<(), Failure> {
    let cluster = world.cluster().await?;
    let load = world.load(&cluster).await?;
    for _ in 0..TRIALS {
        load.turn_page();
        load.until_acknowledged(100).await?;
        cluster.until_whole().await?;
        // A status may be older than a pod: who leads most by its word may be starting.
        let (leader, restarts) = wait::until(NOTICE_DEADLINE, "the pod that leads most can be killed", async || {
            kill_busiest(world, &cluster).await.map_err(|failure| failure.to_string())
        })
        .await?;
        load.until_acknowledged(200).await?;
        cluster.until_restarted(&leader, restarts).await?;
        cluster.until_whole().await?;
    }
    world.judge(&cluster, load).await
}

/// Kills the pod that leads most shards; says which one that is, and how often it had been started again by then.
async fn kill_busiest(world: &World, cluster: &Cluster) -> Result<(String, i32), Failure> {
    let leader = cluster.busiest().await?.pod;
    let restarts = cluster.restarts_of(&leader).await?;
    world.lab.kill(&[&leader]).await?;
    Ok((leader, restarts))
}

pub async fn a_machine_is_frozen_and_thawed(world: &mut World) -> Result<(), Failure> {
    let cluster = world.cluster().await?;
    let load = world.load(&cluster).await?;
    load.until_acknowledged(200).await?;
    let (frozen, machine) = away_from_the_operator(world, &cluster).await?;
    world.lab.freeze(&machine).await?;
    load.turn_page();
    load.until_acknowledged(200).await?;
    let is_missed = |status: &strata_crds::KVClusterStatus| {
        let member = status.members.iter().find(|member| member.pod == frozen);
        let state = member.map(|member| member.state);
        let led = status.shards.clone().unwrap_or_default();
        if state == Some(MemberState::Down) && led.led == led.total { Ok(()) } else { Err(format!("it is {state:?}, and {led:?}")) }
    };
    cluster.until(NOTICE_DEADLINE, &format!("shows {frozen} as down, and every shard led"), is_missed).await?;
    load.until_acknowledged(200).await?;
    world.lab.thaw(&machine).await?;
    load.until_acknowledged(200).await?;
    world.judge(&cluster, load).await
}

/// A pod of the cluster, and its machine, where no operator runs: somebody must notice.
async fn away_from_the_operator(world: &World, cluster: &Cluster) -> Result<(String, String), Failure> {
    let operators = install::operators(&world.kube).await?;
    for pod in cluster.pod_names().await? {
        let machine = cluster.machine_of(&pod).await?;
        let is_taken = operators.iter().any(|operator| operator.spec.as_ref().and_then(|spec| spec.node_name.as_ref()) == Some(&machine));
        if !is_taken {
            return Ok((pod, machine));
        }
    }
    Err(Failure::broken("an operator runs on every machine"))
}
