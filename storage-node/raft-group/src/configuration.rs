//! The members of a group, and changes of them.

use raft::eraftpb::{ConfChangeSingle, ConfChangeTransition, ConfChangeType, ConfChangeV2, ConfState};
use strata_base::PeerId;

/// The members of a group. Two sets of voters while a joint change is under way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Configuration {
    /// Who votes; in a joint change, who will.
    pub voters: Vec<PeerId>,
    /// Who receives the log and does not vote.
    pub learners: Vec<PeerId>,
    /// In a joint change, who voted before; empty otherwise.
    pub outgoing: Vec<PeerId>,
    /// Outgoing voters that will be learners.
    pub learners_next: Vec<PeerId>,
    /// Whether the leader ends the joint change by itself.
    pub auto_leave: bool,
}

/// What a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Counts for a quorum.
    Voter,
    /// Counts for nothing.
    Learner,
}

/// A change of one member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Add it, or change its standing.
    Put(PeerId, Standing),
    /// Remove it for ever.
    Remove(PeerId),
}

impl Configuration {
    /// A group of these voters.
    pub fn of_voters(voters: impl IntoIterator<Item = PeerId>) -> Configuration {
        Configuration { voters: voters.into_iter().collect(), ..Configuration::default() }
    }

    /// Whether the peer is a member, old or new.
    pub fn contains(&self, peer: PeerId) -> bool {
        [&self.voters, &self.learners, &self.outgoing, &self.learners_next].into_iter().any(|set| set.contains(&peer))
    }

    /// Whether the peer votes, before or after a joint change.
    pub fn is_voter(&self, peer: PeerId) -> bool {
        self.voters.contains(&peer) || self.outgoing.contains(&peer)
    }

    /// Whether these peers are a majority of the voters, and in a joint change of those before it, too.
    pub fn is_quorum(&self, peers: &[PeerId]) -> bool {
        let is_majority = |voters: &[PeerId]| 2 * voters.iter().filter(|voter| peers.contains(voter)).count() > voters.len();
        is_majority(&self.voters) && (self.outgoing.is_empty() || is_majority(&self.outgoing))
    }

    /// Whether a joint change is under way.
    pub fn is_joint(&self) -> bool {
        !self.outgoing.is_empty()
    }

    pub(crate) fn to_raft(&self) -> ConfState {
        let ids = |peers: &[PeerId]| peers.iter().map(|peer| peer.0).collect();
        let mut state = ConfState::default();
        state.set_voters(ids(&self.voters));
        state.set_learners(ids(&self.learners));
        state.set_voters_outgoing(ids(&self.outgoing));
        state.set_learners_next(ids(&self.learners_next));
        state.set_auto_leave(self.auto_leave);
        state
    }

    pub(crate) fn from_raft(state: &ConfState) -> Configuration {
        let peers = |ids: &[u64]| {
            let mut peers: Vec<PeerId> = ids.iter().map(|id| PeerId(*id)).collect();
            peers.sort_unstable();
            peers
        };
        Configuration {
            voters: peers(state.get_voters()),
            learners: peers(state.get_learners()),
            outgoing: peers(state.get_voters_outgoing()),
            learners_next: peers(state.get_learners_next()),
            auto_leave: state.get_auto_leave(),
        }
    }
}

/// All changes at once: simply where one suffices, jointly otherwise; the leader leaves the joint state by itself.
pub(crate) fn to_raft_change(changes: &[Change], context: Vec<u8>) -> ConfChangeV2 {
    let single = |change: &Change| {
        let (kind, peer) = match change {
            Change::Put(peer, Standing::Voter) => (ConfChangeType::AddNode, peer),
            Change::Put(peer, Standing::Learner) => (ConfChangeType::AddLearnerNode, peer),
            Change::Remove(peer) => (ConfChangeType::RemoveNode, peer),
        };
        let mut single = ConfChangeSingle::default();
        single.set_change_type(kind);
        single.set_node_id(peer.0);
        single
    };
    let mut change = ConfChangeV2::default();
    change.set_transition(ConfChangeTransition::Auto);
    change.set_changes(changes.iter().map(single).collect::<Vec<_>>().into());
    change.set_context(context.into());
    change
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quorum_is_a_majority_before_and_after_a_joint_change() {
        let peers = |ids: &[u64]| -> Vec<PeerId> { ids.iter().copied().map(PeerId).collect() };
        let simple = Configuration { learners: peers(&[9]), ..Configuration::of_voters(peers(&[1, 2, 3])) };
        assert!(simple.is_quorum(&peers(&[1, 3])) && simple.is_quorum(&peers(&[1, 2, 3])));
        assert!(!simple.is_quorum(&peers(&[1])) && !simple.is_quorum(&peers(&[1, 9])) && !simple.is_quorum(&peers(&[1, 1, 1])));
        let joint = Configuration { outgoing: peers(&[3, 4, 5]), ..simple };
        assert!(joint.is_quorum(&peers(&[1, 3, 4])) && !joint.is_quorum(&peers(&[1, 2, 3])) && !joint.is_quorum(&peers(&[3, 4, 5])));
        assert!(Configuration::of_voters(peers(&[7])).is_quorum(&peers(&[7])));
        assert!(!Configuration::default().is_quorum(&peers(&[7])), "a member that knows no voters proves nothing");
    }
}
