//! A bucket beside the simulated cluster: a store that fails, the files of checkpoints and restores, and the loss of everything else.
//!
//! ```text
//! trouble ─► every disk is lost ─► what did the cluster promise? what does the bucket have? ─► a new incarnation ─► it must serve
//! ```
//!
//! What is checked: nothing older than a promise ([`ShardArchive::recovery_latest_millis`]) is lost; a restored tablet holds exactly what a replica
//! of its parent held at the cut; all replicas of the child hold the same, as ever; the store's trouble keeps nobody from serving.

use super::{
    Check, Simulation, Violation,
    checks::{Shown, shown},
    node::Disk,
    options::ArchiveBound,
    planted::Planted,
    queue::{Action, MILLI},
    steps::Step,
};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::ControlFlow,
    sync::{Arc, mpsc::sync_channel},
};
use strata_base::{Epoch, IncarnationId, ShardId, SlotRange, StoreId, TableId};
use strata_engine::{
    objects::{Answer, ErrorClass, FaultyObjects, MemoryObjects, PerMille, Request, SimulatedObjects},
    tablet::{Tablet, TabletChange, TabletFamily, TabletStore},
    tier::{
        Call, Cut, Place,
        archive::WhenFull,
        checkpoint::LocalFile,
        documents::{ClusterDocument, Document, MemberDocument, Origin, ShardDocument, TableDocument},
        layout::{Layout, Name, ObjectId},
        limits::PART_BYTES,
        restore::{Options, Plan, PlanError, Planner, PlannerEvent, Target},
    },
};
use strata_node::{
    descriptor::{APPLIED_KEY, Applied},
    host::{Event, FIRST_GENERATION, FilesDone, FilesWork, TierSettings, digest, replay, seal},
};
use strata_node_api::{ArchiveClaim, ArchivePlace, ClaimState, RestoreOrder, RestoreShard, ShardOrigin};

/// Beside the nodes: the store, and what the cluster promised of it.
pub(super) struct Bucket {
    pub(super) store: Arc<FaultyObjects<MemoryObjects>>,
    pub(super) first: ClusterDocument,
    /// The latest moment up to which a shard's leader said that everything survives.
    promised: BTreeMap<ShardId, u64>,
    /// The OWNER of the incarnation that was lost last.
    last_owner: Option<Bytes>,
    /// Whether it does not answer at all.
    pub(super) is_down: bool,
    /// Whether it forgets the next upload in several parts, once it has one of them.
    pub(super) forgets_upload: bool,
    pub(super) restores: u64,
    /// Whether a life was lost that had promised nothing yet, but may have left its first document.
    has_unborn: bool,
    /// Restored tablets that could be compared with what their parent held.
    pub(super) compared: u64,
}

/// What a node keeps of files.
#[derive(Default)]
pub(super) struct Files {
    checkpoints: BTreeMap<(ShardId, u64), BTreeMap<String, Bytes>>,
    parts: BTreeMap<ObjectId, BTreeMap<u64, Bytes>>,
    fetched: BTreeMap<ObjectId, Bytes>,
    /// When the thread that works with files is free, in microseconds.
    pub(super) free_at: u64,
}

impl Files {
    /// What a crash leaves: files that were fetched whole.
    pub(super) fn crash(&mut self) {
        self.checkpoints.clear();
        self.parts.clear();
        self.free_at = 0;
    }
}

/// A log begins behind this entry.
const START: Cut = Cut { fork_epoch: 0, index: 5, term: 5, hlc: strata_base::Hlc::ZERO };

pub(super) fn place() -> Place {
    Place { store: "simulated".to_owned(), bucket: "bucket".to_owned() }
}

pub(super) fn layout() -> Layout {
    Layout::new("simulated/cluster").expect("a path")
}

/// What a node is told of the bucket.
pub(super) fn settings(options: &super::Options) -> TierSettings {
    let ArchiveBound { bytes, drops } = options.archive_bound.unwrap_or(ArchiveBound { bytes: 1 << 30, drops: false });
    TierSettings {
        place: place(),
        layout: layout(),
        flush_interval_ms: 300,
        local_log_bound_bytes: bytes,
        when_full: if drops { WhenFull::DropAndRecordGap } else { WhenFull::RefuseWrites },
        checkpoint_interval_ms: Some(4_000),
        part_bytes: options.part_bytes.unwrap_or(PART_BYTES),
    }
}

/// The document of an incarnation that begins now.
pub(super) fn document(
    cluster: &str,
    incarnation: IncarnationId,
    shards: &[(ShardId, SlotRange, Vec<MemberDocument>)],
    plan: Option<&Plan>,
) -> ClusterDocument {
    let origin = |slots: SlotRange| plan?.shards.iter().find(|of| of.slots == slots).map(|of| Origin { shard: of.shard, cut: of.cut });
    let shard = |(shard, slots, members): &(ShardId, SlotRange, Vec<MemberDocument>)| ShardDocument {
        shard: *shard,
        table: TableId(0),
        slots: *slots,
        epoch: Epoch(1),
        members: members.clone(),
        forks: Vec::new(),
        origin: origin(*slots),
        start: START,
    };
    ClusterDocument {
        cluster: cluster.to_owned(),
        incarnation,
        number: 0,
        parent: plan.map(|plan| plan.parent.clone()),
        shards: shards.iter().map(shard).collect(),
        lives: Vec::new(),
        tables: vec![TableDocument { table: TableId(0), name: "default".to_owned(), settings: BTreeMap::new() }],
        settings: BTreeMap::new(),
    }
}

impl Bucket {
    pub(super) fn new(faults: PerMille, seed: u64, first: ClusterDocument) -> Bucket {
        let store = Arc::new(FaultyObjects::new(MemoryObjects::default(), faults, seed));
        Bucket {
            store,
            first,
            promised: BTreeMap::new(),
            last_owner: None,
            is_down: false,
            forgets_upload: false,
            restores: 0,
            has_unborn: false,
            compared: 0,
        }
    }

    /// What the operator orders every node.
    pub(super) fn claim(&self) -> ArchiveClaim {
        ArchiveClaim {
            namespace_uid: "namespace".to_owned(),
            kv_cluster_uid: "cluster".to_owned(),
            may_continue: self.first.parent.is_some(),
            gone: Some("cluster".to_owned()),
            retire: Vec::new(),
            document: String::from_utf8(self.first.encode().to_vec()).expect("JSON is text"),
        }
    }

    /// What nodes are ordered to fetch; nothing for an incarnation that began empty.
    pub(super) fn restore_order(&self) -> Option<RestoreOrder> {
        let parent = self.first.parent.as_ref()?;
        let shard = |document: &ShardDocument| {
            let stores: Vec<StoreId> = document.members.iter().map(|member| member.store).collect();
            Some(RestoreShard { shard: document.shard, stores, origin: origin_of(&document.origin?) })
        };
        let source =
            ArchivePlace { store: parent.place.store.clone(), bucket: parent.place.bucket.clone(), path: parent.path.path().to_owned() };
        let shards = self.first.shards.iter().filter_map(shard).collect();
        Some(RestoreOrder { source, incarnation: parent.incarnation, accept_damage: false, shards })
    }

    /// What a shard continues.
    pub(super) fn origin(&self, shard: ShardId) -> Option<ShardOrigin> {
        self.first.shard(shard)?.origin.as_ref().map(origin_of)
    }

    /// The store fails for a while, or no longer.
    pub(super) fn set_outage(&mut self, is_down: bool) {
        self.is_down = is_down;
        self.store.set_outage(is_down.then_some(ErrorClass::Unreachable));
    }

    /// From now on the store does what it is asked, late effects of the past aside.
    pub(super) fn mend(&mut self) {
        self.set_outage(false);
        self.forgets_upload = false;
        self.store.set_faults(PerMille::default());
    }

    /// Answers a request, and forgets the upload that it belongs to where that was to happen. Whether it did.
    fn answer(&mut self, now_ms: u64, request: &Request) -> (Answer, bool) {
        let answer = self.store.answer(now_ms, request.clone());
        let forgotten = match (request, &answer.result) {
            (Request::PutPart { key, upload, .. }, Ok(_)) if self.forgets_upload => {
                Some(Request::AbortUpload { key: key.clone(), upload: upload.clone() })
            }
            _ => None,
        };
        let has_forgotten = forgotten.is_some_and(|abort| self.store.inner().answer(now_ms, abort).result.is_ok());
        self.forgets_upload &= !has_forgotten;
        (answer, has_forgotten)
    }

    /// Two leaves need a life that was lost before it promised anything.
    pub(super) fn may_be_ambiguous(&self) -> Result<(), Violation> {
        let is_excused = self.has_unborn;
        is_excused.then_some(()).ok_or_else(|| Check::Bucket.says("two incarnations could go on, and all that were lost had lived"))
    }

    /// What can be restored, by a store that does what it is asked, but for listings that lag.
    fn plan(&mut self, now_ms: u64, target: Target) -> Result<Plan, PlanError> {
        self.set_outage(false);
        self.store.set_faults(PerMille { lagging: 300, ..PerMille::default() });
        let mut planner = Planner::new(place(), layout(), target, Options::default());
        let mut calls = planner.step(now_ms, PlannerEvent::Tick);
        loop {
            if let Some(outcome) = planner.finished() {
                return outcome.clone();
            }
            let Some(call) = calls.pop() else {
                calls = planner.step(now_ms + 1, PlannerEvent::Tick);
                assert!(!calls.is_empty() || planner.finished().is_some(), "a planner without a call is finished");
                continue;
            };
            let answered = self.store.answer(now_ms, call.request).result;
            calls.extend(planner.step(now_ms, PlannerEvent::Answered { id: call.id, answered }));
        }
    }
}

fn origin_of(origin: &Origin) -> ShardOrigin {
    let Cut { fork_epoch, index, term, hlc } = origin.cut;
    ShardOrigin { shard: origin.shard, fork_epoch, index, term, hlc }
}

impl Simulation {
    /// A node asks the store.
    pub(super) fn ask_store(&mut self, node: usize, call: Call) {
        let life = self.nodes[node].life;
        let delay = self.draws.store.u64(MILLI..20 * MILLI);
        self.queue.after(delay, Action::Ask { node, life, call });
    }

    /// The store does what it was asked, and answers if there is still somebody to hear it.
    pub(super) fn store_answers(&mut self, node: usize, life: u64, call: &Call) {
        let now_ms = self.queue.now() / MILLI;
        let delay = self.draws.store.u64(MILLI..20 * MILLI);
        // What a dead process asked for takes effect all the same.
        let step = Step::of_request(&call.request, &layout()).filter(|_| self.lives(node, life));
        let answer = |simulation: &mut Simulation| Some(simulation.bucket.as_mut()?.answer(now_ms, &call.request));
        let Some((answer, has_forgotten)) = self.step(node, step.as_slice(), answer).flatten() else { return };
        if has_forgotten {
            self.faults += 1;
            self.tell(format!("the store forgets the upload of {}", call.request.key()));
        }
        self.trace.note((node, call.request.key(), answer.result.is_ok()));
        let event = Event::Answered { id: call.id, answered: answer.result };
        self.queue.after(delay + answer.after_ms * MILLI, Action::Arrive { node, life, event });
    }

    /// A node works with files.
    pub(super) fn work_with_files(&mut self, node: usize, work: FilesWork) {
        if let FilesWork::Seal { shard, tablet } = &work {
            self.judge_restored(*shard, tablet);
        }
        let work = match work {
            FilesWork::Checkpoint { shard, attempt, tablet, known } => {
                // What is not whole says so again when it is read.
                let tablet = self.whole(node, shard, &tablet).unwrap_or(tablet);
                FilesWork::Checkpoint { shard, attempt, tablet, known }
            }
            work => work,
        };
        let done = self.nodes[node].work_with_files(work);
        let now = self.queue.now();
        let delay = self.draws.store.u64(100..5 * MILLI);
        let files = &mut self.nodes[node].disk.files;
        files.free_at = files.free_at.max(now) + delay;
        let wait = files.free_at - now;
        if let Some(done) = done {
            self.arrive_after(wait, node, Event::Files(Box::new(done)));
        }
    }

    /// Remembers what leaders promise.
    pub(super) fn note_promises(&mut self) {
        let Some(bucket) = &mut self.bucket else { return };
        for report in self.nodes.iter().filter_map(|node| node.host.as_ref()).map(|host| host.report()) {
            for shard in report.shards {
                if let Some(archive) = &shard.archive {
                    let promised = bucket.promised.entry(shard.shard).or_default();
                    *promised = (*promised).max(archive.recovery_latest_millis);
                }
            }
        }
    }

    /// Every process and every disk is lost; the bucket stays. Plans a new incarnation from it, and holds the plan to what was promised. Whether
    /// there was anything to restore.
    pub(super) fn lose_everything(&mut self) -> Result<bool, Violation> {
        self.look_now();
        self.tell("every process and every disk is lost");
        let now_ms = self.queue.now() / MILLI;
        for node in 0..self.nodes.len() {
            if self.nodes[node].host.is_some() {
                self.crash(node);
            }
            let store = StoreId(self.nodes[node].store().0 + 1_000);
            self.nodes[node].disk = Disk::empty(store);
        }
        self.crowd.forget();
        // Whoever comes next has logs of its own, from their beginning on.
        self.changes_members = false;
        let Some(bucket) = &mut self.bucket else { return Ok(false) };
        bucket.restores += 1;
        bucket.last_owner = bucket.store.inner().peek(&layout().key(Name::Owner));
        let plan = match bucket.plan(now_ms, Target::Latest) {
            Ok(plan) => plan,
            // Lost before the first document was written: then nothing was promised.
            Err(error) if error.class() == "NoCluster" && bucket.promised.values().all(|promised| *promised == 0) => return Ok(false),
            // A child that was lost at once, and whose first document landed when its sibling was planned: people must say which one goes on.
            Err(error) if error.class() == "AmbiguousLineage" => return bucket.may_be_ambiguous().map(|()| false),
            Err(error) => {
                let promised = &bucket.promised;
                return Err(Check::Bucket.says(format!("it cannot be restored: {error}; promised was {promised:?}")));
            }
        };
        let promised = std::mem::take(&mut bucket.promised);
        bucket.has_unborn |= promised.values().all(|promised| *promised == 0);
        let too_much = if self.planted == Some(Planted::PromisesTooMuch) { 3_000 } else { 0 };
        let target_ms = promised.values().copied().max().unwrap_or(0).saturating_sub(self.draws.looks.u64(..20_000));
        let to_earlier = bucket.plan(now_ms, Target::Time(target_ms));
        let covered: BTreeSet<ShardId> = promised.iter().filter(|(_, promised)| **promised >= target_ms).map(|(shard, _)| *shard).collect();
        // What the plan does not go on with is lost from where it began.
        let began = |shard: ShardId| bucket.first.shard(shard).and_then(|shard| shard.origin).map_or(START, |origin| origin.cut);
        for (shard, promised) in promised {
            let planned = plan.shards.iter().find(|planned| planned.shard == shard);
            let cut = planned.map_or_else(|| began(shard), |planned| planned.cut);
            if let Some(sentence) = self.witness.broken_promise(shard, cut, promised + too_much)
                && self.options.time_is_sound
            {
                return Err(Check::Promise.says(sentence));
            }
        }
        self.judge_plan_to(target_ms, to_earlier, &covered)?;
        if self.operators.is_some() {
            self.declare_after_loss();
        } else {
            self.found_from(&plan);
        }
        Ok(true)
    }

    /// A plan to restore an earlier moment holds nothing later, and of shards that had promised that moment all of the log up to it. What only
    /// checkpoints hold has no moments between them: there a plan ends at a gap, and says so.
    fn judge_plan_to(&self, target_ms: u64, plan: Result<Plan, PlanError>, covered: &BTreeSet<ShardId>) -> Result<(), Violation> {
        let plan = match plan {
            Ok(plan) => plan,
            Err(PlanError::TooEarly { .. }) => return Ok(()),
            Err(error) => return Err(Check::Bucket.says(format!("{target_ms} ms was promised, and cannot be restored: {error}"))),
        };
        for planned in plan.shards {
            if planned.cut.hlc.millis() > target_ms {
                return Err(Check::Bucket.says(format!("a plan for {target_ms} ms has shard {} up to {:?}", planned.shard, planned.cut)));
            }
            let ends_at_gap = planned.gap.is_some_and(|(last, _)| last == planned.cut.index);
            if covered.contains(&planned.shard)
                && !ends_at_gap
                && let Some(sentence) = self.witness.broken_promise(planned.shard, planned.cut, target_ms)
            {
                return Err(Check::Bucket.says(format!("by a plan for {target_ms} ms, {sentence}")));
            }
        }
        Ok(())
    }

    /// Whether the bucket has everything, say the leaders, and no checkpoint waits for it.
    pub(super) fn is_archived(&self) -> Result<(), String> {
        if self.bucket.is_none() {
            return Ok(());
        }
        for (shard, _) in &self.hand.shards {
            let (_, leader) = self.leader(*shard).ok_or_else(|| format!("nobody leads shard {shard}"))?;
            let archived = leader.archive.as_ref().map_or(0, |archive| archive.archived);
            if archived < leader.applied {
                return Err(format!("shard {shard} is archived up to {archived}, and has applied {}", leader.applied));
            }
            if let Some(problem) = leader.checkpointing.as_ref().and_then(|under_way| under_way.problem.as_ref()) {
                return Err(format!("the checkpoint of shard {shard} does not go on: {}", problem.message));
            }
        }
        Ok(())
    }

    /// Whether operators wait for a path that the dead took back: its beat is watched first.
    pub(super) fn is_contested(&self) -> bool {
        let claims = self.nodes.iter().filter_map(|node| node.host.as_ref()?.report().archive).map(|archive| archive.claim);
        self.operators.is_some() && claims.into_iter().any(|claim| matches!(claim, ClaimState::Claiming | ClaimState::Watching { .. }))
    }

    /// A request of the lost incarnation takes effect now: its claim of the path.
    pub(super) fn wake_zombie(&mut self) {
        if let Some(bucket) = &mut self.bucket
            && let Some(owner) = bucket.last_owner.take()
        {
            let put = Request::put(layout().key(Name::Owner), owner);
            let _unheard = bucket.store.inner().answer(self.queue.now() / MILLI, put);
        }
    }

    /// A tablet that reached its cut holds what a replica of the parent held there, if one was seen.
    fn judge_restored(&mut self, shard: ShardId, tablet: &Arc<dyn Tablet>) {
        let Some(origin) = self.bucket.as_ref().and_then(|bucket| bucket.first.shard(shard)?.origin) else { return };
        let held = match shown(tablet.as_ref()) {
            Ok(held) => held,
            Err(error) => return self.breaks(Check::Host.says(error.to_string())),
        };
        self.inherit(shard, tablet, origin.cut.hlc);
        let before: Option<Shown> = self.witness.shown_at(origin.shard, origin.cut.index);
        if before.is_some_and(|before| before != held) {
            let index = origin.cut.index;
            let sentence = format!("shard {shard} restored {held:?} at entry {index}, its parent {} held {before:?}", origin.shard);
            self.breaks(Check::Restore.says(sentence));
        }
        if let (Some(bucket), true) = (&mut self.bucket, before.is_some()) {
            bucket.compared += 1;
        }
    }
}

impl super::node::Node {
    fn work_with_files(&mut self, work: FilesWork) -> Option<FilesDone> {
        let (files, tablets) = (&mut self.disk.files, &self.disk.tablets);
        Some(match work {
            FilesWork::Checkpoint { shard, attempt, tablet, .. } => {
                let result = dump(tablet.as_ref()).map_err(|error| error.to_string()).map(|(bytes, applied)| {
                    let crc32 = crc32fast::hash(&bytes);
                    let (name, size) = (format!("{crc32:08x}.sst"), bytes.len() as u64);
                    files.checkpoints.insert((shard, attempt), BTreeMap::from([(name.clone(), bytes)]));
                    (vec![LocalFile { name, size, crc32 }], applied)
                });
                FilesDone::Checkpointed { shard, attempt, result }
            }
            FilesWork::ReadCheckpoint { shard, attempt, name, offset, length } => {
                let file = files.checkpoints.get(&(shard, attempt)).and_then(|files| files.get(&name));
                let part = file.map(|bytes| bytes.slice(offset as usize..(offset + length) as usize));
                FilesDone::CheckpointRead { shard, attempt, name, offset, bytes: part.ok_or_else(|| "there is no such file".to_owned()) }
            }
            FilesWork::DropCheckpoint { shard, attempt } => {
                files.checkpoints.remove(&(shard, attempt));
                return None;
            }
            FilesWork::FindFetched => FilesDone::Found(files.fetched.keys().copied().collect()),
            FilesWork::WriteFetched { object, offset, bytes } => {
                files.parts.entry(object).or_default().insert(offset, bytes);
                FilesDone::FetchedWritten { object, offset, result: Ok(()) }
            }
            FilesWork::FinishFetched { object } => {
                let parts = files.parts.remove(&object).unwrap_or_default();
                let whole: Vec<u8> = parts.values().flat_map(|part| part.iter().copied()).collect();
                files.fetched.insert(object, Bytes::from(whole));
                FilesDone::FetchedFinished { object, result: Ok(()) }
            }
            FilesWork::Build { shard, files: documents } => {
                let blob = documents.first().and_then(|file| files.fetched.get(&file.object)).cloned();
                let result = tablets.create(shard, FIRST_GENERATION).map_err(|error| error.to_string()).and_then(|tablet| match blob {
                    None => Ok((tablet, None)),
                    Some(blob) => load(tablet.as_ref(), blob).map(|applied| (tablet, Some(applied))),
                });
                FilesDone::Built { shard, result }
            }
            FilesWork::Replay { shard, tablet, applied, entries } => {
                FilesDone::Replayed { shard, result: replay(&tablet, applied, entries) }
            }
            FilesWork::Seal { shard, tablet } => FilesDone::Sealed { shard, result: seal(&tablet) },
            FilesWork::ClearFetched => {
                files.fetched.clear();
                return None;
            }
            FilesWork::Digest { shard, index, moment } => {
                let (told, tells) = sync_channel(1);
                // A moment in memory is read at once.
                digest(shard, index, moment, move |done| drop(told.send(done)));
                return tells.recv().ok();
            }
        })
    }
}

/// All records of a tablet as bytes, and how far it is.
fn dump(tablet: &dyn Tablet) -> Result<(Bytes, Applied), strata_engine::EngineError> {
    let mut out = BytesMut::new();
    for family in TabletFamily::ALL {
        tablet.scan(family, &[], &[0xff; 64], &mut |key, value| {
            out.put_u8(family as u8);
            out.put_u32(key.len() as u32);
            out.put_slice(key);
            out.put_u32(value.len() as u32);
            out.put_slice(value);
            ControlFlow::Continue(())
        })?;
    }
    let applied = tablet.get(TabletFamily::System, APPLIED_KEY)?.and_then(|bytes| Applied::decode(&bytes));
    Ok((out.freeze(), applied.unwrap_or_default()))
}

/// Reads what [`dump`] wrote into an empty tablet.
fn load(tablet: &dyn Tablet, mut bytes: Bytes) -> Result<Applied, String> {
    let mut changes = Vec::new();
    while bytes.has_remaining() {
        let family = TabletFamily::ALL[usize::from(bytes.get_u8())];
        let length = bytes.get_u32() as usize;
        let key = bytes.split_to(length);
        let length = bytes.get_u32() as usize;
        changes.push(TabletChange::Put(family, key, bytes.split_to(length)));
    }
    tablet.write(changes).map_err(|error| error.to_string())?;
    let applied = tablet.get(TabletFamily::System, APPLIED_KEY).map_err(|error| error.to_string())?;
    applied.and_then(|bytes| Applied::decode(&bytes)).ok_or_else(|| "the checkpoint does not say what it holds".to_owned())
}
