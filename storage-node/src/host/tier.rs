//! The object tier in the host: the machines of [`strata_engine::tier`] beside the replicas, fed at the end of every turn.
//!
//! ```text
//! applied entries ─► archive ──┐
//! first shard ─► claim, publish ├─► Effect::Call ─► the store ─► Event::Answered ─► the machine that asked
//! led shards ─► checkpoints ───┤
//! orders ─► restore ───────────┘
//! ```
//!
//! - Replicas never wait for a store: what they tell the archive is queued and taken when the turn's replicas have run.
//! - The leader of the first shard (the one with slot 0 of the default table) claims the path, publishes cluster documents and registers lives.
//! - A promise that all before an HLC was given ([`ArchiveEvent::Closed`]) is made only after a quorum confirmed, by a read barrier raised at that HLC,
//!   that this node still led: neither a clock nor what was heard of late would tell a leader that slept.

use super::{
    Host, PeerMessage,
    checkpoint::Checkpoints,
    event::Effect,
    publish::Publication,
    replica::{Closing, Lead, Replica},
    restore::Restore,
};
use crate::{agreement::LogEntry, limits};
use std::collections::BTreeMap;
use strata_base::{
    Hlc, ShardId, TableId,
    planted::{Mistake, planted},
};
use strata_engine::objects::ErrorClass;
use strata_engine::tier::{
    Answered, Call, CallId, Entry, Place,
    archive::{Archive, ArchiveEffect, ArchiveEvent, ArchiveSettings, Position, Pressure, WhenFull},
    checkpoint::CheckpointEvent,
    documents::{ClusterDocument, Document},
    fetch::FetchEvent,
    layout::{Layout, LifeId},
    ownership::TakeoverEvent,
    restore::PlannerEvent,
};
use strata_node_api::{Answer, ArchiveClaim, ArchiveReport, ObjectProblem, RefusalClass, ShardArchive};
use strata_raft_group::{Committed, Payload};

/// What the configuration says of the object tier.
#[derive(Clone, Debug)]
pub struct TierSettings {
    /// The bucket.
    pub place: Place,
    /// The path within.
    pub layout: Layout,
    /// How long an entry waits for others before it is archived, in milliseconds.
    pub flush_interval_ms: u64,
    /// How many bytes of unarchived entries the node keeps before `when_full` counts.
    pub local_log_bound_bytes: u64,
    /// What happens above the bound.
    pub when_full: WhenFull,
    /// How often a shard that changed is checkpointed, in milliseconds; none: by order only.
    pub checkpoint_interval_ms: Option<u64>,
    /// The size of a part of an upload or of a ranged read, in bytes: [`PART_BYTES`](strata_engine::tier::limits::PART_BYTES), but in a simulation.
    pub part_bytes: u64,
}

/// Which machine asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Machine {
    Archive,
    Claim,
    Publish,
    Checkpoint(ShardId, u64),
    Plan(u64),
    Fetch(u64),
}

/// A log read that the archive waits for.
#[derive(Clone, Copy, Debug)]
struct LogWanted {
    shard: ShardId,
    from: u64,
    to: u64,
    bytes_max: u64,
}

/// The object tier of a node.
pub(super) struct Tier {
    pub(super) settings: TierSettings,
    pub(super) open: Option<Open>,
    pub(super) restore: Option<Restore>,
    calls: BTreeMap<CallId, (Machine, CallId)>,
    next_call: u64,
    /// Numbers checkpoints, plans and fetches, so that late answers to earlier ones are nobody's.
    attempts: u64,
    /// What replicas told since the tier last ran.
    inbox: Vec<ArchiveEvent>,
    is_tick_due: bool,
}

/// The tier of a cluster whose archive was opened by order.
pub(super) struct Open {
    pub(super) claim: ArchiveClaim,
    /// `cluster/0`.
    pub(super) first: ClusterDocument,
    archive: Archive,
    pub(super) publication: Publication,
    pub(super) checkpoints: Checkpoints,
    pub(super) is_registered: bool,
    pub(super) refuses_writes: bool,
    wanted: Vec<LogWanted>,
    /// The HLC of the last entry that was read for the archive, by shard: Raft's own entries repeat their predecessor's.
    read_to: BTreeMap<ShardId, Position>,
}

impl Open {
    /// Whether OWNER, when it was read last, named another cluster or incarnation.
    pub(super) fn has_lost_path(&self) -> bool {
        self.archive.problem().is_some_and(|problem| problem.error.class == ErrorClass::ForeignOwner)
    }
}

impl Tier {
    pub(super) fn new(settings: TierSettings) -> Tier {
        Tier {
            settings,
            open: None,
            restore: None,
            calls: BTreeMap::new(),
            next_call: 0,
            attempts: 0,
            inbox: Vec::new(),
            is_tick_due: false,
        }
    }

    /// A number that no earlier attempt had.
    pub(super) fn next_attempt(&mut self) -> u64 {
        self.attempts += 1;
        self.attempts
    }

    /// Tells the archive something when the turn's replicas have run.
    pub(super) fn tell(&mut self, event: ArchiveEvent) {
        if self.open.is_some() {
            self.inbox.push(event);
        }
    }

    pub(super) fn tick(&mut self) {
        self.is_tick_due = true;
    }
}

impl<T> Host<T> {
    /// Opens the archive, by order or because an earlier life was ordered to.
    pub(super) fn open_archive(&mut self, claim: ArchiveClaim) -> Answer {
        let refused = |message: String| Answer::Refused { class: RefusalClass::Invalid, message };
        let Some(membership) = &self.stores.identity.membership else {
            return refused("this store belongs to no cluster yet: order it to join first".to_owned());
        };
        let Some(tier) = &mut self.tier else {
            return refused("the node's configuration has no section [archive]: declare the bucket there".to_owned());
        };
        let first = match ClusterDocument::decode(claim.document.as_bytes()) {
            Ok(first) => first,
            Err(error) => return refused(format!("claim.document is no cluster document: {error}")),
        };
        if (&first.cluster, first.incarnation, first.number) != (&membership.cluster, membership.incarnation, 0) {
            return refused("claim.document is not cluster/0 of this cluster and incarnation: plan again".to_owned());
        }
        if tier.open.as_ref().is_some_and(|open| open.claim == claim) {
            return Answer::Done;
        }
        let settings = ArchiveSettings {
            place: tier.settings.place.clone(),
            layout: tier.settings.layout.clone(),
            cluster: first.cluster.clone(),
            incarnation: first.incarnation,
            life: LifeId(self.life),
            flush_interval_ms: tier.settings.flush_interval_ms,
            local_log_bound_bytes: tier.settings.local_log_bound_bytes,
            when_full: tier.settings.when_full,
        };
        match &mut tier.open {
            // Another claim for the same document: the take-over begins anew, what was archived stays.
            Some(open) if open.claim.document == claim.document => {
                open.claim = claim.clone();
                open.publication.begin_anew();
            }
            _ => {
                tier.open = Some(Open {
                    claim: claim.clone(),
                    first,
                    archive: Archive::new(settings),
                    publication: Publication::default(),
                    checkpoints: Checkpoints::default(),
                    is_registered: false,
                    refuses_writes: false,
                    wanted: Vec::new(),
                    read_to: BTreeMap::new(),
                });
                let led: Vec<ArchiveEvent> =
                    self.replicas.values().filter(|replica| replica.is_serving()).map(|replica| lead_of(replica)).collect();
                led.into_iter().for_each(|event| tier.tell(event));
            }
        }
        let value = serde_json::to_value(&claim).expect("a claim is plain data");
        if self.stores.identity.archive != value {
            self.stores.identity.archive = value;
            self.effects.push(Effect::StoreIdentity(self.stores.identity.clone()));
        }
        Answer::Done
    }

    /// Opens the archive that an earlier life was ordered to open.
    pub(super) fn reopen_archive(&mut self) {
        if let Ok(claim) = serde_json::from_value::<ArchiveClaim>(self.stores.identity.archive.clone()) {
            // What was taken once is taken again, unless the configuration lost its section: then reports show no archive.
            let _ = self.open_archive(claim);
        }
    }

    pub(super) fn open(&mut self) -> Option<&mut Open> {
        self.tier.as_mut()?.open.as_mut()
    }

    /// Asks the store in a machine's name.
    pub(super) fn call(&mut self, machine: Machine, call: Call) {
        let Some(tier) = &mut self.tier else { return };
        tier.next_call += 1;
        let id = CallId(tier.next_call);
        tier.calls.insert(id, (machine, call.id));
        self.effects.push(Effect::Call(Call { id, ..call }));
    }

    pub(super) fn on_answered(&mut self, id: CallId, answered: Answered) {
        let Some((machine, id)) = self.tier.as_mut().and_then(|tier| tier.calls.remove(&id)) else { return };
        match machine {
            Machine::Archive => self.step_archive(ArchiveEvent::Answered { id, answered }),
            Machine::Claim => self.step_claim(TakeoverEvent::Answered { id, answered }),
            Machine::Publish => self.document_answered(answered),
            Machine::Checkpoint(shard, attempt) => self.step_checkpoint(shard, attempt, CheckpointEvent::Answered { id, answered }),
            Machine::Plan(attempt) => self.step_plan(attempt, PlannerEvent::Answered { id, answered }),
            Machine::Fetch(attempt) => self.step_fetch(attempt, FetchEvent::Answered { id, answered }),
        }
    }

    /// Everything the tier has to do at the end of a turn.
    pub(super) fn run_tier(&mut self) {
        let Some(tier) = &mut self.tier else { return };
        let is_tick = std::mem::take(&mut tier.is_tick_due);
        let told = std::mem::take(&mut tier.inbox);
        told.into_iter().for_each(|event| self.step_archive(event));
        if is_tick {
            self.run_publication();
            self.close_lanes();
            self.step_archive(ArchiveEvent::Tick);
            self.run_checkpoints();
            self.run_restore();
        }
        self.read_log_for_archive();
    }

    fn step_archive(&mut self, event: ArchiveEvent) {
        let now_ms = self.now_ms();
        let Some(open) = self.open() else { return };
        for effect in open.archive.step(now_ms, event) {
            match effect {
                ArchiveEffect::Call(call) => self.call(Machine::Archive, call),
                ArchiveEffect::ReadLog { shard, from, to, bytes_max } => {
                    if let Some(open) = self.open() {
                        open.wanted.push(LogWanted { shard, from, to, bytes_max });
                    }
                }
                ArchiveEffect::Archived { shard, position, .. } => self.note_archived(shard, position),
                ArchiveEffect::NeedCheckpoint { shard, above } => self.force_checkpoint(shard, above),
                ArchiveEffect::Released { shard, index } => {
                    if let Some(replica) = self.replicas.get_mut(&shard) {
                        replica.released = replica.released.max(index);
                    }
                }
                ArchiveEffect::Pressure(pressure) => {
                    if let Some(open) = self.open() {
                        open.refuses_writes = pressure == Pressure::RefuseWrites;
                    }
                }
            }
        }
    }

    /// The shard is archived this far: its log may be cut, and the other members shall know.
    fn note_archived(&mut self, shard: ShardId, position: Position) {
        let Some(replica) = self.replicas.get_mut(&shard) else { return };
        replica.archived = position;
        let own = self.stores.identity.store;
        let members = replica.descriptor.iter().flat_map(|descriptor| &descriptor.stores).map(|(_, store)| *store);
        let others: Vec<_> = members.filter(|store| *store != own).collect();
        for store in others {
            self.queue_message(store, PeerMessage::Archived { shard, index: position.index, hlc: position.hlc });
        }
    }

    /// Repeats to the other members how far the led shards are archived: what was said once may be lost.
    pub(super) fn repeat_archived(&mut self) {
        let led = self.replicas.values().filter(|replica| replica.is_serving() && replica.archived.index > 0);
        let known: Vec<(ShardId, Position)> = led.map(|replica| (replica.shard, replica.archived)).collect();
        known.into_iter().for_each(|(shard, position)| self.note_archived(shard, position));
    }

    /// The leader says how far its shard is archived.
    pub(super) fn on_archived(&mut self, shard: ShardId, position: Position) {
        let Some(replica) = self.replicas.get_mut(&shard) else { return };
        if position.index > replica.archived.index {
            // A log that a snapshot began: while its record says less than where it begins, a leader that starts from there finds a gap that is none. The
            // next batch writes it anew.
            replica.is_recorded &= replica.archived.index >= replica.group.truncated().0;
            replica.archived = position;
        }
        if let Some(tier) = &mut self.tier {
            tier.tell(ArchiveEvent::Hint { shard, fork_epoch: 0, archived: position });
        }
    }

    /// What the archive shall know of entries that a leader applied.
    pub(super) fn tell_committed(&mut self, replica: &Replica<T>, entries: Vec<Entry>) {
        if let Some(tier) = &mut self.tier
            && replica.is_serving()
            && !entries.is_empty()
        {
            tier.tell(ArchiveEvent::Committed { shard: replica.shard, entries });
        }
    }

    pub(super) fn tell_lead(&mut self, replica: &Replica<T>) {
        if let Some(tier) = &mut self.tier {
            tier.tell(lead_of(replica));
        }
    }

    pub(super) fn tell_follow(&mut self, shard: ShardId) {
        if let Some(tier) = &mut self.tier {
            tier.tell(ArchiveEvent::Follow { shard });
        }
        self.abandon_checkpoint(shard);
    }

    /// Promises the archive what was given to it, for every shard whose leadership was confirmed since. What is promised is a time, and no later write is
    /// before it.
    fn close_lanes(&mut self) {
        if !self.knows_time() {
            return;
        }
        let now_ms = self.now_ms();
        let shards: Vec<ShardId> = self.replicas.values().filter(|replica| replica.is_serving()).map(|replica| replica.shard).collect();
        for shard in shards {
            let Some(replica) = self.replicas.get_mut(&shard) else { continue };
            match replica.closing {
                Some(closing) if closing.is_confirmed && closing.after <= replica.applied.index => {
                    (replica.closing, replica.closed) = (None, replica.closed.max(closing.hlc));
                    let pending_bytes = replica.overlay.bytes() as u64;
                    self.step_archive(ArchiveEvent::Closed { shard, hlc: closing.hlc, pending_bytes });
                }
                Some(closing) if self.tick < closing.until_tick => {}
                _ => self.begin_closing(shard, now_ms),
            }
        }
    }

    /// Asks the shard's quorum whether this node still leads it. If it does, whatever has an HLC up to now was evaluated here, before now.
    fn begin_closing(&mut self, shard: ShardId, now_ms: u64) {
        let until_tick = self.tick + limits::CLOSE_TICKS;
        let Some(mut replica) = self.replicas.remove(&shard) else { return };
        if let Ok(proof) = self.begin_proof(&replica) {
            replica.hlc = replica.hlc.max(Hlc::from_millis(now_ms));
            let after = replica.last_place.map_or(0, |place| place.index);
            let is_confirmed = planted(Mistake::PromiseWithoutProof);
            replica.closing = Some(Closing { proof, hlc: replica.hlc, after, until_tick, is_confirmed });
        }
        self.replicas.insert(shard, replica);
        self.touch(shard);
    }

    /// Reads from the log what the archive asked for. What is not on disk yet is tried again in the next turn.
    fn read_log_for_archive(&mut self) {
        for _ in 0..limits::ARCHIVE_READS_PER_TURN {
            let Some(open) = self.open() else { return };
            if open.wanted.is_empty() {
                return;
            }
            let wanted = open.wanted.remove(0);
            match self.read_committed(wanted) {
                Some(entries) => self.step_archive(ArchiveEvent::LogRead { shard: wanted.shard, from: wanted.from, entries }),
                None => return self.open().into_iter().for_each(|open| open.wanted.push(wanted)),
            }
        }
    }

    /// Committed entries from the log, or where it begins; `None` where they are not on disk yet.
    fn read_committed(&mut self, wanted: LogWanted) -> Option<Result<Vec<Entry>, u64>> {
        let LogWanted { shard, from, to, bytes_max } = wanted;
        let replica = self.replicas.get(&shard)?;
        let first = replica.group.truncated().0 + 1;
        if from < first {
            return Some(Err(first));
        }
        let to = to.min(replica.group.persisted_index()).min(replica.applied.index);
        if to < from {
            return None;
        }
        let stored = self.stores.log.entries(shard, from, to + 1, bytes_max).ok()?;
        let mut hlc = self.hlc_before(shard, from);
        let mut entries = Vec::with_capacity(stored.len());
        for entry in stored {
            let payload = crate::bridge::commands_of(&entry);
            if !payload.is_empty() {
                hlc = LogEntry::decode(payload.clone()).map_or(hlc, |decoded| hlc.max(decoded.hlc()));
            }
            entries.push(Entry { index: entry.index, term: entry.term, hlc, payload });
        }
        let last = entries.last().map(|entry| Position { index: entry.index, hlc: entry.hlc })?;
        self.open()?.read_to.insert(shard, last);
        Some(Ok(entries))
    }

    /// The HLC of the entry before an index: remembered, or found by looking back in the log.
    fn hlc_before(&mut self, shard: ShardId, index: u64) -> Hlc {
        let remembered = self.open().and_then(|open| open.read_to.get(&shard).copied()).filter(|last| last.index + 1 == index);
        if let Some(last) = remembered {
            return last.hlc;
        }
        let Some(replica) = self.replicas.get(&shard) else { return Hlc::ZERO };
        let (archived, first) = (replica.archived, replica.group.truncated().0 + 1);
        for at in (first.max(archived.index + 1)..index).rev() {
            let Ok(stored) = self.stores.log.entries(shard, at, at + 1, u64::MAX) else { break };
            let payload = stored.first().map(crate::bridge::commands_of).unwrap_or_default();
            if let Ok(decoded) = LogEntry::decode(payload) {
                return archived.hlc.max(decoded.hlc());
            }
        }
        archived.hlc
    }

    /// The shard with the first slot of the default table, if this node leads it.
    pub(super) fn first_shard_led(&self) -> Option<ShardId> {
        let is_first = |replica: &&Replica<T>| {
            let descriptor = replica.descriptor.as_ref();
            descriptor.is_some_and(|descriptor| descriptor.table == TableId(0) && descriptor.slots.contains(0))
        };
        let first = self.replicas.values().map(|replica| &**replica).find(is_first)?;
        leads(first).then_some(first.shard)
    }

    /// Whether a shard must not serve yet: it continues a parent, and `cluster/0`, which says up to where, was not seen in the bucket.
    pub(super) fn awaits_publication(&self) -> bool {
        let is_child = self.tier.as_ref().and_then(|tier| tier.open.as_ref()).is_some_and(|open| open.first.parent.is_some());
        is_child && !self.stores.identity.is_published
    }

    /// Whether writes that grow data are refused because the local log is full.
    pub(super) fn is_archive_full(&self) -> bool {
        self.tier.as_ref().and_then(|tier| tier.open.as_ref()).is_some_and(|open| open.refuses_writes)
    }

    /// Up to where the log may be cut as far as the archive is concerned.
    pub(super) fn archive_bound(&self, replica: &Replica<T>) -> u64 {
        if self.tier.is_some() { replica.archived.index.max(replica.released) } else { u64::MAX }
    }

    pub(super) fn report_archive(&self, now_ms: u64) -> (Option<ArchiveReport>, BTreeMap<ShardId, ShardArchive>) {
        let Some(open) = self.tier.as_ref().and_then(|tier| tier.open.as_ref()) else { return (None, BTreeMap::new()) };
        let status = open.archive.status(now_ms);
        let problem = status.problem.as_ref().map(|problem| ObjectProblem {
            class: problem.error.class.name().to_owned(),
            message: problem.error.message.clone(),
            millis: now_ms.saturating_sub(problem.since_ms),
            attempts: problem.attempts,
        });
        let report = ArchiveReport {
            is_published: self.stores.identity.is_published,
            is_registered: open.is_registered,
            claim: open.publication.claim_state(),
            refuses_writes: open.refuses_writes,
            objects: status.objects,
            problem: problem.or_else(|| open.publication.problem(self.now.monotonic_ms)),
        };
        let shards = status.shards.into_iter().map(|shard| {
            let gaps = shard.gaps.iter().map(|gap| (gap.after.index + 1, gap.last)).collect();
            let archive = ShardArchive {
                archived: shard.archived.index,
                recovery_latest_millis: shard.recovery_latest_ms,
                lag_millis: shard.lag_ms,
                bytes_at_risk: shard.bytes_at_risk,
                gaps,
            };
            (shard.shard, archive)
        });
        (Some(report), shards.collect())
    }
}

/// Whether a replica leads and has applied an entry of its own term, even if it serves nobody yet.
pub(super) fn leads<T>(replica: &Replica<T>) -> bool {
    let term = match replica.lead {
        Lead::Not => return false,
        Lead::Elect(term) | Lead::Serving(term) => term,
    };
    replica.stopped.is_none() && replica.applied.term == term
}

fn lead_of<T>(replica: &Replica<T>) -> ArchiveEvent {
    let committed = replica.applied.index;
    // Nobody counts the bytes of old entries: a round is about this long.
    let bytes = committed.saturating_sub(replica.archived.index) * limits::ENTRY_BYTES_GUESS;
    let assumed = Position { index: committed, hlc: replica.applied.hlc };
    let archived = if planted(Mistake::ArchivedAssumed) { assumed } else { replica.archived };
    ArchiveEvent::Lead { shard: replica.shard, fork_epoch: 0, archived, committed, bytes }
}

/// A committed entry as the archive sees it; `hlc` is that of the entry before.
pub(super) fn archived_entry(committed: &Committed, hlc: Hlc) -> Entry {
    let payload = match &committed.payload {
        Payload::Normal(bytes) => bytes.clone(),
        Payload::Empty | Payload::Change { .. } => bytes::Bytes::new(),
    };
    Entry { index: committed.index, term: committed.term, hlc, payload }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{descriptor::ReplicaRecord, host::start::tests::host_over};
    use strata_base::PeerId;
    use strata_engine::log::LogState;

    #[test]
    fn a_log_that_a_snapshot_began_writes_down_how_far_it_is_archived() {
        let here = ReplicaRecord::Here {
            peer: PeerId(1),
            generation: 0,
            truncated_index: 100,
            truncated_term: 1,
            archived_index: 0,
            archived_hlc: Hlc::ZERO,
        };
        let (mut host, shard) = host_over(vec![(LogState::Replica, here.encode())]);
        for (archived, is_written_anew) in [(50, true), (150, true), (200, false)] {
            host.replicas.get_mut(&shard).expect("it is here").is_recorded = true;
            host.on_archived(shard, Position { index: archived, hlc: Hlc::from_millis(1) });
            assert_eq!(host.replicas[&shard].is_recorded, !is_written_anew, "archived up to {archived}, and it begins behind 100");
        }
    }
}
