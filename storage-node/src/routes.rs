//! Who leads what, as far as a node knows.

use crate::host::ReadLease;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::Arc};
use strata_base::{Epoch, ShardId, SlotRange, StoreId, TableId};
use strata_node_api::NodeAddress;

/// What one node says of a shard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// The shard.
    pub shard: ShardId,
    /// The table it is a part of.
    pub table: TableId,
    /// Its slots.
    pub slots: SlotRange,
    /// The epoch of its descriptor.
    pub epoch: Epoch,
    /// The Raft term of this knowledge.
    pub term: u64,
    /// Who leads; `None` where nobody is known to.
    pub leader: Option<StoreId>,
    /// Where all its members lie.
    pub stores: Vec<StoreId>,
}

/// Everything a node knows of who leads what. Read by connections, replaced as a whole.
#[derive(Clone, Debug, Default)]
pub struct RouteTable {
    routes: BTreeMap<ShardId, Route>,
    nodes: BTreeMap<StoreId, NodeAddress>,
    leases: BTreeMap<ShardId, Arc<ReadLease>>,
}

impl RouteTable {
    /// Takes over what is newer than what is known; whether anything was.
    pub fn learn(&mut self, route: &Route) -> bool {
        let is_newer = self.routes.get(&route.shard).is_none_or(|known| {
            let leader_is_news = route.leader.is_some() && route.leader != known.leader;
            (route.epoch, route.term) > (known.epoch, known.term)
                || ((route.epoch, route.term) == (known.epoch, known.term) && leader_is_news)
        });
        if is_newer {
            let mut route = route.clone();
            if let Some(known) = self.routes.get(&route.shard)
                && route.leader.is_none()
                && known.term == route.term
            {
                route.leader = known.leader;
            }
            self.routes.insert(route.shard, route);
        }
        is_newer
    }

    /// This node may read the shard by a lease, or may no longer.
    pub fn set_lease(&mut self, shard: ShardId, lease: Option<Arc<ReadLease>>) {
        match lease {
            Some(lease) => drop(self.leases.insert(shard, lease)),
            None => drop(self.leases.remove(&shard)),
        }
    }

    /// By what this node may read a shard that it leads.
    pub fn lease(&self, shard: ShardId) -> Option<&Arc<ReadLease>> {
        self.leases.get(&shard)
    }

    /// Replaces the nodes.
    pub fn set_nodes(&mut self, nodes: &[NodeAddress]) {
        self.nodes = nodes.iter().map(|node| (node.store, node.clone())).collect();
    }

    /// A node's addresses.
    pub fn node(&self, store: StoreId) -> Option<&NodeAddress> {
        self.nodes.get(&store)
    }

    /// Every node.
    pub fn nodes(&self) -> impl Iterator<Item = &NodeAddress> {
        self.nodes.values()
    }

    /// The shard of a slot of the default table.
    pub fn by_slot(&self, slot: u16) -> Option<&Route> {
        self.routes.values().find(|route| route.table == TableId(0) && route.slots.contains(slot))
    }

    /// What is known of a shard.
    pub fn by_shard(&self, shard: ShardId) -> Option<&Route> {
        self.routes.get(&shard)
    }

    /// Every shard of the default table, in the order of its slots.
    pub fn in_slot_order(&self) -> Vec<&Route> {
        let mut routes: Vec<&Route> = self.routes.values().filter(|route| route.table == TableId(0)).collect();
        routes.sort_by_key(|route| route.slots);
        routes
    }
}
