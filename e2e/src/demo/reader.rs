//! Reads many keys back, through a Redis Cluster client.

use super::load::{Expected, bar};
use crate::{
    failure::Failure,
    harness::{kubernetes::cluster::Cluster, wait},
    workload::client::{Door, RedisClient},
};
use indicatif::ProgressBar;
use redis::{Value, from_redis_value};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::task::JoinSet;

/// Clients side by side.
const READERS: usize = 48;

/// How often a read that failed is tried again: a read has no effect.
const ATTEMPTS: u32 = 300;

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
    let endpoints = Arc::new(cluster.endpoints().await?);
    let bar = bar(keys.len() as u64);
    let mut readers = JoinSet::new();
    for (nth, share) in keys.chunks(keys.len().div_ceil(READERS).max(1)).enumerate() {
        let client = RedisClient::new(Door::Cluster, endpoints.clone(), nth);
        readers.spawn(read_share(client, share.to_vec(), bar.clone()));
    }
    let mut all = BTreeMap::new();
    while let Some(ended) = readers.join_next().await {
        all.append(&mut ended.map_err(Failure::of("wait for a reading client"))??);
    }
    bar.finish_and_clear();
    Ok(all)
}

async fn read_share(mut client: RedisClient, keys: Vec<(String, Shape)>, bar: ProgressBar) -> Result<BTreeMap<String, Expected>, Failure> {
    let mut found = BTreeMap::new();
    for (key, shape) in keys {
        if let Some(value) = read_one(&mut client, &key, shape).await? {
            found.insert(key, value);
        }
        bar.inc(1);
    }
    Ok(found)
}

async fn read_one(client: &mut RedisClient, key: &str, shape: Shape) -> Result<Option<Expected>, Failure> {
    let command = match shape {
        Shape::Hash => redis::cmd("HGETALL").arg(key).to_owned(),
        Shape::Text => redis::cmd("GET").arg(key).to_owned(),
    };
    let mut reason = String::new();
    for _ in 0..ATTEMPTS {
        match client.ask(&command).await {
            Ok(value) => return parse(key, shape, value),
            Err(why) => reason = why,
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
