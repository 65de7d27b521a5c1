//! Clients that write from the backup to the end of the story, each with its own log of what was acknowledged and when.

use super::{reader, stage::Done};
use crate::{
    failure::Failure,
    harness::{kubernetes::cluster::Cluster, wait},
    workload::client::{Door, Endpoints, Outcome, RedisClient},
};
use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};
use tokio::{
    task::JoinSet,
    time::{Interval, MissedTickBehavior},
};

/// Clients side by side.
const WRITERS: usize = 8;

/// The shortest time between two writes of one client.
const BEAT: Duration = Duration::from_millis(5);

/// The pause after a write that failed.
const PAUSE: Duration = Duration::from_millis(20);

/// Writes at most, by one client.
const WRITES_MAX: u64 = 200_000;

/// How long the clients may take to notice that they shall end.
const FINISH_DEADLINE: Duration = Duration::from_secs(30);

/// How long the first acknowledged writes may take.
const START_DEADLINE: Duration = Duration::from_secs(20);

/// A write that was acknowledged.
#[derive(Clone, Debug)]
pub struct Ack {
    /// Its key, which was written this once. The value follows from it.
    pub key: String,
    /// When the acknowledgement came: milliseconds since the Unix epoch.
    pub at_millis: i64,
}

/// Clients at work. Dropping it ends them.
pub struct Writer {
    acks: Arc<Mutex<Vec<Ack>>>,
    is_ended: Arc<AtomicBool>,
    tasks: JoinSet<()>,
}

/// Starts writing, and waits until some of it was acknowledged.
pub async fn start(cluster: &Cluster) -> Done<Writer> {
    let endpoints = Arc::new(cluster.endpoints().await?);
    let mut writer = Writer { acks: Arc::default(), is_ended: Arc::default(), tasks: JoinSet::new() };
    for number in 0..WRITERS {
        let (endpoints, acks, is_ended) = (endpoints.clone(), writer.acks.clone(), writer.is_ended.clone());
        writer.tasks.spawn(write(number, endpoints, acks, is_ended));
    }
    wait::until(START_DEADLINE, "writes are acknowledged", async || match writer.count() {
        0..100 => Err(format!("{} were", writer.count())),
        _ => Ok(()),
    })
    .await?;
    Ok((writer, format!("{WRITERS} clients, to the end of the story")))
}

async fn write(number: usize, endpoints: Arc<Endpoints>, acks: Arc<Mutex<Vec<Ack>>>, is_ended: Arc<AtomicBool>) {
    let mut client = RedisClient::new(Door::Cluster, endpoints, number);
    let mut beat = beat();
    for nth in 0..WRITES_MAX {
        if is_ended.load(Ordering::Relaxed) {
            return;
        }
        beat.tick().await;
        let key = format!("story:{number}:{nth}");
        match client.call(redis::cmd("SET").arg(&key).arg(value_of(&key))).await {
            Outcome::Replied(_) => {
                acks.lock().unwrap_or_else(PoisonError::into_inner).push(Ack { key, at_millis: now_millis() });
            }
            Outcome::Failed(_) | Outcome::Unknown(_) => wait::pause(PAUSE).await,
        }
    }
}

fn beat() -> Interval {
    let mut beat = tokio::time::interval(BEAT);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    beat
}

/// A value follows from its key, so that a mix-up is seen.
pub fn value_of(key: &str) -> String {
    format!("what the story wrote to {key} {}", ".".repeat(80))
}

/// Milliseconds since the Unix epoch.
pub fn now_millis() -> i64 {
    SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_millis() as i64)
}

impl Writer {
    /// Writes that were acknowledged so far.
    pub fn count(&self) -> usize {
        self.acks.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Reads back everything that was acknowledged until now, while it goes on.
    pub async fn check_all(&self, cluster: &Cluster) -> Done<()> {
        let acks = self.acks.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let keys = acks.iter().map(|ack| ack.key.clone()).collect();
        let found = reader::strings(cluster, keys).await?;
        let lost: Vec<&Ack> = acks.iter().filter(|ack| found.get(&ack.key) != Some(&value_of(&ack.key))).collect();
        let sentence = || format!("{} of {} acknowledged writes are gone, such as {:?}", lost.len(), acks.len(), lost[0]);
        Failure::unless(lost.is_empty(), sentence)?;
        Ok(((), format!("all {} acknowledged writes are there", acks.len())))
    }

    /// Ends the clients after their present write, and gives the log.
    pub async fn finish(mut self) -> Done<Vec<Ack>> {
        self.is_ended.store(true, Ordering::Relaxed);
        let all = async { while self.tasks.join_next().await.is_some() {} };
        let late = |_| Failure::broken("a writer did not end");
        tokio::time::timeout(FINISH_DEADLINE, all).await.map_err(late)?;
        let acks = std::mem::take(&mut *self.acks.lock().unwrap_or_else(PoisonError::into_inner));
        let words = format!("{} writes were acknowledged", acks.len());
        Ok((acks, words))
    }
}
