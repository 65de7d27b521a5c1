//! A disk that clients fill: what grows data is refused by name, everything else goes on, and nothing is lost.

use fastrand::Rng;
use redis::Value;
use std::{collections::BTreeSet, time::Duration};
use strata_e2e::{
    failure::Failure,
    harness::{node_process::Settings, process::Options, small_disk::SmallDisk, wait},
    say::say,
    scene::{Scene, play},
    workload::{
        Size,
        client::{Door, Outcome, RedisClient},
    },
};
use tokio::task::JoinSet;

/// The disk, what it is to keep free, and what lies on it that is not the node's, in bytes.
const DISK_BYTES: u64 = 320 << 20;
const RESERVE_BYTES: u64 = 64 << 20;
const FILLER_BYTES: usize = 96 << 20;

/// How many clients fill it, and how large their values are, in bytes.
const FILLERS: u32 = 8;
const VALUE_BYTES: usize = 16 << 10;

/// How long the node may take to see that there is room again, and clients may take to fill the disk.
const RELIEF_DEADLINE: Duration = Duration::from_secs(20);
const FILL_DEADLINE: Duration = Duration::from_secs(120);

/// What a client hears when the disk is full.
const REFUSAL: &str = "disk is below its reserve";

#[test]
fn a_full_disk_refuses_what_grows_and_nothing_else() -> Result<(), Failure> {
    const NAME: &str = "a_full_disk_refuses_what_grows_and_nothing_else";
    let settings = Settings { log_bytes: 16 << 20, write_buffer_bytes: 8 << 20, disk_reserve_bytes: RESERVE_BYTES, ..Settings::default() };
    play(NAME, Options { settings, ..Options::one_node(2) }, async |scene| {
        scene.cluster.kill(0);
        let disk = match SmallDisk::under(&scene.cluster.disk(0), DISK_BYTES) {
            Err(Failure::Lacking(why)) => {
                say(format!("skipped: {NAME}: {why}"));
                return Ok(());
            }
            disk => disk?,
        };
        disk.fill(FILLER_BYTES)?;
        scene.cluster.restart(0).await?;
        scene.cluster.bootstrap().await?;
        let load = scene.load(Size::default());
        load.until_acknowledged(200).await?;
        let mut kept = until_it_is_full(scene, 0).await?;
        say(format!("{NAME}: {} values fill the disk", kept.len()));

        // A restart must not need the room that is missing. It may make some, since it cuts the log.
        scene.cluster.restart(0).await?;
        scene.cluster.until_led(&[0]).await?;
        load.turn_page();
        kept.extend(until_it_is_full(scene, FILLERS).await?);
        let mut client = scene.client(Door::Plain, 0);
        holds_all(&mut client, &kept).await?;
        for key in kept.iter().copied().step_by(2).collect::<Vec<_>>() {
            let deleted = client.ask(redis::cmd("DEL").arg(name(key))).await;
            Failure::unless(deleted == Ok(Value::Int(1)), || format!("DEL makes room, and was answered {deleted:?}"))?;
            kept.remove(&key);
        }
        scene.cluster.check_alive()?;

        disk.relieve()?;
        wait::until(RELIEF_DEADLINE, "writes go on", async || client.ask(redis::cmd("SET").arg("relieved").arg(1)).await.map(drop)).await?;
        load.until_acknowledged(200).await?;
        holds_all(&mut client, &kept).await?;
        scene.judge(load).await
    })
}

/// A value's key: which client wrote it, and as its how manieth.
type Key = (u32, u32);

fn name((client, nth): Key) -> String {
    format!("fill-{client}-{nth}")
}

/// Noise: neither the log nor the tablets can make it shorter.
fn value((client, nth): Key) -> Vec<u8> {
    let mut value = vec![0; VALUE_BYTES];
    Rng::with_seed(u64::from(client) << 32 | u64::from(nth)).fill(&mut value);
    value
}

/// Clients, numbered from `first`, write until each is refused for the disk's sake; what was acknowledged to them.
async fn until_it_is_full(scene: &Scene, first: u32) -> Result<BTreeSet<Key>, Failure> {
    let mut fillers = JoinSet::new();
    for number in first..first + FILLERS {
        let mut client = scene.client(Door::Plain, 0);
        fillers.spawn(async move {
            let mut acknowledged = Vec::new();
            for nth in 0..(DISK_BYTES as usize / VALUE_BYTES) as u32 {
                match client.call(redis::cmd("SET").arg(name((number, nth))).arg(value((number, nth)))).await {
                    Outcome::Replied(_) => acknowledged.push((number, nth)),
                    Outcome::Failed(why) if why.contains("OOM") && why.contains(REFUSAL) => return Ok(acknowledged),
                    // The engine may be slow for a while; nothing is promised then.
                    Outcome::Failed(why) if why.contains("busy") => {}
                    outcome => return Err(Failure::broken(format!("a disk that fills up should refuse by name; it did {outcome:?}"))),
                }
            }
            Err(Failure::broken("clients wrote more than the disk has room for"))
        });
    }
    let filled = tokio::time::timeout(FILL_DEADLINE, fillers.join_all()).await;
    let filled = filled.map_err(|_| Failure::broken(format!("no end of writing within {} s", FILL_DEADLINE.as_secs())))?;
    let acknowledged = filled.into_iter().collect::<Result<Vec<_>, Failure>>()?;
    Ok(acknowledged.into_iter().flatten().collect())
}

async fn holds_all(client: &mut RedisClient, kept: &BTreeSet<Key>) -> Result<(), Failure> {
    for key in kept {
        let read = client.ask(redis::cmd("GET").arg(name(*key))).await;
        let is_there = read == Ok(Value::BulkString(value(*key)));
        let shown = read.map_or_else(|why| why, |_| "other bytes, or none".to_owned());
        Failure::unless(is_there, || format!("{} was acknowledged, and is read as: {shown}", name(*key)))?;
    }
    Ok(())
}
