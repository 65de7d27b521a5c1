//! The members of a group: who they are, how they change, and whether they have heard of it.

use super::{Damage, Place, RaftGroup, Refusal};
use crate::{
    configuration::{Change, Configuration, to_raft_change},
    log::LogRead,
    wire,
};
use bytes::Bytes;
use raft::eraftpb::ConfChangeV2;
use strata_base::{
    PeerId,
    planted::{Mistake, planted},
};

/// How far a member is, as the leader sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemberProgress {
    /// Which member.
    pub peer: PeerId,
    /// The last entry known to be on its disk.
    pub matched: u64,
    /// Whether it is being sent a snapshot.
    pub in_snapshot: bool,
    /// Whether it answered of late.
    pub is_active: bool,
}

impl<L: LogRead> RaftGroup<L> {
    /// Proposes a change of members: `context` comes back with the committed entry.
    pub fn propose_change(&mut self, changes: &[Change], context: Bytes) -> Result<Place, Refusal> {
        self.must_lead()?;
        if self.node.raft.has_pending_conf() || self.node.store().configuration.is_joint() {
            return Err(Refusal::ChangeRefused);
        }
        let change = to_raft_change(changes, Vec::new());
        self.node.propose_conf_change(context.into(), change).map_err(|_| Refusal::ChangeRefused)?;
        Ok(self.last_place())
    }

    /// Applies a committed change of members; the result belongs into the shard's descriptor, in the same batch as the applied index.
    pub fn apply_change(&mut self, change: &Bytes) -> Result<Configuration, Damage> {
        let inconsistent = |error: &dyn std::fmt::Display| Damage::Inconsistent(error.to_string());
        let change: ConfChangeV2 = wire::parse(change).map_err(|error| inconsistent(&error))?;
        let state = self.node.apply_conf_change(&change).map_err(|error| inconsistent(&error))?;
        let configuration = Configuration::from_raft(&state);
        self.node.mut_store().configuration = configuration.clone();
        self.changed_below = self.last_index();
        if self.is_leader() && !configuration.is_voter(self.peer()) && !planted(Mistake::RemovedLeads) {
            // Who led when its removal was proposed need not be who leads when it ends. raft-rs would go on, and panic at the next durable entry.
            let term = self.term();
            self.node.raft.become_follower(term, raft::INVALID_ID);
        }
        Ok(configuration)
    }

    /// Whether this member leads, and a majority of the members has it on disk that they are the members. Until then a member that left may be needed
    /// for an election: whoever knows that the change has ended may be lost. An entry that was proposed after the change was applied tells of it to
    /// whoever takes it, since each message says what is committed.
    pub fn is_settled(&self) -> bool {
        self.is_leader() && self.node.raft.commit_to_current_term() && self.committed() > self.changed_below
    }

    /// Proposes an empty entry where nothing else would tell the others that a change of members has ended.
    pub(super) fn settle(&mut self) {
        if self.is_leader() && !self.is_settled() && self.last_index() <= self.changed_below {
            // Refused while leadership is given away, and proposed by the next tick.
            let _ = self.node.propose(Vec::new(), Vec::new());
        }
    }

    /// The members as of the last applied entry.
    pub fn configuration(&self) -> &Configuration {
        &self.node.store().configuration
    }

    /// On the leader: how far each other member is.
    pub fn progress(&self) -> Vec<MemberProgress> {
        if !self.is_leader() {
            return Vec::new();
        }
        let own = self.node.raft.id;
        let mut all: Vec<MemberProgress> = (self.node.raft.prs().iter())
            .filter(|(id, _)| **id != own)
            .map(|(id, progress)| MemberProgress {
                peer: PeerId(*id),
                matched: progress.matched,
                in_snapshot: progress.state == raft::ProgressState::Snapshot,
                is_active: progress.recent_active,
            })
            .collect();
        all.sort_unstable_by_key(|progress| progress.peer);
        all
    }
}
