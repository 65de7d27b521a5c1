//! The pod that leads most shards dies, and writes to every shard go on.

use super::stage::Done;
use crate::{
    failure::Failure,
    harness::{
        kubernetes::{cluster::Cluster, lab::Lab},
        wait,
    },
    workload::{
        client::{Door, Outcome, RedisClient},
        slot::key_within,
    },
};
use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use strata_base::SlotRange;
use tokio::task::JoinSet;

/// How long writes may pause, in seconds.
pub const GAP_MAX_SECONDS: f64 = 2.0;

/// How long a shard may take to be written again before the measurement is given up.
const PROBE_DEADLINE: Duration = Duration::from_secs(30);

/// The pause between two writes of a probe.
const BEAT: Duration = Duration::from_millis(10);

/// Kills it, and gives the longest time that any shard was not written.
pub async fn kill(lab: &Lab, cluster: &Cluster) -> Done<f64> {
    let shards = cluster.status().await?.shards.unwrap_or_default().total;
    let victim = cluster.busiest().await?;
    let probes = Probes::start(cluster, u16::try_from(shards).unwrap_or(1)).await?;
    probes.until_all_written_since(Instant::now()).await?;
    let restarts = cluster.restarts_of(&victim.pod).await?;
    lab.kill(&[&victim.pod]).await?;
    probes.until_all_written_since(Instant::now()).await?;
    cluster.until_restarted(&victim.pod, restarts).await?;
    cluster.until_whole().await?;
    let gap = probes.longest_gap().as_secs_f64();
    let words = format!("{} led {} of {shards} shards; the longest pause of any shard was {gap:.2} s", victim.pod, victim.leaders);
    Ok((gap, words))
}

/// What one probe has seen.
#[derive(Debug)]
struct Seen {
    last: Instant,
    longest: Duration,
}

/// A client for every shard, that writes one key of it again and again.
struct Probes {
    seen: Vec<Arc<Mutex<Seen>>>,
    is_ended: Arc<AtomicBool>,
    _tasks: JoinSet<()>,
}

impl Probes {
    async fn start(cluster: &Cluster, shards: u16) -> Result<Probes, Failure> {
        let endpoints = Arc::new(cluster.endpoints().await?);
        let mut probes = Probes { seen: Vec::new(), is_ended: Arc::default(), _tasks: JoinSet::new() };
        for (nth, slots) in SlotRange::split_evenly(shards).into_iter().enumerate() {
            let seen = Arc::new(Mutex::new(Seen { last: Instant::now(), longest: Duration::ZERO }));
            probes.seen.push(seen.clone());
            let client = RedisClient::new(Door::Cluster, endpoints.clone(), nth);
            probes._tasks.spawn(probe(client, key_within(slots, "probe:"), seen, probes.is_ended.clone()));
        }
        probes.until_all_written_since(Instant::now()).await?;
        // What connecting took is no pause of a shard.
        for seen in &probes.seen {
            lock(seen).longest = Duration::ZERO;
        }
        Ok(probes)
    }

    /// Waits until every shard was written after a moment.
    async fn until_all_written_since(&self, moment: Instant) -> Result<(), Failure> {
        wait::until(PROBE_DEADLINE, "every shard is written", async || {
            let waiting = self.seen.iter().filter(|seen| lock(seen).last <= moment).count();
            if waiting == 0 { Ok(()) } else { Err(format!("{waiting} shards are not")) }
        })
        .await
    }

    fn longest_gap(&self) -> Duration {
        self.is_ended.store(true, Ordering::Relaxed);
        self.seen.iter().map(|seen| lock(seen).longest).max().unwrap_or_default()
    }
}

fn lock(seen: &Mutex<Seen>) -> std::sync::MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn probe(mut client: RedisClient, key: String, seen: Arc<Mutex<Seen>>, is_ended: Arc<AtomicBool>) {
    for number in 0_u64.. {
        if is_ended.load(Ordering::Relaxed) {
            return;
        }
        if let Outcome::Replied(_) = client.call(redis::cmd("SET").arg(&key).arg(number)).await {
            let mut seen = lock(&seen);
            seen.longest = seen.longest.max(seen.last.elapsed());
            seen.last = Instant::now();
        }
        wait::pause(BEAT).await;
    }
}
