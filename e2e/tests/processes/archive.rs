//! The log archive: what a bucket has of a cluster while it lives, and what becomes of the cluster when the bucket fails.

use std::collections::BTreeMap;
use std::{path::Path, process::Command, sync::Arc, time::Duration};
use strata_base::ShardId;
use strata_e2e::{
    failure::Failure,
    harness::{
        archive::{Recovery, unix_millis},
        node_process::{ArchiveSettings, Settings, node_binary},
        process::{Options, ProcessCluster},
        s3_proxy::{Mode, Traffic},
        wait,
    },
    say::say,
    scene::{Ground, Scene, play_archived},
    workload::{Load, Size, log_of_acks::Ack},
};

/// How long a fault or its end may take to be seen in reports: the issue asks for a minute.
const SEEN_DEADLINE: Duration = Duration::from_secs(60);

/// How long two beats of the owner may take: one every 30 s.
const BEATS_DEADLINE: Duration = Duration::from_secs(100);

#[test]
fn the_archive_follows_the_log_and_the_bucket_is_sound() -> Result<(), Failure> {
    // With the product's rhythm and shards: what is said of the lag here is what a user sees.
    let archive = ArchiveSettings { flush_interval_millis: 1_000, ..ArchiveSettings::below("scenario/archive") };
    let settings = Settings { archive: Some(archive), ..Settings::default() };
    let options = Options { settings, ..Options::three_nodes(16) };
    play_archived("the_archive_follows_the_log_and_the_bucket_is_sound", options, async |scene, ground| {
        scene.cluster.bootstrap_archived().await?;
        scene.cluster.spread_leaders().await?;
        let load = scene.load(Size::default());
        let mut lags = Vec::new();
        while lags.len() < 60 {
            load.until_acknowledged(50).await?;
            lags.extend(scene.cluster.recovery().await.lag_millis());
        }
        lags.sort_unstable();
        let (Some(median), Some(worst)) = (lags.get(lags.len() / 2), lags.last()) else {
            return Err(Failure::broken("no lag was ever reported while there was load"));
        };
        say(format!("archive_lag: median={median}ms max={worst}ms samples={}", lags.len()));
        scene.judge(load).await?;
        let recovery = scene.cluster.until_archived().await?;
        let at_risk = recovery.bytes_at_risk();
        Failure::unless(at_risk == 0, || format!("everything is archived, and {at_risk} bytes are at risk"))?;
        is_sound(scene).await?;
        the_program_says_so_too(&scene.cluster, ground).await
    })
}

#[test]
fn an_idle_cluster_writes_only_its_beat() -> Result<(), Failure> {
    play_archived("an_idle_cluster_writes_only_its_beat", Options::three_nodes(8), async |scene, ground| {
        scene.cluster.bootstrap_archived().await?;
        let load = scene.load(Size::default());
        load.until_acknowledged(500).await?;
        scene.judge(load).await?;
        for _ in 0..3 {
            // The ends come first: an entry that is appended later may be on its way to the bucket when the measuring begins.
            let ends = log_ends(scene).await?;
            scene.cluster.until_archived().await?;
            let before = ground.proxy.traffic();
            let since = wait::until(BEATS_DEADLINE, "the owner has beaten twice", async || {
                let since = ground.proxy.traffic().since(&before);
                if beats(&since) >= 2 { Ok(since) } else { Err(format!("{} beats", beats(&since))) }
            });
            let since = since.await?;
            if log_ends(scene).await? != ends {
                say("idle: a log grew, by an election or an expiry: that was not idle, and is measured again");
                continue;
            }
            let others: Vec<_> = since.requests.keys().filter(|(method, path)| method != "GET" && !path.ends_with("/BEAT")).collect();
            Failure::unless(others.is_empty(), || format!("nobody wrote, and the cluster wrote {others:?}"))?;
            say(format!("idle: puts={} beats={} gets={} over two beats", since.count("PUT"), beats(&since), since.count("GET")));
            return Ok(());
        }
        Err(Failure::broken("the cluster was never idle for two beats"))
    })
}

/// The last entry of every shard's log.
async fn log_ends(scene: &Scene) -> Result<Vec<(ShardId, u64)>, Failure> {
    let view = scene.cluster.until_whole().await?;
    Ok(scene.cluster.shards().into_iter().filter_map(|shard| Some((shard, view.leader(shard)?.1.last_index))).collect())
}

#[test]
fn a_store_that_is_down_harms_no_write_and_is_caught_up_with() -> Result<(), Failure> {
    play_archived("a_store_that_is_down_harms_no_write_and_is_caught_up_with", Options::three_nodes(4), async |scene, ground| {
        scene.cluster.bootstrap_archived().await?;
        let load = scene.load(Size::default());
        load.until_acknowledged(300).await?;
        scene.cluster.until_archived().await?;
        let lives = lives(&scene.cluster).await?;
        ground.store.stop();
        let down_since = unix_millis();
        let promises = load_goes_on(scene, &load, "Unreachable").await?;
        let down_until = unix_millis();
        ground.store.resume().await?;
        until_healed(&scene.cluster).await?;
        scene.cluster.until_archived().await?;
        Failure::unless(self::lives(&scene.cluster).await? == lives, || "a process was restarted meanwhile".to_owned())?;
        let counts = load.counts();
        let ledger = load.finish().await?;
        let meanwhile = ledger.acks.all().iter().filter(|ack| ack.sent_millis > down_since && ack.acknowledged_millis < down_until);
        nothing_was_promised(&promises, meanwhile)?;
        scene.judge_ledger(&ledger, &counts).await?;
        scene.cluster.until_archived().await?;
        is_sound(scene).await
    })
}

#[test]
fn a_store_that_hangs_and_fails_harms_no_write() -> Result<(), Failure> {
    play_archived("a_store_that_hangs_and_fails_harms_no_write", Options::three_nodes(4), async |scene, ground| {
        scene.cluster.bootstrap_archived().await?;
        let load = scene.load(Size::default());
        load.until_acknowledged(300).await?;
        for (mode, class) in [(Mode::Fail, "Internal"), (Mode::Hang, "Timeout"), (Mode::Refuse, "Unreachable")] {
            ground.proxy.set_mode(mode);
            load_goes_on(scene, &load, class).await?;
            ground.proxy.set_mode(Mode::Pass);
            until_healed(&scene.cluster).await?;
        }
        scene.judge(load).await?;
        scene.cluster.until_archived().await?;
        is_sound(scene).await
    })
}

#[test]
fn credentials_are_rotated_to_wrong_ones_and_right_ones() -> Result<(), Failure> {
    play_archived("credentials_are_rotated_to_wrong_ones_and_right_ones", Options::three_nodes(4), async |scene, ground| {
        scene.cluster.bootstrap_archived().await?;
        let load = scene.load(Size::default());
        load.until_acknowledged(300).await?;
        let lives = lives(&scene.cluster).await?;
        ground.store.credentials().write_wrong()?;
        load_goes_on(scene, &load, "AccessDenied").await?;
        ground.store.credentials().write_right()?;
        until_healed(&scene.cluster).await?;
        scene.cluster.until_archived().await?;
        Failure::unless(self::lives(&scene.cluster).await? == lives, || "a process was restarted meanwhile".to_owned())?;
        scene.judge(load).await?;
        scene.cluster.until_archived().await?;
        is_sound(scene).await
    })
}

#[test]
fn leaders_are_killed_and_the_archive_has_no_hole() -> Result<(), Failure> {
    play_archived("leaders_are_killed_and_the_archive_has_no_hole", Options::three_nodes(4), async |scene, _ground| {
        scene.cluster.bootstrap_archived().await?;
        let load = scene.load(Size::default());
        for _ in 0..5 {
            load.until_acknowledged(200).await?;
            let leader = scene.cluster.until_whole().await?.busiest();
            scene.cluster.kill(leader);
            load.until_acknowledged(100).await?;
            scene.cluster.restart(leader).await?;
            load.turn_page();
        }
        scene.cluster.kill_all(&[0, 1, 2]);
        scene.cluster.restart_all().await?;
        load.until_acknowledged(100).await?;
        scene.judge(load).await?;
        let recovery = scene.cluster.until_archived().await?;
        Failure::unless(recovery.gaps() == 0, || format!("nothing was dropped, and there are gaps: {recovery:?}"))?;
        is_sound(scene).await
    })
}

#[test]
fn a_path_that_another_cluster_owns_is_refused() -> Result<(), Failure> {
    play_archived("a_path_that_another_cluster_owns_is_refused", Options::three_nodes(2), async |scene, _ground| {
        scene.cluster.bootstrap_archived().await?;
        let load = scene.load(Size::default());
        load.until_acknowledged(200).await?;
        let options = Options { settings: scene.cluster.options().settings.clone(), ..Options::one_node(2) };
        let other = ProcessCluster::start(scene.seed ^ 0xffff, options).await?;
        other.join_all().await?;
        other.open_archive(other.claim(false, None, &other.first_document(None, &BTreeMap::new()))).await?;
        other.create_shards(&BTreeMap::new()).await?;
        let why = other.until_claim_is_refused().await?;
        let owner = &scene.cluster.order_for(0, strata_node_api::OrderKind::Join).cluster;
        Failure::unless(why.contains(owner), || format!("the refusal does not name the owner {owner}: {why}"))?;
        scene.judge(load).await?;
        scene.cluster.until_archived().await?;
        is_sound(scene).await
    })
}

fn beats(traffic: &Traffic) -> u64 {
    let puts = traffic.requests.iter().filter(|((method, path), _)| method == "PUT" && path.ends_with("/BEAT"));
    puts.map(|(_, count)| count).sum()
}

/// Reads every byte of the bucket, and finds nothing to object to.
pub async fn is_sound(scene: &Scene) -> Result<(), Failure> {
    let report = scene.cluster.verify_bucket().await?;
    let is_clean = report.is_sound() && report.unreferenced.is_empty();
    Failure::unless(is_clean, || format!("the bucket should be sound, and is {report:#?}"))
}

/// As [`is_sound`], but for objects that nothing names: says how many there are. Work that was interrupted leaves them, and harms nobody.
pub async fn is_sound_but_for_orphans(scene: &Scene) -> Result<(), Failure> {
    let report = scene.cluster.verify_bucket().await?;
    say(format!("bucket: objects={} unreferenced={}", report.objects, report.unreferenced.len()));
    Failure::unless(report.is_sound(), || format!("the bucket should be sound, and is {report:#?}"))
}

/// `strata-node verify-bucket` with a node's own configuration: sound, damaged, unreadable.
async fn the_program_says_so_too(cluster: &ProcessCluster, ground: &mut Ground) -> Result<(), Failure> {
    let (code, said) = verify(&cluster.config(0)).await?;
    Failure::unless(code == Some(0) && said["isSound"] == true, || {
        format!("the bucket is sound, and verify-bucket said {code:?}: {said:#}")
    })?;
    let logs = ground.store.keys(&format!("scenario/archive/{}/log/", cluster.incarnation()))?;
    let damaged = logs.first().ok_or_else(|| Failure::broken("no log object is in the bucket"))?;
    ground.store.damage(damaged)?;
    let (code, said) = verify(&cluster.config(0)).await?;
    let is_named = code == Some(1) && said["damaged"][0]["key"] == damaged.as_str();
    Failure::unless(is_named, || format!("{damaged} is damaged, and verify-bucket said {code:?}: {said:#}"))?;
    ground.store.damage(damaged)?;
    ground.store.stop();
    let (code, said) = verify(&cluster.config(0)).await?;
    ground.store.resume().await?;
    let is_named = code == Some(2) && said["error"]["class"] == "Unreachable";
    Failure::unless(is_named, || format!("the store is down, and verify-bucket said {code:?}: {said:#}"))
}

async fn verify(config: &Path) -> Result<(Option<i32>, serde_json::Value), Failure> {
    let (binary, config) = (node_binary()?, config.to_owned());
    let run = move || {
        let arguments = ["verify-bucket", "--deep", "--json", "--patience-seconds", "1", "--config"];
        Command::new(binary).args(arguments).arg(config).output()
    };
    let output = tokio::task::spawn_blocking(run).await.map_err(Failure::of("wait for verify-bucket"))?;
    let output = output.map_err(Failure::of("run verify-bucket"))?;
    let said = serde_json::from_slice(&output.stdout)
        .map_err(|error| Failure::broken(format!("verify-bucket --json: {error}: {}", String::from_utf8_lossy(&output.stderr))))?;
    Ok((output.status.code(), said))
}

/// The store has begun to fail: writes go on, and a node says what ails it within a minute. Returns what was promised meanwhile.
async fn load_goes_on(scene: &Scene, load: &Load, class: &str) -> Result<Vec<Recovery>, Failure> {
    load.until_acknowledged(300).await?;
    let what = format!("a node's archive fails with {class}");
    let shown = wait::until(SEEN_DEADLINE, &what, async || {
        let problems = scene.cluster.archive_problems().await;
        if problems.values().any(|one| one == class) { Ok(()) } else { Err(format!("{problems:?}")) }
    });
    shown.await?;
    let mut promises = Vec::new();
    for _ in 0..5 {
        load.until_acknowledged(100).await?;
        promises.push(scene.cluster.recovery().await);
    }
    Ok(promises)
}

/// No promise covered a write that cannot have been archived.
fn nothing_was_promised<'a>(promises: &[Recovery], unarchived: impl Iterator<Item = &'a Ack>) -> Result<(), Failure> {
    let mut count = 0;
    for ack in unarchived {
        count += 1;
        if let Some(promise) = promises.iter().find(|promise| promise.latest_of(&ack.key) > ack.acknowledged_millis) {
            let latest = promise.latest_of(&ack.key);
            return Err(Failure::broken(format!("{ack:?} was written while the store was down, and {latest} was promised")));
        }
    }
    Failure::unless(count > 0, || "no write was acknowledged while the store was down".to_owned())
}

async fn until_healed(cluster: &ProcessCluster) -> Result<(), Failure> {
    wait::until(SEEN_DEADLINE, "no node's archive has a problem", async || {
        let problems = cluster.archive_problems().await;
        if problems.is_empty() { Ok(()) } else { Err(format!("{problems:?}")) }
    })
    .await
}

async fn lives(cluster: &ProcessCluster) -> Result<Arc<[u64]>, Failure> {
    let mut lives = Vec::new();
    for node in cluster.indexes() {
        lives.push(cluster.report(node).await.map_err(Failure::Broken)?.life);
    }
    Ok(lives.into())
}
