//! Between nodes: messages of groups, who leads what, and who was removed.

use super::{Host, PeerMessage, replica::Replica};
use crate::{limits, routes::Route};
use bytes::Bytes;
use strata_base::{
    Epoch, PeerId, ShardId, StoreId,
    planted::{Mistake, planted},
};
use strata_engine::tier::{archive::Position, layout::LifeId};
use strata_raft_group::{RaftGroup, Settings, Start, peek};

impl<T> Host<T> {
    pub(super) fn on_message(&mut self, from_store: StoreId, message: PeerMessage) {
        match message {
            PeerMessage::Raft { shard, from, to, bytes } => self.on_raft_message(from_store, shard, from, to, &bytes),
            PeerMessage::Gone { shard, peer, epoch } => self.on_gone(shard, peer, epoch),
            PeerMessage::Confirm { round, leads } => self.on_confirm(from_store, round, leads),
            PeerMessage::Confirmed { round, leads } => self.on_confirmed(from_store, round, &leads),
            PeerMessage::Archived { shard, index, hlc } => self.on_archived(shard, Position { index, hlc }),
            PeerMessage::Gossip { wall_ms, routes, life, registered, sighting } => {
                self.clock.hear(self.now, from_store, wall_ms);
                self.lives.insert(from_store, life);
                if let Some(lives) = registered {
                    self.note_registered(&lives);
                }
                if let Some(sighting) = sighting {
                    self.note_sighting(sighting);
                }
                for route in routes {
                    self.routes_changed |= self.routes.learn(&route);
                    self.notice_removal(&route);
                }
            }
        }
    }

    fn on_raft_message(&mut self, from_store: StoreId, shard: ShardId, from: PeerId, to: PeerId, bytes: &Bytes) {
        if !self.replicas.contains_key(&shard) && peek::is_from_leader(bytes) {
            self.await_snapshot(shard, to);
        }
        let Some(replica) = self.replicas.get_mut(&shard) else { return };
        if replica.group.peer() < to && peek::is_from_leader(bytes) {
            // A store has one member of a shard, and ids rise: ours was removed, and another one put in its place.
            replica.is_removed = true;
        }
        if replica.group.peer() != to || replica.stopped.is_some() {
            return;
        }
        let epoch = replica.descriptor.as_ref().map(|descriptor| descriptor.epoch);
        if replica.descriptor.as_ref().is_none_or(|descriptor| descriptor.store_of(from).is_none()) {
            // A member that was added after the last entry applied here may lead already, or ask for the vote that it needs.
            if !planted(Mistake::StrangersUnanswered) {
                replica.correspondents.insert(from, from_store);
            }
            if let Some(epoch) = epoch.filter(|_| replica.group.is_settled())
                && peek::is_vote_request(bytes)
            {
                // Or it was removed, and does not know: it can tell by the epoch.
                self.queue_message(from_store, PeerMessage::Gone { shard, peer: from, epoch });
            }
        }
        let Some(replica) = self.replicas.get_mut(&shard) else { return };
        replica.last_heard_tick = self.tick;
        replica.group.receive(bytes);
        self.touch(shard);
    }

    /// A leader speaks to a member that is not here: it was added, and its snapshot will come. Ids are never used again, so one that was
    /// removed stays away.
    fn await_snapshot(&mut self, shard: ShardId, peer: PeerId) {
        if self.gone.get(&shard).is_some_and(|gone| *gone >= peer) || self.stores.identity.membership.is_none() {
            return;
        }
        // What is being restored here has its files in the place where the snapshot's would go.
        if self.is_restoring(shard) && !planted(Mistake::SnapshotAmidRestore) {
            return;
        }
        let (settings, log) = (self.raft_settings(), self.log_reader(shard));
        let group = RaftGroup::new(settings, Start::awaiting_snapshot(peer), log).expect("a member without state is consistent");
        self.replicas.insert(shard, Box::new(Replica::new(shard, group)));
    }

    /// The leader of a shard tells which stores have its members, and others go: those that applied their removal, and those that missed it and know
    /// nobody any more who is left. Not before: while a majority of those that stay has not heard that the change ended, the next election may need
    /// the vote of a member that leaves. So leaders tell where they are settled ([`RaftGroup::is_settled`]).
    fn notice_removal(&mut self, route: &Route) {
        let own = self.stores.identity.store;
        let Some(replica) = self.replicas.get_mut(&route.shard) else { return };
        let is_news = replica.descriptor.as_ref().is_some_and(|descriptor| descriptor.epoch <= route.epoch);
        if is_news && !route.stores.contains(&own) {
            replica.is_removed = !planted(Mistake::RemovedStays);
        }
    }

    fn on_gone(&mut self, shard: ShardId, peer: PeerId, epoch: Epoch) {
        let Some(replica) = self.replicas.get_mut(&shard) else { return };
        if replica.group.peer() == peer && replica.descriptor.as_ref().is_some_and(|descriptor| descriptor.epoch < epoch) {
            replica.is_removed = !planted(Mistake::RemovedStays);
            self.touch(shard);
        }
    }

    pub(super) fn on_unreachable(&mut self, store: StoreId) {
        let shards: Vec<ShardId> = self.replicas.keys().copied().collect();
        for shard in shards {
            let Some(replica) = self.replicas.get_mut(&shard) else { continue };
            let peer =
                replica.descriptor.as_ref().and_then(|known| known.stores.iter().find(|(_, at)| *at == store).map(|(peer, _)| *peer));
            if let Some(peer) = peer {
                replica.group.unreachable(peer);
                self.touched.push(shard);
            }
        }
    }

    /// Notes what this replica knows of its shard's leader.
    pub(super) fn learn_own_route(&mut self, replica: &mut Replica<T>) {
        let Some(epoch) = replica.descriptor.as_ref().map(|descriptor| descriptor.epoch) else { return };
        // Looked at in every turn, and almost never news. What others tell meanwhile is newer than this, or agrees with it.
        let standing = Some((epoch, replica.group.term(), self.leader_store(replica)));
        if replica.routed == standing {
            return;
        }
        replica.routed = standing;
        if let Some(route) = self.route_of(replica) {
            self.routes_changed |= self.routes.learn(&route);
        }
    }

    fn route_of(&self, replica: &Replica<T>) -> Option<Route> {
        let descriptor = replica.descriptor.as_ref()?;
        Some(Route {
            shard: replica.shard,
            table: descriptor.table,
            slots: descriptor.slots,
            epoch: descriptor.epoch,
            term: replica.group.term(),
            leader: self.leader_store(replica),
            stores: descriptor.stores.iter().map(|(_, store)| *store).collect(),
        })
    }

    /// Tells every other node what this one leads, and what its wall clock shows. Who was just elected, or changed its members, has an entry committed
    /// first.
    pub(super) fn gossip(&mut self) {
        let led = self.replicas.values().filter(|replica| replica.group.is_settled());
        let routes: Vec<Route> = led.filter_map(|replica| self.route_of(replica)).collect();
        let own = self.stores.identity.store;
        let others: Vec<StoreId> = self.nodes.iter().map(|node| node.store).filter(|store| *store != own).collect();
        let (wall_ms, life) = (self.now.wall_ms, LifeId(self.life));
        let publication = self.tier.as_ref().and_then(|tier| Some(&tier.open.as_ref()?.publication));
        let registered = publication.and_then(|publication| publication.lives.clone());
        let sighting = publication.and_then(|publication| publication.sighting_told(self.now.monotonic_ms));
        for store in others {
            let (routes, registered, sighting) = (routes.clone(), registered.clone(), sighting.clone());
            self.queue_message(store, PeerMessage::Gossip { wall_ms, routes, life, registered, sighting });
        }
    }

    pub(super) fn raft_settings(&mut self) -> Settings {
        Settings { seed: self.draws.u64(..), ..Settings::default() }
    }

    /// Whether a node was heard of late.
    pub(super) fn is_heard(&self, store: StoreId) -> bool {
        self.heard.get(&store).is_some_and(|tick| self.tick - tick <= limits::UNHEARD_TICKS)
    }
}
