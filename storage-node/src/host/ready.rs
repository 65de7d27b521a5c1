//! From a group's ready to effects: appends, messages, committed entries.

use super::{
    Host, PeerMessage,
    event::Effect,
    replica::{InFlight, Replica},
};
use crate::bridge::to_stored;
use bytes::Bytes;
use std::sync::Arc;
use strata_base::{
    StoreId,
    planted::{Mistake, planted},
};
use strata_engine::log::{LogState, ReplicaBatch};
use strata_raft_group::{Message, Ready};

impl<T> Host<T> {
    /// Takes everything that the group has to say.
    pub(super) fn take_readies(&mut self, replica: &mut Replica<T>) {
        while replica.group.has_ready() && replica.stopped.is_none() {
            let mut ready = replica.group.ready();
            self.watch_log(replica);
            if replica.stopped.is_some() {
                return;
            }
            let messages = std::mem::take(&mut ready.messages);
            self.send_messages(replica, messages);
            if let Some(install) = ready.snapshot.take() {
                self.install_snapshot(replica, &install);
            }
            let committed = std::mem::take(&mut ready.committed);
            self.take_append(replica, ready);
            if !committed.is_empty() {
                self.apply(replica, committed);
            }
        }
    }

    /// Stops a replica whose log could not be read: what its group says since then counts for nothing.
    pub(super) fn watch_log(&mut self, replica: &mut Replica<T>) {
        if let Some(reason) = replica.group.log_failure().map(ToString::to_string) {
            self.stop(replica, reason);
        }
    }

    fn take_append(&mut self, replica: &mut Replica<T>, mut ready: Ready) {
        let has_install = self.batch.replicas.last().is_some_and(|batch| batch.shard == replica.shard && batch.cut_before.is_some());
        if ready.append.is_empty() && !has_install {
            // A commit index alone is never worth an append: after a crash it is at least what the tablet has applied.
            replica.lazy_hard_state = ready.append.hard_state.or(replica.lazy_hard_state.take());
            replica.in_flight.push_back(InFlight { ready: ready.number, write: None, messages: ready.after_persist });
            self.release_in_flight(replica);
            return;
        }
        let mut batch = ReplicaBatch { shard: replica.shard, ..ReplicaBatch::default() };
        batch.entries = ready.append.entries.into_iter().map(to_stored).collect();
        let hard_state = ready.append.hard_state.or(replica.lazy_hard_state.take());
        if let Some(hard_state) = hard_state.filter(|_| !planted(Mistake::HardStateForgotten)) {
            batch.states.push((LogState::HardState, hard_state.encode()));
        }
        replica.lazy_hard_state = None;
        if !replica.is_recorded {
            replica.is_recorded = true;
            batch.states.push((LogState::Replica, replica.record().encode()));
        }
        self.append(batch, (ready.append.must_sync && !planted(Mistake::AppendUnsynced)) || has_install);
        let write = Some(self.next_write());
        if planted(Mistake::SendBeforeSync) {
            self.send_messages(replica, std::mem::take(&mut ready.after_persist));
        }
        replica.in_flight.push_back(InFlight { ready: ready.number, write, messages: ready.after_persist });
    }

    /// Tells the group which readies are durable, and sends what waited for that.
    pub(super) fn release_in_flight(&mut self, replica: &mut Replica<T>) {
        let done = self.log_writes_done;
        while let Some(in_flight) = replica.in_flight.pop_front_if(|front| front.write.is_none_or(|write| write <= done)) {
            replica.group.persisted(in_flight.ready);
            self.send_messages(replica, in_flight.messages);
        }
    }

    fn send_messages(&mut self, replica: &Replica<T>, messages: Vec<Message>) {
        for message in messages {
            let Some(to) = self.store_of(replica, message.to.0) else { continue };
            let bytes = Bytes::from(message.bytes);
            if message.is_snapshot
                && let Some(tablet) = &replica.tablet
            {
                let (shard, from_peer, tablet) = (replica.shard, replica.group.peer(), Arc::clone(tablet));
                self.effects.push(Effect::SendSnapshot { to, shard, from_peer, to_peer: message.to, bytes, tablet });
            } else {
                self.queue_message(to, PeerMessage::Raft { shard: replica.shard, from: replica.group.peer(), to: message.to, bytes });
            }
        }
    }

    /// Where a member lies. A replica without a descriptor answers those it heard from.
    fn store_of(&self, replica: &Replica<T>, peer: u64) -> Option<StoreId> {
        let peer = strata_base::PeerId(peer);
        let known = replica.descriptor.as_ref().and_then(|descriptor| descriptor.store_of(peer));
        known.or_else(|| replica.correspondents.get(&peer).copied())
    }
}
