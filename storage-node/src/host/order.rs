//! Orders of the operator.

use super::{
    Host,
    event::Effect,
    replica::{Replica, Transfer},
};
use crate::{
    descriptor::{APPLIED_KEY, Applied, DESCRIPTOR_KEY, Descriptor, standing},
    limits,
};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use strata_base::{
    Epoch, Hlc, PeerId, ShardId, SlotRange, StoreId, TableId,
    planted::{Mistake, planted},
};
use strata_engine::{
    EngineError,
    identity::Membership,
    log::{LogState, ReplicaBatch},
    tablet::{Tablet, TabletChange, TabletFamily},
    tier::archive::Position,
};
use strata_kv::Counts;
use strata_node_api::{Answer, Member, MemberChange, NodeAddress, Order, OrderKind, RefusalClass, ShardOrigin};
use strata_raft_group::{Change, HardState, RaftGroup, Refusal, Start};

/// What travels with a change of members: where they lie.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChangeContext {
    /// The members as they shall be, with their stores.
    pub changes: Vec<MemberChange>,
}

impl ChangeContext {
    /// The bytes that go into the log beside Raft's own.
    pub fn encode(&self) -> Bytes {
        Bytes::from(serde_json::to_vec(self).expect("a context is plain data"))
    }

    /// Reads what [`ChangeContext::encode`] wrote; Raft's own entry that ends a joint change has none.
    pub fn decode(bytes: &[u8]) -> Result<ChangeContext, String> {
        if bytes.is_empty() {
            return Ok(ChangeContext::default());
        }
        serde_json::from_slice(bytes).map_err(|error| format!("the context of a change of members does not decode: {error}"))
    }
}

pub(super) fn refused(class: RefusalClass, message: impl Into<String>) -> Answer {
    Answer::Refused { class, message: message.into() }
}

impl<T> Host<T> {
    pub(super) fn on_order(&mut self, order: Order, ticket: u64) {
        if let Some(answer) = self.check_order(&order) {
            return self.effects.push(Effect::Answer { ticket, answer });
        }
        if order.epoch > self.stores.identity.epoch {
            self.stores.identity.epoch = order.epoch;
            self.effects.push(Effect::StoreIdentity(self.stores.identity.clone()));
        }
        let answer = match order.order {
            OrderKind::Join => self.join(order.cluster, order.incarnation),
            OrderKind::Directory { nodes } => self.set_directory(nodes),
            OrderKind::CreateShard { shard, table, slots, members, origin } => {
                match self.create_shard(shard, table, slots, &members, origin) {
                    Answer::Accepted => return self.once_durable(Effect::Answer { ticket, answer: Answer::Done }),
                    answer => answer,
                }
            }
            OrderKind::TransferLeader { shard, to } => self.order_transfer(shard, to),
            OrderKind::EvictLeaders { for_millis } => {
                self.evicted_until_ms = self.now.monotonic_ms + for_millis.min(limits::EVICTION_MILLIS_MAX);
                Answer::Done
            }
            OrderKind::ChangeMembers { shard, shard_epoch, changes } => self.change_members(shard, shard_epoch, &changes),
            OrderKind::OpenArchive { claim } => self.open_archive(claim),
            OrderKind::Restore { restore } => self.order_restore(restore),
            OrderKind::Checkpoint { shard, not_before_millis } => self.order_checkpoint(shard, not_before_millis),
            OrderKind::Compare { shard, comparison } => self.order_comparison(shard, comparison),
        };
        self.effects.push(Effect::Answer { ticket, answer });
    }

    /// Why an order must not be obeyed, whatever it asks.
    fn check_order(&self, order: &Order) -> Option<Answer> {
        let identity = &self.stores.identity;
        if order.store != identity.store {
            let message = format!("this is store {}, the order is for {}: read the report again", identity.store, order.store);
            return Some(refused(RefusalClass::WrongIdentity, message));
        }
        if order.epoch < identity.epoch && !planted(Mistake::EpochIgnored) {
            let message = format!("epoch {} is older than {}, which was obeyed before", order.epoch, identity.epoch);
            return Some(refused(RefusalClass::StaleEpoch, message));
        }
        match &identity.membership {
            Some(membership) if membership.cluster != order.cluster || membership.incarnation != order.incarnation => {
                let message = format!(
                    "this store belongs to cluster {} in incarnation {}: use another volume, or adopt this one",
                    membership.cluster, membership.incarnation
                );
                Some(refused(RefusalClass::WrongIdentity, message))
            }
            None if order.order != OrderKind::Join => {
                Some(refused(RefusalClass::NotReady, "this store belongs to no cluster yet: order it to join first"))
            }
            _ => None,
        }
    }

    fn join(&mut self, cluster: String, incarnation: strata_base::IncarnationId) -> Answer {
        if self.stores.identity.membership.is_none() {
            self.stores.identity.membership = Some(Membership { cluster, incarnation });
            self.effects.push(Effect::StoreIdentity(self.stores.identity.clone()));
        }
        Answer::Done
    }

    fn set_directory(&mut self, nodes: Vec<NodeAddress>) -> Answer {
        if nodes != self.nodes {
            self.stores.identity.directory = serde_json::to_value(&nodes).expect("addresses are plain data");
            self.effects.push(Effect::StoreIdentity(self.stores.identity.clone()));
            self.routes.set_nodes(&nodes);
            self.routes_changed = true;
            self.nodes = nodes;
        }
        Answer::Done
    }

    /// Creates a replica. `Accepted` here means: done once what was handed out so far is durable, and it may be that it was created by an earlier order.
    pub(super) fn create_shard(
        &mut self,
        shard: ShardId,
        table: TableId,
        slots: SlotRange,
        members: &[Member],
        origin: Option<ShardOrigin>,
    ) -> Answer {
        let own = self.stores.identity.store;
        let Some(member) = members.iter().find(|member| member.store == own) else {
            return refused(RefusalClass::Invalid, format!("store {own} is not among the members of shard {shard}"));
        };
        if self.gone.contains_key(&shard) {
            return refused(RefusalClass::Conflict, format!("the replica of shard {shard} was removed from this store for ever"));
        }
        let descriptor = Descriptor::create(shard, table, slots, members);
        if let Some(existing) = self.replicas.get(&shard).filter(|_| !planted(Mistake::CreatedTwice)) {
            return match (&existing.descriptor, &existing.stopped) {
                (Some(known), _) if known.slots == slots && known.table == table && existing.group.peer() == member.peer => {
                    Answer::Accepted
                }
                (Some(_), _) => refused(RefusalClass::Conflict, format!("shard {shard} exists here with another membership or range")),
                (None, Some(reason)) => {
                    refused(RefusalClass::NotReady, format!("the replica of shard {shard} is here, and stopped: {reason}"))
                }
                (None, None) => refused(RefusalClass::NotReady, format!("shard {shard} waits for a snapshot of its leader")),
            };
        }
        let restored = match origin.map(|origin| self.take_restored(shard, &origin)).transpose() {
            Ok(restored) => restored,
            Err(answer) => return answer,
        };
        let applied = restored.as_ref().map_or(ORIGIN, |restored| restored.applied);
        let tablet = match self.found_tablet(shard, &descriptor, restored.map(|restored| restored.tablet), applied) {
            Ok(tablet) => tablet,
            Err(error) => return refused(RefusalClass::NotReady, error.to_string()),
        };
        let place = (applied.index, applied.term);
        let hard_state = HardState { term: applied.term, vote: 0, commit: applied.index };
        let configuration = descriptor.configuration();
        let start = Start { peer: member.peer, configuration, hard_state, truncated: place, last: place, applied: place };
        let (settings, log) = (self.raft_settings(), self.log_reader(shard));
        let group = RaftGroup::new(settings, start, log).expect("a fresh member is consistent");
        let mut replica = Replica::new(shard, group);
        replica.applied = applied;
        replica.flushed = applied.index;
        replica.last_write = applied.index;
        replica.hlc = applied.hlc;
        replica.archived = Position { index: applied.index, hlc: applied.hlc };
        replica.tablet = Some(tablet);
        replica.generation = FIRST_GENERATION;
        replica.descriptor = Some(descriptor);
        replica.is_recorded = true;
        let states = vec![(LogState::Replica, replica.record().encode()), (LogState::HardState, hard_state.encode())];
        self.append(ReplicaBatch { shard, states, ..ReplicaBatch::default() }, true);
        self.write_log();
        self.learn_own_route(&mut replica);
        self.replicas.insert(shard, Box::new(replica));
        self.note_created(shard);
        self.touch(shard);
        Answer::Accepted
    }

    /// The tablet of a new replica, restored or empty, with its descriptor and how far it is.
    fn found_tablet(
        &self,
        shard: ShardId,
        descriptor: &Descriptor,
        restored: Option<Arc<dyn Tablet>>,
        applied: Applied,
    ) -> Result<Arc<dyn Tablet>, EngineError> {
        let tablet = restored.map_or_else(|| self.stores.tablets.create(shard, FIRST_GENERATION), Ok)?;
        let put = |key: &'static [u8], value| TabletChange::Put(TabletFamily::System, Bytes::from_static(key), value);
        tablet.write(vec![put(DESCRIPTOR_KEY, descriptor.encode()), put(APPLIED_KEY, applied.encode())])?;
        tablet.flush()?;
        Ok(tablet)
    }

    fn order_transfer(&mut self, shard: ShardId, to: PeerId) -> Answer {
        let until_tick = self.tick + limits::TRANSFER_TICKS;
        let Some(replica) = self.replicas.get_mut(&shard) else { return no_such_shard(shard) };
        if replica.group.peer() == to && replica.group.is_leader() {
            return Answer::Done;
        }
        if !replica.is_serving() {
            return refused(RefusalClass::NotLeader, format!("this node does not lead shard {shard}"));
        }
        let Some(member) = replica.group.progress().into_iter().find(|member| member.peer == to) else {
            return refused(RefusalClass::Invalid, format!("peer {to} is no member of shard {shard}"));
        };
        if !member.is_active || member.in_snapshot || member.matched < replica.group.truncated().0 {
            return refused(RefusalClass::NotReady, format!("peer {to} has not caught up with shard {shard}"));
        }
        replica.transfer = Some(Transfer { to, until_tick, is_begun: false });
        self.touch(shard);
        Answer::Accepted
    }

    fn change_members(&mut self, shard: ShardId, shard_epoch: Epoch, changes: &[MemberChange]) -> Answer {
        let Some(replica) = self.replicas.get_mut(&shard) else { return no_such_shard(shard) };
        let (true, Some(descriptor)) = (replica.is_serving(), &replica.descriptor) else {
            return refused(RefusalClass::NotLeader, format!("this node does not lead shard {shard}"));
        };
        if descriptor.epoch != shard_epoch && !planted(Mistake::OrderWithoutEpoch) {
            let message = format!("shard {shard} is at epoch {}, the order was made for {shard_epoch}: plan again", descriptor.epoch);
            return refused(RefusalClass::Conflict, message);
        }
        let own = replica.group.peer();
        if changes.iter().any(|change| matches!(change, MemberChange::Remove { peer } if *peer == own)) {
            return refused(RefusalClass::Conflict, format!("peer {own} leads shard {shard}: transfer its leadership first"));
        }
        if let Some((store, known)) = second_on_store(descriptor, changes) {
            let message = format!("store {store} has member {known} of shard {shard} already: remove that first, or choose another store");
            return refused(RefusalClass::Conflict, message);
        }
        let raft_changes: Vec<Change> = changes
            .iter()
            .map(|change| match change {
                MemberChange::Put { member } => Change::Put(member.peer, standing(member.role)),
                MemberChange::Remove { peer } => Change::Remove(*peer),
            })
            .collect();
        let context = ChangeContext { changes: changes.to_vec() }.encode();
        let answer = match replica.group.propose_change(&raft_changes, context) {
            Ok(_) => Answer::Accepted,
            Err(Refusal::ChangeRefused) => refused(RefusalClass::NotReady, "another change of members is under way"),
            Err(refusal) => refused(RefusalClass::NotReady, refusal.to_string()),
        };
        self.touch(shard);
        answer
    }
}

/// A store that would get a second member, and its present one.
fn second_on_store(descriptor: &Descriptor, changes: &[MemberChange]) -> Option<(StoreId, PeerId)> {
    let removed = |peer: PeerId| changes.contains(&MemberChange::Remove { peer });
    changes.iter().find_map(|change| {
        let MemberChange::Put { member } = change else { return None };
        let other = descriptor.stores.iter().find(|(peer, store)| *store == member.store && *peer != member.peer && !removed(*peer));
        other.map(|(peer, store)| (*store, *peer))
    })
}

pub(super) fn no_such_shard(shard: ShardId) -> Answer {
    refused(RefusalClass::NoSuchShard, format!("this node has no replica of shard {shard}"))
}

/// The generation of a tablet that no snapshot replaced.
pub const FIRST_GENERATION: u64 = 1;

/// How far a tablet is that was just created.
const ORIGIN: Applied = Applied { index: Start::ORIGIN, term: Start::ORIGIN, hlc: Hlc::ZERO, counts: Counts { keys: 0, expires: 0 } };
