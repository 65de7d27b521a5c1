//! Ever new keys: every one that was acknowledged is readable at the end.

use super::{
    Progress,
    client::{Door, Endpoints, Outcome, RedisClient},
};
use crate::failure::Failure;
use redis::Value;
use std::sync::Arc;
use tokio::{task::JoinSet, time::Interval};

/// Keys at most, by one client.
const KEYS_MAX: u64 = 20_000;

/// How often a key is asked for before it counts as unreadable: the cluster is at rest, so any refusal passes at once.
const READ_ATTEMPTS: u32 = 10;

/// Clients that read back side by side.
const READERS: usize = 8;

/// A key that was acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ack {
    /// The key.
    pub key: String,
    /// When its write was sent, in milliseconds since the Unix epoch.
    pub sent_millis: u64,
    /// When its client learnt that it is done, which is after the cluster acknowledged it.
    pub acknowledged_millis: u64,
}

/// Acknowledged keys.
#[derive(Debug, Default)]
pub struct Acks {
    acks: Vec<Ack>,
}

impl Acks {
    /// Adds what another client knows.
    pub fn append(&mut self, mut other: Acks) {
        self.acks.append(&mut other.acks);
    }

    /// One of so many of them.
    #[must_use]
    pub fn one_in(&self, many: usize) -> Acks {
        Acks { acks: self.acks.iter().step_by(many).cloned().collect() }
    }

    /// Forgets all others.
    pub fn retain(&mut self, is_kept: impl Fn(&Ack) -> bool) {
        self.acks.retain(is_kept);
    }

    /// How many keys were acknowledged.
    pub fn count(&self) -> usize {
        self.acks.len()
    }

    /// What was acknowledged, in no particular order.
    pub fn all(&self) -> &[Ack] {
        &self.acks
    }

    /// Reads every acknowledged key back from a cluster that is at rest, through both doors and all nodes.
    pub async fn judge(&self, endpoints: &Arc<Endpoints>) -> Result<(), Failure> {
        match self.missing(endpoints).await?.first() {
            None => Ok(()),
            Some(lost) => Err(Failure::broken(format!("{} was acknowledged, and reads as nothing", lost.key))),
        }
    }

    /// After a loss: everything acknowledged before the moment that was promised for its key must be there. Returns how many later writes are
    /// missing, which is no breach.
    pub async fn judge_after_loss(&self, endpoints: &Arc<Endpoints>, promised_millis: impl Fn(&str) -> u64) -> Result<usize, Failure> {
        let missing = self.missing(endpoints).await?;
        let broken: Vec<&Ack> = missing.iter().filter(|lost| lost.acknowledged_millis < promised_millis(&lost.key)).collect();
        match broken.first() {
            None => Ok(missing.len()),
            Some(lost) => {
                let (count, promised) = (broken.len(), promised_millis(&lost.key));
                Err(Failure::broken(format!("{count} writes were promised and are lost, one of them {lost:?}, promised up to {promised}")))
            }
        }
    }

    /// Which keys read as nothing; one that reads as something else is a breach.
    async fn missing(&self, endpoints: &Arc<Endpoints>) -> Result<Vec<Ack>, Failure> {
        let mut readers = JoinSet::new();
        for (nth, acks) in self.acks.chunks(self.acks.len().div_ceil(READERS).max(1)).enumerate() {
            let door = if nth % 2 == 0 { Door::Plain } else { Door::Cluster };
            let (mut client, acks) = (RedisClient::new(door, endpoints.clone(), nth / 2), acks.to_vec());
            readers.spawn(async move {
                let mut missing = Vec::new();
                for ack in acks {
                    match read(&mut client, &ack.key).await? {
                        Value::Nil => missing.push(ack),
                        value if value == Value::BulkString(value_of(&ack.key).into_bytes()) => {}
                        value => return Err(Failure::broken(format!("{} was acknowledged, and reads as {value:?}", ack.key))),
                    }
                }
                Ok(missing)
            });
        }
        let mut missing = Vec::new();
        while let Some(verdict) = readers.join_next().await {
            missing.append(&mut verdict.map_err(Failure::of("read the acknowledged keys"))??);
        }
        Ok(missing)
    }
}

async fn read(client: &mut RedisClient, key: &str) -> Result<Value, Failure> {
    let mut reason = String::new();
    for _ in 0..READ_ATTEMPTS {
        match client.ask(redis::cmd("GET").arg(key)).await {
            Ok(value) => return Ok(value),
            Err(error) => reason = error,
        }
    }
    Err(Failure::broken(format!("{key} cannot be read from a cluster at rest: {reason}")))
}

/// A key's value follows from the key, so that a mix-up is seen.
fn value_of(key: &str) -> String {
    format!("value of {key}")
}

pub(super) async fn run(number: u32, mut client: RedisClient, mut beat: Interval, progress: &Progress) -> Acks {
    let mut acks = Acks::default();
    let page = progress.page();
    for nth in 0..KEYS_MAX {
        if !progress.goes_on() {
            break;
        }
        beat.tick().await;
        let key = format!("ack-{page}-{number}-{nth}");
        let sent_millis = progress.millis();
        let outcome = client.call(redis::cmd("SET").arg(&key).arg(value_of(&key))).await;
        if matches!(outcome, Outcome::Replied(_)) {
            acks.acks.push(Ack { key, sent_millis, acknowledged_millis: progress.millis() });
        }
        progress.count(&outcome).await;
    }
    acks
}
