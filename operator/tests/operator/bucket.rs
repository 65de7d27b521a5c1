//! Buckets in memory, read by the machines of the engine as the operator runs them.

use bytes::Bytes;
use std::sync::Arc;
use strata_base::{Epoch, Hlc, IncarnationId, ShardId, SlotRange, StoreId, TableId};
use strata_engine::{
    objects::{MemoryObjects, Objects},
    tier::{
        Cut, Entry, Place,
        documents::{ClusterDocument, Document, LifeDocument, OwnedIncarnation, Owner, ShardDocument},
        layout::{Layout, LifeId, Name},
        log_object::{self, LogPlace, Run},
    },
};
use strata_operator::bucket::{Ask, Finding, Inquiry, Moment, Question, document, survey};
use tokio::sync::watch;

/// Where the object store `s3` lies.
pub fn place() -> Place {
    Place { store: "http://s3.example".to_owned(), bucket: "strata".to_owned() }
}

/// An incarnation of two shards with three writes each, the last of them at `millis`, below a path owned by a KVCluster of the namespace
/// `namespace-uid`. What was there stays.
pub fn put_cluster(bucket: &MemoryObjects, path: &str, incarnation: u64, kv_cluster: &str, millis: u64) {
    let layout = Layout::new(path).expect("the fixture is a path");
    let put = |name: Name, bytes: Bytes| bucket.tamper(&layout.key(name), |_| Some(bytes));
    let id = IncarnationId(incarnation);
    let known = bucket.peek(&layout.key(Name::Owner)).map(|bytes| Owner::decode(&bytes).expect("the fixture wrote it"));
    let mut incarnations: Vec<OwnedIncarnation> = known.map(|known| known.incarnations).unwrap_or_default();
    incarnations.push(OwnedIncarnation { id, parent: None, retired: false });
    let owner = Owner {
        cluster: "shop".to_owned(),
        namespace_uid: "namespace-uid".to_owned(),
        kv_cluster_uid: kv_cluster.to_owned(),
        incarnation: id,
        incarnations,
    };
    put(Name::Owner, owner.encode());
    let (life, store) = (LifeId(0xf0 + incarnation), StoreId(0x99));
    let start = Cut { fork_epoch: 0, index: 5, term: 5, hlc: Hlc::ZERO };
    let shard = |(ordinal, slots): (u32, SlotRange)| ShardDocument {
        shard: ShardId::derive(incarnation, 0, ordinal),
        table: TableId(0),
        slots,
        epoch: Epoch(1),
        members: Vec::new(),
        forks: Vec::new(),
        origin: None,
        start,
    };
    let shards: Vec<ShardDocument> = (0..).zip(SlotRange::split_evenly(2)).map(shard).collect();
    let entry = |index: u64| Entry { index, term: 6, hlc: Hlc::from_millis(millis - 8 + index), payload: Bytes::from_static(b"effects") };
    let run = |shard: &ShardDocument| Run { shard: shard.shard, fork_epoch: 0, entries: (6..=8).map(entry).collect() };
    let runs: Vec<Run> = shards.iter().map(run).collect();
    let at = LogPlace { incarnation: id, life, seq: 0 };
    put(Name::Log(id, life, 0), log_object::encode(at, 0, Hlc::from_millis(millis), &runs));
    let document = ClusterDocument {
        cluster: "shop".to_owned(),
        incarnation: id,
        number: 0,
        parent: None,
        shards,
        lives: vec![LifeDocument { life, store }],
        tables: Vec::new(),
        settings: Default::default(),
    };
    put(Name::Cluster(id, 0), document.encode());
}

/// What a bucket says to a question.
pub fn answer(bucket: &Arc<MemoryObjects>, question: &Question) -> Finding {
    let layout = Layout::new(&question.path).expect("the fixture is a path");
    let (progress, _) = watch::channel(Inquiry::Reading(None));
    let store = |_: &Place| -> Arc<dyn Objects> { bucket.clone() };
    let read = async {
        match &question.ask {
            Ask::Plan { moment, incarnation } => survey(&store, place(), layout, moment, *incarnation, &progress).await,
            Ask::Document { incarnation } => document(&**bucket, &layout, *incarnation, &progress).await,
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    runtime.block_on(read)
}

#[test]
fn a_path_where_nobody_was_has_no_owner_and_no_plan() {
    let bucket = Arc::new(MemoryObjects::default());
    let ask = Ask::Plan { moment: Moment::Latest, incarnation: None };
    let finding = answer(&bucket, &Question { store: "s3".to_owned(), path: "shop/orders".to_owned(), ask });
    assert_eq!(finding.owner, None);
    assert!(finding.plan.is_some_and(|plan| plan.is_err()));
}

#[test]
fn a_time_is_cut_within_the_log_and_the_end_is_known_beside_it() {
    let bucket = Arc::new(MemoryObjects::default());
    put_cluster(&bucket, "shop/orders", 7, "old-uid", 1_000);
    let ask = Ask::Plan { moment: Moment::Time(999), incarnation: None };
    let finding = answer(&bucket, &Question { store: "s3".to_owned(), path: "shop/orders".to_owned(), ask });
    let plan = finding.plan.expect("a plan was asked for").expect("the bucket is whole");
    assert_eq!(plan.shards.iter().map(|shard| shard.cut.index).collect::<Vec<_>>(), [7, 7]);
    assert_eq!((plan.last_write.millis(), plan.end.millis()), (999, 1_000));
}

#[test]
fn the_first_document_of_an_incarnation_comes_with_the_owner() {
    let bucket = Arc::new(MemoryObjects::default());
    put_cluster(&bucket, "shop/orders", 7, "old-uid", 1_000);
    let ask = |incarnation| Question { store: "s3".to_owned(), path: "shop/orders".to_owned(), ask: Ask::Document { incarnation } };
    let finding = answer(&bucket, &ask(IncarnationId(7)));
    assert_eq!(finding.owner.map(|owner| owner.kv_cluster_uid), Some("old-uid".to_owned()));
    assert!(finding.document.is_some_and(|text| text.contains("strata/cluster")));
    assert_eq!(answer(&bucket, &ask(IncarnationId(8))).document, None);
}
