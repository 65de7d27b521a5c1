//! What a host says of itself.

use super::{
    Host,
    comparison::Compared,
    replica::{Lead, Replica},
};
use crate::limits;
use strata_base::{Epoch, SlotRange, TableId};
use strata_node_api::{Heard, NodeState, Problem, ProblemClass, Progress, Report, ShardReport, ShardRole};
use strata_raft_group::Role;

impl<T> Host<T> {
    /// Everything as of now.
    pub fn report(&self) -> Report {
        let identity = &self.stores.identity;
        let state = match &identity.membership {
            None => NodeState::Empty,
            Some(membership) => NodeState::Member { cluster: membership.cluster.clone(), incarnation: membership.incarnation },
        };
        let (archive, mut archives) = self.report_archive(self.clock.peek_ms(self.now));
        let mut shards: Vec<ShardReport> = self.replicas.values().map(|replica| self.report_replica(replica)).collect();
        shards.iter_mut().for_each(|shard| shard.archive = archives.remove(&shard.shard));
        shards.sort_by_key(|shard| (shard.table, shard.slots, shard.shard));
        let ago = |tick: u64| (self.tick - tick) * self.settings.tick_millis;
        Report {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            store: identity.store,
            life: self.life,
            state,
            epoch: identity.epoch,
            zone: self.settings.zone.clone(),
            uptime_millis: self.now.monotonic_ms - self.started.monotonic_ms,
            evicted_millis: self.evicted_until_ms.saturating_sub(self.now.monotonic_ms),
            clock_offset_millis: self.clock.skew_ms(self.now),
            disk: self.disk,
            shards,
            heard: self.heard.iter().map(|(store, tick)| Heard { store: *store, millis_ago: ago(*tick) }).collect(),
            problems: self.problems(),
            archive,
            restore: self.report_restore(),
        }
    }

    fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut add = |class, message| problems.push(Problem { class, message });
        if self.is_disk_full() {
            let (free, reserve) = (self.disk.free_bytes, self.disk.reserve_bytes);
            add(ProblemClass::DiskFull, format!("{free} bytes are free, below the reserve of {reserve}: grow the volume or delete data"));
        }
        if !self.clock.is_trustworthy(self.now) {
            let (skew, bound) = (self.clock.skew_ms(self.now), limits::CLOCK_SKEW_MILLIS_MAX);
            add(ProblemClass::ClockSkew, format!("the clock is {skew} ms off its quorum's, more than {bound}: mend time synchronisation"));
        }
        if let Some(problem) = self.report_archive(self.clock.peek_ms(self.now)).0.and_then(|archive| archive.problem) {
            add(ProblemClass::ArchiveFailing, format!("the archive's store answers {}: {}", problem.class, problem.message));
        }
        for replica in self.replicas.values() {
            if let Some(reason) = &replica.stopped {
                add(ProblemClass::ReplicaStopped, format!("the replica of shard {} stopped: {reason}", replica.shard));
            }
        }
        problems
    }

    fn report_replica(&self, replica: &Replica<T>) -> ShardReport {
        let descriptor = replica.descriptor.as_ref();
        let own = replica.group.peer();
        let raft_role = match replica.group.role() {
            // Whoever stopped leads nobody, whatever its group still says.
            Role::Leader | Role::Candidate if replica.stopped.is_some() => Role::Follower(None),
            role => role,
        };
        let role = match (replica.lead, raft_role) {
            (Lead::Serving(_), Role::Leader) => ShardRole::Leader,
            (_, Role::Leader) => ShardRole::LeaderElect,
            (_, Role::Candidate) => ShardRole::Candidate,
            (_, Role::Follower(_)) if replica.group.configuration().is_voter(own) => ShardRole::Follower,
            (_, Role::Follower(_)) => ShardRole::Learner,
        };
        let leader = match raft_role {
            Role::Leader => Some(own),
            Role::Follower(leader) => leader,
            Role::Candidate => None,
        };
        let progress = replica.group.progress().into_iter().map(|member| Progress {
            peer: member.peer,
            matched: member.matched,
            in_snapshot: member.in_snapshot,
            is_active: member.is_active,
        });
        ShardReport {
            shard: replica.shard,
            table: descriptor.map_or(TableId(0), |descriptor| descriptor.table),
            slots: replica.slots(),
            shard_epoch: descriptor.map_or(Epoch(0), |descriptor| descriptor.epoch),
            peer: own,
            role,
            term: replica.group.term(),
            leader,
            members: descriptor.map(|descriptor| descriptor.members()).unwrap_or_default(),
            is_joint: replica.group.configuration().is_joint(),
            last_index: replica.group.last_index(),
            committed: replica.group.committed(),
            applied: replica.applied.index,
            flushed: replica.flushed,
            first_index: replica.group.truncated().0 + 1,
            hlc: replica.applied.hlc,
            keys: replica.applied.counts.keys,
            expires: replica.applied.counts.expires,
            progress: progress.collect(),
            archive: None,
            checkpoint: self.report_checkpoint(replica.shard),
            checkpointing: self.report_checkpointing(replica.shard),
            comparison: replica.compared.as_ref().map(Compared::report),
            stopped: replica.stopped.clone(),
        }
    }
}

impl<T> Replica<T> {
    /// Its slots; all of them while nobody has told it.
    pub(super) fn slots(&self) -> SlotRange {
        self.descriptor.as_ref().map_or(SlotRange::ALL, |descriptor| descriptor.slots)
    }
}
