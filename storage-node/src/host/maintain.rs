//! What happens by the tick: time for the groups, deadlines, flushing and cutting, giving leadership away, expiring keys.

use super::{
    Host, NotDone,
    event::Effect,
    replica::{Replica, Transfer},
};
use crate::{descriptor::ReplicaRecord, limits};
use std::{collections::BTreeSet, sync::Arc};
use strata_base::{
    PeerId, ShardId, StoreId,
    planted::{Mistake, planted},
};
use strata_engine::log::{LogState, ReplicaBatch};

impl<T> Host<T> {
    pub(super) fn on_tick(&mut self) {
        self.tick += 1;
        if !self.is_time_known || !self.replicas.values().any(|replica| replica.group.is_leader()) {
            self.clock.step(self.now);
        }
        // Where nobody is heard for long, a wrong time is better than none.
        self.is_time_known =
            self.is_time_known || self.clock.is_agreed(self.now, &self.known_stores()) || self.tick > limits::UNHEARD_TICKS;
        let may_lead = self.clock.is_trustworthy(self.now);
        let shards: Vec<ShardId> = self.replicas.keys().copied().collect();
        for shard in shards {
            let Some(mut replica) = self.replicas.remove(&shard) else { continue };
            self.end_overdue(&mut replica);
            // A member whose clock is off does not campaign; as a leader it goes on until another one can take over.
            replica.watch_pledge(self.now.monotonic_ms);
            if replica.stopped.is_none() {
                if may_lead {
                    replica.group.tick()
                } else {
                    replica.group.tick_without_campaign()
                }
                if self.tick.is_multiple_of(limits::HEARTBEAT_TICKS) {
                    replica.group.beat();
                }
            }
            if replica.stopped.is_none() && (!may_lead || self.is_evicted()) {
                self.begin_eviction(&mut replica);
            }
            if replica.stopped.is_none() && self.tick >= replica.next_expiry_tick {
                let has_more = self.expire_due(&mut replica);
                replica.next_expiry_tick = self.tick + if has_more { 1 } else { limits::EXPIRY_TICKS };
            }
            let is_removed = replica.is_removed;
            self.replicas.insert(shard, replica);
            if is_removed {
                self.remove_replica(shard);
            }
            self.touch(shard);
        }
        self.keep_leases();
        self.repeat_proofs();
        if self.tick.is_multiple_of(limits::TIER_TICKS)
            && let Some(tier) = &mut self.tier
        {
            tier.tick();
        }
        if self.tier.is_some() && self.tick.is_multiple_of(limits::ARCHIVED_TICKS) {
            self.repeat_archived();
        }
        if self.tick.is_multiple_of(limits::GOSSIP_TICKS) {
            self.gossip();
        }
        if self.tick.is_multiple_of(limits::MAINTENANCE_TICKS) {
            self.look_at_sizes();
        }
    }

    /// Every node that this one knows of. The directory alone does not do: a node that was down when it was told has none, and leads shards.
    fn known_stores(&self) -> BTreeSet<StoreId> {
        let members = self.replicas.values().filter_map(|replica| replica.descriptor.as_ref()).flat_map(|descriptor| &descriptor.stores);
        self.nodes.iter().map(|node| node.store).chain(members.map(|(_, store)| *store)).collect()
    }

    pub(super) fn is_evicted(&self) -> bool {
        self.evicted_until_ms > self.now.monotonic_ms
    }

    fn begin_eviction(&mut self, replica: &mut Replica<T>) {
        if replica.group.is_leader()
            && replica.transfer.is_none()
            && let Some(to) = self.best_successor(replica)
        {
            replica.transfer = Some(Transfer { to, until_tick: self.tick + limits::TRANSFER_TICKS, is_begun: false });
        }
    }

    /// The voter that is furthest and heard.
    fn best_successor(&self, replica: &Replica<T>) -> Option<PeerId> {
        let descriptor = replica.descriptor.as_ref()?;
        let progress = replica.group.progress().into_iter();
        let able = progress.filter(|member| {
            let is_heard = descriptor.store_of(member.peer).is_some_and(|store| self.is_heard(store));
            member.is_active && !member.in_snapshot && is_heard && descriptor.voters.contains(&member.peer)
        });
        able.max_by_key(|member| (member.matched, member.peer)).map(|member| member.peer)
    }

    /// A planned transfer stops evaluating, applies what is appended, then transfers: nobody's outcome is unknown because of it.
    pub(super) fn step_transfer(&mut self, replica: &mut Replica<T>) {
        let Some(transfer) = &mut replica.transfer else { return };
        if !replica.group.is_leader() || self.tick > transfer.until_tick {
            replica.transfer = None;
            if !replica.queue.is_empty() {
                self.touch(replica.shard);
            }
        } else if !transfer.is_begun && replica.pending.is_empty() {
            transfer.is_begun = true;
            let to = transfer.to;
            // Its successor is bound by no pledge.
            if !planted(Mistake::LeaseInTransfer) {
                self.close_lease(replica);
            }
            // A refusal means that leadership is lost already; the next look notices.
            let _ = replica.group.transfer_leader(to);
            self.touch(replica.shard);
        }
    }

    /// Flushes tablets whose entries keep the log long, and cuts the log behind flushed tablets.
    fn look_at_sizes(&mut self) {
        let count = self.replicas.len().max(1) as u64;
        let share = self.settings.log_bytes / (2 * count);
        let is_over_budget = self.disk.log_bytes > self.settings.log_bytes;
        let shards: Vec<ShardId> = self.replicas.keys().copied().collect();
        for shard in shards {
            let Some(mut replica) = self.replicas.remove(&shard) else { continue };
            if replica.unflushed_bytes > share || (is_over_budget && replica.flushed < replica.applied.index) {
                self.begin_flush(&mut replica);
            }
            self.cut_log(&mut replica, is_over_budget);
            self.replicas.insert(shard, replica);
        }
        self.write_log();
        self.effects.push(Effect::PurgeLog);
    }

    fn begin_flush(&mut self, replica: &mut Replica<T>) {
        if let Some(tablet) = &replica.tablet
            && !replica.is_flushing
            && replica.stopped.is_none()
        {
            replica.is_flushing = true;
            replica.unflushed_bytes = 0;
            let (shard, generation, applied) = (replica.shard, replica.generation, replica.applied.index);
            self.effects.push(Effect::Flush { shard, generation, applied, tablet: Arc::clone(tablet) });
        }
    }

    pub(super) fn on_flushed(&mut self, shard: ShardId, generation: u64, applied: Option<u64>) {
        let Some(mut replica) = self.replicas.remove(&shard) else { return };
        if replica.generation == generation {
            replica.is_flushing = false;
            match applied {
                Some(_) if planted(Mistake::FlushCountsLater) => replica.flushed = replica.applied.index,
                Some(applied) => replica.flushed = replica.flushed.max(applied),
                None => self.stop(&mut replica, "its tablet could not be flushed".to_owned()),
            }
        }
        self.replicas.insert(shard, replica);
        self.touch(shard);
    }

    pub(super) fn on_purged(&mut self, late: &[ShardId], disk_bytes: u64) {
        self.disk.log_bytes = disk_bytes;
        for shard in late {
            let Some(mut replica) = self.replicas.remove(shard) else { continue };
            self.begin_flush(&mut replica);
            self.cut_log(&mut replica, true);
            self.replicas.insert(*shard, replica);
        }
        self.write_log();
    }

    /// Cuts what is flushed. Members that lag a little are waited for, unless the log is over its budget: then they get a snapshot.
    fn cut_log(&mut self, replica: &mut Replica<T>, is_over_budget: bool) {
        let persisted = replica.group.persisted_index();
        let mut cut_to = replica.flushed.min(persisted);
        if !is_over_budget {
            let slowest = replica.group.progress().iter().filter(|member| member.is_active).map(|member| member.matched).min();
            cut_to = cut_to.min(replica.applied.index.saturating_sub(limits::LOG_ENTRIES_KEPT)).min(slowest.unwrap_or(u64::MAX));
        }
        if !planted(Mistake::CutBeforeArchive) {
            cut_to = cut_to.min(self.archive_bound(replica));
        }
        if replica.tablet.is_none() || cut_to <= replica.group.truncated().0 {
            return;
        }
        assert!(cut_to <= replica.flushed, "the log is never cut past what the tablet has flushed");
        if !replica.group.truncate(cut_to) {
            return self.watch_log(replica);
        }
        let states = vec![(LogState::Replica, replica.record().encode())];
        self.append(ReplicaBatch { shard: replica.shard, cut_before: Some(cut_to + 1), states, ..ReplicaBatch::default() }, false);
    }

    /// Removes a replica that its shard removed: its id is remembered, its data is not.
    fn remove_replica(&mut self, shard: ShardId) {
        let Some(mut replica) = self.replicas.remove(&shard) else { return };
        self.close_lease(&mut replica);
        self.refuse_waiting(&mut replica, NotDone::NotLeader(None));
        for pending in std::mem::take(&mut replica.pending).into_values() {
            for (token, _) in pending.replies {
                self.done(token, super::Outcome::Unknown("this replica was removed from its shard"));
            }
        }
        let peer = replica.group.peer();
        self.gone.insert(shard, peer);
        let states = vec![(LogState::Replica, ReplicaRecord::Gone { peer }.encode())];
        let cut_before = Some(replica.group.last_index() + 1);
        self.append(ReplicaBatch { shard, cut_before, states, ..ReplicaBatch::default() }, true);
        let write = self.next_write();
        // A member with a new id may be installed here before the old files are gone: its generations are later ones.
        self.generations_gone.insert(shard, replica.generation);
        let keep = (!planted(Mistake::RemovalWithoutBound)).then_some(replica.generation + 1);
        self.after_write.push((write, Effect::RetainTablet { shard, keep }));
        self.write_log();
    }
}
