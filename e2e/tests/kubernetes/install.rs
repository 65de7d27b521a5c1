//! From `kubectl apply` to a cluster that serves.

use crate::world::World;
use strata_e2e::failure::Failure;

pub async fn a_cluster_is_declared_and_becomes_ready(world: &mut World) -> Result<(), Failure> {
    let cluster = world.declare("first", "").await?;
    let status = cluster.until_whole().await?;
    let zones: Vec<&str> = status.members.iter().map(|member| member.zone.as_str()).collect();
    Failure::unless(zones == ["a", "b", "c"], || format!("the members lie in {zones:?}"))?;
    let leaders: Vec<i32> = status.members.iter().map(|member| member.leaders).collect();
    Failure::unless(leaders.iter().all(|count| (4..=7).contains(count)), || format!("16 leaders are spread as {leaders:?}"))?;
    // What people wait with.
    world.kube.kubectl(&["wait", "--for=condition=Ready", "kvc/first", "--timeout=10s"]).await?;
    world.remove(&cluster).await
}
