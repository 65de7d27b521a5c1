//! Checkpoints of the shards that this node leads: asked for by order, by the archive's gaps, or by time.
//!
//! ```text
//! wanted ─► hard links and checksums ─► upload what is new ─► agree in the shard ─► write the document ─► it counts
//! ```
//!
//! A checkpoint covers the moment at which its files were linked: every write acknowledged before was applied here, and its document counts only if
//! this node still led when the shard agreed. Leadership lost, the attempt is dropped; what it uploaded is named by nobody.

use super::{
    Host,
    event::Effect,
    files::{FilesDone, FilesWork},
    replica::Replica,
    restore::problem_of,
    tier::Machine,
};
use crate::{agreement::AgreementKind, descriptor::Applied, limits};
use bytes::Bytes;
use std::collections::BTreeMap;
use strata_base::{
    ShardId,
    planted::{Mistake, planted},
};
use strata_engine::{
    objects::ErrorClass,
    tier::{
        Cut,
        archive::ArchiveEvent,
        checkpoint::{Checkpoint, CheckpointEffect, CheckpointEvent, CheckpointRequest, LocalFile},
        documents::{CheckpointDocument, Document},
    },
};
use strata_node_api::{Answer, CheckpointReport, Checkpointing, ObjectProblem, RefusalClass, ShardOrigin};

/// The checkpoints of a node.
#[derive(Default)]
pub(super) struct Checkpoints {
    /// Asked for, and which moment they must cover, in milliseconds since the Unix epoch.
    wanted: BTreeMap<ShardId, u64>,
    /// Asked for by a gap of the archive: only one at or above this index will do, whatever the last one covers.
    forced: BTreeMap<ShardId, u64>,
    runs: BTreeMap<ShardId, Run>,
    /// The last one that reads back.
    written: BTreeMap<ShardId, Written>,
    /// Attempts that failed since the last that was written.
    failed: BTreeMap<ShardId, Failed>,
}

/// What is known of a checkpoint that reads back. Its document names every file, so it is not read again for a report.
#[derive(Clone, Copy)]
struct Written {
    number: u64,
    /// The moment it covers, in milliseconds since the Unix epoch.
    covers_ms: u64,
    at: Cut,
    /// The size of its files.
    bytes: u64,
}

/// Why there is no checkpoint yet.
struct Failed {
    reason: String,
    since_ms: u64,
    attempts: u64,
    /// Not again before this moment, in monotonic milliseconds.
    retry_ms: u64,
}

/// A checkpoint under way.
struct Run {
    attempt: u64,
    covers_ms: u64,
    machine: Option<Checkpoint>,
    /// The document to agree on, and when it was last proposed.
    proposal: Option<(u64, Bytes, Option<u64>)>,
}

impl<T> Host<T> {
    /// The order for a checkpoint.
    pub(super) fn order_checkpoint(&mut self, shard: ShardId, not_before_ms: u64) -> Answer {
        let refused = |class, message: String| Answer::Refused { class, message };
        let Some(replica) = self.replicas.get(&shard) else {
            return refused(RefusalClass::NoSuchShard, format!("this node has no replica of shard {shard}"));
        };
        if !replica.is_serving() {
            return refused(RefusalClass::NotLeader, format!("this node does not lead shard {shard}"));
        }
        if self.open().is_none() {
            return refused(RefusalClass::NotReady, "no archive is open: order it first".to_owned());
        }
        if self.report_checkpoint(shard).is_some_and(|known| known.covers_millis >= not_before_ms) {
            return Answer::Done;
        }
        self.want_checkpoint(shard, not_before_ms);
        Answer::Accepted
    }

    /// A shard shall have a checkpoint that covers a moment.
    pub(super) fn want_checkpoint(&mut self, shard: ShardId, not_before_ms: u64) {
        let Some(open) = self.open() else { return };
        let wanted = open.checkpoints.wanted.entry(shard).or_default();
        *wanted = (*wanted).max(not_before_ms);
    }

    /// The archive has a gap that ends at this index: only a checkpoint at or above it mends that.
    pub(super) fn force_checkpoint(&mut self, shard: ShardId, above: u64) {
        if let Some(open) = self.open() {
            let forced = open.checkpoints.forced.entry(shard).or_default();
            *forced = (*forced).max(above);
        }
    }

    /// Begins what is due, and goes on with what is under way.
    pub(super) fn run_checkpoints(&mut self) {
        if !self.stores.identity.is_published || self.open().is_none() {
            return;
        }
        let is_time_to_look = self.tick.is_multiple_of(limits::CHECKPOINT_LOOK_TICKS);
        let led: Vec<ShardId> = self.replicas.values().filter(|replica| replica.is_serving()).map(|replica| replica.shard).collect();
        for shard in led {
            if is_time_to_look {
                self.want_by_interval(shard);
            }
            let Some(open) = self.open() else { return };
            match open.checkpoints.runs.get(&shard).map(|run| run.attempt) {
                Some(attempt) => {
                    self.settle_proposal(shard);
                    self.step_checkpoint(shard, attempt, CheckpointEvent::Tick);
                }
                None if self.may_begin(shard) => self.begin_checkpoint(shard),
                None => {}
            }
        }
    }

    fn want_by_interval(&mut self, shard: ShardId) {
        // A child is whole under its own path only when each of its shards has a checkpoint there.
        let is_child = self.open().is_some_and(|open| open.first.parent.is_some());
        let has_none = self.replicas.get(&shard).is_some_and(|replica| !replica.agreed.contains_key(&AgreementKind::Checkpoint));
        if is_child && has_none {
            self.want_checkpoint(shard, 1);
        }
        let Some(interval_ms) = self.tier.as_ref().and_then(|tier| tier.settings.checkpoint_interval_ms) else { return };
        let (now_ms, started_ms) = (self.now_ms(), self.started.wall_ms);
        let last_ms = self.report_checkpoint(shard).map_or(started_ms, |known| known.covers_millis);
        if now_ms.saturating_sub(last_ms) >= interval_ms {
            self.want_checkpoint(shard, last_ms + 1);
        }
    }

    /// Whether a shard without a checkpoint under way may need one.
    fn may_begin(&mut self, shard: ShardId) -> bool {
        let agreed = self.replicas.get(&shard).and_then(|replica| last_number(replica));
        let Some(open) = self.open() else { return false };
        let written = open.checkpoints.written.get(&shard).map(|written| written.number);
        let is_wanted = open.checkpoints.wanted.contains_key(&shard) || open.checkpoints.forced.contains_key(&shard);
        is_wanted || (agreed.is_some() && agreed != written)
    }

    fn begin_checkpoint(&mut self, shard: ShardId) {
        let (now_ms, monotonic_ms) = (self.now_ms(), self.now.monotonic_ms);
        let covered = self.report_checkpoint(shard).map_or(0, |known| known.covers_millis);
        let Some(replica) = self.replicas.get(&shard) else { return };
        let Some(tier) = &mut self.tier else { return };
        let attempt = tier.next_attempt();
        let Some(open) = &mut tier.open else { return };
        let checkpoints = &mut open.checkpoints;
        if checkpoints.runs.len() >= limits::CHECKPOINTS_MAX
            || checkpoints.failed.get(&shard).is_some_and(|failed| failed.retry_ms > monotonic_ms)
        {
            return;
        }
        let written = checkpoints.written.get(&shard).filter(|written| Some(written.number) == last_number(replica));
        if written.is_none()
            && let Some(document) = last_document(replica)
        {
            // An earlier leader may have agreed on it and gone before it was written.
            let covers_ms = document.at.hlc.millis();
            let machine = Checkpoint::resume(tier.settings.place.clone(), &tier.settings.layout, document);
            let run = Run { attempt, covers_ms, machine: Some(machine), proposal: None };
            checkpoints.runs.insert(shard, run);
            return self.step_checkpoint(shard, attempt, CheckpointEvent::Tick);
        }
        let is_forced = checkpoints.forced.contains_key(&shard);
        if !is_forced && checkpoints.wanted.get(&shard).is_none_or(|wanted| covered >= *wanted) {
            checkpoints.wanted.remove(&shard);
            return;
        }
        if !is_forced && written.is_some_and(|written| written.at.index >= replica.last_write) {
            // The last one covers the moment as soon as the quorum has confirmed that nothing was written up to it.
            return;
        }
        let Some(tablet) = replica.tablet.clone() else { return };
        checkpoints.runs.insert(shard, Run { attempt, covers_ms: now_ms, machine: None, proposal: None });
        let source = source(self.stores.identity.store, replica);
        let files = last_document(replica).filter(|document| document.source == source).map(|document| document.files).unwrap_or_default();
        let known = files.into_iter().map(|file| LocalFile { name: file.name, size: file.size, crc32: file.crc32 }).collect();
        self.effects.push(Effect::Files(FilesWork::Checkpoint { shard, attempt, tablet, known }));
    }

    pub(super) fn on_files(&mut self, done: FilesDone) {
        match done {
            FilesDone::Checkpointed { shard, attempt, result } => self.on_checkpointed(shard, attempt, result),
            FilesDone::CheckpointRead { shard, attempt, name, offset, bytes } => {
                self.step_checkpoint(shard, attempt, CheckpointEvent::FileRead { name, offset, bytes });
            }
            FilesDone::Digested { shard, index, result } => self.on_digested(shard, index, result),
            done => self.on_fetched_files(done),
        }
    }

    fn on_checkpointed(&mut self, shard: ShardId, attempt: u64, result: Result<(Vec<LocalFile>, Applied), String>) {
        let is_current = self.open().and_then(|open| open.checkpoints.runs.get(&shard)).is_some_and(|run| run.attempt == attempt);
        let (Some(replica), true) = (self.replicas.get(&shard), is_current) else {
            return self.effects.push(Effect::Files(FilesWork::DropCheckpoint { shard, attempt }));
        };
        let (files, applied) = match result {
            Ok(made) => made,
            Err(reason) => return self.fail_checkpoint(shard, reason),
        };
        let applied = if planted(Mistake::CheckpointIndexLate) { replica.applied } else { applied };
        let previous = last_document(replica);
        let source = source(self.stores.identity.store, replica);
        let nonce = u128::from(self.draws.u64(..)) << 64 | u128::from(self.draws.u64(..));
        let Some(tier) = &mut self.tier else { return };
        let Some(open) = &mut tier.open else { return };
        let request = CheckpointRequest {
            place: tier.settings.place.clone(),
            layout: tier.settings.layout.clone(),
            incarnation: open.first.incarnation,
            shard,
            number: previous.as_ref().map_or(0, |document| document.number + 1),
            at: Cut { fork_epoch: 0, index: applied.index, term: applied.term, hlc: applied.hlc },
            source,
            files,
            previous,
            nonce,
            part_bytes: tier.settings.part_bytes,
        };
        if let Some(run) = open.checkpoints.runs.get_mut(&shard) {
            run.machine = Some(Checkpoint::new(request));
        }
        self.step_checkpoint(shard, attempt, CheckpointEvent::Tick);
    }

    pub(super) fn step_checkpoint(&mut self, shard: ShardId, attempt: u64, event: CheckpointEvent) {
        let now_ms = self.now.monotonic_ms;
        let run = self.open().and_then(|open| open.checkpoints.runs.get_mut(&shard)).filter(|run| run.attempt == attempt);
        let Some(machine) = run.and_then(|run| run.machine.as_mut()) else { return };
        for effect in machine.step(now_ms, event) {
            match effect {
                CheckpointEffect::Call(call) => self.call(Machine::Checkpoint(shard, attempt), call),
                CheckpointEffect::ReadFile { name, offset, length } => {
                    self.effects.push(Effect::Files(FilesWork::ReadCheckpoint { shard, attempt, name, offset, length }));
                }
                CheckpointEffect::Propose { number, bytes, .. } => {
                    if let Some(run) = self.open().and_then(|open| open.checkpoints.runs.get_mut(&shard)) {
                        run.proposal = Some((number, bytes, None));
                    }
                    self.settle_proposal(shard);
                }
                CheckpointEffect::Written(document) => return self.checkpoint_written(shard, &document),
                CheckpointEffect::Failed(reason) => return self.fail_checkpoint(shard, reason),
            }
        }
    }

    /// Proposes a document that is ready, or notices that the shard agreed on it, or on another one.
    fn settle_proposal(&mut self, shard: ShardId) {
        let now_ms = self.now.monotonic_ms;
        let agreed = self.replicas.get(&shard).and_then(|replica| replica.agreed.get(&AgreementKind::Checkpoint).cloned());
        let Some(run) = self.open().and_then(|open| open.checkpoints.runs.get_mut(&shard)) else { return };
        let Some((number, document, proposed_ms)) = run.proposal.clone() else { return };
        let attempt = run.attempt;
        match agreed {
            Some(agreed) if agreed.number == number && agreed.document == document => {
                run.proposal = None;
                self.step_checkpoint(shard, attempt, CheckpointEvent::Agreed);
            }
            // An earlier leader's document of this number came first.
            Some(agreed) if agreed.number >= number => self.end_checkpoint(shard),
            _ if proposed_ms.is_none_or(|at| now_ms.saturating_sub(at) >= limits::COMMAND_DEADLINE_MILLIS) => {
                run.proposal = Some((number, document.clone(), Some(now_ms)));
                if !self.propose_agreement(shard, AgreementKind::Checkpoint, number, document.clone())
                    && let Some(run) = self.open().and_then(|open| open.checkpoints.runs.get_mut(&shard))
                {
                    run.proposal = Some((number, document, None));
                }
            }
            _ => {}
        }
    }

    fn checkpoint_written(&mut self, shard: ShardId, document: &CheckpointDocument) {
        let Some(tier) = &mut self.tier else { return };
        let Some(open) = &mut tier.open else { return };
        let Some(run) = open.checkpoints.runs.get(&shard) else { return };
        // A gap that opened while this one was made may end behind it.
        open.checkpoints.forced.retain(|forced, above| *forced != shard || *above > document.at.index);
        let written = Written { number: document.number, covers_ms: run.covers_ms, at: document.at, bytes: document.size() };
        open.checkpoints.written.insert(shard, written);
        open.checkpoints.failed.remove(&shard);
        tier.tell(ArchiveEvent::Checkpointed { shard, at: document.at });
        self.end_checkpoint(shard);
    }

    /// The attempt is given up; another one follows after a pause.
    fn fail_checkpoint(&mut self, shard: ShardId, reason: String) {
        let now_ms = self.now.monotonic_ms;
        if let Some(open) = self.open() {
            let (since_ms, attempts) = open.checkpoints.failed.get(&shard).map_or((now_ms, 0), |before| (before.since_ms, before.attempts));
            let retry_ms = now_ms + limits::CHECKPOINT_RETRY_MILLIS;
            open.checkpoints.failed.insert(shard, Failed { reason, since_ms, attempts: attempts + 1, retry_ms });
        }
        self.end_checkpoint(shard);
    }

    fn end_checkpoint(&mut self, shard: ShardId) {
        let Some(run) = self.open().and_then(|open| open.checkpoints.runs.remove(&shard)) else { return };
        self.effects.push(Effect::Files(FilesWork::DropCheckpoint { shard, attempt: run.attempt }));
    }

    /// Leadership is lost: the next leader begins anew, if it is asked.
    pub(super) fn abandon_checkpoint(&mut self, shard: ShardId) {
        self.end_checkpoint(shard);
        if let Some(open) = self.open() {
            open.checkpoints.failed.remove(&shard);
            open.checkpoints.written.remove(&shard);
            open.checkpoints.wanted.remove(&shard);
            open.checkpoints.forced.remove(&shard);
        }
    }

    /// The last checkpoint of a led shard that counts.
    pub(super) fn report_checkpoint(&self, shard: ShardId) -> Option<CheckpointReport> {
        let open = self.tier.as_ref()?.open.as_ref()?;
        let replica = self.replicas.get(&shard)?;
        let Written { number, covers_ms, at, bytes } = *open.checkpoints.written.get(&shard)?;
        let is_last = last_number(replica) == Some(number);
        // Where nothing was written since, it holds all that the leader may promise.
        let is_unchanged = at.index >= replica.last_write;
        let closed_ms = if is_unchanged { replica.closed.millis() } else { 0 };
        let Cut { fork_epoch, index, term, hlc } = at;
        let at = ShardOrigin { shard, fork_epoch, index, term, hlc };
        is_last.then(|| CheckpointReport { number, at, covers_millis: closed_ms.max(covers_ms).max(hlc.millis()), bytes })
    }

    pub(super) fn report_checkpointing(&self, shard: ShardId) -> Option<Checkpointing> {
        let checkpoints = &self.tier.as_ref()?.open.as_ref()?.checkpoints;
        let machine = checkpoints.runs.get(&shard).and_then(|run| run.machine.as_ref());
        let failed = checkpoints.failed.get(&shard).map(|failed| ObjectProblem {
            class: ErrorClass::Internal.name().to_owned(),
            message: format!("a checkpoint cannot be made on this node: {}", failed.reason),
            millis: self.now.monotonic_ms.saturating_sub(failed.since_ms),
            attempts: failed.attempts,
        });
        if failed.is_none() && !checkpoints.runs.contains_key(&shard) {
            return None;
        }
        let (done_bytes, total_bytes) = machine.map_or((0, 0), Checkpoint::progress);
        let store = machine.and_then(Checkpoint::problem).map(problem_of);
        Some(Checkpointing { done_bytes, total_bytes, problem: store.or(failed) })
    }
}

/// The number of the document that the shard agreed on last.
fn last_number<T>(replica: &Replica<T>) -> Option<u64> {
    Some(replica.agreed.get(&AgreementKind::Checkpoint)?.number)
}

/// That document; it may be long.
fn last_document<T>(replica: &Replica<T>) -> Option<CheckpointDocument> {
    CheckpointDocument::decode(&replica.agreed.get(&AgreementKind::Checkpoint)?.document).ok()
}

/// Which tablet it is: file names mean the same file only within one.
fn source<T>(store: strata_base::StoreId, replica: &Replica<T>) -> String {
    format!("{store}/{}/{}", replica.shard, replica.generation)
}
