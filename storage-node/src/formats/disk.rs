//! A whole disk: its identity, a log of raft-engine and a tablet of RocksDB, as the engines of that day wrote them.
//!
//! `UPDATE=1` makes the folder where it is missing, and never changes one that is there.

use crate::{
    agreement::LogEntry,
    bridge::{apply_effect, commands_of, to_stored},
    descriptor::{APPLIED_KEY, Applied, DESCRIPTOR_KEY, Descriptor, ReplicaRecord},
};
use bytes::Bytes;
use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Once},
};
use strata_base::{Epoch, Hlc, IncarnationId, PeerId, ShardId, SlotRange, StoreId, TableId};
use strata_engine::{
    identity::{Identity, Membership},
    log::{LogBatch, LogState, LogStore, RaftEngineLogStore, ReplicaBatch},
    tablet::{RocksSettings, RocksTabletStore, Tablet, TabletChange, TabletFamily, TabletStore},
};
use strata_kv::{Counts, Effect, Family, entry::Entry, record};
use strata_node_api::{Member, MemberRole};
use strata_raft_group::{EntryKind, HardState, LogEntry as RaftEntry};

const HOME: &str = "testdata/format/v1/disk";
const SHARD: ShardId = ShardId(7);
const GENERATION: u64 = 2;
const LOG_BYTES: u64 = 1 << 20;
const HARD_STATE: HardState = HardState { term: 6, vote: 2, commit: 8 };

fn hlc(counter: u64) -> Hlc {
    Hlc::from_u64(Hlc::from_millis(1_700_000_000_000).as_u64() + counter)
}

fn identity() -> Identity {
    let membership = Membership { cluster: "6f1c9a54-0f7e-4c38-9a55-0f6f2b1d7a10".to_owned(), incarnation: IncarnationId(2) };
    Identity { membership: Some(membership), epoch: Epoch(4), is_published: true, ..Identity::new(StoreId(101)) }
}

fn descriptor() -> Descriptor {
    let member = |peer| Member { peer: PeerId(peer), store: StoreId(100 + peer), role: MemberRole::Voter };
    Descriptor::create(SHARD, TableId(0), SlotRange::ALL, &[member(1), member(2), member(3)])
}

fn replica() -> ReplicaRecord {
    ReplicaRecord::Here {
        peer: PeerId(1),
        generation: GENERATION,
        truncated_index: 5,
        truncated_term: 5,
        archived_index: 6,
        archived_hlc: hlc(0),
    }
}

/// What the first entry wrote: a string, a field of a hash, and an expiry.
fn effects() -> Vec<Effect> {
    let meta = record::meta_key(b"user:7");
    let put = |family, key: Bytes, value: Bytes| Effect::Put { family, key, value };
    let string = record::Record { hlc: hlc(1), expire_ms: Some(4_000_000_000_000), body: record::Body::String("Ada".into()) };
    let field = record::field_key(&record::element_prefix(&record::meta_key(b"cart"), hlc(1)), b"apples");
    vec![
        Effect::Command { hlc: hlc(1) },
        put(Family::Meta, meta.clone(), string.encode()),
        put(Family::Expiry, record::expiry_key(4_000_000_000_000, &meta), Bytes::new()),
        put(Family::Data, field, record::field_value(hlc(1), b"3")),
        Effect::Count { keys: 1, expires: 1 },
    ]
}

/// The log after its cut: a leader's empty entry, the commands, a change of members.
fn entries() -> Vec<RaftEntry> {
    let commands = Entry { origin: 0, hlc: hlc(1), effects: effects() }.encode();
    vec![
        RaftEntry { index: 6, term: 6, ..RaftEntry::default() },
        RaftEntry { index: 7, term: 6, data: commands, ..RaftEntry::default() },
        RaftEntry { index: 8, term: 6, kind: EntryKind::Change, context: "where they lie".into(), data: "who they are".into() },
    ]
}

fn applied() -> Applied {
    Applied { index: 7, term: 6, hlc: hlc(1), counts: Counts { keys: 1, expires: 1 } }
}

fn changes() -> Vec<TabletChange> {
    let (mut changes, mut counts) = (Vec::new(), Counts::default());
    effects().into_iter().for_each(|effect| apply_effect(effect, &mut changes, &mut counts));
    changes.push(TabletChange::Put(TabletFamily::System, Bytes::from_static(APPLIED_KEY), applied().encode()));
    changes.push(TabletChange::Put(TabletFamily::System, Bytes::from_static(DESCRIPTOR_KEY), descriptor().encode()));
    changes
}

fn tablets(folder: &Path) -> RocksTabletStore {
    let settings = RocksSettings { block_cache_bytes: 1 << 20, write_buffer_bytes: 4 << 20, direct_io: false };
    RocksTabletStore::new(folder, settings).expect("the folder of the tablets is there or can be made")
}

/// Writes the disk as a node would.
fn write(folder: &Path) {
    fs::create_dir_all(folder).expect("it can be made");
    identity().store(folder).expect("it can be written");
    let log = RaftEngineLogStore::open(&folder.join("log"), LOG_BYTES).expect("a new log opens");
    let states = vec![(LogState::HardState, HARD_STATE.encode()), (LogState::Replica, replica().encode())];
    let entries = entries().into_iter().map(to_stored).collect();
    let batch = ReplicaBatch { shard: SHARD, entries, states, ..ReplicaBatch::default() };
    log.write(LogBatch { replicas: vec![batch], sync: true }).expect("the log takes it");
    drop(log);
    let tablet = tablets(&folder.join("tablets")).create(SHARD, GENERATION).expect("a new tablet");
    tablet.write(changes()).and_then(|()| tablet.flush()).expect("the tablet takes it");
}

/// Copies what a disk needs to open. Locks and RocksDB's own chronicle stay behind: they name the machine.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("it can be made");
    for entry in fs::read_dir(from).expect("it can be listed").flatten() {
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        if path.is_dir() {
            copy(&path, &to.join(name));
        } else if !name.starts_with("LOG") && name != "LOCK" {
            fs::copy(&path, to.join(name)).expect("it can be copied");
        }
    }
}

/// The fixture, copied: engines write when they open.
fn opened() -> tempfile::TempDir {
    /// Tests run beside each other, and one of them makes it.
    static MADE: Once = Once::new();
    let folder = tempfile::tempdir().expect("a folder");
    MADE.call_once(|| {
        if !Path::new(HOME).is_dir() {
            assert!(strata_golden::is_update(), "{HOME} is missing: a format of version 1 must open for ever");
            write(&folder.path().join("made"));
            copy(&folder.path().join("made"), Path::new(HOME));
        }
    });
    copy(Path::new(HOME), &folder.path().join("disk"));
    folder
}

fn expect_content(tablet: &Arc<dyn Tablet>) {
    let get = |family, key: &[u8]| tablet.get(family, key).expect("it can be read");
    let state = get(TabletFamily::System, APPLIED_KEY).and_then(|bytes| Applied::decode(&bytes));
    assert_eq!(state, Some(applied()));
    let known = get(TabletFamily::System, DESCRIPTOR_KEY).map(|bytes| Descriptor::decode(&bytes));
    assert_eq!(known, Some(Ok(descriptor())));
    let mut found = 0;
    for change in changes() {
        let TabletChange::Put(family, key, value) = change else { continue };
        assert_eq!(get(family, &key).as_ref(), Some(&value), "{family:?} {key:?}");
        found += 1;
    }
    assert_eq!(found, 5, "three records, the applied state and the descriptor");
}

#[test]
fn a_log_of_version_1_opens_and_reads_back() {
    let folder = opened();
    let disk = folder.path().join("disk");
    assert_eq!(Identity::load(&disk), Ok(Some(identity())));
    let log = RaftEngineLogStore::open(&disk.join("log"), LOG_BYTES).expect("an old log opens");
    assert_eq!((log.shards(), log.bounds(SHARD)), (vec![SHARD], Some((6, 8))));
    let state = |state| log.state(SHARD, state).expect("it was written");
    assert_eq!(HardState::decode(&state(LogState::HardState)), Some(HARD_STATE));
    assert_eq!(ReplicaRecord::decode(&state(LogState::Replica)), Ok(replica()));
    let read = log.entries(SHARD, 6, 9, u64::MAX).expect("they can be read");
    assert_eq!(read, entries().into_iter().map(to_stored).collect::<Vec<_>>());
    let commands = LogEntry::decode(commands_of(&read[1])).expect("an old entry decodes");
    assert_eq!(commands, LogEntry::Commands(Entry { origin: 0, hlc: hlc(1), effects: effects() }));
}

#[test]
fn a_tablet_of_version_1_opens_and_takes_more() {
    let folder = opened();
    let store = tablets(&folder.path().join("disk/tablets"));
    assert_eq!(store.shards(), Ok(vec![SHARD]));
    let tablet = store.open(SHARD, GENERATION).expect("an old tablet opens");
    expect_content(&tablet);
    let more = TabletChange::Put(TabletFamily::Meta, "more".into(), "of today".into());
    tablet.write(vec![more]).and_then(|()| tablet.flush()).expect("an old tablet takes writes");
    drop(tablet);
    let tablet = store.open(SHARD, GENERATION).expect("it opens again");
    assert_eq!(tablet.get(TabletFamily::Meta, b"more"), Ok(Some("of today".into())));
    expect_content(&tablet);
}

#[test]
fn the_files_of_a_checkpoint_of_version_1_become_a_tablet() {
    let folder = opened();
    let disk = folder.path().join("disk/tablets");
    let from = disk.join(SHARD.to_string()).join(GENERATION.to_string());
    let entries = fs::read_dir(&from).expect("it can be listed").flatten();
    let files: Vec<(PathBuf, String)> = entries.map(|entry| (entry.path(), entry.file_name().to_string_lossy().into_owned())).collect();
    assert!(files.iter().any(|(_, name)| name == "CURRENT") && files.iter().any(|(_, name)| name.ends_with(".sst")), "{files:?}");
    let store = tablets(&disk);
    let peeked = store.peek(&from, TabletFamily::System, APPLIED_KEY).expect("files can be looked into");
    assert_eq!(peeked.and_then(|bytes| Applied::decode(&bytes)), Some(applied()));
    expect_content(&store.build(ShardId(8), 1, &files).expect("old files make a tablet"));
}
