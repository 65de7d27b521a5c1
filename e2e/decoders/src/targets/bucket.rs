//! What a bucket holds.

use super::Target;
use crate::{
    Verdict,
    check::{exact, steady},
    meter::{FACTOR, bounded_by},
};
use bytes::Bytes;
use std::collections::BTreeMap;
use strata_base::{Epoch, Hlc, IncarnationId, PeerId, ShardId, SlotRange, StoreId, TableId};
use strata_engine::tier::{
    Cut, Entry, Place,
    documents::{
        Beat, CheckpointDocument, ChildDocument, ClusterDocument, Document, FileDocument, Fork, LifeDocument, MemberDocument, Origin,
        OwnedIncarnation, Owner, ParentReference, ShardDocument, TableDocument,
    },
    layout::{FileKind, Layout, LifeId, Name, ObjectId},
    log_object::{self, LogPlace, Run, TAIL_BYTES},
};

pub(super) const LOG_OBJECTS: Target = Target {
    name: "log_objects",
    from: "the bucket",
    sources: &["storage-node/engine/src/tier/log_object.rs"],
    play: log_objects,
    samples: log_object_samples,
};

pub(super) const OWNERS: Target = Target {
    name: "owners",
    from: "the bucket",
    sources: &["storage-node/engine/src/tier/documents.rs", "storage-node/engine/src/tier/documents/owner.rs"],
    play: document::<Owner>,
    samples: || vec![("restored", owner().encode().to_vec())],
};

pub(super) const BEATS: Target = Target {
    name: "beats",
    from: "the bucket",
    sources: &["storage-node/engine/src/tier/documents.rs", "storage-node/engine/src/tier/documents/beat.rs"],
    play: document::<Beat>,
    samples: || vec![("third", Beat { incarnation: IncarnationId(2), life: LifeId(11), count: 3 }.encode().to_vec())],
};

pub(super) const CHILDREN: Target = Target {
    name: "children",
    from: "the bucket",
    sources: &["storage-node/engine/src/tier/documents.rs", "storage-node/engine/src/tier/documents/child.rs"],
    play: document::<ChildDocument>,
    samples: || vec![("first", ChildDocument { incarnation: IncarnationId(1), number: 0, child: IncarnationId(2) }.encode().to_vec())],
};

pub(super) const CLUSTERS: Target = Target {
    name: "clusters",
    from: "the bucket, orders, and the log of the first shard",
    sources: &["storage-node/engine/src/tier/documents.rs", "storage-node/engine/src/tier/documents/cluster.rs"],
    play: document::<ClusterDocument>,
    samples: || vec![("restored", cluster().encode().to_vec())],
};

pub(super) const CHECKPOINTS: Target = Target {
    name: "checkpoints",
    from: "the bucket, and the log of a shard",
    sources: &["storage-node/engine/src/tier/documents.rs", "storage-node/engine/src/tier/documents/checkpoint.rs"],
    play: document::<CheckpointDocument>,
    samples: || vec![("two_files", checkpoint().encode().to_vec())],
};

pub(super) const OBJECT_NAMES: Target = Target {
    name: "object_names",
    from: "lists of the bucket",
    sources: &["storage-node/engine/src/tier/layout.rs"],
    play: object_names,
    samples: name_samples,
};

fn document<D: Document + PartialEq>(bytes: &[u8]) -> Verdict {
    steady(
        bytes,
        |bytes| D::decode(&bytes).ok(),
        |document| {
            let written = document.encode();
            assert!(D::decode(&written).ok().as_ref() == Some(document), "what was written has another value");
            written
        },
    )
}

fn number(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|chunk| u64::from_be_bytes(*chunk))
}

/// Where the footer begins, by the length in the tail.
fn footer_of(bytes: &[u8]) -> Option<usize> {
    let tail = bytes.len().checked_sub(TAIL_BYTES)?;
    let length = u32::from_be_bytes(*bytes[tail..].first_chunk()?);
    tail.checked_sub(usize::try_from(length).ok()?)
}

/// The place that an object names itself.
fn place_of(bytes: &[u8]) -> Option<LogPlace> {
    let footer = footer_of(bytes)?;
    let (incarnation, life, seq) = (number(bytes, footer)?, number(bytes, footer + 8)?, number(bytes, footer + 16)?);
    Some(LogPlace { incarnation: IncarnationId(incarnation), life: LifeId(life), seq })
}

/// The same object with checksums that are right: without them nothing behind a checksum would ever be read.
fn with_checksums(bytes: &[u8]) -> Option<Vec<u8>> {
    const HEAD: usize = 44;
    const SUMMARY: usize = 84;
    let mut out = bytes.to_vec();
    let (footer, tail) = (footer_of(bytes)?, bytes.len() - TAIL_BYTES);
    let mut summary = footer + HEAD;
    while summary + SUMMARY <= tail {
        let (from, length) = (number(bytes, summary + 64)?, number(bytes, summary + 72)?);
        let run = usize::try_from(from).ok().zip(from.checked_add(length).and_then(|end| usize::try_from(end).ok()));
        if let Some(run) = run.and_then(|(from, end)| bytes.get(from..end)) {
            out[summary + 80..summary + 84].copy_from_slice(&crc32fast::hash(run).to_be_bytes());
        }
        summary += SUMMARY;
    }
    let crc32 = crc32fast::hash(&out[footer..tail]);
    out[tail + 4..tail + 8].copy_from_slice(&crc32.to_be_bytes());
    Some(out)
}

fn log_objects(bytes: &[u8]) -> Verdict {
    let as_it_is = log_object(bytes);
    match with_checksums(bytes).map(|mended| log_object(&mended)) {
        Some(Verdict::Taken) => Verdict::Taken,
        _ => as_it_is,
    }
}

fn log_object(bytes: &[u8]) -> Verdict {
    let Some(at) = place_of(bytes) else {
        let nowhere = LogPlace { incarnation: IncarnationId(1), life: LifeId(2), seq: 3 };
        assert!(log_object::decode(&Bytes::copy_from_slice(bytes), nowhere).is_err(), "it has no footer");
        return Verdict::Refused;
    };
    let whole = Bytes::copy_from_slice(bytes);
    let Ok((footer, entries)) = bounded_by(FACTOR, bytes, || log_object::decode(&whole, at)) else { return Verdict::Refused };
    let runs: Vec<Run> = footer
        .runs
        .iter()
        .zip(&entries)
        .map(|(run, entries)| Run { shard: run.shard, fork_epoch: run.fork_epoch, entries: entries.clone() })
        .collect();
    assert_eq!(runs.len(), entries.len(), "each run has its entries");
    let written = log_object::encode(at, footer.confirmed, footer.made, &runs);
    let (again, read) = log_object::decode(&written, at).expect("what this build writes decodes");
    assert_eq!((again.confirmed, again.made, read), (footer.confirmed, footer.made, entries));
    Verdict::Taken
}

fn object_names(bytes: &[u8]) -> Verdict {
    let Ok(text) = std::str::from_utf8(bytes) else { return Verdict::Refused };
    let layout = Layout::new("default/shop").expect("it is a path");
    // What a list returns, and what a document names as its path.
    if let Ok(path) = Layout::new(text) {
        assert_eq!(path.path(), text);
        assert!(!text.split('/').any(|part| part == ".." || part.is_empty()), "a path does not lead elsewhere");
    }
    exact(bytes, |_| layout.parse(text).ok(), |name| Bytes::from(layout.key(*name)))
}

fn name_samples() -> Vec<(&'static str, Vec<u8>)> {
    let layout = Layout::new("default/shop").expect("it is a path");
    let (incarnation, shard, object) = (IncarnationId(1), ShardId(0xa7), ObjectId(0xfe << 120 | 5));
    [
        ("owner", Name::Owner),
        ("beat", Name::Beat(incarnation)),
        ("child", Name::Child(incarnation, 3)),
        ("cluster", Name::Cluster(incarnation, 12)),
        ("log", Name::Log(incarnation, LifeId(3), 4)),
        ("checkpoint", Name::Checkpoint(incarnation, shard, 0)),
        ("file", Name::File(incarnation, object, FileKind::Meta)),
        ("segment", Name::Segment(incarnation, object)),
        ("manifest", Name::Manifest(incarnation, shard, 2)),
    ]
    .into_iter()
    .map(|(label, name)| (label, layout.key(name).into_bytes()))
    .collect()
}

fn log_object_samples() -> Vec<(&'static str, Vec<u8>)> {
    let at = LogPlace { incarnation: IncarnationId(1), life: LifeId(2), seq: 3 };
    let entry = |index: u64, text: &'static str| Entry { index, term: 4, hlc: Hlc::from_millis(1_000 + index), payload: text.into() };
    let runs = [
        Run { shard: ShardId(7), fork_epoch: 0, entries: vec![entry(10, "first"), entry(11, ""), entry(12, "third")] },
        Run { shard: ShardId(9), fork_epoch: 1, entries: vec![entry(500, "of another shard")] },
    ];
    let encode = |runs: &[Run]| log_object::encode(at, 3, Hlc::from_millis(2_000), runs).to_vec();
    vec![("two_runs", encode(&runs)), ("one_run", encode(&runs[1..])), ("no_run", encode(&[]))]
}

fn parent() -> ParentReference {
    ParentReference {
        place: Place { store: "https://s3.example".to_owned(), bucket: "backups".to_owned() },
        path: Layout::new("default/shop").expect("it is a path"),
        incarnation: IncarnationId(1),
    }
}

fn owner() -> Owner {
    Owner {
        cluster: "6f1c9a54-0f7e-4c38-9a55-0f6f2b1d7a10".to_owned(),
        namespace_uid: "1d6f8a7e-5a39-4d6b-8a0c-2f1e4b6c9d01".to_owned(),
        kv_cluster_uid: "9b2d1c3e-7f40-4a51-b6d2-8e7f6a5b4c02".to_owned(),
        incarnation: IncarnationId(2),
        incarnations: vec![
            OwnedIncarnation { id: IncarnationId(1), parent: None, retired: true },
            OwnedIncarnation { id: IncarnationId(2), parent: Some(parent()), retired: false },
        ],
    }
}

fn cluster() -> ClusterDocument {
    let cut = Cut { fork_epoch: 1, index: 90, term: 6, hlc: Hlc::from_millis(1_700_000_000_000) };
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
            members: vec![MemberDocument { peer: PeerId(1), store: StoreId(101), voter: true }],
            forks: vec![Fork { epoch: 1, after: 120 }],
            origin: Some(Origin { shard: ShardId(5), cut }),
            start: Cut::default(),
        }],
        lives: vec![LifeDocument { life: LifeId(11), store: StoreId(101) }],
        tables: vec![TableDocument { table: TableId(0), name: "default".to_owned(), settings: BTreeMap::new() }],
        settings: BTreeMap::from([("archive.flushInterval".to_owned(), serde_json::json!({ "seconds": 1, "parts": [true, null, "x"] }))]),
    }
}

pub(super) fn checkpoint() -> CheckpointDocument {
    let file = |name: &str, object, size, crc32| FileDocument { name: name.to_owned(), object: ObjectId(object), size, crc32 };
    CheckpointDocument {
        incarnation: IncarnationId(2),
        shard: ShardId(7),
        number: 4,
        at: Cut { fork_epoch: 0, index: 1_234, term: 8, hlc: Hlc::from_millis(1_700_000_100_000) },
        source: "0000000000000065/1/3".to_owned(),
        files: vec![file("000012.sst", 1 << 120, 4_096, 0xdead_beef), file("CURRENT", 2 << 120, 16, 7)],
        manifest: Some(1),
    }
}
