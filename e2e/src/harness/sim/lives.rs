//! What must hold of all operators together, whatever each of them sees.
//!
//! - A cluster begins once, and again only after everything was lost; then from the bucket, where it holds a life.
//! - What survives is adopted as it is.
//! - An epoch is one operator's. A node that obeyed an epoch obeys no older one.

use super::{Check, Simulation, operator::Given};
use std::collections::BTreeMap;
use strata_base::{IncarnationId, ShardId, SlotRange, StoreId, TableId};
use strata_crds::KVClusterStatus;
use strata_engine::tier::documents::{ClusterDocument, Document};
use strata_node_api::{Answer, Order, OrderKind};

/// What was seen of lives and epochs.
#[derive(Default)]
pub(super) struct Lives {
    /// The life that the nodes are in; none before the first and after everything was lost.
    pub(super) living: Option<(String, IncarnationId)>,
    /// Whether the next life must be filled from the bucket.
    must_restore: bool,
    /// Whether too few of its disks are left to go on with.
    is_beyond_adoption: bool,
    /// Whose an epoch is, for each KVCluster by its UID: one that is declared anew begins from what the nodes report.
    epochs: BTreeMap<(String, u64), String>,
    /// The highest epoch that each store obeyed.
    obeyed: BTreeMap<StoreId, u64>,
    /// The members that each shard was created with.
    created: BTreeMap<ShardId, OrderKind>,
}

impl Lives {
    /// The highest epoch that a store has obeyed.
    pub(super) fn obeyed(&self, store: StoreId) -> u64 {
        self.obeyed.get(&store).copied().unwrap_or_default()
    }

    /// Nothing is left but the bucket.
    pub(super) fn everything_is_lost(&mut self) {
        (self.living, self.must_restore, self.is_beyond_adoption) = (None, true, false);
    }

    /// A minority of the disks is left, and Kubernetes knows of nothing.
    pub(super) fn most_is_lost(&mut self) {
        self.is_beyond_adoption = true;
    }

    /// An operator gives an order.
    pub(super) fn note_order(&mut self, uid: &str, identity: &str, order: &Order) -> Result<(), String> {
        let owner = self.epochs.entry((uid.to_owned(), order.epoch.0)).or_insert_with(|| identity.to_owned());
        if owner != identity {
            return Err(format!("{owner} and {identity} both gave orders of epoch {}", order.epoch));
        }
        if let OrderKind::CreateShard { shard, .. } = &order.order {
            let first = self.created.entry(*shard).or_insert_with(|| order.order.clone());
            if *first != order.order {
                return Err(format!("shard {shard} is created twice: {first:?}, and {:?}", order.order));
            }
        }
        Ok(())
    }

    /// A node answers an order.
    pub(super) fn note_answer(&mut self, given: &Given, answer: &Answer) -> Result<(), String> {
        if let Answer::Refused { .. } = answer {
            return Ok(());
        }
        let (store, epoch) = (given.order.store, given.order.epoch.0);
        let highest = self.obeyed.entry(store).or_default();
        *highest = (*highest).max(epoch);
        if epoch < given.obeyed_before {
            return Err(format!("store {store} obeyed epoch {epoch} after {}: {:?}", given.obeyed_before, given.order.order));
        }
        Ok(())
    }

    /// A life is written into the status. Whether it is a new one.
    fn note_life(&mut self, life: (String, IncarnationId), has_parent: bool) -> Result<bool, String> {
        match &self.living {
            Some((_, living)) if self.is_beyond_adoption => {
                return Err(format!("incarnation {living} goes on with a minority of its disks"));
            }
            Some(living) if *living == life => return Ok(false),
            Some((_, living)) => return Err(format!("incarnation {} begins while {living} lives", life.1)),
            None => {}
        }
        if self.must_restore && !has_parent {
            return Err(format!("incarnation {} begins empty, and the bucket holds the one before", life.1));
        }
        (self.living, self.must_restore) = (Some(life), false);
        Ok(true)
    }
}

impl Simulation {
    /// Kubernetes has a new status.
    pub(super) fn status_changed(&mut self, before: &KVClusterStatus, after: &KVClusterStatus) {
        if before.phase != after.phase {
            self.tell(format!("the KVCluster is {:?}: {:?}", after.phase, after.conditions.first().map(|condition| &condition.message)));
        }
        let incarnation = after.incarnation.as_ref().and_then(|text| text.parse().ok());
        let Some(life) = after.cluster_id.clone().zip(incarnation) else { return };
        let incarnation = life.1;
        let plan = after.plan.clone().unwrap_or_default();
        let Some(operators) = &mut self.operators else { return };
        // A status of before the loss may still be written.
        if before.incarnation == after.incarnation && operators.lives.living.is_none() {
            return;
        }
        match operators.lives.note_life(life, plan.parent.is_some()) {
            Err(sentence) => return self.breaks(Check::Operator.says(sentence)),
            Ok(false) => return,
            Ok(true) => {}
        }
        self.tell(format!("incarnation {incarnation} begins, of {:?}", plan.parent));
        let slots = SlotRange::split_evenly(plan.members.len().max(1) as u16);
        let shard = |(ordinal, slots): (u32, SlotRange)| (ShardId::derive(incarnation.0, TableId(0).0, ordinal), slots);
        self.hand.shards = (0..).zip(slots).map(shard).collect();
        let document = plan.document.and_then(|text| ClusterDocument::decode(text.as_bytes()).ok());
        if let (Some(bucket), Some(document)) = (&mut self.bucket, document) {
            bucket.first = document;
        }
    }
}
