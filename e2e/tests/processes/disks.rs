//! Disks that miss something, lost everything, or belong to somebody else.

use std::{path::Path, time::Duration};
use strata_base::Epoch;
use strata_e2e::{
    failure::Failure,
    harness::{
        node_process::Settings,
        process::{Options, ProcessCluster},
        wait,
    },
    scene::{Scene, play},
    workload::{
        Size,
        client::{Door, Outcome},
    },
};
use strata_node_api::{Answer, NodeState, OrderKind, RefusalClass};
use tokio::task::JoinSet;

/// How many clients write in bulk, and how large their values are, in bytes.
const BULK_CLIENTS: u32 = 8;
const BULK_VALUE_BYTES: usize = 16 << 10;

/// How many bytes are written at most until the log is cut.
const BULK_BYTES_MAX: usize = 256 << 20;

#[test]
fn a_follower_that_missed_a_truncated_log_gets_a_snapshot() -> Result<(), Failure> {
    let settings = Settings { log_bytes: 4 << 20, ..Settings::default() };
    play("a_follower_that_missed_a_truncated_log_gets_a_snapshot", Options { settings, ..Options::three_nodes(2) }, async |scene| {
        scene.cluster.bootstrap().await?;
        let load = scene.load(Size::default());
        load.until_acknowledged(200).await?;
        let absent = 2;
        scene.cluster.kill(absent);
        until_the_log_is_cut_above(scene, absent).await?;
        scene.cluster.restart(absent).await?;
        scene.cluster.until_whole().await?;
        load.until_acknowledged(200).await?;
        // Now it must do for one of those that never were away.
        let leader = scene.cluster.view_of(&[0, 1]).await.busiest();
        scene.cluster.kill(leader);
        load.until_acknowledged(200).await?;
        scene.cluster.restart(leader).await?;
        scene.judge(load).await
    })
}

#[test]
fn an_emptied_disk_is_a_new_store_and_its_member_is_replaced() -> Result<(), Failure> {
    play("an_emptied_disk_is_a_new_store_and_its_member_is_replaced", Options::three_nodes(4), async |scene| {
        scene.cluster.bootstrap().await?;
        let load = scene.load(Size::default());
        for node in scene.cluster.indexes() {
            load.until_acknowledged(200).await?;
            scene.cluster.until_whole().await?;
            scene.cluster.kill(node);
            scene.cluster.empty_disk(node)?;
            let report = scene.cluster.restart(node).await?;
            let is_new = report.store != scene.cluster.address(node).store && report.state == NodeState::Empty;
            Failure::unless(is_new, || format!("an emptied disk is a new store, but node {node} reports {report:?}"))?;
            must_refuse(&scene.cluster, node, OrderKind::Join, RefusalClass::WrongIdentity).await?;
            load.until_acknowledged(100).await?;
            scene.cluster.replace_store(node).await?;
            load.turn_page();
        }
        load.until_acknowledged(200).await?;
        scene.judge(load).await
    })
}

#[test]
fn a_node_of_another_cluster_refuses() -> Result<(), Failure> {
    play("a_node_of_another_cluster_refuses", Options::three_nodes(2), async |scene| {
        scene.cluster.bootstrap().await?;
        let other = ProcessCluster::start(scene.seed ^ 0xffff, Options::one_node(2)).await?;
        other.bootstrap().await?;
        let their_disk = other.disk(0);
        let load = scene.load(Size::default());
        load.until_acknowledged(200).await?;
        scene.cluster.kill(2);
        let our_disk = scene.cluster.folder().join("kept");
        std::fs::rename(scene.cluster.disk(2), &our_disk).map_err(Failure::of("put the disk aside"))?;
        end_and_keep_disk(other, &their_disk, &scene.cluster.folder().join("theirs"))?;
        std::fs::create_dir_all(scene.cluster.disk(2)).map_err(Failure::of("make room for a disk"))?;
        scene.cluster.replace_disk(2, &scene.cluster.folder().join("theirs"))?;

        // It must not even serve: a client with an old map would write into the other cluster, and be told that all is well.
        let identity = scene.cluster.disk(2).join("STORE");
        let before = std::fs::read(&identity).map_err(Failure::of("read whose disk it is"))?;
        let started = scene.cluster.restart(2).await;
        let words = scene.cluster.last_words(2);
        let is_refused_in_words = started.is_err() && words.contains("belongs to cluster") && words.contains("mount the right volume");
        Failure::unless(is_refused_in_words, || format!("it should refuse in one sentence; it said {words:?}"))?;
        let after = std::fs::read(&identity).map_err(Failure::of("read whose disk it is"))?;
        Failure::unless(before == after, || "it touched another cluster's disk".to_owned())?;

        let mut order = scene.cluster.order_for(0, OrderKind::EvictLeaders { for_millis: 60_000 });
        order.cluster = "another".to_owned();
        order.epoch = Epoch(1_000_000);
        is_refused(scene.cluster.give(0, &order).await, RefusalClass::WrongIdentity)?;
        let report = scene.cluster.report(0).await.map_err(Failure::Broken)?;
        let is_unmoved = report.epoch < Epoch(1_000_000) && report.evicted_millis == 0;
        Failure::unless(is_unmoved, || format!("it obeyed another cluster's operator, and reports {report:?}"))?;
        load.until_acknowledged(300).await?;

        scene.cluster.kill(2);
        scene.cluster.replace_disk(2, &our_disk)?;
        scene.cluster.restart(2).await?;
        scene.cluster.until_whole().await?;
        scene.judge(load).await
    })
}

/// Ends a cluster of one node, and keeps its disk.
fn end_and_keep_disk(mut other: ProcessCluster, disk: &Path, copy: &Path) -> Result<(), Failure> {
    other.kill(0);
    std::fs::rename(disk, copy).map_err(Failure::of("take the other cluster's disk"))
}

async fn must_refuse(cluster: &ProcessCluster, node: usize, order: OrderKind, class: RefusalClass) -> Result<(), Failure> {
    is_refused(cluster.order(node, order).await, class)
}

fn is_refused(answer: Result<Answer, String>, class: RefusalClass) -> Result<(), Failure> {
    match answer.map_err(Failure::Broken)? {
        Answer::Refused { class: given, .. } if given == class => Ok(()),
        answer => Err(Failure::broken(format!("the order should be refused with {class}, and was answered with {answer:?}"))),
    }
}

/// Writes in bulk until the leaders' logs begin after everything that the absent node has.
async fn until_the_log_is_cut_above(scene: &Scene, absent: usize) -> Result<(), Failure> {
    let present: Vec<usize> = scene.cluster.indexes().filter(|node| *node != absent).collect();
    let view = scene.cluster.until_led(&present).await?;
    let shards = scene.cluster.shards();
    // What is committed now was written without the absent node, or is about to be.
    let missed: Vec<u64> = shards.iter().map(|shard| view.leader(*shard).map_or(0, |(_, leader)| leader.last_index)).collect();
    let mut writers = JoinSet::new();
    for number in 0..BULK_CLIENTS {
        let mut client = scene.client(Door::Plain, present[number as usize % present.len()]);
        writers.spawn(async move {
            // Noise: the log compresses what repeats, and would stay short.
            let mut value = vec![0; BULK_VALUE_BYTES];
            fastrand::Rng::with_seed(u64::from(number)).fill(&mut value);
            for nth in 0..BULK_BYTES_MAX / BULK_VALUE_BYTES / BULK_CLIENTS as usize {
                if let Outcome::Failed(_) = client.call(redis::cmd("SET").arg(format!("bulk-{number}-{nth}")).arg(&value)).await {
                    wait::pause(Duration::from_millis(5)).await;
                }
            }
        });
    }
    wait::until(Duration::from_secs(180), "the log is cut above what the absent node has", async || {
        let view = scene.cluster.view_of(&present).await;
        for (shard, missed) in shards.iter().zip(&missed) {
            let uncut = view.replicas(*shard).find(|(_, replica)| replica.first_index <= *missed + 1);
            if let Some((node, replica)) = uncut {
                return Err(format!("node {node}: the log of shard {shard} is {} to {}", replica.first_index, replica.last_index));
            }
        }
        Ok(())
    })
    .await
    // Dropping the writers ends them.
}
