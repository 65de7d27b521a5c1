//! Properties of encodings and of evaluation, over random inputs.

use bytes::{Bytes, BytesMut};
use proptest::{collection::vec, prelude::*};
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::ControlFlow,
};
use strata_base::{Hlc, SlotRange};
use strata_kv::{
    Counts, Effect, Facts, Failure, Family, Overlay, Read, ReadError, Reply, View, Visitor, command,
    command::Run,
    entry::Entry,
    expiry,
    record::{self, Body, Collection, Head, Record},
    resp::RequestReader,
    slot,
    testing::MapStore,
};
use stream::{Random, Requests};

#[path = "differential/stream.rs"]
mod stream;

fn bytes() -> impl Strategy<Value = Bytes> {
    vec(prop_oneof![Just(0), Just(0xff), Just(b'{'), Just(b'}'), any::<u8>()], 0..40).prop_map(Bytes::from)
}

fn hlc() -> impl Strategy<Value = Hlc> {
    any::<u64>().prop_map(Hlc::from_u64)
}

fn a_record() -> impl Strategy<Value = Record> {
    let hash = (1..=u64::MAX, hlc()).prop_map(|(size, creation)| Body::Hash(Collection { size, creation }));
    let body = prop_oneof![bytes().prop_map(Body::String), hash];
    (hlc(), any::<Option<u64>>(), body).prop_map(|(hlc, expire_ms, body)| Record { hlc, expire_ms, body })
}

fn an_effect() -> impl Strategy<Value = Effect> {
    let family = || prop_oneof![Just(Family::Meta), Just(Family::Data), Just(Family::Expiry)];
    prop_oneof![
        hlc().prop_map(|hlc| Effect::Command { hlc }),
        (family(), bytes(), bytes()).prop_map(|(family, key, value)| Effect::Put { family, key, value }),
        (family(), bytes()).prop_map(|(family, key)| Effect::Delete { family, key }),
        (family(), bytes(), bytes()).prop_map(|(family, one, other)| {
            let (from, to) = if one <= other { (one, other) } else { (other, one) };
            Effect::DeleteRange { family, from, to }
        }),
        bytes().prop_map(|key| Effect::DropElements { prefix: [b"\x3f", &key[..]].concat().into() }),
        any::<(i64, i64)>().prop_map(|(keys, expires)| Effect::Count { keys, expires }),
        Just(Effect::ResetCounts),
    ]
}

/// Reads requests from bytes that arrive in pieces of the given lengths, over and over.
fn read_in_pieces(mut wire: &[u8], pieces: &[usize]) -> Vec<Vec<Bytes>> {
    let (mut reader, mut input, mut requests) = (RequestReader::default(), BytesMut::new(), Vec::new());
    let mut pieces = pieces.iter().cycle();
    while !wire.is_empty() {
        let (piece, rest) = wire.split_at((*pieces.next().expect("a cycle")).min(wire.len()));
        input.extend_from_slice(piece);
        wire = rest;
        while let Ok(Some(request)) = reader.next(&mut input) {
            requests.push(request);
        }
    }
    requests
}

proptest! {
    #[test]
    fn a_record_survives_its_encoding(record in a_record()) {
        let encoded = record.encode();
        let head = Head::decode(b"key", &encoded).expect("what we write decodes");
        prop_assert_eq!((head.hlc, head.expire_ms, head.type_name()), (record.hlc, record.expire_ms, record.body.type_name()));
        prop_assert_eq!(Record::decode(b"key", &encoded), Ok(record));
    }

    #[test]
    fn an_entry_survives_its_encoding(origin: u16, hlc in hlc(), effects in vec(an_effect(), 0..20)) {
        let entry = Entry { origin, hlc, effects };
        prop_assert_eq!(Entry::decode(entry.encode()), Ok(entry));
    }

    #[test]
    fn requests_are_the_same_in_whatever_pieces_they_arrive(requests in vec(vec(bytes(), 1..6), 1..6), pieces in vec(1..20_usize, 1..10)) {
        let mut wire = Vec::new();
        for request in &requests {
            wire.extend_from_slice(format!("*{}\r\n", request.len()).as_bytes());
            for argument in request {
                wire.extend_from_slice(format!("${}\r\n", argument.len()).as_bytes());
                wire.extend_from_slice(argument);
                wire.extend_from_slice(b"\r\n");
            }
        }
        prop_assert_eq!(read_in_pieces(&wire, &pieces), requests);
    }

    #[test]
    fn a_meta_key_says_slot_and_user_key(key in bytes()) {
        let meta_key = record::meta_key(&key);
        prop_assert_eq!(record::user_key(&meta_key), Some(&key[..]));
        prop_assert_eq!(record::place(&meta_key).map(|(slot, _)| slot), Some(slot::slot_of(&key)));
        let slot = SlotRange::new(slot::slot_of(&key), slot::slot_of(&key)).expect("a slot is a range");
        let (first, end) = record::slot_bounds(slot);
        prop_assert!(first <= meta_key && meta_key < end);
    }

    #[test]
    fn no_element_lies_under_another_key_or_creation(a in bytes(), b in bytes(), creation_a in hlc(), creation_b in hlc(), field in bytes()) {
        let prefix = |key: &[u8], creation| record::element_prefix(&record::meta_key(key), creation);
        let (under_a, under_b) = (prefix(&a, creation_a), prefix(&b, creation_b));
        let element = record::field_key(&under_a, &field);
        prop_assert_eq!(element.starts_with(&under_b), (&a, creation_a) == (&b, creation_b));
        let end = record::prefix_end(&under_a).expect("a slot is below 0xffff");
        prop_assert!(under_a[..] <= element[..] && element < end);
    }

    #[test]
    fn the_expiry_index_is_in_the_order_of_time(a in bytes(), b in bytes(), time_a: u64, time_b: u64) {
        let (meta_a, meta_b) = (record::meta_key(&a), record::meta_key(&b));
        let (key_a, key_b) = (record::expiry_key(time_a, &meta_a), record::expiry_key(time_b, &meta_b));
        prop_assert_eq!(key_a.cmp(&key_b), (time_a, &meta_a).cmp(&(time_b, &meta_b)));
        prop_assert_eq!(record::split_expiry_key(&key_a), Some((time_a, &meta_a[..])));
    }

    #[test]
    fn decoders_take_any_bytes(noise in vec(any::<u8>(), 0..200), version in 0..3_u8, tag in 0..9_u8) {
        let noise = Bytes::from([&[version, tag, 0], &noise[..]].concat());
        let _ = Record::decode(b"key", &noise);
        let _ = Head::decode(b"key", &noise);
        let _ = (record::user_key(&noise), record::place(&noise), record::split_expiry_key(&noise), record::prefix_end(&noise));
        let _ = record::field_payload(b"key", &noise);
        if let Ok(entry) = Entry::decode(noise.clone()) {
            // Every effect is at least a byte of input: memory follows the input's size.
            prop_assert!(entry.effects.len() <= noise.len());
            prop_assert_eq!(entry.encode(), noise);
        }
    }

    #[test]
    fn the_reader_takes_any_bytes(noise in vec(prop_oneof![Just(b'*'), Just(b'$'), Just(b'\r'), Just(b'\n'), b'0'..=b'9', Just(b'-'), Just(b'"'), any::<u8>()], 0..300), pieces in vec(1..30_usize, 1..5)) {
        let read: usize = read_in_pieces(&noise, &pieces).iter().flatten().map(Bytes::len).sum();
        prop_assert!(read <= noise.len());
    }
}

/// A shard whose rounds are applied when the caller says so.
#[derive(Default)]
struct Shard {
    tablet: MapStore,
    overlay: Overlay,
    rounds: Vec<(u64, Vec<Effect>)>,
}

impl Shard {
    fn evaluate<T>(&mut self, hlc: Hlc, random: u64, new_round: bool, run: impl FnOnce(&mut View<'_>) -> T) -> T {
        if new_round || self.rounds.is_empty() {
            self.rounds.push((self.overlay.begin_round(), Vec::new()));
        }
        let facts = Facts { counts: self.tablet.counts, random, ..Facts::default() };
        let mut view = View::with_facts(&self.tablet, &mut self.overlay, hlc, facts);
        let result = run(&mut view);
        let effects = view.finish().effects;
        self.rounds.last_mut().expect("a round is open").1.extend(effects);
        result
    }

    fn apply(&mut self, rounds: usize) {
        for (round, effects) in self.rounds.drain(..rounds) {
            // Through the log's encoding, as a follower gets them.
            let entry = Entry { effects, ..Entry::default() };
            let entry = Entry::decode(entry.encode()).expect("what we write decodes");
            entry.effects.iter().for_each(|effect| self.tablet.apply(effect));
            self.overlay.applied(round);
        }
    }
}

fn visit_all(store: &MapStore, family: Family, visit: &mut dyn FnMut(&[u8], &[u8])) {
    let all = &mut |key: &[u8], value: &[u8]| {
        visit(key, value);
        ControlFlow::Continue(())
    };
    store.scan(family, &[], &[0xff; 16], all).expect("a map is always readable");
}

/// Counts, expiry index and elements are exactly what the records say.
fn check_whole(store: &MapStore) {
    let (mut counts, mut index, mut sizes) = (Counts::default(), BTreeSet::new(), BTreeMap::new());
    visit_all(store, Family::Meta, &mut |key, value| {
        let record = Record::decode(key, &Bytes::copy_from_slice(value)).expect("a record decodes");
        counts.keys += 1;
        counts.expires += u64::from(record.expire_ms.is_some());
        index.extend(record.expire_ms.map(|expire_ms| record::expiry_key(expire_ms, key)));
        if let Body::Hash(state) = record.body {
            sizes.insert(record::element_prefix(key, state.creation), state.size);
        }
    });
    assert_eq!(store.counts, counts, "the counts are a full count");
    let mut found = BTreeSet::new();
    visit_all(store, Family::Expiry, &mut |key, _| found.extend([Bytes::copy_from_slice(key)]));
    assert_eq!(found, index, "the expiry index is what the records say");
    visit_all(store, Family::Data, &mut |key, _| {
        let (prefix, size) = sizes.range_mut(..=key.to_vec()).next_back().expect("an element lies under a hash");
        assert!(key.starts_with(prefix), "an element lies under a hash that exists");
        *size = size.checked_sub(1).expect("a hash has as many elements as its record says");
    });
    assert!(sizes.values().all(|left| *left == 0), "a hash has as many elements as its record says");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn what_is_proposed_reads_like_what_is_applied(seed: u64, commands in 50..300_usize) {
        let (mut requests, mut random) = (Requests::new(seed), Random(!seed));
        let (mut proposing, mut applying) = (Shard::default(), Shard::default());
        let (mut hlc, mut now_ms) = (Hlc::ZERO, 1_700_000_000_000);
        for _ in 0..commands {
            let (request, _) = requests.next();
            hlc = hlc.next(now_ms);
            let draw = random.next();
            let new_round = draw % 3 == 0;
            if draw % 16 == 1 {
                let step = |view: &mut View<'_>| expiry::remove_due(view, 3).expect("a map is always readable");
                prop_assert_eq!(proposing.evaluate(hlc, draw, new_round, step), applying.evaluate(hlc, draw, true, step));
            } else if let Ok(call) = command::parse(request)
                && !matches!(call.spec.run, Run::Connection(_))
            {
                let ours = proposing.evaluate(hlc, draw, new_round, |view| call.evaluate(view));
                prop_assert_eq!(ours, applying.evaluate(hlc, draw, true, |view| call.evaluate(view)), "the reply to {:?}", call.arguments);
            }
            applying.apply(applying.rounds.len());
            // Rounds are applied some time after they were closed, and the last may still be open.
            if draw % 5 == 0 && proposing.rounds.len() > 1 {
                proposing.apply(random.below(proposing.rounds.len()));
            }
            if draw % 40 == 2 {
                now_ms += 50_000_000 + draw % 100_000_000;
            }
        }
        proposing.apply(proposing.rounds.len());
        prop_assert!(proposing.overlay.is_empty() && proposing.overlay.bytes() == 0);
        prop_assert_eq!(&proposing.tablet, &applying.tablet);
        check_whole(&applying.tablet);
    }

    #[test]
    fn a_call_over_several_shards_does_what_it_does_on_one(seed: u64, shards in 1..6_usize) {
        let mut random = Random(seed);
        let mut whole = Shard::default();
        let mut cut: Vec<Shard> = (0..shards).map(|_| Shard::default()).collect();
        let shard_of = |slot: u16| usize::from(slot) * 7 % shards;
        let mut hlc = Hlc::ZERO;
        for _ in 0..60 {
            let name = ["MGET", "MSET", "DEL", "UNLINK", "EXISTS", "TOUCH", "DBSIZE", "FLUSHALL", "KEYS"][random.below(9)];
            let count = 1 + random.below(6);
            let mut request = vec![Bytes::from(name)];
            match name {
                "KEYS" => request.push(Bytes::from_static(b"*")),
                "DBSIZE" | "FLUSHALL" => {}
                _ => for _ in 0..count {
                    request.push(Bytes::from(format!("key{}", random.below(12))));
                    if name == "MSET" {
                        request.push(Bytes::from(random.below(100).to_string()));
                    }
                },
            }
            hlc = hlc.next(1_700_000_000_000);
            let call = command::parse(request).expect("a well-formed call");
            let expected = whole.evaluate(hlc, 0, true, |view| call.evaluate(view));
            let replies = if let Run::EveryShard { .. } = call.spec.run {
                cut.iter_mut().map(|shard| (Vec::new(), shard.evaluate(hlc, 0, true, |view| call.evaluate(view)))).collect()
            } else {
                let parts = call.split(shard_of).expect("these are cut");
                parts.into_iter().map(|part| {
                    let reply = cut[part.shard].evaluate(hlc, 0, true, |view| part.call.evaluate(view));
                    (part.key_order, reply)
                }).collect()
            };
            let merged = call.merge(replies);
            let sorted = |reply: Reply| match reply {
                Reply::Array(mut items) if name == "KEYS" => {
                    items.sort_by_key(|item| format!("{item:?}"));
                    Reply::Array(items)
                }
                reply => reply,
            };
            prop_assert_eq!(sorted(merged), sorted(expected), "the reply to {:?}", call.arguments);
        }
    }
}

/// A store whose reads fail after some.
struct Failing {
    store: MapStore,
    left: std::cell::Cell<usize>,
}

impl Failing {
    fn count(&self) -> Result<(), ReadError> {
        let left = self.left.get().checked_sub(1).ok_or_else(|| ReadError::Storage("the disk is gone".to_owned()))?;
        self.left.set(left);
        Ok(())
    }
}

impl Read for Failing {
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Bytes>, ReadError> {
        self.count()?;
        self.store.get(family, key)
    }

    fn scan(&self, family: Family, from: &[u8], to: &[u8], visit: &mut Visitor<'_>) -> Result<(), ReadError> {
        self.count()?;
        self.store.scan(family, from, to, visit)
    }
}

proptest! {
    #[test]
    fn a_store_that_fails_is_told_apart_and_ends_nothing(seed: u64, reads in 0..8_usize) {
        let mut requests = Requests::new(seed);
        let mut store = MapStore::default();
        for index in 1..200 {
            let (request, _) = requests.next();
            let Ok(call) = command::parse(request) else { continue };
            if matches!(call.spec.run, Run::Connection(_)) {
                continue;
            }
            let hlc = Hlc::from_millis(1_700_000_000_000 + index);
            let failing = Failing { store: store.clone(), left: reads.into() };
            let mut overlay = Overlay::default();
            let result = call.try_evaluate(&mut View::new(&failing, &mut overlay, hlc));
            let mut overlay = Overlay::default();
            let mut view = View::new(&store, &mut overlay, hlc);
            let expected = call.try_evaluate(&mut view);
            let effects = view.finish().effects;
            // Either the store failed, or nobody can tell.
            prop_assert!(matches!(result, Err(Failure::Read(_))) || result == expected, "{:?}", call.arguments);
            effects.iter().for_each(|effect| store.apply(effect));
        }
    }

    #[test]
    fn most_commands_read_the_record_once(value in bytes()) {
        let mut store = Failing { store: MapStore::default(), left: 0.into() };
        let words = |words: &[&[u8]]| command::parse(words.iter().map(|word| Bytes::copy_from_slice(word)).collect()).expect("well formed");
        let calls = [
            (words(&[b"SET", b"key", &value]), 1),
            (words(&[b"GET", b"key"]), 1),
            (words(&[b"SET", b"key", b"7", b"KEEPTTL"]), 1),
            (words(&[b"INCR", b"key"]), 1),
            (words(&[b"EXPIRE", b"key", b"10", b"NX"]), 1),
            (words(&[b"DEL", b"key"]), 1),
            (words(&[b"HSET", b"hash", b"field", &value]), 1),
            (words(&[b"HSET", b"hash", b"field", &value]), 2),
            (words(&[b"HGET", b"hash", b"field"]), 2),
            (words(&[b"HLEN", b"hash"]), 1),
        ];
        for (index, (call, reads)) in calls.iter().enumerate() {
            store.left.set(*reads);
            let mut overlay = Overlay::default();
            let mut view = View::new(&store, &mut overlay, Hlc::from_millis(1_700_000_000_000 + index as u64));
            let reply = call.try_evaluate(&mut view);
            prop_assert!(reply.is_ok(), "{:?} read more than {reads} times: {reply:?}", call.arguments);
            let effects = view.finish().effects;
            effects.iter().for_each(|effect| store.store.apply(effect));
            prop_assert_eq!(store.left.get(), 0, "{:?} read less than {} times", call.arguments, reads);
        }
    }
}
