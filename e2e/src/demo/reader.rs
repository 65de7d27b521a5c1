//! Reads many keys back, through a Redis Cluster client.

use super::load::{Expected, bar};
use crate::{
    failure::Failure,
    harness::{kubernetes::cluster::Cluster, wait},
    workload::client::{Outcome, SharedClient},
};
use futures_util::{StreamExt, stream};
use redis::{Value, from_redis_value};
use std::{collections::BTreeMap, time::Duration};

/// Reads under way.
const UNDER_WAY: usize = 256;

/// How often a read that failed is tried again: a read has no effect.
const ATTEMPTS: u32 = 100;

/// How long it may take until any of the reads under way ends.
const STUCK: Duration = Duration::from_secs(60);

/// The pause between two attempts.
const PAUSE: Duration = Duration::from_millis(50);

/// What kind of value a key has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A hash.
    Hash,
    /// A string.
    Text,
}

/// The values of keys that hold strings. Keys that are not there are missing.
pub async fn strings(cluster: &Cluster, keys: Vec<String>) -> Result<BTreeMap<String, String>, Failure> {
    let found = read(cluster, keys.into_iter().map(|key| (key, Shape::Text)).collect()).await?;
    let text = |(key, value)| match value {
        Expected::Text(text) => Some((key, text)),
        Expected::Hash(_) => None,
    };
    Ok(found.into_iter().filter_map(text).collect())
}

/// The values of keys. Keys that are not there are missing.
pub async fn read(cluster: &Cluster, keys: Vec<(String, Shape)>) -> Result<BTreeMap<String, Expected>, Failure> {
    let endpoints = cluster.endpoints().await?;
    let client = SharedClient::connect(&endpoints).await.map_err(Failure::of("connect to the cluster"))?;
    let bar = bar(keys.len() as u64);
    let mut all = BTreeMap::new();
    let mut found = stream::iter(keys).map(|(key, shape)| read_one(client.clone(), key, shape)).buffer_unordered(UNDER_WAY);
    let stuck = |done: u64| Failure::Late {
        what: "one of the reads under way ends".to_owned(),
        seconds: STUCK.as_secs(),
        seen: format!("{done} keys were read, and the rest of them waits: see which shard has no leader"),
    };
    while let Some(one) = tokio::time::timeout(STUCK, found.next()).await.map_err(|_| stuck(bar.position()))? {
        all.extend(one?);
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(all)
}

async fn read_one(client: SharedClient, key: String, shape: Shape) -> Result<Option<(String, Expected)>, Failure> {
    let command = match shape {
        Shape::Hash => redis::cmd("HGETALL").arg(&key).to_owned(),
        Shape::Text => redis::cmd("GET").arg(&key).to_owned(),
    };
    let mut reason = String::new();
    for _ in 0..ATTEMPTS {
        match client.call(&command).await {
            Outcome::Replied(value) => return Ok(parse(&key, shape, value)?.map(|value| (key, value))),
            Outcome::Failed(why) | Outcome::Unknown(why) => reason = why,
        }
        wait::pause(PAUSE).await;
    }
    Err(Failure::broken(format!("{key} cannot be read: {reason}")))
}

fn parse(key: &str, shape: Shape, value: Value) -> Result<Option<Expected>, Failure> {
    if value == Value::Nil {
        return Ok(None);
    }
    let understand = format!("understand what {key} holds");
    match shape {
        Shape::Text => Ok(Some(Expected::Text(from_redis_value(value).map_err(Failure::of(understand))?))),
        Shape::Hash => {
            let fields: BTreeMap<String, String> = from_redis_value(value).map_err(Failure::of(understand))?;
            Ok((!fields.is_empty()).then_some(Expected::Hash(fields)))
        }
    }
}
