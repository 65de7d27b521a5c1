//! A cluster that obeys: takes steps, and becomes what they say.

use std::collections::BTreeMap;
use strata_base::{Epoch, IncarnationId, PeerId, ShardId, SlotRange, StoreId, TableId};
use strata_planner::{Action, MemberView, NodeState, NodeView, PlacementError, PlannedShard, Policy, ShardView, Step, View, place};

/// The incarnation of every cluster in these tests.
pub const INCARNATION: IncarnationId = IncarnationId(7);

/// What every shard of these tests has committed, in entries.
pub const COMMITTED: u64 = 10_000;

/// A cluster, as a view of it and a policy for it.
pub struct World {
    pub view: View,
    pub policy: Policy,
}

/// A node that reports.
pub fn node(zone: &str, state: NodeState) -> NodeView {
    let (report_age_millis, heard_age_millis) = (100, 50);
    NodeView {
        zone: zone.to_owned(),
        state,
        report_age_millis,
        heard_age_millis,
        is_evicted: false,
        is_clock_off: false,
        replicas: Default::default(),
    }
}

/// A member that has everything.
pub fn voter(peer: u64, store: StoreId) -> MemberView {
    let (matched, applied) = (Some(COMMITTED), Some(COMMITTED));
    MemberView { peer: PeerId(peer), store, is_voter: true, matched, applied, is_active: true }
}

/// A shard of the default table, the `ordinal`-th of `count`.
pub fn shard(ordinal: u16, count: u16, members: Vec<MemberView>, leader: Option<PeerId>) -> ShardView {
    ShardView {
        shard: ShardId::derive(INCARNATION.0, 0, u32::from(ordinal)),
        slots: SlotRange::split_evenly(count)[usize::from(ordinal)],
        epoch: Epoch(1),
        members,
        is_joint: false,
        leader,
        committed: COMMITTED,
    }
}

impl World {
    pub fn new() -> World {
        let view = View { epoch: Epoch(3), is_archive_within_bound: true, ..View::default() };
        World { view, policy: Policy::default() }
    }

    /// Adds a shard, and tells its nodes that they hold it.
    pub fn add_shard(&mut self, shard: ShardView) {
        for member in &shard.members {
            if let Some(node) = self.view.nodes.get_mut(&member.store).filter(|node| node.state == NodeState::Member) {
                node.replicas.insert(shard.shard);
            }
        }
        self.view.shards.push(shard);
        self.view.shards.sort_by_key(|shard| shard.slots);
    }

    /// Every store that may take replicas, and its zone.
    pub fn stores(&self) -> BTreeMap<StoreId, String> {
        let well = self.view.nodes.iter().filter(|(_, node)| node.state != NodeState::Lost);
        well.map(|(store, node)| (*store, node.zone.clone())).collect()
    }

    /// Plans `shards` shards, and persists the plan.
    pub fn place(&mut self, shards: u16) -> Result<&[PlannedShard], PlacementError> {
        self.view.planned = place(INCARNATION, TableId(0), shards, &self.stores(), &self.policy)?;
        Ok(&self.view.planned)
    }

    /// Does what a step says.
    pub fn execute(&mut self, step: &Step) {
        match &step.action {
            Action::Join { store } => self.node(*store).state = NodeState::Member,
            Action::Create { on, shard, slots, members, .. } => self.create(*on, *shard, *slots, members),
            Action::Transfer { shard, to, .. } => self.shard(*shard).leader = Some(*to),
            Action::AddLearner { shard, peer, store, .. } => {
                self.node(*store).replicas.insert(*shard);
                let found = self.shard(*shard);
                found.members.push(MemberView { is_voter: false, matched: Some(0), applied: None, ..voter(peer.0, *store) });
                found.epoch.0 += 1;
            }
            Action::Swap { shard, peer, leaves, .. } => {
                let found = self.shard(*shard);
                found.members.retain(|member| member.peer != *leaves);
                found.members.iter_mut().filter(|member| member.peer == *peer).for_each(|member| member.is_voter = true);
                found.epoch.0 += 1;
            }
            Action::RemoveLearner { shard, peer, .. } => {
                let found = self.shard(*shard);
                found.members.retain(|member| member.peer != *peer);
                found.epoch.0 += 1;
            }
        }
    }

    /// Time passes: who is heard catches up.
    pub fn settle(&mut self) {
        let (nodes, policy) = (&self.view.nodes, &self.policy);
        let hears = |store: StoreId| nodes.get(&store).is_some_and(|node| node.state == NodeState::Member && node.is_fresh(policy));
        for shard in &mut self.view.shards {
            for member in &mut shard.members {
                member.is_active = hears(member.store);
                if member.is_active {
                    (member.matched, member.applied) = (Some(COMMITTED), Some(COMMITTED));
                }
            }
        }
    }

    fn create(&mut self, on: StoreId, id: ShardId, slots: SlotRange, members: &[(PeerId, StoreId)]) {
        self.node(on).replicas.insert(id);
        if !self.view.shards.iter().any(|shard| shard.shard == id) {
            let members = members.iter().map(|(peer, store)| voter(peer.0, *store)).collect();
            self.view.shards.push(ShardView { shard: id, slots, ..shard(0, 1, members, None) });
            self.view.shards.sort_by_key(|shard| shard.slots);
        }
        let holders = members.iter().filter(|(_, store)| self.view.nodes[store].replicas.contains(&id)).count();
        if holders > members.len() / 2 {
            self.shard(id).leader = members.iter().find(|(_, store)| self.view.nodes[store].replicas.contains(&id)).map(|(peer, _)| *peer);
        }
    }

    fn node(&mut self, store: StoreId) -> &mut NodeView {
        self.view.nodes.get_mut(&store).expect("a step names only known nodes")
    }

    fn shard(&mut self, id: ShardId) -> &mut ShardView {
        self.view.shards.iter_mut().find(|shard| shard.shard == id).expect("a step names only known shards")
    }
}
