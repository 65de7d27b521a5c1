//! Who leads: every node its share of the leaders, give or take a tolerance.
//!
//! A node's expectation is the sum, over the shards it could lead, of one divided by the number of nodes that could lead that shard. With every
//! node well that is its replicas divided by the replication factor, rounded down: 10, 5, 6 and 9 replicas of factor 3 give 3, 1, 2 and 3. With
//! a node away, its share falls to those that hold the same shards.
//!
//! Nothing moves while every node is within its expectation ± tolerance. Otherwise leaders go along the shortest chain of transfers from a node
//! that has too many to one that has room, or from one that can spare to one that has too few. A chain is longer than one where the
//! two share no shard. No chain pushes a third node out of its bounds, so what is mended stays mended and nothing flaps. An assignment
//! with every node between its share rounded down and up always exists (flows with whole bounds have whole solutions: Ford and Fulkerson,
//! 1956), so chains are found until it is reached, as long as followers keep up.

use crate::{
    Policy, View,
    plan::{Action, Plan, Reason, Waiting},
};
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, VecDeque},
};
use strata_base::{PeerId, ShardId, StoreId};

/// One shard, in the units that shares are summed in: it divides by every replication factor up to ten.
const WHOLE: u64 = 2_520;

/// What a node leads, and what is expected of it.
#[derive(Clone, Copy, Debug, Default)]
struct Account {
    leaders: u64,
    share: u64,
}

impl Account {
    fn expected(self) -> u64 {
        self.share / WHOLE
    }

    fn excess(self) -> i64 {
        self.leaders as i64 - self.expected() as i64
    }
}

/// A transfer that could be made.
#[derive(Clone, Copy, Debug)]
struct Edge {
    shard: ShardId,
    from: StoreId,
    to: StoreId,
    to_peer: PeerId,
    lag_entries: u64,
}

/// The books: who leads what, as of the transfers decided so far.
struct Books<'a> {
    view: &'a View,
    policy: &'a Policy,
    accounts: BTreeMap<StoreId, Account>,
    edges: Vec<Edge>,
    tolerance: i64,
}

/// Moves leaders to where they are expected, and prefers not to move any.
pub(crate) fn leaders(view: &View, policy: &Policy) -> Plan {
    let mut books = Books::open(view, policy);
    let mut plan = Plan::default();
    let mut stuck = BTreeSet::new();
    while let Some((store, account)) = books.worst(&stuck) {
        let too_many = account.excess() > 0;
        let Some(chain) = books.chain(store, too_many) else {
            stuck.insert(store);
            // After a step, a chain may lack only what this plan has already moved: the next plan will see.
            if plan.steps.is_empty() {
                plan.waiting.push(Waiting::NoFollowerToLead { store });
            }
            continue;
        };
        if !plan.steps.is_empty() && plan.steps.len() + chain.len() > policy.transfers_max {
            break;
        }
        let (leaders, expected) = (account.leaders as u32, account.expected() as u32);
        // The far end first, so that nobody on the way has more than before.
        for edge in chain.into_iter().rev() {
            let reason = match too_many {
                true => Reason::LeadsTooMuch { store, leaders, expected },
                false => Reason::LeadsTooLittle { store, leaders, expected },
            };
            let action = Action::Transfer { shard: edge.shard, from: edge.from, to: edge.to_peer, to_store: edge.to };
            plan.step(view, action, reason);
            books.transfer(edge);
        }
    }
    plan
}

impl Books<'_> {
    fn open<'a>(view: &'a View, policy: &'a Policy) -> Books<'a> {
        let may_lead = |store: StoreId| view.may_lead(store, policy);
        let able = view.nodes.keys().filter(|store| may_lead(**store));
        let mut accounts: BTreeMap<StoreId, Account> = able.map(|store| (*store, Account::default())).collect();
        let mut edges = Vec::new();
        for shard in &view.shards {
            let could: Vec<_> = shard.voters().filter(|member| may_lead(member.store)).collect();
            let Some(leader) = shard.leading().filter(|leader| may_lead(leader.store)) else { continue };
            for member in &could {
                let account = accounts.get_mut(&member.store).expect("a store that may lead has an account");
                account.share += WHOLE / could.len() as u64;
                account.leaders += u64::from(member.peer == leader.peer);
            }
            if shard.is_joint {
                continue;
            }
            let follows = could.iter().filter(|member| member.peer != leader.peer && shard.is_caught_up(member, policy));
            edges.extend(follows.map(|member| Edge {
                shard: shard.shard,
                from: leader.store,
                to: member.store,
                to_peer: member.peer,
                lag_entries: shard.lag_entries(member).unwrap_or(u64::MAX),
            }));
        }
        edges.sort_by_key(|edge| edge.lag_entries);
        Books { view, policy, accounts, edges, tolerance: i64::from(policy.leader_tolerance.max(1)) }
    }

    /// The node that is furthest out of its bounds, too many before too few.
    fn worst(&self, stuck: &BTreeSet<StoreId>) -> Option<(StoreId, Account)> {
        let out = self.accounts.iter().filter(|(store, account)| account.excess().abs() > self.tolerance && !stuck.contains(store));
        out.min_by_key(|(store, account)| (Reverse(account.excess().abs()), Reverse(account.excess()), **store))
            .map(|(store, account)| (*store, *account))
    }

    /// The shortest chain of transfers that takes one leader from `store`, or gives one to it, and leaves everybody else within bounds.
    fn chain(&self, store: StoreId, too_many: bool) -> Option<Vec<Edge>> {
        if too_many {
            return self.shortest(&[store], |other| other != store && self.accounts[&other].excess() < self.tolerance);
        }
        let can_spare = |account: &Account| account.excess() > -self.tolerance;
        let mut donors: Vec<StoreId> =
            self.accounts.iter().filter(|(other, account)| **other != store && can_spare(account)).map(|(other, _)| *other).collect();
        donors.sort_by_key(|donor| (Reverse(self.accounts[donor].excess()), *donor));
        self.shortest(&donors, |other| other == store)
    }

    /// Breadth first from the sources to the goal with the least excess among the nearest.
    fn shortest(&self, sources: &[StoreId], is_goal: impl Fn(StoreId) -> bool) -> Option<Vec<Edge>> {
        let mut depth: BTreeMap<StoreId, usize> = sources.iter().map(|source| (*source, 0)).collect();
        let mut came_by: BTreeMap<StoreId, Edge> = BTreeMap::new();
        let mut queue: VecDeque<StoreId> = sources.iter().copied().collect();
        while let Some(here) = queue.pop_front() {
            for edge in self.edges.iter().filter(|edge| edge.from == here) {
                if !depth.contains_key(&edge.to) {
                    depth.insert(edge.to, depth[&here] + 1);
                    came_by.insert(edge.to, *edge);
                    queue.push_back(edge.to);
                }
            }
        }
        let goals = came_by.keys().filter(|store| is_goal(**store));
        let mut at = *goals.min_by_key(|store| (depth[store], self.accounts[store].excess(), **store))?;
        let mut chain = Vec::new();
        while let Some(edge) = came_by.get(&at) {
            chain.push(*edge);
            at = edge.from;
        }
        chain.reverse();
        Some(chain)
    }

    /// Enters a transfer. A shard moves once per plan.
    fn transfer(&mut self, edge: Edge) {
        debug_assert!(self.view.may_lead(edge.to, self.policy), "a leader goes only to a node that may lead");
        self.edges.retain(|other| other.shard != edge.shard);
        self.accounts.get_mut(&edge.from).expect("a chain joins accounts").leaders -= 1;
        self.accounts.get_mut(&edge.to).expect("a chain joins accounts").leaders += 1;
    }
}
