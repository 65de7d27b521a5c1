//! Everything is lost but the bucket.

use redis::Value;
use std::time::Duration;
use strata_e2e::{
    failure::Failure,
    harness::{archive::unix_millis, process::Options, s3_proxy::Mode, wait},
    say::say,
    scene::{Scene, play_archived},
    workload::{
        Size,
        client::{Door, RedisClient},
    },
};
use strata_engine::tier::{layout::FileKind, restore::Target};
use strata_node_api::RestoreState;

/// How long something that is about to happen may take.
const SOON: Duration = Duration::from_secs(30);

#[test]
fn everything_is_lost_in_mid_write() -> Result<(), Failure> {
    play_archived("everything_is_lost_in_mid_write", Options::three_nodes(8), async |scene, _ground| {
        scene.cluster.bootstrap_archived().await?;
        scene.cluster.spread_leaders().await?;
        let load = scene.load(Size { writers: 6, ..Size::default() });
        load.until_acknowledged(500).await?;
        scene.cluster.checkpoint_all().await?;
        load.until_acknowledged(1_500).await?;
        let promised = scene.cluster.recovery().await;
        let lost_at = unix_millis();
        scene.cluster.lose_everything().await?;
        let ledger = load.finish().await?;
        let path = scene.cluster.folder().join("history-lost.jsonl");
        strata_e2e::checker::linearizable(&ledger.history, &path).await?;

        let started = std::time::Instant::now();
        scene.cluster.restore(Target::Latest).await?;
        let endpoints = std::sync::Arc::new(scene.endpoints());
        let late = ledger.acks.judge_after_loss(&endpoints, |key| promised.latest_of(key)).await?;
        say(format!(
            "loss: acknowledged={} lost_older_than_promised=0 lost_after={late} promised_before_loss={}ms restore={:.1}s",
            ledger.acks.count(),
            lost_at.saturating_sub(promised.latest()),
            started.elapsed().as_secs_f64(),
        ));
        let next = scene.load(Size { counters: 0, page: 1, ..Size::default() });
        next.until_acknowledged(500).await?;
        scene.judge(next).await?;
        // A child is whole under its own path when each of its shards has a checkpoint there.
        scene.cluster.checkpoint_all().await?;
        scene.cluster.until_archived().await?;
        super::archive::is_sound_but_for_orphans(scene).await
    })
}

#[test]
fn a_second_loss_during_the_restore_loses_nothing_more() -> Result<(), Failure> {
    play_archived("a_second_loss_during_the_restore_loses_nothing_more", Options::three_nodes(4), async |scene, ground| {
        found_and_write(scene, 800).await?;
        scene.cluster.until_archived().await?;

        // In the middle of fetching.
        scene.cluster.lose_everything().await?;
        scene.cluster.begin_restore(Target::Latest).await?;
        ground.proxy.set_mode(Mode::Hang);
        scene.cluster.lose_everything().await?;
        ground.proxy.set_mode(Mode::Pass);
        // After it served, and before it has checkpoints of its own for certain.
        scene.cluster.restore(Target::Latest).await?;
        let more = scene.load(Size { counters: 0, page: 1, ..Size::default() });
        more.until_acknowledged(300).await?;
        scene.judge_and_keep(more).await?;
        scene.cluster.until_archived().await?;
        scene.cluster.lose_everything().await?;
        scene.cluster.restore(Target::Latest).await?;
        scene.judge_kept().await?;
        let last = scene.load(Size { counters: 0, page: 2, ..Size::default() });
        last.until_acknowledged(300).await?;
        scene.judge(last).await
    })
}

#[test]
fn a_restore_that_is_interrupted_goes_on() -> Result<(), Failure> {
    play_archived("a_restore_that_is_interrupted_goes_on", Options::three_nodes(4), async |scene, ground| {
        found_and_write(scene, 800).await?;
        scene.cluster.checkpoint_all().await?;
        scene.cluster.until_archived().await?;
        scene.cluster.lose_everything().await?;
        let restoring = scene.cluster.begin_restore(Target::Latest).await?;
        scene.cluster.until_fetched().await?;
        let fetched = ground.proxy.traffic();
        for node in scene.cluster.indexes() {
            scene.cluster.restart(node).await?;
        }
        scene.cluster.order_fetch(&restoring).await?;
        scene.cluster.until_fetched().await?;
        let since = ground.proxy.traffic().since(&fetched);
        let again: Vec<_> = since.requests.keys().filter(|(method, path)| method == "GET" && path.contains("/file/")).collect();
        Failure::unless(again.is_empty(), || format!("these were fetched twice: {again:?}"))?;
        scene.cluster.finish_restore(&restoring).await?;
        scene.judge_kept().await
    })
}

#[test]
fn a_damaged_object_fails_the_restore_by_name_and_shows_nothing() -> Result<(), Failure> {
    play_archived("a_damaged_object_fails_the_restore_by_name_and_shows_nothing", Options::three_nodes(4), async |scene, ground| {
        found_and_write(scene, 800).await?;
        scene.cluster.checkpoint_all().await?;
        scene.cluster.until_archived().await?;
        scene.cluster.lose_everything().await?;

        let planned = scene.cluster.plan_restore(Target::Latest).await.map_err(Failure::of("read the bucket"))?;
        let plan = planned.map_err(|error| Failure::broken(error.to_string()))?;
        let (at, document) = plan.shards[0].base.clone().ok_or_else(|| Failure::broken("the plan has no checkpoint"))?;
        let file = document.files.iter().find(|file| file.kind() == FileKind::Sst);
        let file = file.ok_or_else(|| Failure::broken("a checkpoint of a written shard has no table file"))?;
        let name = strata_engine::tier::layout::Name::File(at.incarnation, file.object, file.kind());
        let key = at.path.key(name);
        ground.store.damage(&key)?;
        let restoring = scene.cluster.begin_restore(Target::Latest).await?;
        let why = scene.cluster.until_fetched().await.expect_err("an object is damaged").to_string();
        Failure::unless(why.contains(&key), || format!("{key} is damaged, and the restore says {why}"))?;
        for node in scene.cluster.indexes() {
            let report = scene.cluster.report(node).await.map_err(Failure::Broken)?;
            let is_bare = report.shards.is_empty() && report.restore.is_none_or(|restore| restore.state != RestoreState::Ready);
            Failure::unless(is_bare, || format!("node {node} shows something of a restore that failed"))?;
        }
        let bare = scene.client(Door::Plain, 0).ask(redis::cmd("GET").arg("counter")).await;
        Failure::unless(bare.is_err(), || format!("nothing is restored, and a read is answered with {bare:?}"))?;

        ground.store.damage(&key)?;
        scene.cluster.order_fetch(&restoring).await?;
        scene.cluster.until_fetched().await?;
        scene.cluster.finish_restore(&restoring).await?;
        scene.judge_kept().await
    })
}

#[test]
fn a_moment_before_a_flushall_is_restored() -> Result<(), Failure> {
    play_archived("a_moment_before_a_flushall_is_restored", Options::three_nodes(4), async |scene, _ground| {
        found_and_write(scene, 800).await?;
        let moment = unix_millis();
        // The nodes share this clock: whatever is written from the next millisecond on is later.
        wait::until(SOON, "the moment has passed", async || if unix_millis() > moment + 1 { Ok(()) } else { Err("not yet".into()) })
            .await?;
        let mut client = scene.client(Door::Plain, 0);
        expect(&mut client, &redis::cmd("FLUSHALL"), &Value::Okay).await?;
        expect(&mut client, redis::cmd("SET").arg("after").arg("the flush"), &Value::Okay).await?;
        expect(&mut client, &redis::cmd("DBSIZE"), &Value::Int(1)).await?;
        scene.cluster.until_archived().await?;
        scene.cluster.lose_everything().await?;
        scene.cluster.restore(Target::Time(moment)).await?;
        expect(&mut scene.client(Door::Plain, 0), redis::cmd("GET").arg("after"), &Value::Nil).await?;
        scene.judge_kept().await
    })
}

#[test]
fn a_restore_starts_from_the_checkpoint() -> Result<(), Failure> {
    play_archived("a_restore_starts_from_the_checkpoint", Options::three_nodes(4), async |scene, ground| {
        scene.cluster.bootstrap_archived().await?;
        let load = scene.load(Size::default());
        load.until_acknowledged(800).await?;
        scene.cluster.checkpoint_all().await?;
        load.until_acknowledged(200).await?;
        scene.judge_and_keep(load).await?;
        scene.cluster.until_archived().await?;
        scene.cluster.lose_everything().await?;
        let before = ground.proxy.traffic();
        let restoring = scene.cluster.restore(Target::Latest).await?;
        for shard in &restoring.plan.shards {
            let base = shard.base.as_ref().map_or(0, |(_, document)| document.at.index);
            let is_begun_there = base > 5 && shard.steps.iter().all(|step| step.from > base);
            Failure::unless(is_begun_there, || format!("the restore does not start from the checkpoint: {shard:?}"))?;
        }
        let since = ground.proxy.traffic().since(&before);
        let (files, log) = (restoring.plan.file_bytes(), restoring.plan.log_bytes());
        say(format!("restore: files={files}B log={log}B through_proxy={}B for three replicas", since.bytes_down));
        scene.judge_kept().await
    })
}

#[test]
fn a_path_with_an_owner_is_never_initialised() -> Result<(), Failure> {
    play_archived("a_path_with_an_owner_is_never_initialised", Options::three_nodes(2), async |scene, _ground| {
        found_and_write(scene, 200).await?;
        scene.cluster.until_archived().await?;
        scene.cluster.lose_everything().await?;
        scene.cluster.join_all().await?;
        let empty = scene.cluster.first_document(None, &Default::default());
        scene.cluster.open_archive(scene.cluster.claim(false, None, &empty)).await?;
        scene.cluster.create_shards(&Default::default()).await?;
        let why = scene.cluster.until_claim_is_refused().await?;
        Failure::unless(why.contains("already holds cluster"), || format!("the refusal says {why}"))?;
        // What lies there is as it was.
        scene.cluster.lose_everything().await?;
        scene.cluster.restore(Target::Latest).await?;
        scene.judge_kept().await
    })
}

/// Founds an archived cluster, and keeps what a load wrote for the judgement after a loss.
async fn found_and_write(scene: &mut Scene, acknowledged: u64) -> Result<(), Failure> {
    scene.cluster.bootstrap_archived().await?;
    let load = scene.load(Size::default());
    load.until_acknowledged(acknowledged).await?;
    scene.judge_and_keep(load).await
}

async fn expect(client: &mut RedisClient, command: &redis::Cmd, reply: &Value) -> Result<(), Failure> {
    let said = String::from_utf8_lossy(&command.get_packed_command()).replace("\r\n", " ");
    let answer = client.ask(command).await;
    Failure::unless(answer.as_ref() == Ok(reply), || format!("{said}should be answered with {reply:?}, and was with {answer:?}"))
}
