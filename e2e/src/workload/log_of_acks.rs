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

/// Acknowledged keys.
#[derive(Debug, Default)]
pub struct Acks {
    keys: Vec<String>,
}

impl Acks {
    /// Adds what another client knows.
    pub fn append(&mut self, mut other: Acks) {
        self.keys.append(&mut other.keys);
    }

    /// How many keys were acknowledged.
    pub fn count(&self) -> usize {
        self.keys.len()
    }

    /// Reads every acknowledged key back from a cluster that is at rest, through both doors and all nodes.
    pub async fn judge(&self, endpoints: &Arc<Endpoints>) -> Result<(), Failure> {
        let mut readers = JoinSet::new();
        for (nth, keys) in self.keys.chunks(self.keys.len().div_ceil(READERS).max(1)).enumerate() {
            let door = if nth % 2 == 0 { Door::Plain } else { Door::Cluster };
            let (mut client, keys) = (RedisClient::new(door, endpoints.clone(), nth / 2), keys.to_vec());
            readers.spawn(async move {
                for key in keys {
                    let value = read(&mut client, &key).await?;
                    if value != Value::BulkString(value_of(&key).into_bytes()) {
                        return Err(Failure::broken(format!("{key} was acknowledged, and reads as {value:?}")));
                    }
                }
                Ok(())
            });
        }
        while let Some(verdict) = readers.join_next().await {
            verdict.map_err(Failure::of("read the acknowledged keys"))??;
        }
        Ok(())
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
    for nth in 0..KEYS_MAX {
        if !progress.goes_on() {
            break;
        }
        beat.tick().await;
        let key = format!("ack-{number}-{nth}");
        let outcome = client.call(redis::cmd("SET").arg(&key).arg(value_of(&key))).await;
        if matches!(outcome, Outcome::Replied(_)) {
            acks.keys.push(key);
        }
        progress.count(&outcome).await;
    }
    acks
}
