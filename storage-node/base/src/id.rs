//! Ids and epochs. Each is a newtype, so that a peer cannot be passed for a shard.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// The text of an id was not sixteen hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not an id: expected 16 hexadecimal digits in lower case, such as 00000000000000a7")]
pub struct ParseIdError {
    /// What was given.
    pub text: String,
}

/// Ids that are written as sixteen hexadecimal digits, in JSON too: a u64 does not survive every JSON reader.
macro_rules! hex_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(out, "{:016x}", self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(out, "{:016x}", self.0)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                // One id has one text: the standard library would take a plus sign and capitals, too.
                let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
                match u64::from_str_radix(text, 16) {
                    Ok(raw) if text.len() == 16 && text.bytes().all(is_digit) => Ok($name(raw)),
                    _ => Err(ParseIdError { text: text.to_owned() }),
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = ParseIdError;

            fn try_from(text: String) -> Result<Self, ParseIdError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.to_string()
            }
        }
    };
}

hex_id! {
    /// A store: one disk of one storage node, drawn at random when the disk is first used. An emptied disk is a new store.
    StoreId
}
hex_id! {
    /// A shard of one incarnation of a cluster.
    ShardId
}
hex_id! {
    /// One life of a cluster under its bucket path.
    IncarnationId
}

/// A member of a shard's Raft group. Never used again once removed: a returning disk has forgotten its votes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PeerId(pub u64);

/// A table of a cluster. Table 0 is the default table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TableId(pub u32);

/// A number that makes older orders refusable: a receiver refuses what names a lower one than it has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub u64);

impl fmt::Display for PeerId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.0)
    }
}

impl fmt::Display for TableId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.0)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.0)
    }
}

impl ShardId {
    /// The id of a shard follows from its incarnation, table and ordinal, so that creating it twice is the same creation.
    ///
    /// The mixing function is the finaliser of SplitMix64 (Steele et al., 2014), applied once per part.
    pub const fn derive(incarnation: u64, table: u32, ordinal: u32) -> ShardId {
        ShardId(mix(mix(incarnation) ^ ((table as u64) << 32 | ordinal as u64)))
    }
}

const fn mix(input: u64) -> u64 {
    let word = input.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_survives_its_text() {
        let id = StoreId(0xa7);
        assert_eq!(id.to_string(), "00000000000000a7");
        assert_eq!("00000000000000a7".parse(), Ok(id));
    }

    #[test]
    fn text_that_is_no_id_is_named_in_the_error() {
        for text in ["", "a7", "00000000000000g7", "000000000000000a7", "+0000000000000a7", "00000000000000A7"] {
            let error = text.parse::<StoreId>().expect_err("must be refused");
            assert!(error.to_string().contains(text), "{error}");
        }
    }

    #[test]
    fn shards_of_one_incarnation_differ() {
        let mut ids: Vec<ShardId> = (0..1_000).map(|ordinal| ShardId::derive(7, 0, ordinal)).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 1_000);
    }
}
