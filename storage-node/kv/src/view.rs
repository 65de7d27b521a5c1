//! The view: what one command sees, and what it does to it.

use crate::{
    Effect, ErrorReply, Failure, Family, Layered, Overlay, Read, ReadError, limits,
    record::{self, Body, Collection, Head, Record},
};
use bytes::Bytes;
use std::ops::ControlFlow;
use strata_base::{Hlc, SlotRange};

/// How many keys a shard holds. Expired keys count until they are removed, as in Redis.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// All keys.
    pub keys: u64,
    /// Keys with a time to live.
    pub expires: u64,
}

/// What the host knows beside the store, given to a view as plain facts.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    /// The HLC of the last applied entry: what every later leader will know, too.
    pub applied: Hlc,
    /// The shard's counts, as of the last applied entry.
    pub counts: Counts,
    /// The slots of the shard.
    pub slots: SlotRange,
    /// A number drawn by the host for this command; the only randomness there is.
    pub random: u64,
}

impl Default for Facts {
    fn default() -> Facts {
        Facts { applied: Hlc::MAX, counts: Counts::default(), slots: SlotRange::ALL, random: 0 }
    }
}

/// What evaluation of one command came to, beside its reply.
#[derive(Debug, PartialEq, Eq)]
pub struct Evaluation {
    /// What to replicate; empty for a command that changed nothing.
    pub effects: Vec<Effect>,
    /// Whether the reply took a key for expired that a leader with an older clock would still show. It may go out only after an entry
    /// with an HLC of at least this view's was applied.
    pub needs_tick: bool,
}

/// One command's window on a shard: reads through overlay and tablet, and collects effects.
///
/// Effects are visible to the reads that follow, in this command and in later ones of the round. A command that answers with an error must
/// not have written: `finish` cannot know, so [`crate::command::Call::evaluate`] asserts it.
pub struct View<'a> {
    tablet: &'a dyn Read,
    overlay: &'a mut Overlay,
    hlc: Hlc,
    facts: Facts,
    effects: Vec<Effect>,
    keys: i64,
    expires: i64,
    needs_tick: bool,
    /// The record read last, expired or not, with its meta key: most commands write the key they have just read, so it is hashed once and
    /// read once.
    last: Option<(Bytes, Option<Record>)>,
}

/// A hash within one command: its state, and what the keys of its elements begin with.
#[derive(Debug)]
pub struct Hash {
    /// Its state; size 0 where it does not exist yet.
    pub state: Collection,
    /// When the key expires, in milliseconds since the Unix epoch.
    pub expire_ms: Option<u64>,
    is_new: bool,
    prefix: Vec<u8>,
}

impl Hash {
    /// The number of fields.
    pub fn len(&self) -> u64 {
        self.state.size
    }

    /// Whether there is no field, so no such key.
    pub fn is_empty(&self) -> bool {
        self.state.size == 0
    }
}

/// Sees a field's hash ([`record::element_hash`]), the field and its value, and says whether to go on.
pub type FieldVisitor<'a> = dyn FnMut(u64, &[u8], &[u8]) -> ControlFlow<()> + 'a;

/// Sees an encoded meta key and the head of its record (`None` where it is expired), and says whether to go on.
pub type KeyVisitor<'a> = dyn FnMut(&[u8], Option<&Head>) -> ControlFlow<()> + 'a;

impl<'a> View<'a> {
    /// A view for a command that took `hlc`.
    pub fn new(tablet: &'a dyn Read, overlay: &'a mut Overlay, hlc: Hlc) -> View<'a> {
        View::with_facts(tablet, overlay, hlc, Facts::default())
    }

    /// A view for a command that took `hlc`, with what the host knows beside the store.
    pub fn with_facts(tablet: &'a dyn Read, overlay: &'a mut Overlay, hlc: Hlc, facts: Facts) -> View<'a> {
        View { tablet, overlay, hlc, facts, effects: Vec::new(), keys: 0, expires: 0, needs_tick: false, last: None }
    }

    /// Ends the command.
    pub fn finish(mut self) -> Evaluation {
        if self.keys != 0 || self.expires != 0 {
            self.write(Effect::Count { keys: self.keys, expires: self.expires });
        }
        Evaluation { effects: self.effects, needs_tick: self.needs_tick }
    }

    /// Whether the command has written.
    pub fn has_written(&self) -> bool {
        !self.effects.is_empty()
    }

    /// The command's HLC.
    pub fn hlc(&self) -> Hlc {
        self.hlc
    }

    /// The command's time, in milliseconds since the Unix epoch.
    pub fn now_ms(&self) -> u64 {
        self.hlc.millis()
    }

    /// The command's random number.
    pub fn random(&self) -> u64 {
        self.facts.random
    }

    /// The slots of the shard.
    pub fn slots(&self) -> SlotRange {
        self.facts.slots
    }

    /// The shard's counts as of the commands before this one.
    pub fn counts(&self) -> Counts {
        self.overlay.counts(self.facts.counts)
    }

    /// The record of a key, if it exists and is not expired.
    pub fn load(&mut self, key: &[u8]) -> Result<Option<Record>, Failure> {
        let record = self.load_stored(key)?;
        Ok(record.filter(|record| self.is_visible(record)))
    }

    /// The string of a key and its expire time; refused where the key holds another type.
    pub fn load_string(&mut self, key: &[u8]) -> Result<Option<(Bytes, Option<u64>)>, Failure> {
        match self.load(key)? {
            None => Ok(None),
            Some(Record { body: Body::String(value), expire_ms, .. }) => Ok(Some((value, expire_ms))),
            Some(_) => Err(ErrorReply::WRONG_TYPE.into()),
        }
    }

    /// The hash of a key; refused where the key holds another type. Where there is none it is an empty one, which [`View::put_hash`] creates.
    pub fn load_hash(&mut self, key: &[u8]) -> Result<Hash, Failure> {
        let (state, expire_ms, is_new) = match self.load(key)? {
            None => (Collection { size: 0, creation: self.hlc }, None, true),
            Some(Record { body: Body::Hash(state), expire_ms, .. }) => (state, expire_ms, false),
            Some(_) => return Err(ErrorReply::WRONG_TYPE.into()),
        };
        let prefix = record::element_prefix(&self.locate(key), state.creation);
        Ok(Hash { state, expire_ms, is_new, prefix })
    }

    /// Makes the key hold a string, whatever it held before.
    pub fn put_string(&mut self, key: &[u8], value: Bytes, expire_ms: Option<u64>) -> Result<(), Failure> {
        self.put_record(key, Record { hlc: self.hlc, expire_ms, body: Body::String(value) })
    }

    /// Removes a key; whether it existed.
    pub fn delete(&mut self, key: &[u8]) -> Result<bool, Failure> {
        let Some(old) = self.load_stored(key)? else { return Ok(false) };
        let was_visible = self.is_visible(&old);
        let meta_key = self.locate(key);
        self.remove_record(meta_key, &old);
        Ok(was_visible)
    }

    /// Changes when an existing key expires. `record` is what [`View::load`] gave.
    pub fn put_expiry(&mut self, key: &[u8], record: Record, expire_ms: Option<u64>) -> Result<(), Failure> {
        self.put_record(key, Record { expire_ms, hlc: self.hlc, ..record })
    }

    /// The value of a field.
    pub fn field(&self, hash: &Hash, field: &[u8]) -> Result<Option<Bytes>, Failure> {
        self.element(hash, &record::field_key(&hash.prefix, field))
    }

    /// Sets a field, and returns what it held. The record of the hash is written by [`View::put_hash`], which must follow.
    pub fn set_field(&mut self, hash: &mut Hash, field: &[u8], value: &[u8]) -> Result<Option<Bytes>, Failure> {
        let encoded = record::field_key(&hash.prefix, field);
        let old = self.element(hash, &encoded)?;
        hash.state.size += u64::from(old.is_none());
        self.write(Effect::Put { family: Family::Data, key: encoded, value: record::field_value(self.hlc, value) });
        Ok(old)
    }

    /// Removes a field; whether it was there. The record of the hash is written by [`View::put_hash`], which must follow.
    pub fn remove_field(&mut self, hash: &mut Hash, field: &[u8]) -> Result<bool, Failure> {
        let encoded = record::field_key(&hash.prefix, field);
        let existed = self.element(hash, &encoded)?.is_some();
        if existed {
            hash.state.size -= 1;
            self.write(Effect::Delete { family: Family::Data, key: encoded });
        }
        Ok(existed)
    }

    /// Writes the record of a hash whose fields were changed. One without fields stops to exist; the expire time stays.
    pub fn put_hash(&mut self, key: &[u8], hash: &Hash) -> Result<(), Failure> {
        if hash.is_empty() {
            self.delete(key)?;
            return Ok(());
        }
        self.put_record(key, Record { hlc: self.hlc, expire_ms: hash.expire_ms, body: Body::Hash(hash.state) })
    }

    /// Visits fields and values in the order of [`record::element_hash`], beginning at `from_hash`, until the visitor breaks.
    pub fn scan_fields(&self, hash: &Hash, from_hash: u64, visit: &mut FieldVisitor<'_>) -> Result<(), Failure> {
        let mut from = hash.prefix.clone();
        from.extend_from_slice(&from_hash.to_be_bytes());
        let to = record::prefix_end(&hash.prefix).expect("a slot is below 0xffff, so a prefix has an end");
        let mut failed = None;
        self.layered().scan(Family::Data, &from, &to, &mut |encoded, value| match (
            encoded[hash.prefix.len()..].split_first_chunk::<8>(),
            value.get(8..),
        ) {
            (Some((field_hash, field)), Some(payload)) => visit(u64::from_be_bytes(*field_hash), field, payload),
            _ => {
                failed = Some(ReadError::Corrupt { key: encoded.to_vec(), reason: "the element ends early" });
                ControlFlow::Break(())
            }
        })?;
        failed.map_or(Ok(()), |error| Err(error.into()))
    }

    /// Visits the meta records of the shard in the order of their encoded keys, from `from`, until the visitor breaks.
    pub fn scan_keys(&mut self, from: &[u8], visit: &mut KeyVisitor<'_>) -> Result<(), Failure> {
        self.scan_keys_in(from, self.facts.slots, visit)
    }

    /// Visits the meta records of a range of slots in the order of their encoded keys, from `from`, until the visitor breaks.
    pub fn scan_keys_in(&mut self, from: &[u8], slots: SlotRange, visit: &mut KeyVisitor<'_>) -> Result<(), Failure> {
        let (first, end) = record::slot_bounds(slots);
        let (mut failed, mut saw_tick) = (None, false);
        let (now_ms, applied_ms) = (self.now_ms(), self.facts.applied.millis());
        self.layered().scan(Family::Meta, from.max(&first), &end, &mut |encoded, value| match Head::decode(encoded, value) {
            Ok(head) if head.is_expired_at(now_ms) => {
                saw_tick |= !head.is_expired_at(applied_ms);
                visit(encoded, None)
            }
            Ok(head) => visit(encoded, Some(&head)),
            Err(error) => {
                failed = Some(error);
                ControlFlow::Break(())
            }
        })?;
        self.needs_tick |= saw_tick;
        failed.map_or(Ok(()), |error| Err(error.into()))
    }

    /// Visits the expiry index in the order of time, until the visitor breaks: expire time, meta key.
    pub fn scan_expiry(&self, visit: &mut dyn FnMut(u64, &[u8]) -> ControlFlow<()>) -> Result<(), Failure> {
        let mut failed = None;
        self.layered().scan(Family::Expiry, &[], EXPIRY_END, &mut |encoded, _| match record::split_expiry_key(encoded) {
            Some((expire_ms, meta_key)) => visit(expire_ms, meta_key),
            None => {
                failed = Some(ReadError::Corrupt { key: encoded.to_vec(), reason: "the entry of the expiry index ends early" });
                ControlFlow::Break(())
            }
        })?;
        failed.map_or(Ok(()), |error| Err(error.into()))
    }

    /// Removes what an entry of the expiry index names, and the entry; whether there was such a record. One whose record expires at another
    /// time, or is gone, is stale: only the entry goes.
    pub(crate) fn expire(&mut self, expire_ms: u64, meta_key: Bytes) -> Result<bool, Failure> {
        match self.load_stored_at(&meta_key)? {
            Some(record) if record.expire_ms == Some(expire_ms) => {
                self.remove_record(meta_key, &record);
                Ok(true)
            }
            _ => {
                self.write(Effect::Delete { family: Family::Expiry, key: record::expiry_key(expire_ms, &meta_key) });
                Ok(false)
            }
        }
    }

    /// Removes every key of the shard.
    pub fn clear(&mut self) {
        let (from, to) = record::slot_bounds(self.facts.slots);
        self.write(Effect::DeleteRange { family: Family::Meta, from: from.clone(), to: to.clone() });
        self.write(Effect::DeleteRange { family: Family::Data, from, to });
        let (from, to) = (Bytes::new(), Bytes::from_static(EXPIRY_END));
        self.write(Effect::DeleteRange { family: Family::Expiry, from, to });
        self.write(Effect::ResetCounts);
        (self.keys, self.expires, self.last) = (0, 0, None);
    }

    /// Makes the key hold `record`, whatever it held before: elements that are no longer named are dropped, the expiry index and the counts
    /// follow.
    pub fn put_record(&mut self, key: &[u8], record: Record) -> Result<(), Failure> {
        check_key(key)?;
        let old = self.load_stored(key)?;
        let meta_key = self.locate(key);
        match old {
            Some(old) => self.forget(&meta_key, &old, Some(&record)),
            None => self.keys += 1,
        }
        if let Some(expire_ms) = record.expire_ms {
            self.expires += 1;
            self.write(Effect::Put { family: Family::Expiry, key: record::expiry_key(expire_ms, &meta_key), value: Bytes::new() });
        }
        self.write(Effect::Put { family: Family::Meta, key: meta_key.clone(), value: record.encode() });
        self.last = Some((meta_key, Some(record)));
        Ok(())
    }

    fn remove_record(&mut self, meta_key: Bytes, old: &Record) {
        self.forget(&meta_key, old, None);
        self.keys -= 1;
        self.write(Effect::Delete { family: Family::Meta, key: meta_key.clone() });
        self.last = Some((meta_key, None));
    }

    /// Removes what hangs on a record that is going or being replaced: its expiry entry, and its elements unless the new record keeps them.
    fn forget(&mut self, meta_key: &[u8], old: &Record, new: Option<&Record>) {
        if let Some(expire_ms) = old.expire_ms {
            self.expires -= 1;
            if new.and_then(|new| new.expire_ms) != Some(expire_ms) {
                self.write(Effect::Delete { family: Family::Expiry, key: record::expiry_key(expire_ms, meta_key) });
            }
        }
        if let Body::Hash(collection) = &old.body {
            let keeps = new.is_some_and(|new| matches!(&new.body, Body::Hash(kept) if kept.creation == collection.creation));
            if !keeps {
                self.write(Effect::DropElements { prefix: Bytes::from(record::element_prefix(meta_key, collection.creation)) });
            }
        }
    }

    fn write(&mut self, effect: Effect) {
        self.overlay.record(&effect);
        self.effects.push(effect);
    }

    fn layered(&self) -> Layered<'_> {
        Layered { overlay: self.overlay, tablet: self.tablet }
    }

    fn is_visible(&mut self, record: &Record) -> bool {
        let expired = record.is_expired_at(self.now_ms());
        self.needs_tick |= expired && !record.is_expired_at(self.facts.applied.millis());
        !expired
    }

    /// The value of an element. A hash that this command creates has only what the command wrote, so the tablet is not asked.
    fn element(&self, hash: &Hash, encoded: &[u8]) -> Result<Option<Bytes>, Failure> {
        let value = if hash.is_new {
            self.overlay.proposed(Family::Data, encoded).flatten().cloned()
        } else {
            self.layered().get(Family::Data, encoded)?
        };
        Ok(value.map(|value| record::field_payload(encoded, &value)).transpose()?)
    }

    /// The meta key of a key; not hashed again where it is the one read last.
    fn locate(&self, key: &[u8]) -> Bytes {
        match &self.last {
            Some((meta_key, _)) if record::user_key(meta_key) == Some(key) => meta_key.clone(),
            _ => record::meta_key(key),
        }
    }

    fn load_stored(&mut self, key: &[u8]) -> Result<Option<Record>, ReadError> {
        let meta_key = self.locate(key);
        self.load_stored_at(&meta_key)
    }

    fn load_stored_at(&mut self, meta_key: &Bytes) -> Result<Option<Record>, ReadError> {
        if let Some((of, record)) = &self.last
            && of == meta_key
        {
            return Ok(record.clone());
        }
        let value = self.layered().get(Family::Meta, meta_key)?;
        let record = value.map(|value| Record::decode(meta_key, &value)).transpose()?;
        self.last = Some((meta_key.clone(), record.clone()));
        Ok(record)
    }
}

/// After every entry of the expiry index: no time is that late.
const EXPIRY_END: &[u8] = &[0xff; 9];

/// Refuses a key that is too long to write. A command that writes several keys asks for each before it writes the first.
pub fn check_key(key: &[u8]) -> Result<(), ErrorReply> {
    if key.len() > limits::KEY_BYTES_MAX { Err(ErrorReply::KEY_TOO_LONG) } else { Ok(()) }
}
