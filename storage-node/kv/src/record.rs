//! The encoding of keys and records: a public format, version 1.
//!
//! ```text
//! meta    key    slot(2) h(4) user-key
//!         value  version(1)=1 type(1) flags(1) hlc(8) [expire_ms(8)] body
//!                body of a string: its bytes; of a hash: size(8) creation(8)
//! data    key    slot(2) h(4) escaped(user-key) creation(8) element
//!                element of a hash: xxh3_64(field)(8) field
//!         value  hlc(8) value
//! expiry  key    expire_ms(8) slot(2) h(4) user-key          value  empty
//! ```
//!
//! All numbers are big-endian, so that byte order is their order. `h` is the upper half of xxh3_64 of the key's hash tag: keys of one tag lie
//! together. `escaped` writes 0x00 as 0x00 0xff and ends with 0x00 0x00, so that no key is a prefix of another. `creation` is the HLC of
//! the command that created the collection: deleting a collection and creating it anew changes it, so old elements are out of reach at once.
//! `hlc` is that of the record's last write: freezing, hydrating and restoring compare it.

use crate::{
    ReadError,
    slot::{hash_of_tag, hash_tag, slot_of_tag},
};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use strata_base::{Hlc, SlotRange};
use xxhash_rust::xxh3::xxh3_64;

/// The version of the encoding that this build writes.
pub const VERSION: u8 = 1;

const FLAG_EXPIRES: u8 = 1;
const STRING: u8 = 1;
const HASH: u8 = 2;
const PLACE_BYTES: usize = 6;

/// What a Redis key holds: a meta record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The HLC of the last write to the key, elements included.
    pub hlc: Hlc,
    /// When the key expires, in milliseconds since the Unix epoch.
    pub expire_ms: Option<u64>,
    /// The value, or the state of a collection.
    pub body: Body,
}

/// The type-specific part of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// A string's bytes.
    String(Bytes),
    /// A hash.
    Hash(Collection),
}

/// The state of a collection whose elements lie in the data family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Collection {
    /// The number of elements; never 0, since an empty collection does not exist.
    pub size: u64,
    /// The HLC of the command that created it: the version that prefixes its elements.
    pub creation: Hlc,
}

impl Body {
    /// The name that TYPE answers.
    pub const fn type_name(&self) -> &'static str {
        match self {
            Body::String(_) => "string",
            Body::Hash(_) => "hash",
        }
    }

    const fn type_number(&self) -> u8 {
        match self {
            Body::String(_) => STRING,
            Body::Hash(_) => HASH,
        }
    }
}

impl Record {
    /// Whether the key is expired at a time, in milliseconds since the Unix epoch. As in Redis, its last millisecond still counts.
    pub fn is_expired_at(&self, now_ms: u64) -> bool {
        self.expire_ms.is_some_and(|expire_ms| now_ms > expire_ms)
    }

    /// The value of the meta family.
    pub fn encode(&self) -> Bytes {
        let body_bytes = match &self.body {
            Body::String(value) => value.len(),
            Body::Hash(_) => 16,
        };
        let mut out = BytesMut::with_capacity(19 + body_bytes);
        out.put_u8(VERSION);
        out.put_u8(self.body.type_number());
        out.put_u8(if self.expire_ms.is_some() { FLAG_EXPIRES } else { 0 });
        out.put_u64(self.hlc.as_u64());
        if let Some(expire_ms) = self.expire_ms {
            out.put_u64(expire_ms);
        }
        match &self.body {
            Body::String(value) => out.put_slice(value),
            Body::Hash(collection) => {
                out.put_u64(collection.size);
                out.put_u64(collection.creation.as_u64());
            }
        }
        out.freeze()
    }

    /// Reads a value of the meta family; `key` is its encoded key, for the error.
    pub fn decode(key: &[u8], value: &Bytes) -> Result<Record, ReadError> {
        let corrupt = |reason| ReadError::Corrupt { key: key.to_vec(), reason };
        let (head, body_at) = Head::parse(value).map_err(corrupt)?;
        let mut rest = value.slice(body_at..);
        let body = match head.kind {
            STRING => Body::String(rest),
            _ => {
                let numbers = (rest.try_get_u64(), rest.try_get_u64(), rest.has_remaining());
                let (Ok(size @ 1..), Ok(creation), false) = numbers else { return Err(corrupt("the state of a collection is malformed")) };
                Body::Hash(Collection { size, creation: Hlc::from_u64(creation) })
            }
        };
        Ok(Record { hlc: head.hlc, expire_ms: head.expire_ms, body })
    }
}

/// What a scan reads of a record: all but its body, which may be large.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The HLC of the last write to the key.
    pub hlc: Hlc,
    /// When the key expires, in milliseconds since the Unix epoch.
    pub expire_ms: Option<u64>,
    kind: u8,
}

impl Head {
    /// Reads the beginning of a value of the meta family; `key` is its encoded key, for the error.
    pub fn decode(key: &[u8], value: &[u8]) -> Result<Head, ReadError> {
        Self::parse(value).map(|(head, _)| head).map_err(|reason| ReadError::Corrupt { key: key.to_vec(), reason })
    }

    /// The name that TYPE answers.
    pub const fn type_name(&self) -> &'static str {
        if self.kind == STRING { "string" } else { "hash" }
    }

    /// Whether the key is expired at a time, in milliseconds since the Unix epoch. As in Redis, its last millisecond still counts.
    pub fn is_expired_at(&self, now_ms: u64) -> bool {
        self.expire_ms.is_some_and(|expire_ms| now_ms > expire_ms)
    }

    /// The head, and where the body begins.
    fn parse(value: &[u8]) -> Result<(Head, usize), &'static str> {
        const SHORT: &str = "the record ends early";
        let mut rest = value;
        if rest.try_get_u8().map_err(|_| SHORT)? != VERSION {
            return Err("the record has a version that this build does not know");
        }
        let kind = rest.try_get_u8().map_err(|_| SHORT)?;
        let flags = rest.try_get_u8().map_err(|_| SHORT)?;
        if !matches!(kind, STRING | HASH) {
            return Err("the record has a type that this build does not know");
        }
        if flags & !FLAG_EXPIRES != 0 {
            return Err("the record has flags that this build does not know");
        }
        let hlc = Hlc::from_u64(rest.try_get_u64().map_err(|_| SHORT)?);
        let expire_ms = if flags & FLAG_EXPIRES != 0 { Some(rest.try_get_u64().map_err(|_| SHORT)?) } else { None };
        Ok((Head { hlc, expire_ms, kind }, value.len() - rest.len()))
    }
}

/// The key of the meta family for a user key: the one place where a key is hashed.
pub fn meta_key(key: &[u8]) -> Bytes {
    let tag = hash_tag(key);
    let mut out = Vec::with_capacity(PLACE_BYTES + key.len());
    out.extend_from_slice(&slot_of_tag(tag).to_be_bytes());
    out.extend_from_slice(&hash_of_tag(tag).to_be_bytes());
    out.extend_from_slice(key);
    Bytes::from(out)
}

/// The user key of a key of the meta family; `None` where it is too short to be one.
pub fn user_key(meta_key: &[u8]) -> Option<&[u8]> {
    meta_key.get(PLACE_BYTES..)
}

/// Slot and h of a key of the meta family.
pub fn place(meta_key: &[u8]) -> Option<(u16, u32)> {
    let mut head = meta_key.get(..PLACE_BYTES)?;
    Some((head.get_u16(), head.get_u32()))
}

/// Where the keys of a slot and h begin in the meta family.
pub fn place_bound(slot: u16, h: u32) -> Bytes {
    let mut out = BytesMut::with_capacity(PLACE_BYTES);
    out.put_u16(slot);
    out.put_u32(h);
    out.freeze()
}

/// The bounds of a slot range in the meta and the data family: first key in, first key out.
pub fn slot_bounds(range: SlotRange) -> (Bytes, Bytes) {
    let bound = |slot: u16| Bytes::copy_from_slice(&slot.to_be_bytes());
    (bound(range.first()), bound(range.last() + 1))
}

/// What all elements of a collection begin with in the data family, given the key's meta key.
pub fn element_prefix(meta_key: &[u8], creation: Hlc) -> Vec<u8> {
    let (place, key) = meta_key.split_at(PLACE_BYTES);
    // Room for a field, so that an element's key is one allocation.
    let mut out = Vec::with_capacity(meta_key.len() + 64);
    out.extend_from_slice(place);
    for byte in key {
        out.push(*byte);
        if *byte == 0 {
            out.push(0xff);
        }
    }
    out.extend_from_slice(&[0, 0]);
    out.extend_from_slice(&creation.as_u64().to_be_bytes());
    out
}

/// The hash that begins the element of a hash or set: what HSCAN's cursor walks along.
pub fn element_hash(field: &[u8]) -> u64 {
    xxh3_64(field)
}

/// The key of the data family for a field of a hash, given what all its elements begin with.
pub fn field_key(prefix: &[u8], field: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(prefix.len() + 8 + field.len());
    out.extend_from_slice(prefix);
    out.extend_from_slice(&element_hash(field).to_be_bytes());
    out.extend_from_slice(field);
    Bytes::from(out)
}

/// The value of the data family for a field of a hash.
pub fn field_value(hlc: Hlc, value: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(8 + value.len());
    out.put_u64(hlc.as_u64());
    out.put_slice(value);
    out.freeze()
}

/// The part of an element's value that the user wrote.
pub fn field_payload(encoded_key: &[u8], value: &Bytes) -> Result<Bytes, ReadError> {
    if value.len() < 8 {
        return Err(ReadError::Corrupt { key: encoded_key.to_vec(), reason: "the element ends early" });
    }
    Ok(value.slice(8..))
}

/// The key of the expiry family, given the key's meta key.
pub fn expiry_key(expire_ms: u64, meta_key: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(8 + meta_key.len());
    out.extend_from_slice(&expire_ms.to_be_bytes());
    out.extend_from_slice(meta_key);
    Bytes::from(out)
}

/// The expire time and the meta key of a key of the expiry family.
pub fn split_expiry_key(expiry_key: &[u8]) -> Option<(u64, &[u8])> {
    let (expire_ms, meta_key) = expiry_key.split_first_chunk::<8>()?;
    (meta_key.len() >= PLACE_BYTES).then_some((u64::from_be_bytes(*expire_ms), meta_key))
}

/// The first key after all that begin with `prefix`; `None` where there is none.
pub fn prefix_end(prefix: &[u8]) -> Option<Bytes> {
    let last = prefix.iter().rposition(|byte| *byte != 0xff)?;
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    Some(Bytes::from(end))
}
