//! A cluster that nobody disturbs.

use crate::world::World;
use redis::{Cmd, Value};
use std::{sync::Arc, time::Duration};
use strata_e2e::{
    failure::Failure,
    harness::{kubernetes::cluster::Cluster, wait},
    workload::client::{Door, Endpoints, RedisClient},
};

/// How long a service may take to reach a pod.
const SERVICE_DEADLINE: Duration = Duration::from_secs(20);

pub async fn both_ports_serve_what_the_other_wrote(world: &mut World) -> Result<(), Failure> {
    let cluster = world.cluster().await?;
    let load = world.load(&cluster).await?;
    load.until_acknowledged(500).await?;
    through(&cluster, Door::Plain, Door::Cluster, "one").await?;
    through(&cluster, Door::Cluster, Door::Plain, "other").await?;
    world.judge(&cluster, load).await
}

/// What is written through one port of the service is read through the other.
async fn through(cluster: &Cluster, one: Door, other: Door, key: &str) -> Result<(), Failure> {
    let service = Arc::new(cluster.service());
    asked(&service, one, redis::cmd("SET").arg(key).arg("x")).await?;
    let read = asked(&service, other, redis::cmd("GET").arg(key)).await?;
    Failure::unless(read == Value::BulkString(b"x".to_vec()), || format!("{key}, written through {one:?}, reads as {read:?}"))
}

async fn asked(service: &Arc<Endpoints>, door: Door, command: &Cmd) -> Result<Value, Failure> {
    let mut client = RedisClient::new(door, service.clone(), 0);
    wait::until(SERVICE_DEADLINE, "the service answers", async || client.ask(command).await).await
}
