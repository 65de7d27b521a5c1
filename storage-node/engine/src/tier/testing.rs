//! What the tests of several machines share: a place, a store on simulated time, and entries.

use super::{
    Answered, Call, CallId, Cut, Entry, Place,
    documents::{
        CheckpointDocument, ChildDocument, ClusterDocument, Document, FileDocument, Fork, LifeDocument, Origin, OwnedIncarnation, Owner,
        ParentReference, ShardDocument,
    },
    layout::{Layout, LifeId, Name, ObjectId},
    log_object::{self, LogPlace, Run},
    survey::{Survey, SurveyEvent, Surveyor},
};
use crate::objects::{FaultyObjects, MemoryObjects, PerMille, SimulatedObjects, faulty_draws};
use bytes::Bytes;
use std::collections::BTreeMap;
use strata_base::{Epoch, Hlc, IncarnationId, ShardId, SlotRange, StoreId, TableId};

pub(crate) const INCARNATION: IncarnationId = IncarnationId(1);

pub(crate) fn place() -> Place {
    Place { store: "http://s3".into(), bucket: "bucket".into() }
}

pub(crate) fn layout() -> Layout {
    Layout::new("default/shop").expect("a path")
}

pub(crate) fn owner(incarnation: IncarnationId) -> Owner {
    Owner {
        cluster: "cluster-uuid".into(),
        namespace_uid: "namespace-uid".into(),
        kv_cluster_uid: "kvcluster-uid".into(),
        incarnation,
        incarnations: vec![OwnedIncarnation { id: incarnation, parent: None, retired: false }],
    }
}

pub(crate) fn entry(index: u64, now_ms: u64, payload: &str) -> Entry {
    Entry { index, term: 1, hlc: Hlc::from_millis(now_ms), payload: payload.as_bytes().to_vec().into() }
}

/// A faulty store whose answers arrive after a drawn delay of up to 60 ms, in any order.
pub(crate) struct Simulated<Event> {
    store: FaultyObjects<MemoryObjects>,
    draws: Box<dyn FnMut(u64) -> u64>,
    under_way: Vec<(u64, Event)>,
}

impl<Event> Simulated<Event> {
    pub(crate) fn new(store: FaultyObjects<MemoryObjects>, seed: u64) -> Simulated<Event> {
        Simulated { store, draws: faulty_draws(seed), under_way: Vec::new() }
    }

    pub(crate) fn submit(&mut self, now_ms: u64, call: Call, event: impl FnOnce(CallId, Answered) -> Event) {
        let answer = self.store.answer(now_ms, call.request);
        let due_ms = now_ms + answer.after_ms + 1 + (self.draws)(60);
        self.under_way.push((due_ms, event(call.id, answer.result)));
    }

    /// What arrives until now, in the order of arrival.
    pub(crate) fn due(&mut self, now_ms: u64) -> Vec<Event> {
        let (mut due, later): (Vec<_>, Vec<_>) = std::mem::take(&mut self.under_way).into_iter().partition(|(due_ms, _)| *due_ms <= now_ms);
        self.under_way = later;
        due.sort_by_key(|(due_ms, _)| *due_ms);
        due.into_iter().map(|(_, event)| event).collect()
    }

    pub(crate) fn faulty(&self) -> &FaultyObjects<MemoryObjects> {
        &self.store
    }

    pub(crate) fn bucket(&self) -> &MemoryObjects {
        self.store.inner()
    }
}

/// A shard by its id, what it continues, and its histories.
pub(crate) type ShardGiven = (u64, Option<Origin>, Vec<Fork>);

/// A bucket written by hand, for surveys, plans and fetches.
pub(crate) struct World {
    pub(crate) bucket: MemoryObjects,
}

impl World {
    /// A path owned by the last of these incarnations, each given with its parent.
    pub(crate) fn new(incarnations: &[(u64, Option<u64>)]) -> World {
        let world = World { bucket: MemoryObjects::default() };
        let ids =
            incarnations.iter().map(|(id, parent)| OwnedIncarnation { id: IncarnationId(*id), parent: parent.map(at), retired: false });
        let last = incarnations.last().map_or(0, |(id, _)| *id);
        world.put_owner(&Owner { incarnations: ids.collect(), ..owner(IncarnationId(last)) });
        world
    }

    pub(crate) fn put_owner(&self, owner: &Owner) {
        self.put(Name::Owner, owner.encode());
    }

    pub(crate) fn put(&self, name: Name, bytes: Bytes) {
        self.bucket.tamper(&layout().key(name), |_| Some(bytes));
    }

    /// `cluster/0` of an incarnation with shards given as (shard, origin, forks).
    pub(crate) fn put_cluster(&self, incarnation: u64, parent: Option<u64>, lives: &[u64], shards: &[ShardGiven]) {
        self.put_cluster_of(incarnation, parent.map(at), lives, shards);
    }

    pub(crate) fn put_cluster_of(&self, incarnation: u64, parent: Option<ParentReference>, lives: &[u64], shards: &[ShardGiven]) {
        self.put_cluster_from(incarnation, parent, Cut::default(), lives, shards);
    }

    /// As [`World::put_cluster`], with logs that begin behind `start`.
    pub(crate) fn put_cluster_from(
        &self,
        incarnation: u64,
        parent: Option<ParentReference>,
        start: Cut,
        lives: &[u64],
        shards: &[ShardGiven],
    ) {
        let shard = |(shard, origin, forks): &ShardGiven| ShardDocument {
            shard: ShardId(*shard),
            table: TableId(0),
            slots: SlotRange::ALL,
            epoch: Epoch(1),
            members: Vec::new(),
            forks: forks.clone(),
            origin: *origin,
            start,
        };
        let document = ClusterDocument {
            cluster: "cluster-uuid".into(),
            incarnation: IncarnationId(incarnation),
            number: 0,
            parent,
            shards: shards.iter().map(shard).collect(),
            lives: lives.iter().map(|life| LifeDocument { life: LifeId(*life), store: StoreId(*life) }).collect(),
            tables: Vec::new(),
            settings: BTreeMap::new(),
        };
        self.put(Name::Cluster(document.incarnation, 0), document.encode());
    }

    /// What an incarnation names as its child.
    pub(crate) fn put_child(&self, parent: u64, number: u64, child: u64) {
        let document = ChildDocument { incarnation: IncarnationId(parent), number, child: IncarnationId(child) };
        self.put(Name::Child(document.incarnation, number), document.encode());
    }

    /// A log object with runs given as (shard, fork epoch, entries); all seqs before it are confirmed.
    pub(crate) fn put_log(&self, incarnation: u64, life: u64, seq: u64, runs: &[(u64, u64, Vec<Entry>)]) {
        self.put_log_after(incarnation, life, seq, seq, runs);
    }

    pub(crate) fn put_log_after(&self, incarnation: u64, life: u64, seq: u64, confirmed: u64, runs: &[(u64, u64, Vec<Entry>)]) {
        let place = LogPlace { incarnation: IncarnationId(incarnation), life: LifeId(life), seq };
        let run = |(shard, fork_epoch, entries): &(u64, u64, Vec<Entry>)| Run {
            shard: ShardId(*shard),
            fork_epoch: *fork_epoch,
            entries: entries.clone(),
        };
        let runs: Vec<Run> = runs.iter().map(run).collect();
        let made = runs.iter().flat_map(|run| &run.entries).map(|entry| entry.hlc).max().unwrap_or_default();
        self.put(Name::Log(place.incarnation, place.life, place.seq), log_object::encode(place, confirmed, made, &runs));
    }

    /// A checkpoint with one file, whose bytes say what it holds.
    pub(crate) fn put_checkpoint(&self, incarnation: u64, shard: u64, number: u64, cut: Cut) -> CheckpointDocument {
        let bytes = Bytes::from(format!("state of {shard} at {}", cut.index));
        let object = ObjectId((u128::from(incarnation) << 96) + (u128::from(shard) << 64) + u128::from(number));
        let file = FileDocument { name: "000001.sst".into(), object, size: bytes.len() as u64, crc32: crc32fast::hash(&bytes) };
        self.put(Name::File(IncarnationId(incarnation), object, file.kind()), bytes);
        let document = CheckpointDocument {
            incarnation: IncarnationId(incarnation),
            shard: ShardId(shard),
            number,
            at: cut,
            source: "source".into(),
            files: vec![file],
            manifest: None,
        };
        self.put(Name::Checkpoint(document.incarnation, document.shard, number), document.encode());
        document
    }

    /// Surveys the bucket through a store that fails by `faults`.
    pub(crate) fn survey(&self, faults: PerMille, seed: u64) -> Survey {
        let store = FaultyObjects::new(self.bucket.fork(), faults, seed);
        let mut store = Simulated::new(store, seed);
        let mut surveyor = Surveyor::new(place(), layout());
        for now_ms in (0..10_000_000).step_by(20) {
            let mut events = store.due(now_ms);
            events.push(SurveyEvent::Tick);
            for event in events {
                for call in surveyor.step(now_ms, event) {
                    store.submit(now_ms, call, |id, answered| SurveyEvent::Answered { id, answered });
                }
            }
            if let Some(survey) = surveyor.finished() {
                return survey.clone();
            }
        }
        panic!("a survey ends: {:?}", surveyor.problem())
    }
}

pub(crate) fn at(incarnation: u64) -> ParentReference {
    ParentReference { place: place(), path: layout(), incarnation: IncarnationId(incarnation) }
}

/// Entries from `first` to `last`, the HLC of each being its index in seconds.
pub(crate) fn entries(first: u64, last: u64) -> Vec<Entry> {
    (first..=last).map(|index| entry(index, index * 1_000, &format!("entry {index}"))).collect()
}

/// The position of an entry of [`entries`].
pub(crate) fn cut(fork_epoch: u64, index: u64) -> Cut {
    Cut { fork_epoch, index, term: 1, hlc: Hlc::from_millis(index * 1_000) }
}
