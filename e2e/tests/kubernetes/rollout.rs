//! A change that restarts every pod, one at a time.

use crate::world::World;
use redis::cluster::ClusterClient;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};
use strata_e2e::{
    failure::Failure,
    harness::{
        kubernetes::{cluster::Cluster, manifest::manifest},
        wait,
    },
    say::say,
};
use tokio::task::JoinSet;

/// How long three pods may take.
const ROLLOUT_DEADLINE: Duration = Duration::from_secs(150);

/// How long one try of a request may take: longer than a node holds it while it looks for a leader, which is 5 s.
const REPLY_DEADLINE: Duration = Duration::from_secs(10);

/// Clients side by side.
const CLIENTS: usize = 6;

pub async fn a_changed_setting_rolls_through_without_a_failed_request(world: &mut World) -> Result<(), Failure> {
    let cluster = world.cluster().await?;
    let load = world.load(&cluster).await?;
    let clients = RetryingClients::start(&cluster).await?;
    load.until_acknowledged(200).await?;
    let before: Vec<_> = cluster.pods().await?.into_iter().map(|pod| pod.metadata.uid).collect();
    world.kube.apply(&manifest(&cluster.name, "  limits:\n    connections: 5000\n")).await?;
    cluster.until(ROLLOUT_DEADLINE, "has begun to roll", |status| status.update.clone().map(drop).ok_or("not yet".to_owned())).await?;
    load.turn_page();
    cluster.until_whole().await?;
    let kept = cluster.pods().await?.into_iter().filter(|pod| before.contains(&pod.metadata.uid)).count();
    Failure::unless(kept == 0, || format!("{kept} pods were not made anew"))?;
    clients.finish().await?;
    world.judge(&cluster, load).await
}

/// Clients as users have them: with the retries of their library, which they take for granted.
struct RetryingClients {
    done: Arc<AtomicU64>,
    is_ended: Arc<AtomicBool>,
    tasks: JoinSet<Result<(), String>>,
}

impl RetryingClients {
    async fn start(cluster: &Cluster) -> Result<RetryingClients, Failure> {
        let nodes: Vec<String> = cluster.endpoints().await?.cluster.iter().map(|address| format!("redis://{address}/")).collect();
        let mut clients = RetryingClients { done: Arc::default(), is_ended: Arc::default(), tasks: JoinSet::new() };
        for number in 0..CLIENTS {
            let client = ClusterClient::builder(nodes.clone()).response_timeout(REPLY_DEADLINE).build();
            let client = client.map_err(Failure::of("make a client"))?;
            let (done, is_ended) = (clients.done.clone(), clients.is_ended.clone());
            clients.tasks.spawn(async move {
                let mut connection = client.get_async_connection().await.map_err(|error| error.to_string())?;
                for nth in 0_u64.. {
                    if is_ended.load(Ordering::Relaxed) {
                        break;
                    }
                    let (key, text) = (format!("rolling:{number}:{}", nth % 500), nth.to_string());
                    let set = redis::cmd("SET").arg(&key).arg(&text).query_async::<String>(&mut connection).await;
                    set.map_err(|error| format!("SET {key} failed in spite of retries: {error}"))?;
                    let read = redis::cmd("GET").arg(&key).query_async::<Option<String>>(&mut connection).await;
                    let read = read.map_err(|error| format!("GET {key} failed in spite of retries: {error}"))?;
                    if read.as_ref() != Some(&text) {
                        return Err(format!("{key} was written as {text}, and reads as {read:?}"));
                    }
                    done.fetch_add(2, Ordering::Relaxed);
                    wait::pause(Duration::from_millis(10)).await;
                }
                Ok(())
            });
        }
        Ok(clients)
    }

    async fn finish(mut self) -> Result<(), Failure> {
        self.is_ended.store(true, Ordering::Relaxed);
        while let Some(ended) = self.tasks.join_next().await {
            ended.map_err(Failure::of("wait for a client"))?.map_err(Failure::Broken)?;
        }
        say(format!("rolling change: 0 of {} requests failed", self.done.load(Ordering::Relaxed)));
        Ok(())
    }
}
