//! Commands: the queue and its rounds, reads beside the queue, and leadership as far as it decides who may evaluate.

use super::{
    Host, NotDone, Outcome,
    event::{Command, Effect},
    replica::{Barrier, Lead, Pending, Queued, Reading, Replica},
};
use crate::{bridge::ViewReader, descriptor::Applied, limits};
use bytes::Bytes;
use strata_base::{
    Hlc, SlotRange, StoreId,
    planted::{Mistake, planted},
};
use strata_kv::{ErrorReply, Facts, Failure, Reply, View, entry::Entry};
use strata_raft_group::Role;

/// What one round came to.
struct RoundResult<T> {
    effects: Vec<strata_kv::Effect>,
    /// Replies that wait for the round's entry.
    replies: Vec<(T, Reply)>,
    /// Replies of commands that changed nothing.
    idle: Vec<(T, Reply, u64)>,
    needs_entry: bool,
    deadline_ms: u64,
}

impl<T> Host<T> {
    pub(super) fn on_command(&mut self, command: Command<T>) {
        let shard = command.shard;
        let deadline_ms = self.now.monotonic_ms + limits::COMMAND_DEADLINE_MILLIS;
        let Some(replica) = self.replicas.get_mut(&shard).filter(|replica| replica.stopped.is_some() || replica.group.is_leader()) else {
            let hint = self.hint(shard);
            return self.refuse(command.token, NotDone::NotLeader(hint));
        };
        if replica.stopped.is_some() {
            return self.refuse(command.token, NotDone::Stopped);
        }
        if replica.queue_bytes > limits::QUEUE_BYTES_MAX || replica.queue.len() + replica.readings.len() >= limits::QUEUE_COMMANDS_MAX {
            return self.refuse(command.token, NotDone::Busy);
        }
        let is_beside = command.is_beside_queue && !command.call.spec.is_write();
        let queued = Queued { command, deadline_ms };
        if is_beside {
            replica.readings.push(Reading::Beside(queued));
        } else {
            replica.queue_bytes += size(&queued);
            replica.queue.push_back(queued);
        }
        self.touch(shard);
    }

    /// Notices that leadership came or went.
    pub(super) fn watch_lead(&mut self, replica: &mut Replica<T>) {
        let term = replica.group.is_leader().then(|| replica.group.term());
        match (replica.lead, term) {
            (Lead::Not, None) => {}
            (Lead::Elect(of) | Lead::Serving(of), Some(term)) if of == term => {}
            (Lead::Not, Some(term)) => replica.lead = Lead::Elect(term),
            (_, term) => {
                self.lose_lead(replica);
                replica.lead = term.map_or(Lead::Not, Lead::Elect);
            }
        }
        if let Lead::Elect(term) = replica.lead
            && (replica.applied.term == term || planted(Mistake::ServeBeforeOwnTerm))
            && !self.awaits_publication()
        {
            // Everything that an earlier leader wrote is applied now, and with it the highest HLC of the log.
            replica.lead = Lead::Serving(term);
            if !planted(Mistake::HlcOfOwn) {
                replica.hlc = replica.hlc.max(replica.applied.hlc);
            }
            self.tell_lead(replica);
            self.open_lease(replica);
        }
        self.learn_own_route(replica);
    }

    fn lose_lead(&mut self, replica: &mut Replica<T>) {
        self.close_lease(replica);
        if !planted(Mistake::OverlayKept) {
            replica.overlay.clear();
        }
        replica.must_drain = false;
        replica.transfer = None;
        replica.last_place = None;
        (replica.closing, replica.closed) = (None, Hlc::ZERO);
        self.tell_follow(replica.shard);
        let hint = self.leader_store(replica);
        self.refuse_waiting(replica, NotDone::NotLeader(hint));
    }

    /// Refuses everything that waits and certainly had no effect.
    pub(super) fn refuse_waiting(&mut self, replica: &mut Replica<T>, why: NotDone) {
        replica.queue_bytes = 0;
        for queued in std::mem::take(&mut replica.queue) {
            self.refuse(queued.command.token, why);
        }
        let under_barriers = std::mem::take(&mut replica.barriers).into_iter().flat_map(|barrier| barrier.readings);
        for reading in std::mem::take(&mut replica.readings).into_iter().chain(under_barriers) {
            self.refuse(reading.into_token(), why);
        }
    }

    /// Evaluates what is queued, one entry per round.
    pub(super) fn evaluate_queue(&mut self, replica: &mut Replica<T>) {
        if replica.must_drain && replica.pending.is_empty() {
            replica.overlay.clear();
            replica.must_drain = false;
        }
        if replica.queue.is_empty() || !self.may_evaluate(replica) {
            return;
        }
        let round = replica.overlay.begin_round();
        let Some(result) = self.evaluate_round(replica) else { return };
        if result.needs_entry {
            self.propose_round(replica, round, result);
        } else {
            let after = replica.last_place.filter(|place| replica.pending.contains_key(&place.index));
            for (token, reply, deadline_ms) in result.idle {
                if planted(Mistake::IdleAtOnce) {
                    self.done(token, Outcome::Reply(reply));
                    continue;
                }
                replica.readings.push(Reading::Evaluated { token, reply, after, deadline_ms });
            }
        }
        if !replica.queue.is_empty() {
            self.touch(replica.shard);
        }
    }

    /// Whether a time of this node may be given to anything that stays: its own wall clock alone may be hours off.
    pub(super) fn knows_time(&self) -> bool {
        self.is_time_known || planted(Mistake::TimeUnheard)
    }

    /// Whether a round may begin now.
    fn may_evaluate(&self, replica: &Replica<T>) -> bool {
        let is_held = replica.transfer.is_some() || replica.must_drain || replica.overlay.bytes() > limits::OVERLAY_BYTES_MAX;
        replica.is_serving() && self.knows_time() && !is_held && self.wants().writes
    }

    /// Removes keys whose time has come, as a round of its own; whether more are due than one round takes.
    pub(super) fn expire_due(&mut self, replica: &mut Replica<T>) -> bool {
        let Some(reader) = replica.reader().filter(|_| self.may_evaluate(replica)) else { return false };
        let now_ms = self.now_ms();
        let hlc = replica.hlc.next(now_ms);
        let round = replica.overlay.begin_round();
        let facts = facts(&replica.applied, replica.slots(), 0);
        let mut view = View::with_facts(&reader, &mut replica.overlay, hlc, facts);
        let step = strata_kv::expiry::remove_due(&mut view, limits::EXPIRED_KEYS_PER_ROUND);
        let evaluation = view.finish();
        let step = match step {
            Ok(step) => step,
            Err(error) => {
                self.stop(replica, format!("cannot expire keys: {error}"));
                return false;
            }
        };
        if evaluation.effects.is_empty() {
            return false;
        }
        replica.hlc = hlc;
        let mut effects = vec![strata_kv::Effect::Command { hlc }];
        effects.extend(evaluation.effects);
        let deadline_ms = u64::MAX;
        self.propose_round(replica, round, RoundResult { effects, replies: Vec::new(), idle: Vec::new(), needs_entry: true, deadline_ms });
        step.next_due_ms.is_some_and(|due_ms| due_ms <= now_ms)
    }

    fn evaluate_round(&mut self, replica: &mut Replica<T>) -> Option<RoundResult<T>> {
        let reader = replica.reader()?;
        let now_ms = self.now_ms();
        let is_full = if self.is_disk_full() { Some(DISK_FULL) } else { self.is_archive_full().then_some(ARCHIVE_FULL) };
        let (applied, slots) = (replica.applied, replica.slots());
        let mut result =
            RoundResult { effects: Vec::new(), replies: Vec::new(), idle: Vec::new(), needs_entry: false, deadline_ms: u64::MAX };
        let mut bytes = 0;
        while bytes < limits::ENTRY_BYTES_MAX
            && let Some(queued) = replica.queue.pop_front()
        {
            replica.queue_bytes -= size(&queued);
            let Queued { command: Command { call, token, room, .. }, deadline_ms } = queued;
            if room.is_spent() {
                self.refuse(token, NotDone::Busy);
                continue;
            }
            let refusal = is_full.clone().filter(|_| call.spec.denies_oom());
            if let Some(error) = refusal.clone().filter(|_| !planted(Mistake::RefusedAndDone)) {
                self.done(token, Outcome::Reply(Reply::Error(error)));
                continue;
            }
            let shares_hlc = planted(Mistake::OneHlcForRound) && result.needs_entry;
            let hlc = if shares_hlc { replica.hlc } else { replica.hlc.next(now_ms) };
            let facts = facts(&applied, slots, self.draws.u64(..));
            let mut view = View::with_facts(&reader, &mut replica.overlay, hlc, facts);
            let reply = match call.try_evaluate(&mut view) {
                Ok(reply) => reply,
                Err(Failure::Reply(error)) => Reply::Error(error),
                Err(Failure::Read(error)) => {
                    self.stop(replica, format!("cannot evaluate: {error}"));
                    self.refuse(token, NotDone::Stopped);
                    self.refuse_round(result);
                    return None;
                }
            };
            let reply = refusal.map_or(reply, Reply::Error);
            room.take(&reply);
            let evaluation = view.finish();
            if evaluation.effects.is_empty() && !evaluation.needs_tick {
                result.idle.push((token, reply, deadline_ms));
                continue;
            }
            replica.hlc = hlc;
            result.needs_entry = true;
            result.deadline_ms = result.deadline_ms.min(deadline_ms);
            bytes += evaluation.effects.iter().map(strata_kv::Effect::size).sum::<usize>();
            result.effects.push(strata_kv::Effect::Command { hlc });
            result.effects.extend(evaluation.effects);
            result.replies.push((token, reply));
        }
        Some(result)
    }

    fn propose_round(&mut self, replica: &mut Replica<T>, round: u64, mut result: RoundResult<T>) {
        let entry = Entry { origin: 0, hlc: replica.hlc, effects: std::mem::take(&mut result.effects) };
        match replica.group.propose(entry.encode()) {
            Ok(place) => {
                // The entry was proposed after these commands came: its commit is a read barrier for them, too.
                let idle = std::mem::take(&mut result.idle).into_iter().map(|(token, reply, _)| (token, reply));
                let mut replies: Vec<_> = std::mem::take(&mut result.replies).into_iter().chain(idle).collect();
                self.rounds.gather(replies.len(), replica.group.configuration().voters.len());
                if planted(Mistake::AnswerBeforeCommit) {
                    replies.drain(..).for_each(|(token, reply)| self.done(token, Outcome::Reply(reply)));
                }
                replica.last_place = Some(place);
                replica.proposed_hlc = replica.hlc;
                let pending = Pending { term: place.term, round, replies, deadline_ms: result.deadline_ms };
                // An entry of an earlier term at this index was overwritten by the one just proposed.
                if let Some(overwritten) = replica.pending.insert(place.index, pending) {
                    self.refuse_pending(overwritten);
                }
            }
            Err(_) => {
                // Nothing was appended. The overlay shows effects that will never be: evaluate no more until it can be cleared.
                replica.must_drain = true;
                self.refuse_round(result);
            }
        }
    }

    fn refuse_round(&mut self, result: RoundResult<T>) {
        let idle = result.idle.into_iter().map(|(token, reply, _)| (token, reply));
        for (token, _) in result.replies.into_iter().chain(idle) {
            self.refuse(token, NotDone::Busy);
        }
    }

    pub(super) fn refuse_pending(&mut self, pending: Pending<T>) {
        for (token, _) in pending.replies {
            self.refuse(token, NotDone::NotLeader(None));
        }
    }

    /// Asks for one barrier for all reads that came since the last, together with the other shards that wait for one.
    pub(super) fn raise_barrier(&mut self, replica: &mut Replica<T>) {
        if replica.readings.is_empty() || replica.has_barrier_under_way() || !replica.is_serving() {
            return;
        }
        if !self.barrier_round.takes_members(self.turns) {
            return self.barrier_round.held.push(replica.shard);
        }
        // A transfer or a term too new: the next turn tries again, the deadline ends it.
        let Ok(proof) = self.begin_proof(replica) else { return };
        let readings = std::mem::take(&mut replica.readings);
        if planted(Mistake::ReadWithoutProof) {
            let granted = Some(replica.applied.index);
            return replica.barriers.push_back(Barrier { proof, granted, readings });
        }
        replica.barriers.push_back(Barrier { proof, granted: None, readings });
        self.barrier_round.join(replica.shard, self.turns, self.now.monotonic_ms);
    }

    /// Lets shards ask for their barriers once those of the last round were granted, or have taken too long to wait for.
    pub(super) fn release_held_reads(&mut self) {
        if self.barrier_round.members.is_empty() {
            return self.touched.append(&mut self.barrier_round.held);
        }
        let replicas = &self.replicas;
        self.barrier_round.members.retain(|shard| replicas.get(shard).is_some_and(|replica| replica.has_barrier_under_way()));
        if self.now.monotonic_ms >= self.barrier_round.begun_ms + limits::BARRIER_ROUND_MILLIS_MAX {
            self.barrier_round.members.clear();
        }
        if self.barrier_round.members.is_empty() {
            self.touched.append(&mut self.barrier_round.held);
        }
    }

    /// Answers reads whose barrier was passed.
    pub(super) fn answer_readings(&mut self, replica: &mut Replica<T>) {
        let applied = replica.applied.index;
        if !replica.barriers.iter().any(|barrier| barrier.granted.is_some_and(|index| index <= applied)) {
            return;
        }
        let Some(tablet) = replica.tablet.clone() else { return };
        let in_memory = ViewReader(tablet.in_memory());
        let now_ms = self.now_ms();
        let mut has_answered = false;
        for mut barrier in std::mem::take(&mut replica.barriers) {
            if barrier.granted.is_none_or(|index| index > applied) {
                replica.barriers.push_back(barrier);
                continue;
            }
            for reading in std::mem::take(&mut barrier.readings) {
                if matches!(&reading, Reading::Evaluated { after: Some(place), .. } if place.index > applied) {
                    barrier.readings.push(reading);
                    continue;
                }
                has_answered = true;
                match reading {
                    Reading::Evaluated { token, reply, .. } => self.done(token, Outcome::Reply(reply)),
                    Reading::Beside(queued) => self.read_beside(replica, (&tablet, &in_memory), now_ms, queued),
                }
            }
            if !barrier.readings.is_empty() {
                replica.barriers.push_back(barrier);
            }
        }
        // Without progress another look would be the same look, for ever: a passed barrier may still wait for an entry.
        if has_answered && (!replica.readings.is_empty() || !replica.queue.is_empty()) {
            self.touch(replica.shard);
        }
    }

    /// Ends what waited too long. What may have been appended has an unknown outcome.
    pub(super) fn end_overdue(&mut self, replica: &mut Replica<T>) {
        let now = self.now.monotonic_ms;
        while let Some(queued) = replica.queue.pop_front_if(|front| front.deadline_ms <= now) {
            replica.queue_bytes -= size(&queued);
            self.refuse(queued.command.token, NotDone::Deadline);
        }
        let lists = std::iter::once(&mut replica.readings).chain(replica.barriers.iter_mut().map(|barrier| &mut barrier.readings));
        let mut overdue = Vec::new();
        for list in lists {
            overdue.extend(list.extract_if(.., |reading| reading.deadline_ms() <= now));
        }
        overdue.into_iter().for_each(|reading| self.refuse(reading.into_token(), NotDone::Deadline));
        let mut unknown = Vec::new();
        for pending in replica.pending.values_mut().filter(|pending| pending.deadline_ms <= now) {
            unknown.append(&mut pending.replies);
        }
        for (token, _) in unknown {
            if planted(Mistake::DeadlineAsRefusal) {
                self.refuse(token, NotDone::Deadline);
                continue;
            }
            self.done(token, Outcome::Unknown("no quorum confirmed it within 5 s"));
        }
    }

    pub(super) fn done(&mut self, token: T, outcome: Outcome) {
        self.effects.push(Effect::Done { token, outcome });
    }

    pub(super) fn refuse(&mut self, token: T, why: NotDone) {
        self.done(token, Outcome::NotDone(why));
    }

    fn hint(&self, shard: strata_base::ShardId) -> Option<StoreId> {
        match self.replicas.get(&shard) {
            Some(replica) => self.leader_store(replica),
            None => self.routes.by_shard(shard).and_then(|route| route.leader),
        }
    }

    /// Where the leader of a replica's shard lies, as far as the replica knows.
    pub(super) fn leader_store(&self, replica: &Replica<T>) -> Option<StoreId> {
        match replica.group.role() {
            Role::Leader => Some(self.stores.identity.store),
            Role::Follower(Some(peer)) => replica.descriptor.as_ref()?.store_of(peer),
            Role::Follower(None) | Role::Candidate => None,
        }
    }

    /// Whether what grows data is refused. The disk is looked at about once a second, and later while it is busy: what was written since then counts
    /// as gone three times, for the log, for the tablets' files, and for their compaction.
    pub(super) fn is_disk_full(&self) -> bool {
        const TIMES_WRITTEN: u64 = 3;
        let free = self.disk.free_bytes.saturating_sub(TIMES_WRITTEN * self.written_since_look);
        self.disk.total_bytes > 0 && free < self.disk.reserve_bytes
    }
}

const DISK_FULL: ErrorReply =
    ErrorReply::fixed("OOM command not allowed when the disk is below its reserve: delete data, or let the operator grow the volume");

const ARCHIVE_FULL: ErrorReply = ErrorReply::fixed(
    "OOM command not allowed while the local log is full of what the archive's store did not take: see the cluster's conditions",
);

pub(super) fn facts(applied: &Applied, slots: SlotRange, random: u64) -> Facts {
    Facts { applied: applied.hlc, counts: applied.counts, slots, random }
}

pub(super) fn size<T>(queued: &Queued<T>) -> usize {
    const OVERHEAD: usize = 128;
    OVERHEAD + queued.command.call.arguments.iter().map(Bytes::len).sum::<usize>()
}
