//! Restore: what shards continue, fetched from a bucket and kept aside until an order creates them.
//!
//! ```text
//! Restore order ─► plan up to the cuts ─► fetch files ─► build tablets ─► replay the log ─► seal ─► Ready
//!                                                                                     CreateShard with origin ─► a replica
//! ```
//!
//! - Every member fetches for itself, and ends at the same cut with the same visible content.
//! - Nothing is served before an order names it, so a restore that fails shows nothing partial.
//! - A store that fails is asked again for ever. A damaged or missing object ends the restore with its key; the same order begins it anew.
//! - Files that were fetched whole are kept by the ids of their objects until all shards are created: interrupted, it does not fetch them twice.

use super::{
    Host,
    event::Effect,
    files::{FilesDone, FilesWork},
    tier::Machine,
};
use crate::descriptor::Applied;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use strata_base::{
    Hlc, ShardId,
    planted::{Mistake, planted},
};
use strata_engine::{
    objects::ObjectError,
    tablet::Tablet,
    tier::{
        Cut, Entry, Place,
        documents::FileDocument,
        fetch::{Fetch, FetchEffect, FetchEvent},
        layout::{Layout, ObjectId},
        restore::{Options, Plan, Planner, PlannerEvent, Target},
    },
};
use strata_kv::Counts;
use strata_node_api::{Answer, ObjectProblem, RefusalClass, RestoreOrder, RestoreReport, RestoreShard, RestoreState, ShardOrigin};
use strata_raft_group::Start;

/// A restore on this node.
pub(super) struct Restore {
    order: RestoreOrder,
    attempt: u64,
    started_ms: u64,
    state: RestoreState,
    planner: Option<Planner>,
    plan: Option<Plan>,
    fetch: Option<Fetch>,
    /// This node's shards, by the parent's ids.
    wanted: BTreeMap<ShardId, RestoreShard>,
    /// What waits until a tablet is built, by the parent's ids.
    held: BTreeMap<ShardId, Held>,
    /// What was built, by the parent's ids.
    tablets: BTreeMap<ShardId, (Arc<dyn Tablet>, Applied)>,
    /// What reached its cut and is durable, by the new ids.
    sealed: BTreeSet<ShardId>,
    /// What was created since, by the new ids.
    created: BTreeSet<ShardId>,
}

/// What a tablet is to do as soon as it is there.
enum Held {
    Replay(Vec<Entry>),
    Seal,
}

/// A tablet at its cut, and what it continues.
pub(super) struct Restored {
    pub(super) tablet: Arc<dyn Tablet>,
    pub(super) applied: Applied,
}

impl<T> Host<T> {
    /// Begins a restore, or says how far it is.
    pub(super) fn order_restore(&mut self, order: RestoreOrder) -> Answer {
        let refused = |class, message: String| Answer::Refused { class, message };
        let (own, now_ms) = (self.stores.identity.store, self.now.monotonic_ms);
        let Some(tier) = &mut self.tier else {
            let message = "the node's configuration has no section [archive]: declare the store there";
            return refused(RefusalClass::Invalid, message.to_owned());
        };
        let layout = match Layout::new(order.source.path.clone()) {
            Ok(layout) => layout,
            Err(error) => return refused(RefusalClass::Invalid, format!("restore.source.path: {error}")),
        };
        let wanted: BTreeMap<ShardId, RestoreShard> = order
            .shards
            .iter()
            .filter(|shard| shard.stores.contains(&own) && !self.replicas.contains_key(&shard.shard))
            .map(|shard| (shard.origin.shard, shard.clone()))
            .collect();
        if wanted.is_empty() {
            return Answer::Done;
        }
        if let Some(known) = tier.restore.as_ref().filter(|known| known.order == order) {
            match &known.state {
                RestoreState::Ready => return Answer::Done,
                RestoreState::Failed { .. } => {}
                RestoreState::Planning | RestoreState::Fetching => return Answer::Accepted,
            }
        }
        let cuts = order.shards.iter().map(|shard| (shard.origin.shard, cut_of(&shard.origin))).collect();
        let options = Options { incarnation: Some(order.incarnation), accept_damage: order.accept_damage };
        let place = Place { store: order.source.store.clone(), bucket: order.source.bucket.clone() };
        let target = if planted(Mistake::CutPerReplica) { Target::Latest } else { Target::Cuts(cuts) };
        let attempt = tier.next_attempt();
        tier.restore = Some(Restore {
            attempt,
            started_ms: now_ms,
            state: RestoreState::Planning,
            planner: Some(Planner::new(place, layout, target, options)),
            plan: None,
            fetch: None,
            wanted,
            held: BTreeMap::new(),
            tablets: BTreeMap::new(),
            sealed: BTreeSet::new(),
            created: BTreeSet::new(),
            order,
        });
        self.step_plan(attempt, PlannerEvent::Tick);
        Answer::Accepted
    }

    fn restoring(&mut self, attempt: u64) -> Option<&mut Restore> {
        self.tier.as_mut()?.restore.as_mut().filter(|restore| restore.attempt == attempt)
    }

    /// Whether a shard is being restored on this node, and has no replica yet.
    pub(super) fn is_restoring(&self, shard: ShardId) -> bool {
        let restore = self.tier.as_ref().and_then(|tier| tier.restore.as_ref());
        restore.is_some_and(|restore| restore.wanted.values().any(|wanted| wanted.shard == shard) && !restore.created.contains(&shard))
    }

    /// Time for a restore under way.
    pub(super) fn run_restore(&mut self) {
        let Some(restore) = self.tier.as_ref().and_then(|tier| tier.restore.as_ref()) else { return };
        let attempt = restore.attempt;
        match restore.state {
            RestoreState::Planning => self.step_plan(attempt, PlannerEvent::Tick),
            RestoreState::Fetching => self.step_fetch(attempt, FetchEvent::Tick),
            RestoreState::Ready | RestoreState::Failed { .. } => {}
        }
    }

    pub(super) fn step_plan(&mut self, attempt: u64, event: PlannerEvent) {
        let now_ms = self.now.monotonic_ms;
        let Some(restore) = self.restoring(attempt) else { return };
        let Some(planner) = &mut restore.planner else { return };
        let calls = planner.step(now_ms, event);
        let finished = planner.finished().cloned();
        calls.into_iter().for_each(|call| self.call(Machine::Plan(attempt), call));
        let Some(restore) = self.restoring(attempt) else { return };
        match finished {
            None => {}
            Some(Ok(plan)) => {
                restore.planner = None;
                restore.plan = Some(plan);
                self.effects.push(Effect::Files(FilesWork::FindFetched));
            }
            Some(Err(error)) => {
                restore.planner = None;
                restore.state = RestoreState::Failed { class: error.class().to_owned(), message: error.to_string() };
            }
        }
    }

    pub(super) fn step_fetch(&mut self, attempt: u64, event: FetchEvent) {
        let now_ms = self.now.monotonic_ms;
        let Some(fetch) = self.restoring(attempt).and_then(|restore| restore.fetch.as_mut()) else { return };
        for effect in fetch.step(now_ms, event) {
            match effect {
                FetchEffect::Call(call) => self.call(Machine::Fetch(attempt), call),
                FetchEffect::WriteFile { object, offset, bytes } => {
                    self.effects.push(Effect::Files(FilesWork::WriteFetched { object, offset, bytes }));
                }
                FetchEffect::FinishFile { object } => self.effects.push(Effect::Files(FilesWork::FinishFetched { object })),
                FetchEffect::FilesReady { shard, files } => self.build_restored(attempt, shard, files),
                FetchEffect::Apply { shard, entries } => self.replay_restored(attempt, shard, entries),
                FetchEffect::ShardReady { shard } => self.seal_restored(attempt, shard),
                FetchEffect::Failed { key, error } => {
                    let class = error.class.name().to_owned();
                    self.fail_restore(attempt, class, format!("{key}: {}", error.message));
                }
            }
        }
    }

    fn build_restored(&mut self, attempt: u64, parent: ShardId, files: Vec<FileDocument>) {
        let Some(shard) = self.restoring(attempt).and_then(|restore| restore.wanted.get(&parent)).map(|wanted| wanted.shard) else {
            return;
        };
        self.effects.push(Effect::Files(FilesWork::Build { shard, files }));
    }

    fn replay_restored(&mut self, attempt: u64, parent: ShardId, entries: Vec<Entry>) {
        let Some(restore) = self.restoring(attempt) else { return };
        let Some(wanted) = restore.wanted.get(&parent) else { return };
        let Some((tablet, applied)) = restore.tablets.get(&parent) else {
            return drop(restore.held.insert(parent, Held::Replay(entries)));
        };
        let work = FilesWork::Replay { shard: wanted.shard, tablet: Arc::clone(tablet), applied: *applied, entries };
        self.effects.push(Effect::Files(work));
    }

    fn seal_restored(&mut self, attempt: u64, parent: ShardId) {
        let Some(restore) = self.restoring(attempt) else { return };
        let Some(wanted) = restore.wanted.get(&parent) else { return };
        let Some((tablet, applied)) = restore.tablets.get(&parent) else { return drop(restore.held.insert(parent, Held::Seal)) };
        let (shard, cut, reached) = (wanted.shard, wanted.origin, applied.index);
        if reached != cut.index && !planted(Mistake::CutPerReplica) {
            let message = format!("shard {parent} reached entry {reached}, its cut is at {}", cut.index);
            return self.fail_restore(attempt, "CutUnreachable".to_owned(), message);
        }
        let tablet = Arc::clone(tablet);
        self.effects.push(Effect::Files(FilesWork::Seal { shard, tablet }));
    }

    fn fail_restore(&mut self, attempt: u64, class: String, message: String) {
        if let Some(restore) = self.restoring(attempt) {
            (restore.fetch, restore.tablets) = (None, BTreeMap::new());
            restore.state = RestoreState::Failed { class, message };
        }
    }

    /// Work with fetched files is done.
    pub(super) fn on_fetched_files(&mut self, done: FilesDone) {
        let Some(restore) = self.tier.as_mut().and_then(|tier| tier.restore.as_mut()) else { return };
        let attempt = restore.attempt;
        // What comes before this attempt knows what is there was asked for by an earlier one.
        if restore.fetch.is_none() && !matches!(done, FilesDone::Found(_)) {
            return;
        }
        let parent_of = |shard: ShardId| restore.wanted.iter().find(|(_, wanted)| wanted.shard == shard).map(|(parent, _)| *parent);
        let outcome = match done {
            FilesDone::Found(finished) => return self.begin_fetch(attempt, &finished),
            FilesDone::FetchedWritten { object, offset, result } => result.map(|()| Some(FetchEvent::Written { object, offset })),
            FilesDone::FetchedFinished { object, result } => result.map(|()| Some(FetchEvent::Finished { object })),
            FilesDone::Built { shard, result } => {
                let Some(parent) = parent_of(shard) else { return };
                match result {
                    Ok((tablet, applied)) => drop(restore.tablets.insert(parent, (tablet, applied.unwrap_or(EMPTY)))),
                    Err(message) => return self.fail_restore(attempt, "DiskFailed".to_owned(), message),
                }
                match restore.held.remove(&parent) {
                    Some(Held::Replay(entries)) => self.replay_restored(attempt, parent, entries),
                    Some(Held::Seal) => self.seal_restored(attempt, parent),
                    None => {}
                }
                Ok(None)
            }
            FilesDone::Replayed { shard, result } => {
                let (Some(parent), Ok(applied)) = (parent_of(shard), &result) else {
                    return self.fail_restore(attempt, "Damaged".to_owned(), result.err().unwrap_or_default());
                };
                if let Some(built) = restore.tablets.get_mut(&parent) {
                    built.1 = *applied;
                }
                Ok(Some(FetchEvent::Applied { shard: parent, index: applied.index }))
            }
            FilesDone::Sealed { shard, result } => result.map(|()| {
                restore.sealed.insert(shard);
                if restore.wanted.values().all(|wanted| restore.sealed.contains(&wanted.shard)) {
                    restore.state = RestoreState::Ready;
                }
                None
            }),
            FilesDone::Checkpointed { .. } | FilesDone::CheckpointRead { .. } | FilesDone::Digested { .. } => return,
        };
        match outcome {
            Ok(Some(event)) => self.step_fetch(attempt, event),
            Ok(None) => self.step_fetch(attempt, FetchEvent::Tick),
            Err(message) => self.fail_restore(attempt, "DiskFailed".to_owned(), message),
        }
    }

    fn begin_fetch(&mut self, attempt: u64, finished: &BTreeSet<ObjectId>) {
        let Some(part_bytes) = self.tier.as_ref().map(|tier| tier.settings.part_bytes) else { return };
        let Some(restore) = self.restoring(attempt) else { return };
        let Some(plan) = restore.plan.take() else { return };
        let wanted = restore.wanted.keys().copied().collect();
        restore.fetch = Some(Fetch::new(&plan, &wanted, finished, part_bytes));
        restore.state = RestoreState::Fetching;
        self.step_fetch(attempt, FetchEvent::Tick);
    }

    /// The tablet of a new shard that was restored up to this origin.
    pub(super) fn take_restored(&mut self, shard: ShardId, origin: &ShardOrigin) -> Result<Restored, Answer> {
        let not_ready = |message: String| Answer::Refused { class: RefusalClass::NotReady, message };
        let Some(restore) = self.tier.as_ref().and_then(|tier| tier.restore.as_ref()) else {
            return Err(not_ready(format!("shard {shard} continues another one, and nothing was restored: order the restore first")));
        };
        let wanted = restore.wanted.get(&origin.shard).filter(|wanted| wanted.shard == shard && wanted.origin == *origin);
        let Some(_) = wanted else {
            let message = format!("shard {shard} was not restored up to this cut: plan again");
            return Err(Answer::Refused { class: RefusalClass::Conflict, message });
        };
        // All or none: a restore that cannot be finished shows nothing partial.
        match restore.tablets.get(&origin.shard) {
            Some((tablet, applied)) if restore.state == RestoreState::Ready => {
                let applied = Applied { hlc: applied.hlc.max(origin.hlc), term: origin.term, ..*applied };
                Ok(Restored { tablet: Arc::clone(tablet), applied })
            }
            _ => Err(not_ready(format!("the restore of shard {shard} is not finished"))),
        }
    }

    /// A restored shard has its replica: with the last one, what was fetched may go.
    pub(super) fn note_created(&mut self, shard: ShardId) {
        let Some(restore) = self.tier.as_mut().and_then(|tier| tier.restore.as_mut()) else { return };
        restore.created.insert(shard);
        restore.tablets.retain(|parent, _| restore.wanted.get(parent).is_none_or(|wanted| wanted.shard != shard));
        if restore.wanted.values().all(|wanted| restore.created.contains(&wanted.shard)) {
            self.effects.push(Effect::Files(FilesWork::ClearFetched));
        }
    }

    pub(super) fn report_restore(&self) -> Option<RestoreReport> {
        let restore = self.tier.as_ref()?.restore.as_ref()?;
        let progress = restore.fetch.as_ref().map(Fetch::progress).unwrap_or_default();
        let problem = restore.fetch.as_ref().and_then(Fetch::problem).or(restore.planner.as_ref().and_then(Planner::problem));
        Some(RestoreReport {
            state: restore.state.clone(),
            done_bytes: progress.done_bytes,
            total_bytes: progress.total_bytes,
            millis: self.now.monotonic_ms.saturating_sub(restore.started_ms),
            problem: problem.map(problem_of),
        })
    }
}

/// What a store keeps answering, for a report.
pub(super) fn problem_of(error: &ObjectError) -> ObjectProblem {
    ObjectProblem { class: error.class.name().to_owned(), message: error.message.clone(), millis: 0, attempts: 1 }
}

fn cut_of(origin: &ShardOrigin) -> Cut {
    Cut { fork_epoch: origin.fork_epoch, index: origin.index, term: origin.term, hlc: origin.hlc }
}

/// How far a tablet is that begins empty.
const EMPTY: Applied = Applied { index: Start::ORIGIN, term: Start::ORIGIN, hlc: Hlc::ZERO, counts: Counts { keys: 0, expires: 0 } };
