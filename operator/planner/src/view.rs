//! Facts, all as of one moment. The operator fills a view from what nodes report and from the cluster's status; the planner only reads it.

use crate::{Policy, placement::PlannedShard};
use std::collections::{BTreeMap, BTreeSet};
use strata_base::{Epoch, PeerId, ShardId, SlotRange, StoreId};

/// What is known of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// The epoch that every step of a plan made from this view carries.
    pub epoch: Epoch,
    /// Every store that reports, or that a shard names as a member.
    pub nodes: BTreeMap<StoreId, NodeView>,
    /// Every shard that a node reports, in the order of slots.
    pub shards: Vec<ShardView>,
    /// What was planned when the cluster was initialised, as persisted; empty before that.
    pub planned: Vec<PlannedShard>,
    /// Whether what was planned continues something that not all nodes have fetched yet, so that nothing may be created.
    pub awaits_restore: bool,
    /// Whether the log archive is within its declared bound. True where there is no archive.
    pub is_archive_within_bound: bool,
}

/// A node: the store on its disk and what is known of the process above it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeView {
    /// The failure domain.
    pub zone: String,
    /// What the store is to this cluster.
    pub state: NodeState,
    /// How long ago the node itself reported, in milliseconds; `u64::MAX` for never.
    pub report_age_millis: u64,
    /// How long ago any peer heard it, in milliseconds; `u64::MAX` for never.
    pub heard_age_millis: u64,
    /// Whether it was ordered to lead nothing for a while.
    pub is_evicted: bool,
    /// Whether its clock is off, so that it gives away whatever it leads.
    pub is_clock_off: bool,
    /// The shards it reports a replica of.
    pub replicas: BTreeSet<ShardId>,
}

/// What a store is to the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NodeState {
    /// New, and waiting for orders.
    Empty,
    /// It belongs to the cluster's incarnation.
    Member,
    /// Gone for good: its pod reports another store, or the user named it lost. Silence alone never makes a store lost.
    Lost,
}

/// A shard, as its leader reports it; as its newest follower does where none leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardView {
    /// Which shard.
    pub shard: ShardId,
    /// Its slots.
    pub slots: SlotRange,
    /// The epoch of its descriptor; every change of members raises it.
    pub epoch: Epoch,
    /// Its members. While a change is joint, the old and the new ones.
    pub members: Vec<MemberView>,
    /// Whether a joint change is under way.
    pub is_joint: bool,
    /// The member that reports itself as the leader with the highest term.
    pub leader: Option<PeerId>,
    /// The last entry known to be committed.
    pub committed: u64,
}

/// A member of a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemberView {
    /// Its id in the shard's Raft group.
    pub peer: PeerId,
    /// The store it lies on.
    pub store: StoreId,
    /// Whether it votes.
    pub is_voter: bool,
    /// The last entry that the leader knows to be on its disk; `None` while nobody leads.
    pub matched: Option<u64>,
    /// The last entry that it reports as applied; `None` while it does not report.
    pub applied: Option<u64>,
    /// Whether the leader heard it within the last election timeout.
    pub is_active: bool,
}

impl View {
    /// Whether a node may be given work: a member of the cluster whose report is fresh.
    pub fn is_able(&self, store: StoreId, policy: &Policy) -> bool {
        self.nodes.get(&store).is_some_and(|node| node.state == NodeState::Member && node.is_fresh(policy))
    }

    /// Whether a node may be given leaders: able, not ordered to lead nothing, and with a clock that lets it keep them.
    pub fn may_lead(&self, store: StoreId, policy: &Policy) -> bool {
        self.is_able(store, policy) && self.nodes.get(&store).is_some_and(|node| !node.is_evicted && !node.is_clock_off)
    }

    /// The state of a store; a store that only a member list names is as good as silent, not lost.
    pub fn is_lost(&self, store: StoreId) -> bool {
        self.nodes.get(&store).is_some_and(|node| node.state == NodeState::Lost)
    }

    /// The zone of a store; empty where nothing is known of it.
    pub fn zone(&self, store: StoreId) -> &str {
        self.nodes.get(&store).map_or("", |node| &node.zone)
    }
}

impl NodeView {
    /// Whether its report is young enough to act on.
    pub fn is_fresh(&self, policy: &Policy) -> bool {
        self.report_age_millis <= policy.report_age_max_millis
    }

    /// Whether it is down: neither the operator nor any peer hears it.
    pub fn is_down(&self, policy: &Policy) -> bool {
        self.report_age_millis.min(self.heard_age_millis) > policy.silence_max_millis
    }
}

impl ShardView {
    /// The member with this id.
    pub fn member(&self, peer: PeerId) -> Option<&MemberView> {
        self.members.iter().find(|member| member.peer == peer)
    }

    /// The member that leads.
    pub fn leading(&self) -> Option<&MemberView> {
        self.leader.and_then(|peer| self.member(peer))
    }

    /// The members that vote.
    pub fn voters(&self) -> impl Iterator<Item = &MemberView> {
        self.members.iter().filter(|member| member.is_voter)
    }

    /// How many entries the leader has committed that it does not know to be on this member's disk; `None` while nobody leads.
    pub fn lag_entries(&self, member: &MemberView) -> Option<u64> {
        member.matched.map(|matched| self.committed.saturating_sub(matched))
    }

    /// Whether a member is heard and no more than the policy's bound behind, so that it may lead or become a voter.
    pub fn is_caught_up(&self, member: &MemberView, policy: &Policy) -> bool {
        member.is_active && self.lag_entries(member).is_some_and(|lag| lag <= policy.lag_entries_max)
    }
}
