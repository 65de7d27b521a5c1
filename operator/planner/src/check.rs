//! A second opinion: every rule that a plan must satisfy, judged without a line of the code that made it.
//!
//! Tests call [`check`] on every plan of every random cluster; the operator calls it on every plan before it acts, and acts on none that
//! breaks a rule. The helpers here look alike to those of the pickers because they read the same facts; they are written again on purpose.

use crate::{
    Policy, View,
    placement::PlannedShard,
    plan::{Action, Plan},
    view::{MemberView, NodeState, NodeView, ShardView},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};
use strata_base::{
    PeerId, SLOT_COUNT, ShardId, StoreId,
    planted::{Mistake, planted},
};

/// A rule that every plan satisfies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// Every step carries the epoch of its view.
    CarriesEpoch,
    /// Orders go only to nodes whose report is fresh.
    AddresseeReports,
    /// No shard gets two orders to change its members or leader in one plan.
    OneChangePerShard,
    /// Only an empty store joins.
    JoinsEmptyOnly,
    /// Nobody joins a life that may be over: something is planned on the store, or somebody leads.
    JoinsTheLiving,
    /// What is created was planned, word for word, on a store that belongs to the cluster and lacks it.
    CreatesAsPlanned,
    /// A shard whose members have changed since its creation is not created again.
    NeverCreatesTwice,
    /// Members of a plan for a shard are as many as declared, on different stores, with different ids, as spread over zones as can be.
    PlacementSpreads,
    /// The slots of planned shards cover the table once.
    PlacementCovers,
    /// A leader is replaced only by a voter of the same shard on a node that may lead.
    TransfersToVoter,
    /// A leader is never replaced by a follower that lags.
    TransfersToCaughtUp,
    /// Orders about a shard go to the node that leads it.
    AddresseeLeads,
    /// Transfers bring no node out of its bounds, nor further out.
    TransfersBalance,
    /// Nobody is moved while every node is within its bounds.
    TransfersNeeded,
    /// No more transfers than the policy allows.
    TransfersBounded,
    /// No change of members while one is under way.
    NeverDuringJoint,
    /// A change of members names the descriptor's epoch of the view.
    CarriesShardEpoch,
    /// A new member's id is above all that the shard has, and above all that it had.
    PeerIsNew,
    /// A learner goes to an able store without a member of this shard.
    LearnerOnFreeStore,
    /// A replacement leaves no zone with more voters of the shard than a fair spread has.
    ReplacementSpreads,
    /// Only a member on a lost store leaves.
    OnlyLostLeave,
    /// Only a learner that has caught up becomes a voter.
    PromotesCaughtUp,
    /// After a swap a quorum of voters answers; before it, too.
    KeepsQuorum,
    /// No more shards with learners at a time than the policy allows.
    MovesBounded,
}

/// A rule that a plan breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which rule.
    pub rule: Rule,
    /// Where, as the step or the shard reads.
    pub at: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:?} is broken by: {}", self.rule, self.at)
    }
}

/// What is broken so far.
#[derive(Default)]
struct Verdict(Vec<Violation>);

impl Verdict {
    fn hold(&mut self, rule: Rule, holds: bool, at: &dyn fmt::Display) {
        if !holds {
            self.0.push(Violation { rule, at: at.to_string() });
        }
    }
}

/// Every rule that the plan breaks; empty for a good plan.
pub fn check(view: &View, policy: &Policy, plan: &Plan) -> Vec<Violation> {
    let mut verdict = Verdict::default();
    let mut touched = BTreeSet::new();
    for step in &plan.steps {
        verdict.hold(Rule::CarriesEpoch, step.epoch == view.epoch, step);
        let addressee = view.nodes.get(&step.action.addressee());
        verdict.hold(Rule::AddresseeReports, addressee.is_some_and(|node| reports(node, policy)), step);
        if let (Some(shard), false) = (step.action.shard(), matches!(step.action, Action::Create { .. })) {
            verdict.hold(Rule::OneChangePerShard, touched.insert(shard), step);
        }
        match &step.action {
            Action::Join { store } => {
                let leads = view.shards.iter().any(|shard| shard.members.iter().any(|member| Some(member.peer) == shard.leader));
                let is_planned = view.planned.iter().any(|planned| planned.members.iter().any(|(_, home)| home == store));
                verdict.hold(Rule::JoinsTheLiving, leads || is_planned || planted(Mistake::JoinsTheDead), step);
                verdict.hold(Rule::JoinsEmptyOnly, addressee.is_some_and(|node| node.state == NodeState::Empty), step);
            }
            Action::Create { .. } => check_create(view, &step.action, step, &mut verdict),
            Action::Transfer { shard, from, to, to_store } => {
                with_shard(view, *shard, step, &mut verdict, |found, verdict| {
                    verdict.hold(Rule::AddresseeLeads, leads(found, *from), step);
                    verdict.hold(Rule::NeverDuringJoint, !found.is_joint, step);
                    check_heir(view, policy, found, (*to, *to_store), step, verdict);
                });
            }
            Action::AddLearner { shard, .. } | Action::Swap { shard, .. } | Action::RemoveLearner { shard, .. } => {
                with_shard(view, *shard, step, &mut verdict, |found, verdict| {
                    check_change(view, policy, found, &step.action, step, verdict)
                });
            }
        }
    }
    check_bounds(view, policy, plan, &mut verdict);
    check_balance(view, policy, plan, &mut verdict);
    verdict.0
}

/// Every rule that an initial placement over these stores breaks; empty for a good one.
pub fn check_placement(planned: &[PlannedShard], stores: &BTreeMap<StoreId, String>, policy: &Policy) -> Vec<Violation> {
    let mut verdict = Verdict::default();
    let mut next_slot = 0;
    let mut stores_per_zone: BTreeMap<&str, usize> = BTreeMap::new();
    stores.values().for_each(|zone| *stores_per_zone.entry(zone).or_default() += 1);
    for shard in planned {
        let at = format!("shard {} ({})", shard.shard, shard.slots);
        verdict.hold(Rule::PlacementCovers, u32::from(shard.slots.first()) == next_slot, &at);
        next_slot = u32::from(shard.slots.last()) + 1;
        let peers: BTreeSet<PeerId> = shard.members.iter().map(|(peer, _)| *peer).collect();
        let homes: BTreeSet<StoreId> = shard.members.iter().map(|(_, store)| *store).collect();
        let declared = usize::from(policy.replication_factor);
        let is_whole = shard.members.len() == declared && peers.len() == declared && homes.len() == declared;
        verdict.hold(Rule::PlacementSpreads, is_whole && homes.iter().all(|store| stores.contains_key(store)), &at);
        let mut per_zone: BTreeMap<&str, usize> = BTreeMap::new();
        homes.iter().filter_map(|store| stores.get(store)).for_each(|zone| *per_zone.entry(zone).or_default() += 1);
        // A zone has two more than another only where the other has no store left.
        let is_even = stores_per_zone.iter().all(|(zone, stores_there)| {
            let here = per_zone.get(zone).copied().unwrap_or_default();
            here == *stores_there || per_zone.values().all(|other| *other <= here + 1)
        });
        verdict.hold(Rule::PlacementSpreads, is_even, &at);
    }
    verdict.hold(Rule::PlacementCovers, next_slot == u32::from(SLOT_COUNT), &"the last shard");
    verdict.0
}

fn with_shard(view: &View, shard: ShardId, step: &dyn fmt::Display, verdict: &mut Verdict, judge: impl FnOnce(&ShardView, &mut Verdict)) {
    match view.shards.iter().find(|found| found.shard == shard) {
        Some(found) => judge(found, verdict),
        None => verdict.hold(Rule::AddresseeLeads, false, step),
    }
}

fn check_create(view: &View, action: &Action, step: &dyn fmt::Display, verdict: &mut Verdict) {
    let Action::Create { on, shard, table, slots, members } = action else { return };
    let as_planned = view.planned.iter().any(|planned| {
        (planned.shard, planned.table, planned.slots, &planned.members) == (*shard, *table, *slots, members)
            && planned.members.iter().any(|(_, store)| store == on)
    });
    let node = view.nodes.get(on);
    let lacks_it = node.is_some_and(|node| node.state == NodeState::Member && !node.replicas.contains(shard));
    verdict.hold(Rule::CreatesAsPlanned, as_planned && lacks_it && !view.awaits_restore, step);
    if let Some(found) = view.shards.iter().find(|found| found.shard == *shard) {
        let same =
            found.members.len() == members.len() && found.members.iter().all(|member| members.contains(&(member.peer, member.store)));
        verdict.hold(Rule::NeverCreatesTwice, same && !found.is_joint, step);
    }
}

fn check_heir(view: &View, policy: &Policy, shard: &ShardView, heir: (PeerId, StoreId), step: &dyn fmt::Display, verdict: &mut Verdict) {
    let member = shard.members.iter().find(|member| (member.peer, member.store) == heir);
    let may_lead = view
        .nodes
        .get(&heir.1)
        .is_some_and(|node| node.state == NodeState::Member && reports(node, policy) && !node.is_evicted && !node.is_clock_off);
    let is_other = Some(heir.0) != shard.leader;
    verdict.hold(Rule::TransfersToVoter, is_other && may_lead && member.is_some_and(|member| member.is_voter), step);
    verdict.hold(Rule::TransfersToCaughtUp, member.is_some_and(|member| keeps_up(shard, member, policy)), step);
}

fn check_change(view: &View, policy: &Policy, shard: &ShardView, action: &Action, step: &dyn fmt::Display, verdict: &mut Verdict) {
    verdict.hold(Rule::NeverDuringJoint, !shard.is_joint, step);
    verdict.hold(Rule::AddresseeLeads, leads(shard, action.addressee()), step);
    let lost = |store: StoreId| view.nodes.get(&store).is_some_and(|node| node.state == NodeState::Lost);
    match action {
        Action::AddLearner { shard_epoch, peer, store, .. } => {
            verdict.hold(Rule::CarriesShardEpoch, *shard_epoch == shard.epoch, step);
            // Ids of later members are tied to the epoch they were decided on, so those of the past are below too.
            let past = shard.members.iter().map(|member| member.peer.0).max().unwrap_or(0).max(shard.epoch.0);
            verdict.hold(Rule::PeerIsNew, peer.0 > past, step);
            let node = view.nodes.get(store);
            let is_able = node.is_some_and(|node| node.state == NodeState::Member && reports(node, policy));
            verdict.hold(Rule::LearnerOnFreeStore, is_able && shard.members.iter().all(|member| member.store != *store), step);
            check_zones(view, policy, shard, *store, step, verdict);
        }
        Action::Swap { shard_epoch, peer, leaves, .. } => {
            verdict.hold(Rule::CarriesShardEpoch, *shard_epoch == shard.epoch, step);
            let learner = shard.members.iter().find(|member| member.peer == *peer);
            let good = learner.is_some_and(|learner| !learner.is_voter && keeps_up(shard, learner, policy) && !lost(learner.store));
            verdict.hold(Rule::PromotesCaughtUp, good, step);
            let leaver = shard.members.iter().find(|member| member.peer == *leaves);
            let may_leave = leaver.is_some_and(|leaver| leaver.is_voter && lost(leaver.store)) && shard.leader != Some(*leaves);
            verdict.hold(Rule::OnlyLostLeave, may_leave, step);
            let voters = shard.members.iter().filter(|member| member.is_voter);
            let (all, answering) = voters.fold((0, 0), |(all, answering), voter| (all + 1, answering + usize::from(voter.is_active)));
            verdict.hold(Rule::KeepsQuorum, 2 * answering > all, step);
        }
        Action::RemoveLearner { shard_epoch, peer, .. } => {
            verdict.hold(Rule::CarriesShardEpoch, *shard_epoch == shard.epoch, step);
            let learner = shard.members.iter().find(|member| member.peer == *peer);
            verdict.hold(Rule::OnlyLostLeave, learner.is_some_and(|learner| !learner.is_voter && lost(learner.store)), step);
        }
        Action::Join { .. } | Action::Create { .. } | Action::Transfer { .. } => {}
    }
}

fn check_zones(view: &View, policy: &Policy, shard: &ShardView, store: StoreId, step: &dyn fmt::Display, verdict: &mut Verdict) {
    let zone_of = |store: StoreId| view.nodes.get(&store).map(|node| node.zone.as_str());
    let is_kept = |store: StoreId| view.nodes.get(&store).is_none_or(|node| node.state != NodeState::Lost);
    let kept = shard.members.iter().filter(|member| member.is_voter && is_kept(member.store));
    let beside = kept.filter(|member| zone_of(member.store) == zone_of(store)).count();
    // Crowded is a zone that has what others could have taken: with this many per zone at most, there would have been room for all.
    let mut room: BTreeMap<&str, usize> = BTreeMap::new();
    for node in view.nodes.values() {
        let taken = room.entry(&node.zone).or_default();
        *taken = (*taken + 1).min(beside);
    }
    let is_crowded = beside > 0 && room.values().sum::<usize>() >= usize::from(policy.replication_factor);
    verdict.hold(Rule::ReplacementSpreads, !is_crowded, step);
}

fn check_bounds(view: &View, policy: &Policy, plan: &Plan, verdict: &mut Verdict) {
    let count = |is_kind: fn(&Action) -> bool| plan.steps.iter().filter(|step| is_kind(&step.action)).count();
    let learning = view.shards.iter().filter(|shard| shard.members.iter().any(|member| !member.is_voter)).count();
    let added = count(|action| matches!(action, Action::AddLearner { .. }));
    verdict.hold(Rule::MovesBounded, added == 0 || learning + added <= policy.moves_max, &format!("{added} learners to add"));
    let transfers = count(|action| matches!(action, Action::Transfer { .. }));
    let bound = policy.transfers_max.max(view.nodes.len().saturating_sub(1));
    verdict.hold(Rule::TransfersBounded, transfers <= bound, &format!("{transfers} transfers"));
}

/// Leaders of each node before and after the plan, against `leaders · voters ≤ …` in fractions, not in the units of the picker.
fn check_balance(view: &View, policy: &Policy, plan: &Plan, verdict: &mut Verdict) {
    let may_lead = |store: StoreId| {
        view.nodes
            .get(&store)
            .is_some_and(|node| node.state == NodeState::Member && reports(node, policy) && !node.is_evicted && !node.is_clock_off)
    };
    let mut before: BTreeMap<StoreId, i64> = BTreeMap::new();
    let mut share: BTreeMap<StoreId, f64> = BTreeMap::new();
    for shard in &view.shards {
        let Some(leader) = shard.members.iter().find(|member| Some(member.peer) == shard.leader && may_lead(member.store)) else {
            continue;
        };
        *before.entry(leader.store).or_default() += 1;
        let could: Vec<StoreId> =
            shard.members.iter().filter(|member| member.is_voter && may_lead(member.store)).map(|member| member.store).collect();
        for store in &could {
            *share.entry(*store).or_default() += 1.0 / could.len() as f64;
        }
    }
    let mut after = before.clone();
    let mut transfers = 0;
    for step in &plan.steps {
        if let Action::Transfer { from, to_store, .. } = &step.action {
            *after.entry(*from).or_default() -= 1;
            *after.entry(*to_store).or_default() += 1;
            transfers += 1;
        }
    }
    let tolerance = i64::from(policy.leader_tolerance.max(1));
    let beyond = |leaders: &BTreeMap<StoreId, i64>, store: StoreId| {
        // A sum of thirds may fall a hair short of a whole.
        let expected = (share.get(&store).copied().unwrap_or_default() + 1e-6).floor() as i64;
        ((leaders.get(&store).copied().unwrap_or_default() - expected).abs() - tolerance).max(0)
    };
    let stores: Vec<StoreId> = share.keys().copied().collect();
    for store in &stores {
        let (was, is) = (beyond(&before, *store), beyond(&after, *store));
        verdict.hold(Rule::TransfersBalance, is <= was, &format!("{store} goes from {was} to {is} beyond its bounds"));
    }
    let needed = stores.iter().any(|store| beyond(&before, *store) > 0);
    verdict.hold(Rule::TransfersNeeded, transfers == 0 || needed, &"transfers in a balanced cluster");
}

fn reports(node: &NodeView, policy: &Policy) -> bool {
    node.report_age_millis <= policy.report_age_max_millis
}

fn leads(shard: &ShardView, store: StoreId) -> bool {
    shard.members.iter().any(|member| member.store == store && Some(member.peer) == shard.leader)
}

fn keeps_up(shard: &ShardView, member: &MemberView, policy: &Policy) -> bool {
    member.is_active && member.matched.is_some_and(|matched| matched.saturating_add(policy.lag_entries_max) >= shard.committed)
}
