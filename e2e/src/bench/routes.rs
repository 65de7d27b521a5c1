//! Which keys of a load lie where: by CLUSTER SLOTS, as a smart client learns it.

use crate::{
    failure::Failure,
    harness::wait,
    workload::{
        client::{Door, Endpoints, RedisClient},
        slot::slot_of,
    },
};
use redis::Value;
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use strata_base::SLOT_COUNT;

/// How long it may take until every slot is said to be led.
const ROUTES_DEADLINE: Duration = Duration::from_secs(20);

/// The length of every key, in bytes.
pub const KEY_BYTES: usize = 16;

/// A key by its number.
pub fn key_name(number: u32) -> String {
    format!("key:{number:012}")
}

/// The nodes of a cluster, and the keys that each leads. No node is without keys.
#[derive(Clone, Debug)]
pub struct Routes {
    seeds: Arc<Endpoints>,
    count: u32,
    nodes: Vec<(String, Vec<u32>)>,
}

impl Routes {
    /// Asks for the slots, and deals keys 0 to `count` out.
    pub async fn ask(seeds: Arc<Endpoints>, count: u32) -> Result<Routes, Failure> {
        let leaders = wait::until(ROUTES_DEADLINE, "CLUSTER SLOTS names a leader of every slot", async || {
            // The one port of redis-server serves both kinds of clients; a plain one does not learn the slots before it asks for them.
            let plain = Arc::new(Endpoints { plain: seeds.cluster.clone(), cluster: Vec::new() });
            let slots = RedisClient::new(Door::Plain, plain, 0).ask(redis::cmd("CLUSTER").arg("SLOTS")).await?;
            leaders(&slots).ok_or_else(|| format!("{slots:?}"))
        })
        .await?;
        let mut nodes: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
        for key in 0..count {
            nodes.entry(&leaders[usize::from(slot_of(&key_name(key)))]).or_default().push(key);
        }
        let nodes = nodes.into_iter().map(|(node, keys)| (node.to_owned(), keys)).collect();
        Ok(Routes { seeds, count, nodes })
    }

    /// The same keys, where they are now.
    pub async fn again(&self) -> Result<Routes, Failure> {
        Routes::ask(self.seeds.clone(), self.count).await
    }

    /// All nodes with their keys.
    pub fn nodes(&self) -> impl Iterator<Item = (&str, &[u32])> {
        self.nodes.iter().map(|(node, keys)| (node.as_str(), keys.as_slice()))
    }

    /// The node of the connection of this number, and its keys.
    pub fn node(&self, connection: usize) -> (&str, &[u32]) {
        let (node, keys) = &self.nodes[connection % self.nodes.len()];
        (node, keys)
    }
}

/// The leader of every slot, if each has one.
fn leaders(slots: &Value) -> Option<Vec<String>> {
    let Value::Array(ranges) = slots else { return None };
    let mut leaders = vec![None; usize::from(SLOT_COUNT)];
    for range in ranges {
        let Value::Array(range) = range else { return None };
        let [Value::Int(first), Value::Int(last), Value::Array(node), ..] = &range[..] else { return None };
        let [Value::BulkString(host), Value::Int(port), ..] = &node[..] else { return None };
        // redis-server of a cluster of one does not know its own address.
        let host = if host.is_empty() { "127.0.0.1" } else { std::str::from_utf8(host).ok()? };
        let slots = usize::try_from(*first).ok()?..=usize::try_from(*last).ok()?;
        leaders.get_mut(slots)?.fill(Some(format!("{host}:{port}")));
    }
    leaders.into_iter().collect()
}
