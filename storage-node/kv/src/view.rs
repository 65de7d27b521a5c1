//! The view: what one command sees, and what it does to it.

use crate::{
    Effect, ErrorReply, Failure, Family, Layered, Overlay, Read, ReadError, limits,
    record::{self, Body, Collection, Record},
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
    /// The record read last, expired or not: most commands write the key they have just read.
    last: Option<(Bytes, Option<Record>)>,
}

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
            self.effects.push(Effect::Count { keys: self.keys, expires: self.expires });
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

    /// The shard's counts as of the last applied entry.
    pub fn counts(&self) -> Counts {
        self.facts.counts
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

    /// The hash of a key; refused where the key holds another type.
    pub fn load_hash(&mut self, key: &[u8]) -> Result<Option<Collection>, Failure> {
        match self.load(key)? {
            None => Ok(None),
            Some(Record { body: Body::Hash(collection), .. }) => Ok(Some(collection)),
            Some(_) => Err(ErrorReply::WRONG_TYPE.into()),
        }
    }

    /// Makes the key hold a string, whatever it held before.
    pub fn put_string(&mut self, key: &[u8], value: Bytes, expire_ms: Option<u64>) -> Result<(), Failure> {
        self.put_record(key, Record { hlc: self.hlc, expire_ms, body: Body::String(value) })
    }

    /// Removes a key; whether it existed.
    pub fn delete(&mut self, key: &[u8]) -> Result<bool, Failure> {
        let Some(old) = self.load_stored(key)? else { return Ok(false) };
        let was_visible = self.is_visible(&old);
        self.forget(key, &old, None);
        self.keys -= 1;
        self.write(Effect::Delete { family: Family::Meta, key: record::meta_key(key) });
        self.last = Some((Bytes::copy_from_slice(key), None));
        Ok(was_visible)
    }

    /// Changes when an existing key expires. `record` is what [`View::load`] gave.
    pub fn put_expiry(&mut self, key: &[u8], record: Record, expire_ms: Option<u64>) -> Result<(), Failure> {
        self.put_record(key, Record { expire_ms, hlc: self.hlc, ..record })
    }

    /// The value of a field.
    pub fn field(&self, key: &[u8], hash: &Collection, field: &[u8]) -> Result<Option<Bytes>, Failure> {
        let encoded = record::field_key(key, hash.creation, field);
        match self.layered().get(Family::Data, &encoded)? {
            None => Ok(None),
            Some(value) => Ok(Some(record::field_payload(&encoded, &value)?)),
        }
    }

    /// Visits fields and values in the order of [`record::element_hash`], beginning at `from_hash`, until the visitor breaks.
    pub fn scan_fields(
        &self,
        key: &[u8],
        hash: &Collection,
        from_hash: u64,
        visit: &mut dyn FnMut(u64, Bytes, Bytes) -> ControlFlow<()>,
    ) -> Result<(), Failure> {
        let prefix = record::element_prefix(key, hash.creation);
        let mut from = prefix.clone();
        from.extend_from_slice(&from_hash.to_be_bytes());
        let to = record::prefix_end(&prefix).expect("a slot is below 0xffff, so a prefix has an end");
        let mut failed = None;
        self.layered().scan(Family::Data, &from, &to, &mut |encoded, value| {
            match (encoded[prefix.len()..].split_first_chunk::<8>(), value.get(8..)) {
                (Some((hash, field)), Some(payload)) => {
                    visit(u64::from_be_bytes(*hash), Bytes::copy_from_slice(field), Bytes::copy_from_slice(payload))
                }
                _ => {
                    failed = Some(ReadError::Corrupt { key: encoded.to_vec(), reason: "the element ends early" });
                    ControlFlow::Break(())
                }
            }
        })?;
        failed.map_or(Ok(()), |error| Err(error.into()))
    }

    /// Writes a change of a hash: fields to put, fields to remove (each given once, and existing), and its new size. A hash without fields
    /// stops to exist; one that did not exist is created. The expire time stays.
    pub fn put_fields(&mut self, key: &[u8], size: u64, put: &[(Bytes, Bytes)], remove: &[Bytes]) -> Result<(), Failure> {
        if size == 0 {
            self.delete(key)?;
            return Ok(());
        }
        let (creation, expire_ms) = match self.load(key)? {
            Some(Record { body: Body::Hash(old), expire_ms, .. }) => (old.creation, expire_ms),
            _ => (self.hlc, None),
        };
        self.put_record(key, Record { hlc: self.hlc, expire_ms, body: Body::Hash(Collection { size, creation }) })?;
        for field in remove {
            self.write(Effect::Delete { family: Family::Data, key: record::field_key(key, creation, field) });
        }
        for (field, value) in put {
            let encoded = record::field_key(key, creation, field);
            self.write(Effect::Put { family: Family::Data, key: encoded, value: record::field_value(self.hlc, value) });
        }
        Ok(())
    }

    /// Visits the meta records of the shard in the order of their encoded keys, from `from`, until the visitor breaks: encoded key, record.
    /// Expired keys are passed over.
    pub fn scan_keys(&mut self, from: &[u8], visit: &mut dyn FnMut(&[u8], &Record) -> ControlFlow<()>) -> Result<(), Failure> {
        let (first, end) = record::slot_bounds(self.facts.slots);
        let (mut failed, mut saw_tick) = (None, false);
        let (now_ms, applied_ms) = (self.now_ms(), self.facts.applied.millis());
        self.layered().scan(Family::Meta, from.max(&first), &end, &mut |encoded, value| {
            match Record::decode(encoded, &Bytes::copy_from_slice(value)) {
                Ok(record) if record.is_expired_at(now_ms) => {
                    saw_tick |= !record.is_expired_at(applied_ms);
                    ControlFlow::Continue(())
                }
                Ok(record) => visit(encoded, &record),
                Err(error) => {
                    failed = Some(error);
                    ControlFlow::Break(())
                }
            }
        })?;
        self.needs_tick |= saw_tick;
        failed.map_or(Ok(()), |error| Err(error.into()))
    }

    /// Visits the expiry index in the order of time, up to now: expire time and meta key.
    pub fn scan_expiry(&self, visit: &mut dyn FnMut(u64, &[u8]) -> ControlFlow<()>) -> Result<(), Failure> {
        let end = self.now_ms().to_be_bytes();
        self.layered().scan(Family::Expiry, &[], &end, &mut |encoded, _| match record::split_expiry_key(encoded) {
            Some((expire_ms, meta_key)) => visit(expire_ms, meta_key),
            None => ControlFlow::Continue(()),
        })?;
        Ok(())
    }

    /// Removes every key of the shard.
    pub fn clear(&mut self) {
        let (from, to) = record::slot_bounds(self.facts.slots);
        self.write(Effect::DeleteRange { family: Family::Meta, from: from.clone(), to: to.clone() });
        self.write(Effect::DeleteRange { family: Family::Data, from, to });
        let (from, to) = (Bytes::new(), Bytes::from_static(&[0xff; 9]));
        self.write(Effect::DeleteRange { family: Family::Expiry, from, to });
        self.write(Effect::ResetCounts);
        (self.keys, self.expires, self.last) = (0, 0, None);
    }

    /// Makes the key hold `record`, whatever it held before: elements that are no longer named are dropped, the expiry index and the counts
    /// follow.
    pub fn put_record(&mut self, key: &[u8], record: Record) -> Result<(), Failure> {
        if key.len() > limits::KEY_BYTES_MAX {
            return Err(ErrorReply::KEY_TOO_LONG.into());
        }
        match self.load_stored(key)? {
            Some(old) => self.forget(key, &old, Some(&record)),
            None => self.keys += 1,
        }
        if let Some(expire_ms) = record.expire_ms {
            self.expires += 1;
            self.write(Effect::Put { family: Family::Expiry, key: record::expiry_key(expire_ms, key), value: Bytes::new() });
        }
        self.write(Effect::Put { family: Family::Meta, key: record::meta_key(key), value: record.encode() });
        self.last = Some((Bytes::copy_from_slice(key), Some(record)));
        Ok(())
    }

    /// Removes what hangs on a record that is going or being replaced: its expiry entry, and its elements unless the new record keeps them.
    fn forget(&mut self, key: &[u8], old: &Record, new: Option<&Record>) {
        if let Some(expire_ms) = old.expire_ms {
            self.expires -= 1;
            if new.and_then(|new| new.expire_ms) != Some(expire_ms) {
                self.write(Effect::Delete { family: Family::Expiry, key: record::expiry_key(expire_ms, key) });
            }
        }
        if let Body::Hash(collection) = &old.body {
            let keeps = new.is_some_and(|new| matches!(&new.body, Body::Hash(kept) if kept.creation == collection.creation));
            if !keeps {
                self.write(Effect::DropElements { prefix: record::element_prefix(key, collection.creation).freeze() });
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

    fn load_stored(&mut self, key: &[u8]) -> Result<Option<Record>, ReadError> {
        if let Some((of, record)) = &self.last
            && of == key
        {
            return Ok(record.clone());
        }
        let encoded = record::meta_key(key);
        let value = self.layered().get(Family::Meta, &encoded)?;
        let record = value.map(|value| Record::decode(&encoded, &value)).transpose()?;
        self.last = Some((Bytes::copy_from_slice(key), record.clone()));
        Ok(record)
    }
}
