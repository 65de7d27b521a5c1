//! Steps of a plan become orders to nodes.

use super::{Act, restore};
use crate::{
    names::{self, Names, PORT_CLUSTER, PORT_PEER, PORT_PLAIN},
    observation::Observation,
    view::Life,
};
use strata_base::{Epoch, StoreId};
use strata_engine::tier::documents::ClusterDocument;
use strata_node_api::{Member, MemberChange, MemberRole, NodeAddress, NodeState, Order, OrderKind};
use strata_planner::{Action, Plan};

/// Every node of this life is told of all others. It costs little, and saves remembering who knows what.
pub(super) fn directories(seen: &Observation, life: &Life, epoch: Epoch) -> Vec<Act> {
    let names = Names::of(&seen.cluster);
    let stores = seen.stores();
    let address = |(pod, zone): (String, String)| {
        let host = names.host(&pod);
        Some(NodeAddress {
            store: *stores.get(&pod)?,
            zone: if zone.is_empty() { "default".to_owned() } else { zone },
            peer: format!("{host}:{PORT_PEER}"),
            client_host: host,
            plain_port: PORT_PLAIN,
            cluster_port: PORT_CLUSTER,
        })
    };
    let nodes: Vec<NodeAddress> = names::pods(&seen.cluster).into_iter().filter_map(address).collect();
    let ours = NodeState::Member { cluster: life.cluster.clone(), incarnation: life.incarnation };
    let members = seen.reports.iter().filter(|(_, report)| report.state == ours);
    members
        .map(|(pod, report)| {
            let kind = OrderKind::Directory { nodes: nodes.clone() };
            order(life, epoch, pod.clone(), report.store, kind, "nodes know each other".to_owned())
        })
        .collect()
}

/// The orders of a plan's steps, in their order. A step whose node has no pod that reports is left for the next plan.
pub(super) fn of_plan(seen: &Observation, life: &Life, plan: &Plan, document: Option<&ClusterDocument>) -> Vec<Act> {
    let pod_of = |store: StoreId| seen.reports.iter().find(|(_, report)| report.store == store).map(|(pod, _)| pod.clone());
    let one = |step: &strata_planner::Step| {
        let store = step.action.addressee();
        Some(order(life, step.epoch, pod_of(store)?, store, kind(&step.action, document), step.to_string()))
    };
    plan.steps.iter().filter_map(one).collect()
}

/// The order to lead nothing for a while.
pub(super) fn evict(life: &Life, epoch: Epoch, pod: String, store: StoreId, for_millis: u64) -> Act {
    order(life, epoch, pod, store, OrderKind::EvictLeaders { for_millis }, "it is restarted next".to_owned())
}

/// An order of this life, to the store of a pod.
pub(super) fn order(life: &Life, epoch: Epoch, pod: String, store: StoreId, kind: OrderKind, reason: String) -> Act {
    let order = Order { epoch, cluster: life.cluster.clone(), incarnation: life.incarnation, store, order: kind };
    Act::Order { pod, order: Box::new(order), reason }
}

fn kind(action: &Action, document: Option<&ClusterDocument>) -> OrderKind {
    match action {
        Action::Join { .. } => OrderKind::Join,
        Action::Create { shard, table, slots, members, .. } => OrderKind::CreateShard {
            shard: *shard,
            table: *table,
            slots: *slots,
            members: members.iter().map(|(peer, store)| Member { peer: *peer, store: *store, role: MemberRole::Voter }).collect(),
            origin: document.and_then(|document| restore::origin(document, *shard)),
        },
        Action::Transfer { shard, to, .. } => OrderKind::TransferLeader { shard: *shard, to: *to },
        Action::AddLearner { shard, shard_epoch, peer, store, .. } => {
            let member = Member { peer: *peer, store: *store, role: MemberRole::Learner };
            OrderKind::ChangeMembers { shard: *shard, shard_epoch: *shard_epoch, changes: vec![MemberChange::Put { member }] }
        }
        Action::Swap { shard, shard_epoch, peer, store, leaves, .. } => {
            let member = Member { peer: *peer, store: *store, role: MemberRole::Voter };
            let changes = vec![MemberChange::Put { member }, MemberChange::Remove { peer: *leaves }];
            OrderKind::ChangeMembers { shard: *shard, shard_epoch: *shard_epoch, changes }
        }
        Action::RemoveLearner { shard, shard_epoch, peer, .. } => {
            OrderKind::ChangeMembers { shard: *shard, shard_epoch: *shard_epoch, changes: vec![MemberChange::Remove { peer: *peer }] }
        }
    }
}
