//! Calls over several shards, for the plain port: cut into one call per shard, and merged into one reply.
//!
//! MGET, MSET, DEL, UNLINK, EXISTS and TOUCH are cut by the slots of their keys. Each part is atomic, the whole is not: what every Redis
//! Cluster client does on its own side. Whatever must be atomic (MSETNX, RENAME, COPY) is refused where its keys lie in several slots, as in
//! a cluster, even if one shard has all of them: shards are split as they grow, and a call must not begin to fail then.

use crate::{
    ErrorReply, Reply,
    command::{Call, Keys, Merge, Run, Split},
    slot,
};
use std::collections::BTreeMap;

/// What one shard evaluates of a call.
#[derive(Clone, Debug)]
pub struct Part {
    /// The shard, as `shard_of` numbered it.
    pub shard: usize,
    /// The call with this shard's keys only.
    pub call: Call,
    /// Which of the whole call's keys they are, in the order of the part's own.
    pub key_order: Vec<usize>,
}

impl Call {
    /// Cuts a call of [`Run::Keyed`] by shards, in the order of their first keys. `shard_of` numbers the shard of a slot.
    pub fn split(&self, shard_of: impl Fn(u16) -> usize) -> Result<Vec<Part>, ErrorReply> {
        let Run::Keyed { split: Split::PerShard(_), .. } = self.spec.run else {
            let slot = self.slot()?.unwrap_or_default();
            let key_order = (0..self.key_positions().count()).collect();
            return Ok(vec![Part { shard: shard_of(slot), call: self.clone(), key_order }]);
        };
        let Keys { first, step, .. } = self.spec.keys;
        let mut parts: Vec<Part> = Vec::new();
        let mut place_of = BTreeMap::new();
        for (index, position) in self.key_positions().enumerate() {
            let shard = shard_of(slot::slot_of(&self.arguments[position]));
            let place = *place_of.entry(shard).or_insert_with(|| {
                let call = Call { spec: self.spec, arguments: self.arguments[..first].to_vec() };
                parts.push(Part { shard, call, key_order: Vec::new() });
                parts.len() - 1
            });
            // A key, and what belongs to it. The last pair may lack its value: each part then answers what the whole would.
            let end = (position + step).min(self.arguments.len());
            parts[place].call.arguments.extend_from_slice(&self.arguments[position..end]);
            parts[place].key_order.push(index);
        }
        Ok(parts)
    }

    /// Makes one reply of the parts' replies, each with its part's key order (empty for a call of [`Run::EveryShard`], whose parts are whole
    /// calls). The first error is the reply where there is one.
    pub fn merge(&self, replies: Vec<(Vec<usize>, Reply)>) -> Reply {
        let merge = match self.spec.run {
            Run::Keyed { split: Split::PerShard(merge), .. } | Run::EveryShard { merge, .. } => merge,
            _ => {
                let only = replies.into_iter().next();
                return only.map_or(Reply::Null, |(_, reply)| reply);
            }
        };
        if let Some((_, error)) = replies.iter().find(|(_, reply)| matches!(reply, Reply::Error(_))) {
            return error.clone();
        }
        match merge {
            Merge::AllOk => Reply::OK,
            Merge::Sum => {
                Reply::Integer(replies.iter().map(|(_, reply)| if let Reply::Integer(number) = reply { *number } else { 0 }).sum())
            }
            Merge::Concatenate => Reply::Array(replies.into_iter().flat_map(|(_, reply)| items(reply)).collect()),
            Merge::InKeyOrder => {
                let count = replies.iter().map(|(key_order, _)| key_order.len()).sum();
                let mut whole = vec![Reply::Null; count];
                for (key_order, reply) in replies {
                    for (index, item) in key_order.into_iter().zip(items(reply)) {
                        whole[index] = item;
                    }
                }
                Reply::Array(whole)
            }
        }
    }
}

fn items(reply: Reply) -> Vec<Reply> {
    if let Reply::Array(items) = reply { items } else { Vec::new() }
}
