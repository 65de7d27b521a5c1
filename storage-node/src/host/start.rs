//! Opening replicas from what the disk holds.

use super::{
    Host,
    replica::Replica,
    snapshot::{State, read_state},
};
use crate::descriptor::ReplicaRecord;
use strata_base::{
    PeerId, ShardId,
    planted::{Mistake, planted},
};
use strata_engine::{EngineError, log::LogState, tier::archive::Position};
use strata_raft_group::{Configuration, HardState, RaftGroup, Start};

impl<T> Host<T> {
    /// Opens every replica that the log knows, and removes tablets that it does not: an order or a snapshot that never ended.
    pub(super) fn open_replicas(&mut self) -> Result<(), EngineError> {
        for shard in self.stores.log.shards() {
            let Some(bytes) = self.stores.log.state(shard, LogState::Replica) else { continue };
            let damaged = |reason: String| EngineError::Damaged { what: format!("the log of shard {shard}"), reason };
            match ReplicaRecord::decode(&bytes).map_err(damaged)? {
                ReplicaRecord::Gone { peer } => {
                    self.gone.insert(shard, peer);
                    self.stores.tablets.retain(shard, None)?;
                }
                ReplicaRecord::Here { peer, generation, truncated_index, truncated_term, archived_index, archived_hlc } => {
                    self.stores.tablets.retain(shard, (generation > 0).then_some(generation))?;
                    if !planted(Mistake::UnrecordedTablet) {
                        self.stores.tablets.forget_after(shard, generation)?;
                    }
                    let mut replica = self.open_replica(shard, peer, generation, (truncated_index, truncated_term))?;
                    replica.archived = Position { index: archived_index, hlc: archived_hlc };
                    // What it pledged before it stopped is forgotten.
                    if !planted(Mistake::PledgeForgotten) {
                        replica.pledge_until(self.now.monotonic_ms + self.settings.pledge_millis);
                    }
                    self.learn_own_route(&mut replica);
                    self.replicas.insert(shard, Box::new(replica));
                }
            }
        }
        for shard in self.stores.tablets.shards()? {
            if !self.replicas.contains_key(&shard) {
                self.stores.tablets.retain(shard, None)?;
            }
        }
        Ok(())
    }

    fn open_replica(&mut self, shard: ShardId, peer: PeerId, generation: u64, truncated: (u64, u64)) -> Result<Replica<T>, EngineError> {
        let log = self.stores.log.clone();
        let hard_state = match log.state(shard, LogState::HardState).map(|bytes| HardState::decode(&bytes)) {
            None => HardState::default(),
            Some(Some(hard_state)) => hard_state,
            // Whom it voted for is not known, so that it must not vote.
            Some(None) => {
                let reason = "its hard state in the log does not decode: replace this replica";
                return Ok(self.stopped_replica(shard, peer, generation, reason.to_owned()));
            }
        };
        let last = match log.bounds(shard) {
            Some((_, last)) if last > truncated.0 => match log.entries(shard, last, last + 1, u64::MAX) {
                Ok(entries) => (last, entries.first().map_or(truncated.1, |entry| entry.term)),
                Err(error) => return Ok(self.stopped_replica(shard, peer, generation, error.to_string())),
            },
            _ => truncated,
        };
        let empty = Start { peer, configuration: Configuration::default(), hard_state, truncated, last, applied: truncated };
        if generation == 0 {
            return Ok(self.begin_replica(shard, empty));
        }
        let opened = self.stores.tablets.open(shard, generation).and_then(|tablet| read_state(&tablet).map(|state| (tablet, state)));
        let (tablet, State { applied, descriptor, agreed }) = match opened {
            Ok(found) => found,
            Err(error) => return Ok(self.stopped_replica(shard, peer, generation, error.to_string())),
        };
        let start = Start { configuration: descriptor.configuration(), applied: (applied.index, applied.term), ..empty };
        let mut replica = self.begin_replica(shard, start);
        replica.is_recorded = true;
        replica.generation = generation;
        replica.tablet = Some(tablet);
        replica.flushed = applied.index;
        replica.applied = applied;
        replica.last_write = applied.index;
        replica.agreed = agreed;
        replica.hlc = applied.hlc;
        replica.descriptor = Some(descriptor);
        Ok(replica)
    }

    /// The others of the shard go on; this one waits to be replaced.
    fn stopped_replica(&mut self, shard: ShardId, peer: PeerId, generation: u64, reason: String) -> Replica<T> {
        let mut replica = self.begin_replica(shard, Start::awaiting_snapshot(peer));
        replica.is_recorded = true;
        replica.generation = generation;
        replica.stopped = Some(reason);
        replica
    }

    fn begin_replica(&mut self, shard: ShardId, start: Start) -> Replica<T> {
        let (settings, log) = (self.raft_settings(), self.log_reader(shard));
        let peer = start.peer;
        match RaftGroup::new(settings, start, log.clone()) {
            Ok(group) => Replica::new(shard, group),
            Err(damage) => {
                let group = RaftGroup::new(settings, Start::awaiting_snapshot(peer), log).expect("a member without state is consistent");
                let mut replica = Replica::new(shard, group);
                replica.stopped = Some(damage.to_string());
                replica
            }
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::{
        clock::Moment,
        host::{HostSettings, Stores},
    };
    use bytes::Bytes;
    use std::sync::Arc;
    use strata_base::{SlotRange, StoreId, TableId};
    use strata_engine::{
        identity::Identity,
        log::{LogBatch, LogStore, MemoryLogStore, ReplicaBatch, StoredEntry},
        tablet::{MemoryTablet, MemoryTabletStore, Tablet},
    };
    use strata_node_api::{Answer, Member, MemberRole};

    /// A host that starts on a disk with one shard, of which the log holds these records.
    pub(in crate::host) fn host_over(states: Vec<(LogState, Bytes)>) -> (Host<()>, ShardId) {
        let (log, shard) = (Arc::new(MemoryLogStore::default()), ShardId(1));
        let batch = ReplicaBatch { shard, states, ..ReplicaBatch::default() };
        log.write(LogBatch { replicas: vec![batch], sync: true }).expect("memory takes it");
        (host_over_log(log), shard)
    }

    fn host_over_log(log: Arc<MemoryLogStore>) -> Host<()> {
        let settings = HostSettings {
            seed: 1,
            tick_millis: 50,
            log_bytes: 1 << 20,
            disk_reserve_bytes: 0,
            leases: true,
            pledge_millis: 400,
            zone: "default".to_owned(),
            tier: None,
        };
        let tablets = Arc::new(MemoryTabletStore::default());
        let stores = Stores { log, tablets, identity: Identity::new(StoreId(1)) };
        Host::new(settings, stores, Moment::default()).expect("it starts")
    }

    #[test]
    fn a_replica_whose_log_cannot_be_read_is_stopped_and_no_other() {
        let (truncated_index, truncated_term, archived_index, archived_hlc) = Default::default();
        let here = ReplicaRecord::Here { peer: PeerId(1), generation: 0, truncated_index, truncated_term, archived_index, archived_hlc };
        let (log, shards) = (Arc::new(MemoryLogStore::default()), [ShardId(1), ShardId(2)]);
        let entry = StoredEntry { index: 1, term: 1, ..StoredEntry::default() };
        let batch = |shard| ReplicaBatch {
            shard,
            entries: vec![entry.clone()],
            states: vec![(LogState::Replica, here.encode())],
            ..ReplicaBatch::default()
        };
        log.write(LogBatch { replicas: shards.map(batch).into(), sync: true }).expect("memory takes it");
        assert!(log.rot(shards[0], 1));
        let host = host_over_log(log);
        let stopped = shards.map(|shard| host.replicas[&shard].stopped.is_some());
        assert_eq!(stopped, [true, false]);
    }

    #[test]
    fn a_replica_whose_tablet_is_found_damaged_is_stopped_unless_it_has_another_one() {
        let here = ReplicaRecord::Here {
            peer: PeerId(1),
            generation: 0,
            truncated_index: 0,
            truncated_term: 0,
            archived_index: 0,
            archived_hlc: strata_base::Hlc::ZERO,
        };
        let (mut host, shard) = host_over(vec![(LogState::Replica, here.encode())]);
        let [old, new]: [Arc<dyn Tablet>; 2] = [Arc::new(MemoryTablet::default()), Arc::new(MemoryTablet::default())];
        host.replicas.get_mut(&shard).expect("it is here").tablet = Some(new.clone());
        for (tablet, is_stopped) in [(old, false), (new, true)] {
            host.on_tablet_damaged(shard, &tablet, "a block has another checksum".to_owned());
            assert_eq!(host.replicas[&shard].stopped.is_some(), is_stopped);
        }
    }

    #[test]
    fn a_replica_whose_vote_cannot_be_read_is_stopped() {
        let (truncated_index, truncated_term, archived_index, archived_hlc) = Default::default();
        let here = ReplicaRecord::Here { peer: PeerId(1), generation: 0, truncated_index, truncated_term, archived_index, archived_hlc };
        let vote = (LogState::HardState, Bytes::from_static(b"no three numbers"));
        let (mut host, shard) = host_over(vec![(LogState::Replica, here.encode()), vote]);
        let stopped = host.replicas[&shard].stopped.clone().expect("it must not take part");
        assert!(stopped.contains("hard state"), "{stopped}");
        let members = [Member { peer: PeerId(1), store: StoreId(1), role: MemberRole::Voter }];
        let Answer::Refused { message, .. } = host.create_shard(shard, TableId(0), SlotRange::ALL, &members, None) else {
            panic!("it was created over the one that stopped")
        };
        assert!(message.contains(&stopped), "who orders it again is told why it stopped: {message}");
    }
}
