//! What must hold at every moment, and what must hold once everything is mended.

use super::{
    Check, Simulation, Violation,
    node::{EPOCH_MILLIS, Node},
    planted::Planted,
    queue::{Action, MILLI, SECOND},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{DefaultHasher, Hash, Hasher},
    ops::ControlFlow,
};
use strata_base::{Hlc, ShardId};
use strata_engine::{
    tablet::{MemoryTablet, Tablet, TabletChange, TabletFamily},
    tier::Cut,
};
use strata_kv::command;
use strata_node::host::Leased;
use strata_node_api::{ComparisonReport, ComparisonState, MemberRole, ShardReport, ShardRole};

/// How far the cluster's time may be ahead of the true one, in milliseconds: what a clock may be off, and the counter of a burst of writes.
const AHEAD_MILLIS_MAX: u64 = 550;

/// What a replica held when it had applied an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Content {
    hash: u64,
    records: usize,
    keys: u64,
    expires: u64,
    hlc: Hlc,
}

/// What clients could read of a tablet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shown {
    hash: u64,
    records: usize,
}

/// What clients could read of a tablet.
pub(super) fn shown(tablet: &dyn Tablet) -> Result<Shown, strata_engine::EngineError> {
    let mut hasher = DefaultHasher::new();
    let mut records = 0;
    for family in TabletFamily::CONTENT {
        tablet.scan(family, &[], &[0xff; 64], &mut |key, value| {
            records += 1;
            (key, value).hash(&mut hasher);
            ControlFlow::Continue(())
        })?;
    }
    Ok(Shown { hash: hasher.finish(), records })
}

/// What was ever seen of every shard at every applied entry.
#[derive(Default)]
pub(super) struct Witness {
    seen: BTreeMap<(ShardId, u64), (usize, Content)>,
    pub(super) compared: u64,
    /// What replicas themselves told of entries at which they were compared.
    told: BTreeMap<(ShardId, u64), (usize, ComparisonReport)>,
    /// How often two of them told of the same entry.
    pub(super) agreed: u64,
    /// Every leader that served, by shard and term.
    leaders: BTreeSet<(ShardId, u64)>,
}

impl Witness {
    /// A replica tells what it held at the entry of a comparison; the others must tell the same.
    fn hear(&mut self, shard: ShardId, node: usize, told: ComparisonReport) -> Result<(), Violation> {
        if !matches!(told.state, ComparisonState::Done { .. }) {
            return Ok(());
        }
        match self.told.insert((shard, told.index), (node, told.clone())) {
            Some((other, before)) if before != told => {
                Err(Check::Replicas.says(format!("shard {shard}: node {other} told {before:?}, and node {node} tells {told:?}")))
            }
            before => {
                self.agreed += u64::from(before.is_some_and(|(other, _)| other != node));
                Ok(())
            }
        }
    }

    /// How many leaders came after the first of their shard.
    pub(super) fn leader_changes(&self) -> u64 {
        let shards: BTreeSet<ShardId> = self.leaders.iter().map(|(shard, _)| *shard).collect();
        (self.leaders.len() - shards.len()) as u64
    }

    /// What a replica of a shard held at an entry, if one was looked at then.
    pub(super) fn shown_at(&self, shard: ShardId, index: u64) -> Option<Shown> {
        self.seen.get(&(shard, index)).map(|(_, content)| Shown { hash: content.hash, records: content.records })
    }

    /// Whether a cut loses an entry older than a promise. Raft's own entries repeat the HLC of the one before, and lose nothing.
    pub(super) fn broken_promise(&self, shard: ShardId, cut: Cut, promised_ms: u64) -> Option<String> {
        let lost = self.seen.range((shard, cut.index + 1)..=(shard, u64::MAX));
        let mut old = lost.filter(|(_, (_, content))| content.hlc > cut.hlc && content.hlc.millis() < promised_ms);
        let ((_, index), (_, content)) = old.next()?;
        let hlc = content.hlc;
        Some(format!("shard {shard} is restored to {cut:?}; entry {index} at {hlc} is lost, though {promised_ms} ms was promised"))
    }
}

impl Simulation {
    /// Looks at every replica: what it holds is a function of the entry that it has applied.
    pub(super) fn look(&mut self) {
        self.look_now();
        self.try_leases();
        let pause = self.draws.looks.u64(50 * MILLI..200 * MILLI);
        self.queue.after(pause, Action::Look);
    }

    /// Looks once.
    pub(super) fn look_now(&mut self) {
        self.plant_record();
        self.note_promises();
        for node in 0..self.nodes.len() {
            let Some(host) = &self.nodes[node].host else { continue };
            let report = host.report();
            for replica in report.shards {
                let shard = replica.shard;
                match &replica.stopped {
                    Some(reason) if self.may_stop(node, shard) => self.tell_stopped(node, shard, reason),
                    Some(reason) => return self.breaks(Check::Host.says(format!("node {node}: shard {shard} stopped: {reason}"))),
                    None => {}
                }
                if let Err(violation) = self.look_at_replica(node, &replica).and_then(|()| self.look_at_log(node, &replica)) {
                    return self.breaks(violation);
                }
            }
        }
        if let Err(violation) = self.look_at_cuts().and_then(|()| self.look_at_references()) {
            return self.breaks(violation);
        }
        self.look_at_patience();
    }

    /// Reads by every lease that there is: clients ask too seldom to meet the moments that matter.
    fn try_leases(&mut self) {
        let call = command::parse(vec!["get".into(), "nothing".into()]).expect("it is well-formed");
        for node in 0..self.nodes.len() {
            let at = &self.nodes[node];
            if at.host.is_none() || at.stalled_until > self.queue.now() {
                continue;
            }
            let (routes, now_ms) = (at.routes.clone(), self.reader_ms(node));
            for (shard, _) in self.hand.shards.clone() {
                if let Some(Leased::Reply(_)) = routes.lease(shard).map(|lease| lease.read(&call, || now_ms)) {
                    self.check_lease(node, shard);
                }
            }
        }
    }

    /// The monotonic time that a node's connections see.
    pub(super) fn reader_ms(&self, node: usize) -> u64 {
        let late_ms = if self.planted == Some(Planted::LateClocks) { 2_000 } else { 0 };
        self.nodes[node].moment(self.queue.now()).monotonic_ms.saturating_sub(late_ms)
    }

    /// While a leader reads by its lease there is no later leader.
    pub(super) fn check_lease(&mut self, node: usize, shard: ShardId) {
        let led = |at: &Node| {
            let replica = at.host.as_ref()?.report().shards.into_iter().find(|replica| replica.shard == shard)?;
            matches!(replica.role, ShardRole::Leader | ShardRole::LeaderElect).then_some(replica.term)
        };
        let (own, last) = (led(&self.nodes[node]), self.nodes.iter().filter_map(led).max());
        if own < last {
            let sentence = format!("node {node} read shard {shard} by its lease of term {own:?}, and term {last:?} had a leader");
            self.breaks(Check::Lease.says(sentence));
        }
    }

    /// The mistake of [`Planted::StrayRecord`].
    fn plant_record(&mut self) {
        if self.planted == Some(Planted::StrayRecord)
            && self.queue.now() > SECOND
            && let Some((shard, _)) = self.hand.shards.first()
            && let Some(tablet) = self.nodes[0].disk.tablets.newest(*shard)
        {
            let stray = TabletChange::Put(TabletFamily::Data, "stray".into(), "stray".into());
            if let Err(error) = tablet.write(vec![stray]) {
                self.breaks(Check::Host.says(error.to_string()));
            }
        }
    }

    fn look_at_replica(&mut self, node: usize, replica: &ShardReport) -> Result<(), Violation> {
        let shard = replica.shard;
        if replica.members.is_empty() {
            return Ok(());
        }
        if replica.role == ShardRole::Leader && self.witness.leaders.insert((shard, replica.term)) {
            let (ordinal, term) = (self.hand.shards.iter().position(|(led, _)| *led == shard), replica.term);
            self.tell(format!("node {node} leads shard {} in term {term}", ordinal.unwrap_or_default()));
        }
        if let Some(told) = replica.comparison.clone() {
            self.witness.hear(shard, node, told)?;
        }
        let tablet = self.nodes[node].disk.tablets.newest(shard);
        let tablet = tablet.ok_or_else(|| Check::Replicas.says(format!("node {node} lost its tablet of shard {shard}")))?;
        let content = content(&tablet, replica);
        let ahead = replica.hlc.millis().saturating_sub(EPOCH_MILLIS + self.queue.now() / MILLI);
        if self.options.time_is_sound && ahead > AHEAD_MILLIS_MAX {
            return Err(Check::Clock.says(format!("shard {shard} on node {node} lives {ahead} ms ahead of the true time")));
        }
        let metas = tablet.records(TabletFamily::Meta).len() as u64;
        if metas != replica.keys {
            let counted = replica.keys;
            return Err(Check::Replicas.says(format!("shard {shard} on node {node} holds {metas} keys and counts {counted}")));
        }
        match self.witness.seen.insert((shard, replica.applied), (node, content)) {
            Some((other, before)) if before != content => {
                let index = replica.applied;
                let sentence = format!("at entry {index} of shard {shard} node {other} held {before:?}, and node {node} holds {content:?}");
                Err(Check::Replicas.says(sentence))
            }
            before => {
                self.witness.compared += u64::from(before.is_some_and(|(other, _)| other != node));
                Ok(())
            }
        }
    }

    /// Whether every shard is led, every member has all of its log, and nobody else has any of it.
    pub(super) fn is_converged(&self) -> Result<(), String> {
        if !self.is_ordered() {
            return Err(format!("the operator's orders are not all done: {}", self.ordering()));
        }
        for (shard, _) in &self.hand.shards {
            let (_, leader) = self.leader(*shard).ok_or_else(|| format!("nobody leads shard {shard}"))?;
            if leader.is_joint || leader.applied != leader.last_index {
                return Err(format!("the leader of shard {shard} has something under way: {leader:?}"));
            }
            let voters = leader.members.iter().filter(|member| member.role == MemberRole::Voter).count();
            if voters != self.options.replicas {
                return Err(format!("shard {shard} has {voters} voters: {:?}", leader.members));
            }
            for node in &self.nodes {
                let host = node.host.as_ref().ok_or("a node is down")?;
                let replica = host.report().shards.into_iter().find(|replica| replica.shard == *shard);
                let is_member = leader.members.iter().any(|member| member.store == node.store());
                match replica {
                    None if is_member => return Err(format!("store {} has no replica of shard {shard}", node.store())),
                    Some(replica) if !is_member => {
                        return Err(format!(
                            "store {} keeps a replica of shard {shard}: {replica:?}; its leader: {leader:?}",
                            node.store()
                        ));
                    }
                    Some(replica) if replica.applied != leader.applied => {
                        return Err(format!("store {} is at {replica:?}, its leader at {leader:?}", node.store()));
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }
}

/// What a replica holds, whether it can read it or not.
fn content(tablet: &MemoryTablet, replica: &ShardReport) -> Content {
    let mut hasher = DefaultHasher::new();
    let mut records = 0;
    for (key, value) in TabletFamily::CONTENT.into_iter().flat_map(|family| tablet.records(family)) {
        records += 1;
        (&key[..], &value[..]).hash(&mut hasher);
    }
    let hash = hasher.finish();
    Content { hash, records, keys: replica.keys, expires: replica.expires, hlc: replica.hlc }
}
