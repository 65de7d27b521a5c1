//! Processes that end without a word, and come back.

use redis::Value;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use strata_e2e::{
    failure::Failure,
    harness::{process::Options, wait},
    say::say,
    scene::{Scene, play},
    workload::{
        Size,
        client::{Door, RedisClient},
        slot::key_within,
    },
};
use strata_node_api::OrderKind;
use tokio::task::JoinSet;

/// How long a shard may be without a leader after its leader was killed. The bar on the time itself is a benchmark's.
const FAILOVER_DEADLINE: Duration = Duration::from_secs(30);

/// How often the leader is killed.
const TRIALS: usize = 30;

#[test]
fn the_leader_is_killed_under_load() -> Result<(), Failure> {
    play("the_leader_is_killed_under_load", Options::three_nodes(16), async |scene| {
        scene.cluster.bootstrap().await?;
        scene.cluster.spread_leaders().await?;
        let load = scene.load(Size::default());
        let mut outages = Vec::new();
        for _ in 0..TRIALS {
            load.turn_page();
            load.until_acknowledged(100).await?;
            let view = scene.cluster.until_whole().await?;
            let leader = view.busiest();
            let orphans: Vec<String> = view.led_by(leader).into_iter().map(|slots| key_within(slots, "orphan-")).collect();
            scene.cluster.kill(leader);
            outages.push(until_all_are_written(scene, leader, orphans).await?);
            scene.cluster.restart(leader).await?;
        }
        outages.sort_unstable();
        say(format!(
            "leader_kill_to_write: worst={:.2}s median={:.2}s trials={TRIALS}",
            outages[TRIALS - 1].as_secs_f64(),
            outages[TRIALS / 2].as_secs_f64()
        ));
        scene.judge(load).await
    })
}

#[test]
fn a_follower_is_killed_under_load() -> Result<(), Failure> {
    play("a_follower_is_killed_under_load", Options::three_nodes(8), async |scene| {
        scene.cluster.bootstrap().await?;
        let load = scene.load(Size::default());
        for follower in scene.cluster.indexes() {
            scene.cluster.until_whole().await?;
            scene.cluster.obey(follower, OrderKind::EvictLeaders { for_millis: 60_000 }).await?;
            until_it_leads_nothing(scene, follower).await?;
            scene.cluster.kill(follower);
            load.until_acknowledged(500).await?;
            scene.cluster.restart(follower).await?;
            scene.cluster.obey(follower, OrderKind::EvictLeaders { for_millis: 0 }).await?;
            load.turn_page();
        }
        scene.judge(load).await
    })
}

#[test]
fn all_are_killed_at_once_and_restarted() -> Result<(), Failure> {
    play("all_are_killed_at_once_and_restarted", Options::three_nodes(8), async |scene| {
        scene.cluster.bootstrap().await?;
        let load = scene.load(Size::default());
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            load.until_acknowledged(300).await?;
            scene.cluster.kill_all(&order);
            let [first, second, third] = order;
            scene.cluster.restart(first).await?;
            scene.cluster.restart(second).await?;
            scene.cluster.until_led(&[first, second]).await?;
            load.until_acknowledged(100).await?;
            scene.cluster.restart(third).await?;
            scene.cluster.until_whole().await?;
            load.turn_page();
        }
        scene.judge(load).await
    })
}

/// Writes each key through a node that lives, until that succeeds; returns how long the last one took.
async fn until_all_are_written(scene: &Scene, dead: usize, keys: Vec<String>) -> Result<Duration, Failure> {
    let start = Instant::now();
    let living: Vec<usize> = scene.cluster.indexes().filter(|node| *node != dead).collect();
    let endpoints = Arc::new(scene.endpoints_of(&living));
    let mut writers = JoinSet::new();
    for (nth, key) in keys.into_iter().enumerate() {
        let mut client = RedisClient::new(Door::Plain, endpoints.clone(), nth);
        writers.spawn(async move {
            while client.ask(redis::cmd("SET").arg(&key).arg("adopted")).await != Ok(Value::Okay) {
                wait::pause(Duration::from_millis(5)).await;
            }
        });
    }
    match tokio::time::timeout(FAILOVER_DEADLINE, writers.join_all()).await {
        Ok(_) => Ok(start.elapsed()),
        Err(_) => Err(Failure::broken(format!("some shards took no write within {} s", FAILOVER_DEADLINE.as_secs()))),
    }
}

async fn until_it_leads_nothing(scene: &Scene, node: usize) -> Result<(), Failure> {
    wait::until(FAILOVER_DEADLINE, &format!("node {node} leads nothing"), async || {
        let led =
            scene.cluster.until_led(&scene.cluster.indexes().collect::<Vec<_>>()).await.map_err(|late| late.to_string())?.led_by(node);
        if led.is_empty() { Ok(()) } else { Err(format!("it leads {led:?}")) }
    })
    .await
}
