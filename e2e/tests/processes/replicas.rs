//! `strata-node verify-replicas` against running clusters: equal while clients write, one bit that differs, and replicas that cannot be asked.

use std::{ops::ControlFlow, path::Path, process::Command, time::Duration};
use strata_base::ShardId;
use strata_e2e::{
    failure::Failure,
    harness::{
        node_process::{Settings, node_binary},
        process::{Options, ProcessCluster},
        wait,
    },
    say::say,
    scene::{Scene, play},
    workload::{
        Size,
        client::{Door, Outcome},
        slot::slot_of,
    },
};
use strata_engine::tablet::{RocksSettings, RocksTabletStore, TabletChange, TabletFamily, TabletStore};
use strata_node_api::OrderKind;

/// How long the command may take, whatever it is asked.
const COMMAND_DEADLINE: Duration = Duration::from_secs(60);

/// How long writing may go on until a tablet is flushed.
const FLUSH_DEADLINE: Duration = Duration::from_secs(60);

/// What a record holds before one bit of it is turned.
const TRUE_VALUE: &str = "as it was written";

/// What the command said.
#[derive(Debug)]
struct Said {
    code: Option<i32>,
    lines: Vec<String>,
    aside: String,
}

impl Said {
    fn must_end(&self, code: i32, verdict: &str) -> Result<(), Failure> {
        let is_so = self.code == Some(code) && self.lines.last().is_some_and(|line| line == verdict);
        Failure::unless(is_so, || format!("it should end with {code} and {verdict:?}, and is {self:#?}"))
    }

    /// What it says of a shard.
    fn of(&self, shard: ShardId) -> Result<&str, Failure> {
        let begin = format!("shard {shard}: ");
        let line = self.lines.iter().find_map(|line| line.strip_prefix(&begin));
        line.ok_or_else(|| Failure::broken(format!("nothing is said of shard {shard}: {self:#?}")))
    }

    /// The entry at which a shard's three replicas were equal.
    fn equal_at(&self, shard: ShardId) -> Result<u64, Failure> {
        let line = self.of(shard)?;
        let entry = line.strip_prefix("equal, 3 replicas at ").and_then(|rest| rest.split(',').next()?.parse().ok());
        entry.ok_or_else(|| Failure::broken(format!("three replicas of shard {shard} should be equal at an entry; it says {line:?}")))
    }
}

/// Asks the command about the cluster, by the ports of these nodes.
async fn verify(cluster: &ProcessCluster, nodes: impl IntoIterator<Item = usize>, flags: &[&str]) -> Result<Said, Failure> {
    let mut command = Command::new(node_binary()?);
    let identity = cluster.authority().sign("verifier")?;
    command.arg("verify-replicas").arg("--ca").arg(cluster.authority().certificate());
    command.arg("--certificate").arg(&identity.certificate).arg("--key").arg(&identity.key).args(flags);
    for node in nodes {
        command.arg("--node").arg(address(cluster, node));
    }
    let run = tokio::task::spawn_blocking(move || command.output());
    let output = tokio::time::timeout(COMMAND_DEADLINE, run).await.map_err(Failure::of("wait so long for verify-replicas"))?;
    let output = output.map_err(Failure::of("wait for verify-replicas"))?.map_err(Failure::of("run verify-replicas"))?;
    let lines = String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect();
    Ok(Said { code: output.status.code(), lines, aside: String::from_utf8_lossy(&output.stderr).into_owned() })
}

fn address(cluster: &ProcessCluster, node: usize) -> String {
    format!("127.0.0.1:{}", cluster.ports(node).api)
}

#[test]
fn replicas_are_compared_while_clients_write_and_while_nodes_are_away() -> Result<(), Failure> {
    let name = "replicas_are_compared_while_clients_write_and_while_nodes_are_away";
    play(name, Options::three_nodes(4), async |scene| {
        scene.cluster.bootstrap().await?;
        let load = scene.load(Size::default());
        load.until_acknowledged(300).await?;
        let mut entries = [0; 4];
        for _ in 0..3 {
            let said = verify(&scene.cluster, 0..3, &[]).await?;
            said.must_end(0, "verdict: equal shards=4 equal=4 different=0 unknown=0")?;
            for (before, shard) in entries.iter_mut().zip(scene.cluster.shards()) {
                let now = said.equal_at(shard)?;
                Failure::unless(now > *before, || format!("shard {shard} was compared at {before}, and then at {now}: {said:#?}"))?;
                *before = now;
            }
            say(format!("verify-replicas: {}", said.lines.join("; ")));
            load.until_acknowledged(200).await?;
        }
        let one = scene.cluster.shards()[1];
        let said = verify(&scene.cluster, 0..3, &["--shard", &one.to_string()]).await?;
        said.must_end(0, "verdict: equal shards=1 equal=1 different=0 unknown=0")?;
        scene.judge(load).await?;
        unknown_is_said(scene).await
    })
}

/// A node that is not named, one that is down, and two that are.
async fn unknown_is_said(scene: &mut Scene) -> Result<(), Failure> {
    let shards = scene.cluster.shards();
    let patience = ["--patience-seconds", "2"];
    let unknown = "verdict: unknown shards=4 equal=0 different=0 unknown=4";
    let must_say = |said: &Said, parts: &[String]| {
        let lacking = parts.iter().find(|part| !shards.iter().all(|shard| said.of(*shard).is_ok_and(|line| line.contains(*part))));
        lacking.map_or(Ok(()), |part| Err(Failure::broken(format!("every shard's line should have {part:?}: {said:#?}"))))
    };
    let two_are_equal = || "among those that answer there is no difference: 2 replicas at ".to_owned();

    // A shard that the unnamed node leads would have no leader, as far as the others say.
    scene.cluster.obey(2, OrderKind::EvictLeaders { for_millis: 60_000 }).await?;
    scene.cluster.until_led(&[0, 1]).await?;
    let said = verify(&scene.cluster, 0..2, &patience).await?;
    said.must_end(2, unknown)?;
    let store = scene.cluster.address(2).store;
    must_say(&said, &[format!("lies on store {store}, which none of the named nodes is: name every node by --node"), two_are_equal()])?;

    scene.cluster.kill(2);
    scene.cluster.until_led(&[0, 1]).await?;
    let said = verify(&scene.cluster, 0..3, &patience).await?;
    said.must_end(2, unknown)?;
    let silent = format!("not compared: {} does not answer (", address(&scene.cluster, 2));
    must_say(&said, &[silent, "start it, or wait until its members are replaced".to_owned(), two_are_equal()])?;

    scene.cluster.kill(1);
    let said = verify(&scene.cluster, 0..3, &patience).await?;
    said.must_end(2, unknown)?;
    must_say(&said, &["does not answer".to_owned()])?;

    scene.cluster.kill(0);
    let said = verify(&scene.cluster, 0..3, &patience).await?;
    let is_silent = said.code == Some(2) && said.lines.is_empty() && said.aside.contains("does not answer");
    Failure::unless(is_silent, || format!("nobody answers, and it should say so and end with 2: {said:#?}"))
}

#[test]
fn one_bit_that_differs_is_found_and_its_node_named() -> Result<(), Failure> {
    let settings = Settings { log_bytes: 4 << 20, ..Settings::default() };
    play("one_bit_that_differs_is_found_and_its_node_named", Options { settings, ..Options::three_nodes(2) }, async |scene| {
        scene.cluster.bootstrap().await?;
        let (victim, key) = (2, "falsified");
        let shard = shard_of(&scene.cluster, key)?;
        let written = scene.client(Door::Plain, 0).call(redis::cmd("SET").arg(key).arg(TRUE_VALUE)).await;
        Failure::unless(matches!(written, Outcome::Replied(_)), || format!("the key was not written: {written:?}"))?;
        until_flushed(scene, victim, shard, key).await?;
        scene.cluster.until_whole().await?;
        verify(&scene.cluster, 0..3, &[]).await?.must_end(0, "verdict: equal shards=2 equal=2 different=0 unknown=0")?;

        scene.cluster.kill(victim);
        turn_one_bit(&scene.cluster.disk(victim), shard)?;
        scene.cluster.restart(victim).await?;
        scene.cluster.until_whole().await?;
        let said = verify(&scene.cluster, 0..3, &[]).await?;
        said.must_end(1, "verdict: different shards=2 equal=1 different=1 unknown=0")?;
        let named = format!("{} (store {}) differs from most", address(&scene.cluster, victim), scene.cluster.address(victim).store);
        let line = said.of(shard)?;
        Failure::unless(line.starts_with("DIFFERENT at ") && line.contains(&named), || format!("{named:?} should be said: {said:#?}"))?;
        say(format!("verify-replicas: {line}"));
        for other in scene.cluster.shards().into_iter().filter(|other| *other != shard) {
            said.equal_at(other)?;
        }

        // As the sentence says: an empty disk, and it is equal again.
        scene.cluster.kill(victim);
        scene.cluster.empty_disk(victim)?;
        scene.cluster.restart(victim).await?;
        scene.cluster.replace_store(victim).await?;
        verify(&scene.cluster, 0..3, &[]).await?.must_end(0, "verdict: equal shards=2 equal=2 different=0 unknown=0")
    })
}

fn shard_of(cluster: &ProcessCluster, key: &str) -> Result<ShardId, Failure> {
    let ordinal = cluster.slots().iter().position(|slots| slots.contains(slot_of(key)));
    ordinal.map(|ordinal| cluster.shards()[ordinal]).ok_or_else(|| Failure::broken(format!("no shard has the slot of {key}")))
}

/// Writes beside a key, into the same shard, until the node has flushed what was written before.
async fn until_flushed(scene: &Scene, node: usize, shard: ShardId, key: &str) -> Result<(), Failure> {
    let view = scene.cluster.until_whole().await?;
    let written = view.leader(shard).map_or(u64::MAX, |(_, leader)| leader.last_index);
    let (beside, mut noise) = (format!("{{{key}}}-beside"), vec![0; 64 << 10]);
    let mut client = scene.client(Door::Plain, 0);
    let mut draws = fastrand::Rng::with_seed(scene.seed);
    wait::until(FLUSH_DEADLINE, &format!("node {node} has flushed entry {written} of shard {shard}"), async || {
        // Noise: the log compresses what repeats.
        draws.fill(&mut noise);
        drop(client.call(redis::cmd("SET").arg(&beside).arg(&noise)).await);
        let report = scene.cluster.report(node).await?;
        let flushed = report.shards.iter().find(|replica| replica.shard == shard).map_or(0, |replica| replica.flushed);
        if flushed >= written { Ok(()) } else { Err(format!("it has flushed {flushed}")) }
    })
    .await
}

/// Turns the last bit of a record, on the disk of a node that does not run.
fn turn_one_bit(disk: &Path, shard: ShardId) -> Result<(), Failure> {
    let settings = RocksSettings { block_cache_bytes: 1 << 20, write_buffer_bytes: 1 << 20, direct_io: false };
    let store = RocksTabletStore::new(&disk.join("tablets"), settings).map_err(Failure::of("open the tablets"))?;
    let generations =
        std::fs::read_dir(disk.join("tablets").join(shard.to_string())).map_err(Failure::of("list a tablet's generations"))?;
    let generation = generations.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u64>().ok()).max();
    let generation = generation.ok_or_else(|| Failure::broken("the shard has no tablet"))?;
    let tablet = store.open(shard, generation).map_err(Failure::of("open the tablet"))?;
    let mut found = None;
    let scanned = tablet.scan(TabletFamily::Meta, &[], &[0xff; 16], &mut |key, record| {
        if record.ends_with(TRUE_VALUE.as_bytes()) {
            found = Some((key.to_vec(), record.to_vec()));
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    });
    scanned.map_err(Failure::of("read the tablet"))?;
    let (key, mut record) = found.ok_or_else(|| Failure::broken("the record is not in the tablet's files"))?;
    *record.last_mut().expect("a record is not empty") ^= 1;
    let changed = tablet.write(vec![TabletChange::Put(TabletFamily::Meta, key.into(), record.into())]).and_then(|()| tablet.flush());
    changed.map_err(Failure::of("change the tablet"))
}
