//! Hash slots and hash tags, as in Redis Cluster.

use crc::{CRC_16_XMODEM, Crc};
use strata_base::SLOT_COUNT;
use xxhash_rust::xxh3::xxh3_64;

const CRC16: Crc<u16> = Crc::<u16>::new(&CRC_16_XMODEM);

/// The part of a key that decides where it lies: what stands between the first `{` and the next `}`, or the whole key where that is empty
/// or absent. (Redis Cluster specification, "Hash tags".)
pub fn hash_tag(key: &[u8]) -> &[u8] {
    let tag = key.iter().position(|byte| *byte == b'{').and_then(|open| {
        let rest = &key[open + 1..];
        rest.iter().position(|byte| *byte == b'}').map(|close| &rest[..close])
    });
    tag.filter(|tag| !tag.is_empty()).unwrap_or(key)
}

/// The slot of a key.
pub fn slot_of(key: &[u8]) -> u16 {
    slot_of_tag(hash_tag(key))
}

/// The slot of all keys of a tag.
pub(crate) fn slot_of_tag(tag: &[u8]) -> u16 {
    CRC16.checksum(tag) % SLOT_COUNT
}

/// The 32 bits that order the tags of a slot: keys of one tag lie together, different tags apart.
pub(crate) fn hash_of_tag(tag: &[u8]) -> u32 {
    (xxh3_64(tag) >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_redis() {
        // CLUSTER KEYSLOT of redis-server 7.0.
        for (key, slot) in [("foo", 12_182), ("user1000", 3_443), ("{user1000}.following", 3_443), ("foo{}{bar}", 8_363), ("", 0)] {
            assert_eq!(slot_of(key.as_bytes()), slot, "slot of {key:?}");
        }
    }

    #[test]
    fn the_tag_is_the_first_non_empty_pair_of_braces() {
        for (key, tag) in [("{a}b", "a"), ("x{a}{b}", "a"), ("{}a", "{}a"), ("{a", "{a"), ("a}b{c}", "c"), ("foo{{bar}}zap", "{bar")] {
            assert_eq!(hash_tag(key.as_bytes()), tag.as_bytes(), "tag of {key:?}");
        }
    }
}
