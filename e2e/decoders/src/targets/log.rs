//! What logs and tablets hold.

use super::Target;
use crate::{
    Verdict,
    check::{exact, steady, steady_json},
    meter::{FACTOR, bounded_by},
};
use bytes::Bytes;
use strata_base::{Hlc, PeerId, StoreId};
use strata_engine::{
    log::{StoredEntry, stored},
    tier::documents::{CheckpointDocument, ClusterDocument, Document},
};
use strata_kv::{
    Counts, Effect, Family,
    entry::Entry,
    record::{self, Body, Collection, Head, Record},
    slot,
};
use strata_node::{
    agreement::{Agreement, AgreementKind, Comparison, LogEntry},
    bridge::apply_effect,
    host::ChangeContext,
};
use strata_node_api::{Member, MemberChange, MemberRole};
use strata_raft_group::{Change, Configuration, HardState, Message, NoLog, Payload, RaftGroup, Settings, Standing, Start, peek};

pub(super) const RECORDS: Target = Target {
    name: "records",
    from: "a tablet's files",
    sources: &["storage-node/kv/src/record.rs"],
    play: records,
    samples: record_samples,
};

pub(super) const KEYS: Target = Target {
    name: "keys",
    from: "a tablet's files, and clients",
    sources: &["storage-node/kv/src/record.rs"],
    play: keys,
    samples: key_samples,
};

pub(super) const LOG_ENTRIES: Target = Target {
    name: "log_entries",
    from: "the log of a shard: other nodes, the disk and the bucket",
    sources: &["storage-node/kv/src/entry.rs", "storage-node/src/agreement.rs"],
    play: log_entries,
    samples: entry_samples,
};

pub(super) const STORED_ENTRIES: Target = Target {
    name: "stored_entries",
    from: "the log on disk",
    sources: &["storage-node/engine/src/log/stored.rs"],
    play: |bytes| steady(bytes, |bytes| stored::decode(&bytes), stored::encode),
    samples: stored_samples,
};

pub(super) const HARD_STATES: Target = Target {
    name: "hard_states",
    from: "the log on disk",
    sources: &["storage-node/raft-group/src/group.rs"],
    play: |bytes| exact(bytes, |bytes| HardState::decode(&bytes), HardState::encode),
    samples: || vec![("voted", HardState { term: 7, vote: 2, commit: 90 }.encode().to_vec())],
};

pub(super) const MEMBER_CHANGES: Target = Target {
    name: "member_changes",
    from: "the log of a shard",
    sources: &["storage-node/src/host/order.rs"],
    play: member_changes,
    samples: || vec![("replacement", change_context().encode().to_vec())],
};

pub(super) const RAFT_MESSAGES: Target = Target {
    name: "raft_messages",
    from: "other members of a shard",
    sources: &["storage-node/raft-group/src/wire.rs", "storage-node/raft-group/src/peek.rs"],
    play: raft_messages,
    samples: raft_samples,
};

fn records(bytes: &[u8]) -> Verdict {
    let decode = |value: Bytes| {
        let (record, head) = (Record::decode(b"key", &value).ok(), Head::decode(b"key", &value).ok());
        if let Some(record) = &record {
            let head = head.expect("a record has a head");
            assert_eq!((head.hlc, head.expire_ms, head.type_name()), (record.hlc, record.expire_ms, record.body.type_name()));
        }
        record
    };
    exact(bytes, decode, Record::encode)
}

fn keys(bytes: &[u8]) -> Verdict {
    let meta = bounded_by(FACTOR, bytes, || record::meta_key(bytes));
    assert_eq!(record::user_key(&meta), Some(bytes));
    assert_eq!(record::place(&meta).map(|(slot, _)| slot), Some(slot::slot_of(bytes)));
    let prefix = record::element_prefix(&meta, Hlc::from_millis(1));
    let end = record::prefix_end(&prefix).expect("a slot is below 0xffff");
    let element = record::field_key(&prefix, bytes);
    assert!(prefix[..] <= element[..] && element < end, "an element lies within its collection");
    assert_eq!(record::field_payload(b"key", &record::field_value(Hlc::ZERO, bytes)).as_deref(), Ok(bytes));
    // And bytes that are said to be such keys.
    let _ = (record::user_key(bytes), record::place(bytes), record::prefix_end(bytes));
    let _ = record::field_payload(b"key", &Bytes::copy_from_slice(bytes));
    if let Some((expire_ms, meta)) = record::split_expiry_key(bytes) {
        assert_eq!(record::expiry_key(expire_ms, meta), bytes);
    }
    // Whatever a client calls its key is one.
    Verdict::Taken
}

fn log_entries(bytes: &[u8]) -> Verdict {
    let encode = |entry: &LogEntry| match entry {
        LogEntry::Commands(entry) => {
            let (mut changes, mut counts) = (Vec::new(), Counts::default());
            for effect in entry.effects.clone() {
                apply_effect(effect, &mut changes, &mut counts);
            }
            entry.encode()
        }
        LogEntry::Agreement(agreement) => {
            // Whoever leads next reads the document again.
            let _ = (ClusterDocument::decode(&agreement.document), CheckpointDocument::decode(&agreement.document));
            agreement.encode()
        }
        LogEntry::Comparison(comparison) => comparison.encode(),
    };
    exact(bytes, |bytes| LogEntry::decode(bytes).ok(), encode)
}

fn member_changes(bytes: &[u8]) -> Verdict {
    if bytes.is_empty() {
        assert_eq!(ChangeContext::decode(bytes), Ok(ChangeContext::default()), "Raft's own entry has no context");
        return Verdict::Taken;
    }
    steady_json::<ChangeContext>(bytes)
}

fn raft_messages(bytes: &[u8]) -> Verdict {
    let given = Bytes::copy_from_slice(bytes);
    let read = || (peek::is_from_leader(&given), peek::is_vote_request(&given), peek::rewritten(&given));
    let (is_from_leader, is_vote_request, rewritten) = bounded_by(FACTOR, bytes, read);
    let Some(rewritten) = rewritten else { return Verdict::Refused };
    assert!(!(is_from_leader && is_vote_request), "no message is both");
    // What a newer build said beside the known fields is kept, in any order: what counts is the meaning.
    assert_eq!(peek::meaning(&rewritten), peek::meaning(&given), "a message that is written again means the same");
    Verdict::Taken
}

fn record_samples() -> Vec<(&'static str, Vec<u8>)> {
    let hlc = Hlc::from_millis(1_700_000_000_000);
    let hash = Body::Hash(Collection { size: 3, creation: hlc });
    let record = |expire_ms, body| Record { hlc, expire_ms, body }.encode().to_vec();
    vec![
        ("string", record(None, Body::String("hello".into()))),
        ("string_that_expires", record(Some(1_800_000_000_000), Body::String(Bytes::new()))),
        ("hash", record(None, hash.clone())),
        ("hash_that_expires", record(Some(0), hash)),
    ]
}

fn key_samples() -> Vec<(&'static str, Vec<u8>)> {
    let meta = record::meta_key(b"{user:7}.cart");
    vec![
        ("user_key", b"a\0b{tag}".to_vec()),
        ("meta", meta.to_vec()),
        ("element", record::field_key(&record::element_prefix(&meta, Hlc::from_millis(7)), b"name").to_vec()),
        ("expiry", record::expiry_key(1_800_000_000_000, &meta).to_vec()),
    ]
}

fn entry_samples() -> Vec<(&'static str, Vec<u8>)> {
    let hlc = Hlc::from_millis(1_700_000_000_000);
    let effects = vec![
        Effect::Command { hlc },
        Effect::Put { family: Family::Meta, key: "mk".into(), value: "mv".into() },
        Effect::Delete { family: Family::Expiry, key: "ek".into() },
        Effect::DeleteRange { family: Family::Data, from: "a".into(), to: "b".into() },
        Effect::DropElements { prefix: "px".into() },
        Effect::Count { keys: 1, expires: -1 },
        Effect::ResetCounts,
    ];
    let document = super::bucket::checkpoint().encode();
    vec![
        ("tick", Entry { hlc, ..Entry::default() }.encode().to_vec()),
        ("all_effects", Entry { origin: 3, hlc, effects }.encode().to_vec()),
        ("agreement", Agreement { kind: AgreementKind::Checkpoint, number: 4, hlc, document }.encode().to_vec()),
        ("comparison", Comparison { number: 7, hlc }.encode().to_vec()),
    ]
}

fn stored_samples() -> Vec<(&'static str, Vec<u8>)> {
    let entry = |kind, context: &'static str, data: &'static str| {
        stored::encode(&StoredEntry { index: 12, term: 3, kind, context: context.into(), data: data.into() }).to_vec()
    };
    vec![("empty", entry(0, "", "")), ("commands", entry(0, "", "effects")), ("change", entry(1, "where they lie", "who they are"))]
}

fn change_context() -> ChangeContext {
    let member = Member { peer: PeerId(4), store: StoreId(104), role: MemberRole::Voter };
    ChangeContext { changes: vec![MemberChange::Put { member }, MemberChange::Remove { peer: PeerId(2) }] }
}

fn member(peer: u64) -> RaftGroup<NoLog> {
    let start = Start::empty(PeerId(peer), Configuration::of_voters([1, 2, 3].map(PeerId)));
    RaftGroup::new(Settings { seed: peer, ..Settings::default() }, start, NoLog).expect("a fresh member starts")
}

/// Does everything that a member asks for, and returns its messages.
fn drain(group: &mut RaftGroup<NoLog>) -> Vec<Message> {
    let mut messages = Vec::new();
    while group.has_ready() {
        let ready = group.ready();
        group.persisted(ready.number);
        messages.extend(ready.messages.into_iter().chain(ready.after_persist));
        for entry in &ready.committed {
            if let Payload::Change { change, .. } = &entry.payload {
                group.apply_change(change).expect("a change that was committed can be applied");
            }
        }
        if let Some(last) = ready.committed.last() {
            group.applied(last.index);
        }
    }
    messages
}

/// Passes messages among members until nobody says anything more; what is said to others is kept as well.
fn pass(groups: &mut [RaftGroup<NoLog>], said: &mut Vec<Vec<u8>>) {
    loop {
        let messages: Vec<Message> = groups.iter_mut().flat_map(drain).collect();
        if messages.is_empty() {
            break;
        }
        for message in messages {
            if let Some(to) = groups.iter_mut().find(|group| group.peer() == message.to) {
                to.receive(&message.bytes);
            }
            said.push(message.bytes);
        }
    }
}

/// What real members say to each other: an election, entries, a change of members, and a snapshot for one that missed them.
fn raft_samples() -> Vec<(&'static str, Vec<u8>)> {
    let (mut groups, mut said) = ([member(1), member(2)], Vec::new());
    groups[0].campaign();
    pass(&mut groups, &mut said);
    let mut last = 0;
    for proposal in ["first", "second"] {
        last = groups[0].propose(proposal.into()).expect("it leads").index;
        pass(&mut groups, &mut said);
    }
    let change = [Change::Put(PeerId(4), Standing::Learner)];
    groups[0].propose_change(&change, change_context().encode()).expect("it leads");
    pass(&mut groups, &mut said);
    groups[0].truncate(last);
    let mut late = member(3);
    for _ in 0..20 {
        groups[0].tick();
        for message in drain(&mut groups[0]) {
            if message.to == late.peer() && !message.is_snapshot {
                late.receive(&message.bytes);
            }
            said.push(message.bytes);
        }
        for message in drain(&mut late) {
            groups[0].receive(&message.bytes);
            said.push(message.bytes);
        }
    }
    // One of each kind, which comes first, and length is enough.
    said.sort_by_key(|bytes| (bytes.get(1).copied(), bytes.len()));
    said.dedup_by_key(|bytes| (bytes.get(1).copied(), bytes.len()));
    let names = ["m00", "m01", "m02", "m03", "m04", "m05", "m06", "m07", "m08", "m09", "m10", "m11", "m12", "m13", "m14", "m15"];
    names.into_iter().zip(said).collect()
}
