//! The bucket: what it brings back, whom it lets in, and whose it is.

use crate::world::World;
use k8s_openapi::jiff::Timestamp;
use redis::{Cmd, Value};
use std::{sync::Arc, time::Duration};
use strata_crds::{ClusterPhase, ErrorClass, JobPhase, KVBackup, KVClusterStatus};
use strata_e2e::{
    demo::{comparison, load::Model, loss, writer},
    failure::Failure,
    harness::{
        kubernetes::{
            cluster::Cluster,
            lab::SECRET_KEY,
            manifest::{archived, manifest},
        },
        wait,
    },
    say::say,
    workload::client::{Door, RedisClient},
};

/// How long a restore may take until every shard serves.
const RESTORE_DEADLINE: Duration = Duration::from_secs(120);

/// How long the archive may take to hold a moment.
const ARCHIVE_DEADLINE: Duration = Duration::from_secs(30);

/// How long trouble with the bucket may take to be named.
const TROUBLE_DEADLINE: Duration = Duration::from_secs(60);

/// How long a claim may take to see that the owner lives: two of its beats, and some.
const REFUSAL_DEADLINE: Duration = Duration::from_secs(150);

/// How long a backup may take.
const BACKUP_DEADLINE: Duration = Duration::from_secs(120);

/// Acknowledged writes before anything happens.
const WRITES: usize = 1_000;

/// Keys that are written before a FLUSHALL.
const KEYS: u64 = 300;

pub async fn everything_is_lost_but_the_bucket(world: &mut World) -> Result<(), Failure> {
    world.object_store().await?;
    let cluster = world.declare("mortal", &archived("")).await?;
    let (writer, _) = writer::start(&cluster).await?;
    wait::until(ARCHIVE_DEADLINE, "enough is written", async || match writer.count() {
        count if count < WRITES => Err(format!("{count} writes were acknowledged")),
        _ => Ok(()),
    })
    .await?;
    until_archived(&cluster, Timestamp::now()).await?;
    let (known, _) = loss::recovery(&cluster).await?;
    let pods = cluster.pod_names().await?;
    world.lab.kill(&pods.iter().map(String::as_str).collect::<Vec<_>>()).await?;
    for pod in &pods {
        world.lab.empty_disk(&cluster.volume_of(pod).await?).await?;
    }
    world.remove(&cluster).await?;
    let (acks, _) = writer.finish().await?;

    world.kube.apply(&manifest("mortal", &archived(""))).await?;
    cluster.until(RESTORE_DEADLINE, "is restored", strata_e2e::harness::kubernetes::cluster::is_ready).await?;
    let (_, words) = comparison::run(&cluster, &Model::new(), &acks, &known).await?;
    say(words);
    world.remove(&cluster).await
}

pub async fn a_second_cluster_goes_back_before_a_flushall(world: &mut World) -> Result<(), Failure> {
    world.object_store().await?;
    let first = world.declare("flushed", &archived("")).await?;
    for number in 0..KEYS {
        asked(&first, redis::cmd("SET").arg(format!("before:{number}")).arg(number)).await?;
    }
    let moment = Timestamp::now();
    until_archived(&first, moment).await?;
    asked(&first, &redis::cmd("FLUSHALL")).await?;
    asked(&first, redis::cmd("SET").arg("after").arg("x")).await?;
    until_archived(&first, Timestamp::now()).await?;

    let restore = format!(
        "apiVersion: strata.dev/v1alpha1\nkind: KVRestore\nmetadata:\n  name: before-flushall\nspec:\n  mode: NewCluster\n  source:\n    \
         objectStoreRef:\n      name: s3\n    path: default/flushed\n  target:\n    type: Time\n    time: {moment:?}\n",
        moment = moment.to_string()
    );
    world.kube.apply(&restore).await?;
    let policy = "  bootstrap:\n    policy: RestoreOnly\n    restoreRef:\n      name: before-flushall\n";
    let second = world.declare("recovered", &archived(policy)).await?;
    for number in 0..KEYS {
        let value = asked(&second, redis::cmd("GET").arg(format!("before:{number}"))).await?;
        Failure::unless(value == Value::BulkString(number.to_string().into_bytes()), || format!("before:{number} is {value:?}"))?;
    }
    let later = asked(&second, redis::cmd("EXISTS").arg("after")).await?;
    Failure::unless(later == Value::Int(0), || "a write from after the moment was restored".to_owned())?;
    let gone = asked(&first, redis::cmd("DBSIZE").arg(&[] as &[&str])).await?;
    Failure::unless(gone == Value::Int(1), || format!("the first cluster should hold one key, and holds {gone:?}"))?;
    world.kube.delete(&["kvrestore", "before-flushall"]).await?;
    world.remove(&second).await?;
    world.remove(&first).await
}

pub async fn wrong_credentials_are_named_and_right_ones_heal(world: &mut World) -> Result<(), Failure> {
    world.object_store().await?;
    let cluster = world.declare("locked-out", &archived("")).await?;
    set_secret(world, "wrong").await?;
    let is_named = |status: &KVClusterStatus| {
        let found = status.problems.iter().any(|problem| problem.class == ErrorClass::AccessDenied);
        if found { Ok(()) } else { Err(format!("its problems are {:?}", status.problems)) }
    };
    cluster.until(TROUBLE_DEADLINE, "names the wrong credentials", is_named).await?;
    let backup =
        "apiVersion: strata.dev/v1alpha1\nkind: KVBackup\nmetadata:\n  name: locked-out\nspec:\n  clusterRef:\n    name: locked-out\n";
    world.kube.apply(backup).await?;
    asked(&cluster, redis::cmd("SET").arg("hot").arg("path")).await?;
    let look = |backup: &KVBackup| match backup.status.clone().unwrap_or_default() {
        status if status.phase == JobPhase::Complete => Err("it is complete, though nobody could write".to_owned()),
        status => status.problem.map(|problem| problem.class).ok_or_else(|| format!("it is {:?}", status.phase)),
    };
    let class = world.kube.until("locked-out", TROUBLE_DEADLINE, "the backup says what holds it up", look).await?;
    Failure::unless(class == ErrorClass::AccessDenied, || format!("the backup waits for {class:?}"))?;

    set_secret(world, SECRET_KEY).await?;
    let look = |backup: &KVBackup| match backup.status.clone().unwrap_or_default() {
        status if status.phase == JobPhase::Complete => Ok(()),
        status => Err(format!("{:?}, {:?}", status.phase, status.problem)),
    };
    world.kube.until("locked-out", BACKUP_DEADLINE, "the backup is complete", look).await?;
    let is_healed = |status: &KVClusterStatus| if status.problems.is_empty() { Ok(()) } else { Err(format!("{:?}", status.problems)) };
    cluster.until(TROUBLE_DEADLINE, "has no problem any more", is_healed).await?;
    world.kube.delete(&["kvbackup", "locked-out"]).await?;
    world.remove(&cluster).await
}

pub async fn a_path_with_a_living_owner_is_refused(world: &mut World) -> Result<(), Failure> {
    world.object_store().await?;
    let owner = world.declare("owner", &archived("")).await?;
    let id = owner.status().await?.cluster_id.unwrap_or_default();
    let claimant = Cluster::new(&world.kube, "claimant");
    let more = archived("").replace("      name: s3\n", "      name: s3\n    path: default/owner\n");
    world.kube.apply(&manifest("claimant", &more)).await?;
    let is_refused = |status: &KVClusterStatus| {
        let problem = status.problems.iter().find(|problem| problem.class == ErrorClass::ForeignOwner);
        match problem {
            Some(problem) if problem.message.contains(&id) || problem.message.contains("owner") => Ok(()),
            _ => Err(format!("{:?}, {:?}", status.phase, status.problems)),
        }
    };
    let status = claimant.until(REFUSAL_DEADLINE, "is refused, naming the owner", is_refused).await?;
    Failure::unless(status.phase != ClusterPhase::Running, || "a second owner of one path runs".to_owned())?;
    asked(&owner, redis::cmd("SET").arg("still").arg("mine")).await?;
    world.remove(&claimant).await?;
    world.remove(&owner).await
}

/// Waits until every acknowledged write before a moment is in the bucket.
async fn until_archived(cluster: &Cluster, moment: Timestamp) -> Result<(), Failure> {
    let is_archived = |status: &KVClusterStatus| {
        let latest = status.recovery.as_ref().and_then(|recovery| recovery.latest.as_ref()).map(|latest| latest.0);
        if latest > Some(moment) { Ok(()) } else { Err(format!("recovery.latest is {latest:?}")) }
    };
    cluster.until(ARCHIVE_DEADLINE, &format!("is archived to {moment}"), is_archived).await.map(drop)
}

async fn set_secret(world: &World, key: &str) -> Result<(), Failure> {
    let patch = format!("{{\"stringData\":{{\"secretAccessKey\":{key:?}}}}}");
    world.kube.patch("secret", "s3-credentials", &patch).await
}

/// Asks until there is an answer: commands here may be given twice.
async fn asked(cluster: &Cluster, command: &Cmd) -> Result<Value, Failure> {
    let mut client = RedisClient::new(Door::Plain, Arc::new(cluster.endpoints().await?), 0);
    wait::until(ARCHIVE_DEADLINE, "a command is answered", async || client.ask(command).await).await
}
