//! A store of the simplest kind, for examples, golden scripts and models.

use crate::{
    Effect, Family, Read, ReadError,
    overlay::Visitor,
    session::{ClusterView, Node, NodeFacts},
};
use bytes::Bytes;
use std::collections::BTreeMap;

/// A tablet that is three ordered maps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MapStore {
    families: [BTreeMap<Vec<u8>, Bytes>; Family::ALL.len()],
    /// Keys, and keys with a time to live, as the effects counted them.
    pub counts: crate::Counts,
}

impl MapStore {
    /// Applies an effect.
    pub fn apply(&mut self, effect: &Effect) {
        match effect {
            Effect::Put { family, key, value } => {
                self.families[*family as usize].insert(key.to_vec(), value.clone());
            }
            Effect::Delete { family, key } => {
                self.families[*family as usize].remove(&key[..]);
            }
            Effect::DeleteRange { family, from, to } => {
                self.families[*family as usize].retain(|key, _| !(**from <= **key && **key < **to));
            }
            Effect::DropElements { prefix } => self.families[Family::Data as usize].retain(|key, _| !key.starts_with(prefix)),
            Effect::Count { keys, expires } => {
                self.counts.keys = self.counts.keys.saturating_add_signed(*keys);
                self.counts.expires = self.counts.expires.saturating_add_signed(*expires);
            }
            Effect::ResetCounts => self.counts = crate::Counts::default(),
            Effect::Command { .. } => {}
        }
    }

    /// The number of records of a family.
    pub fn len(&self, family: Family) -> usize {
        self.families[family as usize].len()
    }

    /// Whether no family holds a record.
    pub fn is_empty(&self) -> bool {
        self.families.iter().all(BTreeMap::is_empty)
    }
}

impl Read for MapStore {
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Bytes>, ReadError> {
        Ok(self.families[family as usize].get(key).cloned())
    }

    fn scan(&self, family: Family, from: &[u8], to: &[u8], visit: &mut Visitor<'_>) -> Result<(), ReadError> {
        if from < to {
            for (key, value) in self.families[family as usize].range(from.to_vec()..to.to_vec()) {
                if visit(key, value).is_break() {
                    break;
                }
            }
        }
        Ok(())
    }
}

/// A node that says what it was told to say.
#[derive(Clone, Debug, Default)]
pub struct FixedNode {
    /// Milliseconds since the Unix epoch.
    pub now_ms: u64,
    /// What INFO shows.
    pub facts: NodeFacts,
    /// Who leads which slots.
    pub cluster: ClusterView,
    /// The password of `default`, if one is needed.
    pub password: Option<Bytes>,
    /// The answer of WAIT.
    pub replicas: u64,
}

impl Node for FixedNode {
    fn now_ms(&self) -> u64 {
        self.now_ms
    }

    fn facts(&self) -> NodeFacts {
        self.facts.clone()
    }

    fn cluster(&self) -> ClusterView {
        self.cluster.clone()
    }

    fn requires_password(&self) -> bool {
        self.password.is_some()
    }

    fn check_password(&self, user: &[u8], password: &[u8]) -> bool {
        user == b"default" && self.password.as_ref().is_some_and(|right| right == password)
    }

    fn replicas_holding_writes(&self) -> u64 {
        self.replicas
    }
}
