//! What a restored life begins with: the keys of the lives before it, as its tablets hold them at their cuts. In the history each key of each life is a
//! key of its own, which begins with what was found there; so a life goes on from a prefix of the one before, and is judged like the first one.

use super::{Simulation, client::Crowd, queue::MILLI};
use crate::history::{Call, Fate, Operation};
use bytes::Bytes;
use serde_json::{Value, json};
use std::sync::Arc;
use strata_base::{Hlc, ShardId};
use strata_engine::tablet::Tablet;
use strata_kv::{Overlay, Reply, View, command};
use strata_node::bridge::TabletReader;

/// Who is said to have written what was found: no client.
pub const FINDER: u32 = u32::MAX;

impl Simulation {
    /// A tablet has reached its cut, with all commands up to `hlc`: the first of its shard says what clients of this life begin with.
    pub(super) fn inherit(&mut self, shard: ShardId, tablet: &Arc<dyn Tablet>, hlc: Hlc) {
        let is_known = self.hand.shards.iter().any(|(known, _)| *known == shard);
        if !is_known || !self.crowd.inherited.insert(shard) {
            return;
        }
        let keys: Vec<String> = self.crowd.known.iter().filter(|key| self.shard_of(key) == shard).cloned().collect();
        let now = self.queue.now();
        for key in keys {
            let held = held(tablet, hlc, &key);
            self.crowd.begin_with(&key, held, now);
        }
    }
}

impl Crowd {
    /// The key of this life by which a history knows a key.
    pub(super) fn of_life(&self, key: &str) -> String {
        if self.life == 0 { key.to_owned() } else { format!("{key}@{}", self.life) }
    }

    fn begin_with(&mut self, key: &str, held: Vec<(Call, Value)>, now: u64) {
        if let Some((Call { name: "set", arguments }, _)) = held.first() {
            self.account.begin(key, &arguments[0]);
        }
        let nanos = Crowd::nanos(now);
        for (call, reply) in held {
            let (key, fate) = (self.of_life(key), Fate::Ok(reply));
            self.history.record(Operation { client: FINDER, key, call, start_nanos: nanos, end_nanos: nanos, fate });
        }
    }

    /// A moment, in nanoseconds since the Unix epoch.
    pub(super) fn nanos(micros: u64) -> u64 {
        (super::node::EPOCH_MILLIS * MILLI + micros) * 1_000
    }
}

/// The commands that would make a key what a tablet holds, and their replies.
fn held(tablet: &Arc<dyn Tablet>, hlc: Hlc, key: &str) -> Vec<(Call, Value)> {
    let ask = |name: &'static str| ask(tablet, hlc, name, key);
    let expires_ms = if let Reply::Integer(millis @ 0..) = ask("pexpiretime") { Some(millis) } else { None };
    match ask("type") {
        Reply::Status("string") => {
            let mut arguments = vec![text(&ask("get"))];
            arguments.extend(expires_ms.into_iter().flat_map(|millis| ["PXAT".to_owned(), millis.to_string()]));
            vec![(Call { name: "set", arguments }, json!("OK"))]
        }
        Reply::Status("hash") => {
            let Reply::Map(pairs) = ask("hgetall") else { return Vec::new() };
            let arguments = pairs.iter().flat_map(|(field, value)| [text(field), text(value)]).collect();
            let made = (Call { name: "hset", arguments }, json!(pairs.len()));
            let expiry = expires_ms.map(|millis| (Call::with("pexpireat", millis), json!(1)));
            [made].into_iter().chain(expiry).collect()
        }
        _ => Vec::new(),
    }
}

fn ask(tablet: &Arc<dyn Tablet>, hlc: Hlc, name: &'static str, key: &str) -> Reply {
    let (reader, mut nothing) = (TabletReader(tablet.clone()), Overlay::default());
    let mut view = View::new(&reader, &mut nothing, hlc);
    let words = [name, key].map(|word| Bytes::copy_from_slice(word.as_bytes()));
    command::parse(words.to_vec()).map_or(Reply::Null, |call| call.evaluate(&mut view))
}

fn text(reply: &Reply) -> String {
    if let Reply::Bulk(bytes) = reply { String::from_utf8_lossy(bytes).into_owned() } else { format!("unexpected {reply:?}") }
}
