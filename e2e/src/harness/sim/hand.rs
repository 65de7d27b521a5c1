//! The operator's part by hand: founds the cluster, moves leaders and members as the schedule says, and puts an emptied disk in the place of a lost one.

use super::{
    Check, Simulation,
    bucket::{self, Bucket},
    node::{Disk, EPOCH_MILLIS, Node},
    queue::{Action, MILLI, SECOND},
};
use std::collections::{BTreeMap, VecDeque};
use strata_base::{Epoch, IncarnationId, PeerId, ShardId, SlotRange, StoreId, TableId};
use strata_engine::tier::{documents::MemberDocument, restore::Plan};
use strata_node::host::Event;
use strata_node_api::{Answer, Member, MemberChange, MemberRole, NodeAddress, Order, OrderKind, RefusalClass, ShardReport, ShardRole};

const CLUSTER: &str = "simulated";
const FIRST_INCARNATION: IncarnationId = IncarnationId(7);
const TABLE: TableId = TableId(0);

/// How long an answer is waited for until the order is given again, in microseconds.
const ANSWER_PATIENCE: u64 = SECOND / 2;

/// An order under way.
struct Asked {
    ticket: u64,
    since: u64,
}

/// What the hand wants of one node.
#[derive(Default)]
struct Desk {
    todo: VecDeque<OrderKind>,
    asked: Option<Asked>,
}

/// A store that takes the place of another one: in every shard where a disk was lost, in one where a member is moved.
struct Replacement {
    new: StoreId,
    old: StoreId,
    only: Option<ShardId>,
}

/// The operator's part.
#[derive(Default)]
pub(super) struct Hand {
    incarnation: IncarnationId,
    pub(super) shards: Vec<(ShardId, SlotRange)>,
    desks: Vec<Desk>,
    next_ticket: u64,
    /// The highest member id ever used.
    taken: BTreeMap<ShardId, u64>,
    replacement: Option<Replacement>,
    /// The shard that moved last, and the store that it left.
    left: Option<(ShardId, StoreId)>,
}

impl Hand {
    /// Whether everything it wants is done.
    pub(super) fn is_idle(&self) -> bool {
        self.desks.iter().all(|desk| desk.todo.is_empty()) && self.replacement.is_none()
    }

    /// Whether it has founded the cluster.
    pub(super) fn may_replace(&self) -> bool {
        self.is_idle()
    }
}

impl Simulation {
    /// Plans the founding of the cluster.
    pub(super) fn found(&mut self) {
        if let Some(trouble) = self.options.operator {
            self.stand_by();
            return self.begin_operators(trouble);
        }
        self.hand.incarnation = FIRST_INCARNATION;
        let shards = self.place_shards();
        if let Some(trouble) = self.options.store {
            let first = bucket::document(CLUSTER, FIRST_INCARNATION, &documents(&shards), None);
            self.bucket = Some(Bucket::new(trouble.per_mille(), self.draws.store.u64(..), first));
        }
        self.order_founding(&shards);
    }

    /// Leaves the founding to operators: the hand only does what people may order beside them.
    fn stand_by(&mut self) {
        self.hand.desks = self.nodes.iter().map(|_| Desk::default()).collect();
        if let Some(trouble) = self.options.store {
            let unfounded = bucket::document(CLUSTER, FIRST_INCARNATION, &[], None);
            self.bucket = Some(Bucket::new(trouble.per_mille(), self.draws.store.u64(..), unfounded));
        }
    }

    /// The cluster and the incarnation that the nodes belong to.
    fn life(&self) -> (String, IncarnationId) {
        let of_operators = self.operators.as_ref().and_then(|operators| operators.lives.living.clone());
        of_operators.unwrap_or((CLUSTER.to_owned(), self.hand.incarnation))
    }

    /// The epoch of the hand's orders: beside operators, whatever the node has obeyed.
    fn hand_epoch(&self, node: usize) -> Epoch {
        let obeyed = self.nodes[node].host.as_ref().map_or(Epoch(1), |host| host.report().epoch);
        if self.operators.is_some() { obeyed } else { Epoch(1) }
    }

    /// Plans the founding of a new incarnation from what the bucket has of the last one.
    pub(super) fn found_from(&mut self, plan: &Plan) {
        self.hand = Hand { incarnation: IncarnationId(self.hand.incarnation.0 + 1), next_ticket: self.hand.next_ticket, ..Hand::default() };
        let shards = self.place_shards();
        if let Some(bucket) = &mut self.bucket {
            bucket.first = bucket::document(CLUSTER, self.hand.incarnation, &documents(&shards), Some(plan));
        }
        self.order_founding(&shards);
    }

    /// Where the members of all shards shall lie.
    fn place_shards(&mut self) -> Vec<(ShardId, SlotRange, Vec<Member>)> {
        let (slots, incarnation) = (SlotRange::split_evenly(self.options.shards), self.hand.incarnation);
        let mut placed = Vec::new();
        for (ordinal, slots) in slots.into_iter().enumerate() {
            let shard = ShardId::derive(incarnation.0, TABLE.0, ordinal as u32);
            let nodes = (0..self.options.replicas).map(|nth| (ordinal + nth) % self.nodes.len());
            let members: Vec<Member> =
                nodes.enumerate().map(|(nth, node)| voter(PeerId(nth as u64 + 1), self.nodes[node].store())).collect();
            self.hand.taken.insert(shard, members.len() as u64);
            self.hand.shards.push((shard, slots));
            placed.push((shard, slots, members));
        }
        placed
    }

    fn order_founding(&mut self, shards: &[(ShardId, SlotRange, Vec<Member>)]) {
        let directory = self.directory();
        let archive = self.bucket.as_ref().map(|bucket| OrderKind::OpenArchive { claim: bucket.claim() });
        let restore = self.bucket.as_ref().and_then(Bucket::restore_order).map(|restore| OrderKind::Restore { restore });
        let mut desks: Vec<Desk> = self.nodes.iter().map(|_| Desk::default()).collect();
        for (desk, node) in desks.iter_mut().zip(&self.nodes) {
            desk.todo.extend([OrderKind::Join, OrderKind::Directory { nodes: directory.clone() }]);
            desk.todo.extend(archive.clone().into_iter().chain(restore.clone()));
            for (shard, slots, members) in shards.iter().filter(|(.., members)| members.iter().any(|member| member.store == node.store())) {
                let origin = self.bucket.as_ref().and_then(|bucket| bucket.origin(*shard));
                let (shard, slots, members) = (*shard, *slots, members.clone());
                desk.todo.push_back(OrderKind::CreateShard { shard, table: TABLE, slots, members, origin });
            }
        }
        self.hand.desks = desks;
    }

    /// A shard is to be checkpointed. Whether somebody led it.
    pub(super) fn order_checkpoint(&mut self, shard: usize) -> bool {
        let Some((shard, leader, _)) = self.nth_leader(shard) else { return false };
        let not_before_millis = EPOCH_MILLIS + self.queue.now() / MILLI;
        self.order(leader, OrderKind::Checkpoint { shard, not_before_millis });
        true
    }

    fn directory(&self) -> Vec<NodeAddress> {
        let address = |node: &Node| NodeAddress {
            store: node.store(),
            zone: String::new(),
            peer: String::new(),
            client_host: String::new(),
            plain_port: 1,
            cluster_port: 2,
        };
        self.nodes.iter().map(address).collect()
    }

    /// Gives every node the order that is due, again where no answer came.
    pub(super) fn hand_steps(&mut self) {
        let now = self.queue.now();
        for node in 0..self.nodes.len() {
            let desk = &self.hand.desks[node];
            let is_waiting = desk.asked.as_ref().is_some_and(|asked| now < asked.since + ANSWER_PATIENCE);
            if !is_waiting && let Some(order) = desk.todo.front().cloned() {
                let ticket = self.order(node, order);
                self.hand.desks[node].asked = Some(Asked { ticket, since: now });
            }
        }
        self.step_replacement();
        self.replace_damaged();
        if self.options.compares && self.era == 0 {
            self.compare_replicas();
        }
        let pause = self.draws.hand.u64(20 * MILLI..150 * MILLI);
        self.queue.after(pause, Action::Hand);
    }

    /// Gives an order once; the answer comes back under the ticket.
    fn order(&mut self, node: usize, order: OrderKind) -> u64 {
        self.hand.next_ticket += 1;
        let ticket = self.hand.next_ticket;
        let (cluster, incarnation) = self.life();
        let order = Order { epoch: self.hand_epoch(node), cluster, incarnation, store: self.nodes[node].store(), order };
        let life = self.nodes[node].life;
        let arrival = |order| Action::Arrive { node, life, event: Event::Order { order: Box::new(order), ticket } };
        let may_be_late = !matches!(order.order, OrderKind::Directory { .. });
        if may_be_late && self.draws.hand.u8(..8) == 0 {
            // A request that was given up arrives all the same, late. The operator gives the directory again in every pass; the hand gives it once.
            let delay = self.draws.hand.u64(..4 * SECOND);
            self.queue.after(delay, arrival(order.clone()));
        }
        let delay = self.draws.hand.u64(MILLI..20 * MILLI);
        self.queue.after(delay, arrival(order));
        ticket
    }

    /// A node answers an order.
    pub(super) fn order_answered(&mut self, node: usize, ticket: u64, answer: Answer) {
        if self.operator_answered(ticket, &answer) {
            return;
        }
        let is_damaged = self.holds_damaged(node);
        let desk = &mut self.hand.desks[node];
        if desk.asked.as_ref().is_none_or(|asked| asked.ticket != ticket) {
            return;
        }
        match answer {
            Answer::Done => {
                desk.asked = None;
                desk.todo.pop_front();
            }
            // Created by an earlier order, whose answer nobody heard, and rotted since: its report tells, as it tells the operator.
            Answer::Refused { class: RefusalClass::NotReady, .. } if is_damaged => {
                desk.asked = None;
                desk.todo.pop_front();
            }
            Answer::Refused { class: RefusalClass::NotReady, .. }
                if matches!(desk.todo.front(), Some(OrderKind::CreateShard { origin: Some(_), .. })) =>
            {
                // The process that had restored it is gone: the next one is told anew.
                let restore = self.bucket.as_ref().and_then(Bucket::restore_order);
                desk.asked = None;
                restore.into_iter().for_each(|restore| desk.todo.push_front(OrderKind::Restore { restore }));
            }
            Answer::Accepted | Answer::Refused { class: RefusalClass::NotReady, .. } => {}
            Answer::Refused { class, message } => {
                let order = desk.todo.front().cloned();
                self.breaks(Check::Host.says(format!("node {node} refused {order:?} with {class}: {message}")));
            }
        }
    }

    /// A node shall give its leaders away for a while.
    pub(super) fn evict_leaders(&mut self, node: usize, for_millis: u64) {
        self.order(node, OrderKind::EvictLeaders { for_millis });
    }

    /// The leader of a shard shall make way for a member. Whether somebody led it.
    pub(super) fn transfer_leader(&mut self, shard: usize, member: usize) -> bool {
        let Some((shard, leader, report)) = self.nth_leader(shard) else { return false };
        let Some(to) = nth_of(&report.members, member) else { return false };
        self.order(leader, OrderKind::TransferLeader { shard, to: to.peer });
        true
    }

    /// The leader of the shard at a place, and what it says of itself.
    pub(super) fn nth_leader(&self, nth: usize) -> Option<(ShardId, usize, ShardReport)> {
        let (shard, _) = *self.hand.shards.get(nth)?;
        self.leader(shard).map(|(node, report)| (shard, node, report))
    }

    /// Has the replicas of a shard compared.
    fn compare_replicas(&mut self) {
        if let Some((shard, _)) = self.draws.hand.choice(self.hand.shards.clone())
            && let Some((leader, _)) = self.leader(shard)
        {
            let comparison = self.draws.hand.u64(..);
            self.order(leader, OrderKind::Compare { shard, comparison });
        }
    }

    /// The newest leader of a shard that serves, and what it says of itself.
    pub(super) fn leader(&self, shard: ShardId) -> Option<(usize, ShardReport)> {
        let reports = self.nodes.iter().enumerate().filter_map(|(node, at)| {
            let replica = at.host.as_ref()?.report().shards.into_iter().find(|replica| replica.shard == shard)?;
            (replica.role == ShardRole::Leader).then_some((node, replica))
        });
        reports.max_by_key(|(_, replica)| replica.term)
    }

    /// Whether a replica says that it stopped.
    fn has_stopped(&self, store: StoreId, shard: ShardId) -> bool {
        let host = self.nodes.iter().find(|node| node.store() == store).and_then(|node| node.host.as_ref());
        host.is_some_and(|host| host.report().shards.iter().any(|replica| replica.shard == shard && replica.stopped.is_some()))
    }

    /// Whether the shard that a node is to create is there already, and stopped.
    fn holds_damaged(&self, node: usize) -> bool {
        let Some(OrderKind::CreateShard { shard, .. }) = self.hand.desks[node].todo.front() else { return false };
        self.has_stopped(self.nodes[node].store(), *shard)
    }

    /// A node's disk is lost: it comes back with an empty one, as another store.
    pub(super) fn lose_disk(&mut self, node: usize) {
        self.crash(node);
        let old = self.nodes[node].store();
        let new = StoreId(old.0 + 100);
        (self.nodes[node].disk, self.nodes[node].full_until) = (Disk::empty(new), 0);
        if self.operators.is_some() {
            return;
        }
        self.hand.replacement = Some(Replacement { new, old, only: None });
        let directory = self.directory();
        let archive = self.bucket.as_ref().map(|bucket| OrderKind::OpenArchive { claim: bucket.claim() });
        for (other, desk) in self.hand.desks.iter_mut().enumerate() {
            if other == node {
                *desk = Desk { todo: VecDeque::from([OrderKind::Join]), asked: None };
            }
            desk.todo.push_back(OrderKind::Directory { nodes: directory.clone() });
            desk.todo.extend(archive.clone().filter(|_| other == node));
        }
    }

    /// A member of one shard moves to a node that has none of it, or the last one back where it came from. Whether one does.
    pub(super) fn move_member(&mut self, shard: usize, member: usize, other: usize, goes_back: bool) -> bool {
        if !self.hand.is_idle() || self.operators.is_some() {
            return false;
        }
        let Some((any, _)) = self.hand.shards.get(shard).copied() else { return false };
        let back = self.hand.left.filter(|_| goes_back);
        let shard = back.map_or(any, |(shard, _)| shard);
        let Some((_, report)) = self.leader(shard) else { return false };
        let is_member = |store: StoreId| report.members.iter().any(|member| member.store == store);
        let others: Vec<StoreId> = self.nodes.iter().map(Node::store).filter(|store| !is_member(*store)).collect();
        let back = back.map(|(_, store)| store).filter(|store| others.contains(store));
        let (Some(any), Some(leaving)) = (nth_of(&others, other), nth_of(&report.members, member)) else { return false };
        let (new, old) = (back.unwrap_or(*any), leaving.store);
        self.hand.left = Some((shard, old));
        self.hand.replacement = Some(Replacement { new, old, only: Some(shard) });
        true
    }

    /// Brings every shard one step nearer to having the new store in the place of the old one.
    fn step_replacement(&mut self) {
        let Some(Replacement { new, old, only }) = self.hand.replacement else { return };
        let mut is_done = self.hand.desks.iter().all(|desk| desk.todo.is_empty());
        for (shard, _) in self.hand.shards.clone().into_iter().filter(|(shard, _)| only.is_none_or(|only| only == *shard)) {
            let Some((leader, report)) = self.leader(shard) else {
                is_done = false;
                continue;
            };
            let leaving = report.members.iter().find(|member| report.is_joint && member.store == old).map(|member| member.peer);
            if let Some(to) = leaving.filter(|_| self.draws.hand.bool()) {
                // Somebody else moves leaders at a bad moment.
                self.order(leader, OrderKind::TransferLeader { shard, to });
            }
            let Some(changes) = self.next_change(shard, &report, old, new) else { continue };
            is_done = false;
            if self.nodes[leader].store() == old {
                // It cannot leave while it leads.
                let mut voters = report.members.iter().filter(|member| member.store != old && member.role == MemberRole::Voter);
                let successor = voters.find(|member| !self.has_stopped(member.store, shard));
                let Some(to) = successor.map(|member| member.peer) else { continue };
                self.order(leader, OrderKind::TransferLeader { shard, to });
            } else if !changes.is_empty() {
                self.order(leader, OrderKind::ChangeMembers { shard, shard_epoch: report.shard_epoch, changes });
            }
        }
        if is_done {
            self.hand.replacement = None;
        }
    }

    /// The next change of a shard's members; empty while the last one is under way, `None` when there is nothing to do.
    fn next_change(&mut self, shard: ShardId, report: &ShardReport, old: StoreId, new: StoreId) -> Option<Vec<MemberChange>> {
        let leaving = report.members.iter().find(|member| member.store == old);
        let coming = report.members.iter().find(|member| member.store == new);
        match (leaving, coming) {
            _ if report.is_joint => Some(Vec::new()),
            (None, _) => None,
            // Planned by the word of a leader of the past: nobody comes for the one that would go.
            (_, Some(coming)) if coming.role == MemberRole::Voter => None,
            // What stopped catches up no more: it goes, and comes anew.
            (_, Some(coming)) if self.has_stopped(new, shard) => Some(vec![MemberChange::Remove { peer: coming.peer }]),
            (Some(_), None) => {
                let taken = self.hand.taken.entry(shard).or_default();
                *taken += 1;
                let member = Member { peer: PeerId(*taken), store: new, role: MemberRole::Learner };
                Some(vec![MemberChange::Put { member }])
            }
            (Some(leaving), Some(coming)) => {
                let progress = report.progress.iter().find(|progress| progress.peer == coming.peer);
                let has_caught_up = progress.is_some_and(|progress| progress.matched >= report.committed && !progress.in_snapshot);
                let changes = || vec![MemberChange::Put { member: voter(coming.peer, new) }, MemberChange::Remove { peer: leaving.peer }];
                Some(if has_caught_up { changes() } else { Vec::new() })
            }
        }
    }
}

fn documents(shards: &[(ShardId, SlotRange, Vec<Member>)]) -> Vec<(ShardId, SlotRange, Vec<MemberDocument>)> {
    let document = |member: &Member| MemberDocument { peer: member.peer, store: member.store, voter: true };
    shards.iter().map(|(shard, slots, members)| (*shard, *slots, members.iter().map(document).collect())).collect()
}

/// The one at a place, counted around.
fn nth_of<T>(all: &[T], nth: usize) -> Option<&T> {
    all.get(nth.checked_rem(all.len())?)
}

fn voter(peer: PeerId, store: StoreId) -> Member {
    Member { peer, store, role: MemberRole::Voter }
}
