use super::*;
use crate::tier::{
    Cut, Place,
    layout::{Layout, LifeId, ObjectId},
};
use proptest::prelude::*;
use std::{collections::BTreeMap, fmt::Debug};
use strata_base::{Epoch, Hlc, IncarnationId, PeerId, ShardId, SlotRange, StoreId, TableId};

fn parent() -> ParentReference {
    ParentReference {
        place: Place { store: "https://s3.example".into(), bucket: "backups".into() },
        path: Layout::new("default/shop").expect("a path"),
        incarnation: IncarnationId(1),
    }
}

fn owner() -> Owner {
    Owner {
        cluster: "6f1c9a54-0f7e-4c38-9a55-0f6f2b1d7a10".into(),
        namespace_uid: "1d6f8a7e-5a39-4d6b-8a0c-2f1e4b6c9d01".into(),
        kv_cluster_uid: "9b2d1c3e-7f40-4a51-b6d2-8e7f6a5b4c02".into(),
        incarnation: IncarnationId(2),
        incarnations: vec![
            OwnedIncarnation { id: IncarnationId(1), parent: None, retired: false },
            OwnedIncarnation { id: IncarnationId(2), parent: Some(parent()), retired: false },
        ],
    }
}

fn cluster() -> ClusterDocument {
    let cut = Cut { fork_epoch: 1, index: 90, term: 6, hlc: Hlc::from_millis(1_700_000_000_000) };
    let member = |peer, voter| MemberDocument { peer: PeerId(peer), store: StoreId(peer + 100), voter };
    ClusterDocument {
        cluster: owner().cluster,
        incarnation: IncarnationId(2),
        number: 0,
        parent: Some(parent()),
        shards: vec![ShardDocument {
            shard: ShardId(7),
            table: TableId(0),
            slots: SlotRange::ALL,
            epoch: Epoch(3),
            members: vec![member(1, true), member(2, true), member(3, false)],
            forks: vec![Fork { epoch: 1, after: 120 }],
            origin: Some(Origin { shard: ShardId(5), cut }),
            start: Cut::default(),
        }],
        lives: vec![LifeDocument { life: LifeId(11), store: StoreId(101) }],
        tables: vec![TableDocument { table: TableId(0), name: "default".into(), settings: BTreeMap::new() }],
        settings: BTreeMap::from([("archive.flushInterval".to_owned(), serde_json::json!("1s"))]),
    }
}

fn checkpoint() -> CheckpointDocument {
    let file = |name: &str, object, size, crc32| FileDocument { name: name.into(), object: ObjectId(object), size, crc32 };
    CheckpointDocument {
        incarnation: IncarnationId(2),
        shard: ShardId(7),
        number: 4,
        at: Cut { fork_epoch: 0, index: 1_234, term: 8, hlc: Hlc::from_millis(1_700_000_100_000) },
        source: "0000000000000065/1/3".into(),
        files: vec![file("000012.sst", 1 << 120, 4_096, 0xdead_beef), file("CURRENT", 2 << 120, 16, 7)],
        manifest: None,
    }
}

/// Both fixtures open as this document, and this build still writes the bytes of the second.
fn check<D: Document + PartialEq + Debug>(document: &D, first: &[u8], checked: &[u8]) {
    for fixture in [first, checked] {
        assert_eq!(D::decode(fixture).as_ref(), Ok(document), "a fixture must open for ever");
    }
    assert_eq!(String::from_utf8_lossy(&document.encode()), String::from_utf8_lossy(checked), "version 1 is what this build writes");
}

/// The fixtures of a kind: as first builds wrote it, and with its checksum.
macro_rules! fixtures {
    ($document:expr, $name:literal) => {
        check(
            &$document,
            include_bytes!(concat!("../../../testdata/format/v1/", $name, ".json")),
            include_bytes!(concat!("../../../testdata/format/v1/", $name, "_checked.json")),
        )
    };
}

#[test]
fn fixtures_of_version_1_open() {
    fixtures!(owner(), "owner");
    fixtures!(Beat { incarnation: IncarnationId(2), life: LifeId(11), count: 3 }, "beat");
    fixtures!(ChildDocument { incarnation: IncarnationId(1), number: 0, child: IncarnationId(2) }, "child");
    fixtures!(cluster(), "cluster");
    fixtures!(checkpoint(), "checkpoint");
}

#[test]
fn no_bit_can_flip_in_a_document() {
    for whole in [cluster().encode(), checkpoint().encode(), owner().encode()] {
        for bit in 0..whole.len() * 8 {
            let mut flipped = whole.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let is_refused = ClusterDocument::decode(&flipped).is_err()
                && CheckpointDocument::decode(&flipped).is_err()
                && Owner::decode(&flipped).is_err();
            assert!(is_refused, "bit {bit}: {}", String::from_utf8_lossy(&flipped));
        }
    }
}

#[test]
fn another_version_and_another_kind_are_refused_by_name() {
    let text = String::from_utf8(owner().encode().to_vec()).expect("JSON is text");
    let refused = |text: &str| Owner::decode(text.as_bytes()).expect_err("must be refused").to_string();
    assert!(refused(&text.replace("\"version\": 1", "\"version\": 2")).contains("version 2, and this build reads version 1"));
    assert!(refused(&text.replace("strata/owner", "strata/beat")).contains("expected strata/owner, found \"strata/beat\""));
    assert!(refused(&text.replace("\"body\"", "\"corpus\"")).contains("checksum"));
    let (first, _) = text.split_once(",\n  \"crc32\"").expect("it has a checksum");
    assert!(refused(&(first.replace("namespaceUid", "namespace") + "}")).contains("namespace"));
    assert!(refused("<html>").contains("expected strata/owner"));
    assert!(Beat::decode(&owner().encode()).is_err());
}

#[test]
fn a_digest_survives_its_text() {
    let digest = Digest::of(b"abc");
    assert_eq!(digest.to_string(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_eq!(Digest::try_from(digest.to_string()), Ok(digest));
    assert!(Digest::try_from("x".repeat(64)).is_err());
    assert!(Digest::try_from("é".repeat(32)).is_err());
    assert!(Digest::try_from("+7".repeat(32)).is_err() && Digest::try_from("A7".repeat(32)).is_err(), "one digest has one text");
}

#[test]
fn an_index_belongs_to_the_fork_that_began_before_it() {
    let shard = &cluster().shards[0];
    assert_eq!([100, 120, 121].map(|index| shard.fork_epoch_of(index)), [0, 0, 1]);
}

proptest! {
    #[test]
    fn no_bytes_make_decoding_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), place in any::<prop::sample::Index>(), byte: u8) {
        let _error = Owner::decode(&bytes);
        let mut near = checkpoint().encode().to_vec();
        let place = place.index(near.len());
        near[place] = byte;
        let _either = CheckpointDocument::decode(&near);
    }
}
