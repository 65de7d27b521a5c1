//! A store of the simplest kind, for examples, golden scripts and models.

use crate::{Effect, Family, Read, ReadError, overlay::Visitor};
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
