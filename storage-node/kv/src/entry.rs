//! The log entry: the effects of one round of commands, as bytes. A public format, version 1.
//!
//! ```text
//! entry   version(1)=1 origin(2) hlc(8) effect*
//! effect  tag(1) …
//!         1 command  hlc(8)                         2 put    family(1) key value
//!         3 delete   family(1) key                  4 range  family(1) from to
//!         5 elements prefix                         6 count  keys(8) expires(8)
//!         7 reset
//! key, value, from, to, prefix: length(4) bytes
//! ```
//!
//! `hlc` is the last that was handed out when the entry was proposed: after applying it, no command of the shard gets an earlier one.
//! A range ends no earlier than it begins, and after each prefix there is a key: whoever applies an entry need not ask.
//! An entry without effects is a clock tick. `origin` names the cluster that a write came from; 0 is this one.

use crate::{Effect, Family};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use strata_base::Hlc;

/// The version of the encoding that this build writes.
pub const VERSION: u8 = 1;

const COMMAND: u8 = 1;
const PUT: u8 = 2;
const DELETE: u8 = 3;
const DELETE_RANGE: u8 = 4;
const DROP_ELEMENTS: u8 = 5;
const COUNT: u8 = 6;
const RESET_COUNTS: u8 = 7;

/// The effects of one round of commands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// The cluster that the writes came from; 0 is this one.
    pub origin: u16,
    /// The last HLC handed out when the entry was proposed.
    pub hlc: Hlc,
    /// What to apply, in order.
    pub effects: Vec<Effect>,
}

/// Bytes are no entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a log entry: {0}")]
pub struct NotAnEntry(&'static str);

impl Entry {
    /// The bytes that go into the log.
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(16 + self.effects.iter().map(Effect::size).sum::<usize>());
        out.put_u8(VERSION);
        out.put_u16(self.origin);
        out.put_u64(self.hlc.as_u64());
        for effect in &self.effects {
            encode_effect(effect, &mut out);
        }
        out.freeze()
    }

    /// Reads an entry. Keys and values share the memory of `bytes`.
    pub fn decode(mut bytes: Bytes) -> Result<Entry, NotAnEntry> {
        const SHORT: NotAnEntry = NotAnEntry("it ends within its head");
        if bytes.try_get_u8().map_err(|_| SHORT)? != VERSION {
            return Err(NotAnEntry("this build does not know its version"));
        }
        let origin = bytes.try_get_u16().map_err(|_| SHORT)?;
        let hlc = Hlc::from_u64(bytes.try_get_u64().map_err(|_| SHORT)?);
        let mut effects = Vec::new();
        while bytes.has_remaining() {
            effects.push(decode_effect(&mut bytes)?);
        }
        Ok(Entry { origin, hlc, effects })
    }
}

fn put_bytes(out: &mut BytesMut, bytes: &[u8]) {
    out.put_u32(u32::try_from(bytes.len()).expect("a key or value is far below 4 GiB by limits.rs"));
    out.put_slice(bytes);
}

fn encode_effect(effect: &Effect, out: &mut BytesMut) {
    match effect {
        Effect::Command { hlc } => {
            out.put_u8(COMMAND);
            out.put_u64(hlc.as_u64());
        }
        Effect::Put { family, key, value } => {
            out.put_slice(&[PUT, *family as u8]);
            put_bytes(out, key);
            put_bytes(out, value);
        }
        Effect::Delete { family, key } => {
            out.put_slice(&[DELETE, *family as u8]);
            put_bytes(out, key);
        }
        Effect::DeleteRange { family, from, to } => {
            out.put_slice(&[DELETE_RANGE, *family as u8]);
            put_bytes(out, from);
            put_bytes(out, to);
        }
        Effect::DropElements { prefix } => {
            out.put_u8(DROP_ELEMENTS);
            put_bytes(out, prefix);
        }
        Effect::Count { keys, expires } => {
            out.put_u8(COUNT);
            out.put_i64(*keys);
            out.put_i64(*expires);
        }
        Effect::ResetCounts => out.put_u8(RESET_COUNTS),
    }
}

fn decode_effect(from: &mut Bytes) -> Result<Effect, NotAnEntry> {
    let number = |from: &mut Bytes| from.try_get_u64().map_err(|_| NotAnEntry("it ends within a number"));
    Ok(match from.try_get_u8().map_err(|_| NotAnEntry("it ends before a tag"))? {
        COMMAND => Effect::Command { hlc: Hlc::from_u64(number(from)?) },
        PUT => Effect::Put { family: take_family(from)?, key: take_bytes(from)?, value: take_bytes(from)? },
        DELETE => Effect::Delete { family: take_family(from)?, key: take_bytes(from)? },
        DELETE_RANGE => {
            let (family, from, to) = (take_family(from)?, take_bytes(from)?, take_bytes(from)?);
            if to < from {
                return Err(NotAnEntry("a range ends before it begins"));
            }
            Effect::DeleteRange { family, from, to }
        }
        DROP_ELEMENTS => {
            let prefix = take_bytes(from)?;
            if prefix.iter().all(|byte| *byte == 0xff) {
                return Err(NotAnEntry("it drops the elements of no collection"));
            }
            Effect::DropElements { prefix }
        }
        COUNT => Effect::Count { keys: number(from)? as i64, expires: number(from)? as i64 },
        RESET_COUNTS => Effect::ResetCounts,
        _ => return Err(NotAnEntry("this build does not know an effect's tag")),
    })
}

fn take_family(from: &mut Bytes) -> Result<Family, NotAnEntry> {
    from.try_get_u8().ok().and_then(Family::from_number).ok_or(NotAnEntry("it names no family"))
}

fn take_bytes(from: &mut Bytes) -> Result<Bytes, NotAnEntry> {
    const SHORT: NotAnEntry = NotAnEntry("it ends within a key or value");
    let length = from.try_get_u32().map_err(|_| SHORT)? as usize;
    if length > from.remaining() { Err(SHORT) } else { Ok(from.split_to(length)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(effect: Effect) -> Result<Entry, NotAnEntry> {
        Entry::decode(Entry { effects: vec![effect], ..Entry::default() }.encode())
    }

    #[test]
    fn effects_that_nobody_can_apply_are_refused() {
        let elements = |prefix: &'static [u8]| decode(Effect::DropElements { prefix: Bytes::from_static(prefix) });
        assert!(elements(b"\x00\x01").is_ok());
        assert!(elements(b"").is_err() && elements(b"\xff\xff").is_err(), "no key comes after them");
        let range =
            |from: &'static str, to: &'static str| decode(Effect::DeleteRange { family: Family::Meta, from: from.into(), to: to.into() });
        assert!(range("a", "b").is_ok() && range("a", "a").is_ok());
        assert!(range("b", "a").is_err());
    }
}
