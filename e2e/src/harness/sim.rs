//! A small simulation: the real hosts over models of disk, network and clocks, on one thread, every choice from one seed.
//!
//! ```text
//!            ┌────────────── queue: (time, sequence, action) ──────────────┐
//!            ▼                                                             │
//!   clients, hand, schedule ─► node: inbox ──► Host::turn ──► effects ──► disk, network
//!                                                               │
//!                                                               └──► history, tallies, what replicas held at which entry
//! ```
//!
//! - One run follows from its options, its schedule of faults and the seed of all other draws ([`Run`]): a hash over everything that happens says
//!   so ([`Played::trace`]). A seed draws all three, from streams of their own.
//! - A swarm: the seed chooses the size of the cluster and which kinds of trouble it meets; then come up to 28 seconds of trouble, then
//!   everything is mended, and within a bound of simulated time every shard must serve, and all replicas must hold the same.
//! - A run that breaks a promise is made smaller ([`shrink`]), and can be kept as a file.
//! - The disk keeps what it said it keeps, and of the rest any prefix. Messages are lost, doubled, late and out of order.
//! - What is checked: every counter, every key that one client writes, every replica at every applied entry against every other one, the
//!   cluster's time against the true one, that every command is answered, and the history, by the checker outside.
//! - That the checks can fail is checked too: [`Planted`] mistakes must be noticed.
//!
//! Not done here, and why: splits and real time are not in it yet, because the hosts have none of them; a connection's parsing and forwarding
//! stand before the hosts, and the process scenarios judge them.

mod account;
mod bucket;
mod checks;
mod client;
mod damage;
mod draws;
mod effects;
mod evidence;
mod faults;
mod hand;
mod inheritance;
mod inquiry;
mod journal;
mod kubernetes;
mod limits;
mod lives;
mod network;
mod node;
mod operator;
mod operator_faults;
mod options;
mod pairs;
mod planted;
mod queue;
mod rival;
mod run;
mod scenes;
mod schedule;
mod shrink;
mod steps;
mod violation;

use crate::history::{Call, History};
use bucket::Bucket;
use checks::Witness;
use client::Crowd;
use draws::Draws;
use evidence::Evidence;
use hand::Hand;
pub use inheritance::FINDER;
use journal::Journal;
use limits::{ACTIONS_MAX, ARCHIVED_BOUND, CONVERGED_BOUND, FOUNDED_BOUND, RESTORED_BOUND, ROLLED_OUT_BOUND, SERVING_BOUND};
pub use limits::{SHRINK_ATTEMPTS_MAX, SHRINK_TIME_MAX};
use network::Network;
use node::Node;
use operator::Operators;
pub use operator_faults::{OperatorFault, OperatorTrouble};
pub use options::{Options, StoreTrouble};
pub use planted::Planted;
use queue::{Action, MILLI, Queue, SECOND, Trace};
use rival::Rival;
pub use run::{Run, VERSION};
pub use schedule::{Fault, Loss, TimedFault, Victim, Work};
pub use shrink::{Shrunk, shrink};
use std::{
    any::Any,
    collections::BTreeSet,
    panic::{AssertUnwindSafe, catch_unwind},
};
pub use steps::Step;
use strata_base::{ShardId, StoreId};
use strata_node::host::Event;
pub use violation::{Check, Violation};

/// How much happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Commands that were acknowledged.
    pub operations: u64,
    /// Faults that made a difference, those of the store's requests aside.
    pub faults: u64,
    /// Leaders beyond the first of each shard.
    pub leader_changes: u64,
    /// Restores after the loss of everything.
    pub restores: u64,
    /// Digests that two replicas told of the same entry.
    pub agreed: u64,
}

/// A simulation that ended well.
pub struct Played {
    /// The hash of everything that happened.
    pub trace: u64,
    /// What the clients saw.
    pub history: History,
    /// What happened, in one line.
    pub summary: String,
    /// How much happened.
    pub counts: Counts,
    /// The steps at which processes ended, and whether those were done.
    pub ends: Vec<(Step, bool)>,
}

struct Simulation {
    options: Options,
    /// What breaks, in the order of moments, until it is planned.
    schedule: Vec<TimedFault>,
    losses: Vec<Loss>,
    planted: Option<Planted>,
    /// Whether members come or go by what breaks.
    changes_members: bool,
    draws: Draws,
    queue: Queue,
    trace: Trace,
    nodes: Vec<Node>,
    network: Network,
    crowd: Crowd,
    hand: Hand,
    /// Who founds and mends the cluster, where no hand does.
    operators: Option<Operators>,
    bucket: Option<Bucket>,
    /// Another KVCluster that claims the path.
    rival: Option<Rival>,
    rivals: u64,
    witness: Witness,
    evidence: Evidence,
    /// How often everything was mended.
    era: u64,
    has_lost_disk: bool,
    /// Replicas that stopped, by the life of their node.
    stopped: BTreeSet<(u64, usize, ShardId)>,
    /// Faults that made a difference.
    faults: u64,
    crashes: u64,
    /// The steps at which processes ended, and whether those were done.
    ends: Vec<(Step, bool)>,
    snapshots: u64,
    /// Reads that a leader answered by its lease.
    leased_reads: u64,
    journal: Journal,
    /// The first promise that was broken.
    broken: Option<Violation>,
}

impl Simulation {
    fn new(run: &Run) -> Simulation {
        let (options, mut draws) = (run.options.clone(), Draws::of(run.seed));
        let node = |nth: usize| Node::new(StoreId(nth as u64 + 1), draws.nodes.u64(..1 << 32), options.rate_percent(nth));
        let nodes = (0..options.nodes).map(node).collect();
        Simulation {
            crowd: Crowd::new(options.clients),
            options,
            schedule: run.faults.clone(),
            losses: run.losses.clone(),
            planted: run.planted,
            changes_members: run.faults.iter().any(|timed| timed.fault.changes_members()),
            draws,
            queue: Queue::default(),
            trace: Trace::default(),
            nodes,
            network: Network::default(),
            hand: Hand::default(),
            operators: None,
            bucket: None,
            rival: None,
            rivals: 0,
            witness: Witness::default(),
            evidence: Evidence::default(),
            era: 0,
            has_lost_disk: false,
            stopped: BTreeSet::new(),
            faults: 0,
            crashes: 0,
            ends: Vec::new(),
            snapshots: 0,
            leased_reads: 0,
            journal: Journal::default(),
            broken: None,
        }
    }

    /// Plays it; what came of it, and its journal.
    fn run(mut self) -> (Result<Played, Violation>, String) {
        let outcome = self.play_to_the_end();
        if let Err(violation) = &outcome {
            let check = violation.check.name();
            self.tell(format!("{check} notices that a promise is broken"));
        }
        let journal = std::mem::take(&mut self.journal).into_text();
        (outcome.map(|()| self.played()), journal)
    }

    fn play_to_the_end(&mut self) -> Result<(), Violation> {
        // A panic of a host is a violation like any other.
        let played = catch_unwind(AssertUnwindSafe(|| self.play()));
        let panicked = |payload: Box<dyn Any + Send>| Err(Check::Host.says(format!("it panicked: {}", message_of(payload.as_ref()))));
        played.unwrap_or_else(panicked).map_err(|violation| {
            let now = self.queue.now();
            let sentence = format!("{}\nat {} ms of {:?}", violation.sentence, now / MILLI, self.options);
            Violation { sentence, at_micros: Some(now), ..violation }
        })
    }

    fn played(self) -> Played {
        let (crowd, steps) = (&self.crowd, self.trace.steps());
        let summary = format!(
            "{} nodes, {} shards: {} acknowledged, {} read by leases, {} unknown, {} refused by full disks, {} crashes, {} replicas stopped, {} snapshots, {} restores ({} tablets compared), {} comparisons, {steps} steps",
            self.nodes.len(),
            self.options.shards,
            crowd.acknowledged,
            self.leased_reads,
            crowd.unknown,
            crowd.refused,
            self.crashes,
            self.stopped.len(),
            self.snapshots,
            self.bucket.as_ref().map_or(0, |bucket| bucket.restores),
            self.bucket.as_ref().map_or(0, |bucket| bucket.compared),
            self.witness.compared,
        );
        let counts = Counts {
            operations: crowd.acknowledged,
            faults: self.faults + self.ends.len() as u64,
            leader_changes: self.witness.leader_changes(),
            restores: self.bucket.as_ref().map_or(0, |bucket| bucket.restores),
            agreed: self.witness.agreed,
        };
        Played { trace: self.trace.hash(), history: self.crowd.history, summary, counts, ends: self.ends }
    }

    fn play(&mut self) -> Result<(), Violation> {
        self.plant();
        self.network.heal();
        self.found();
        for node in 0..self.nodes.len() {
            self.start(node);
        }
        for number in 0..self.options.clients {
            self.queue.after(0, Action::Client { number });
        }
        self.queue.after(0, Action::Hand);
        self.queue.after(0, Action::Look);
        let faults = std::mem::take(&mut self.schedule);
        self.plan_faults(faults);
        let faults_end = self.options.trouble_micros;
        self.until(faults_end, |_| false)?;
        if self.options.is_lost_amid && !self.losses.is_empty() {
            self.crowd.close_with(Vec::new());
            self.lose_and_restore()?;
            self.look();
            return self.broken.take().map_or(Ok(()), Err);
        }
        self.heal();
        self.until(faults_end + SECOND / 2, |_| false)?;
        let faults_end = self.founded_since(faults_end)?;
        let faults_end = self.rolled_out_since(faults_end)?;

        self.look_last(faults_end)?;
        self.converge(faults_end)?;
        self.lose_and_restore()?;
        self.look();
        self.broken.take().map_or(Ok(()), Err)
    }

    /// Once everything is mended every shard serves, and what was promised to clients is there.
    fn look_last(&mut self, since: u64) -> Result<(), Violation> {
        for calls in [Simulation::probes, |simulation: &Simulation| simulation.crowd.last_looks()] {
            let calls = calls(self);
            self.crowd.close_with(calls);
            let served = self.until(since + SERVING_BOUND, |simulation| simulation.crowd.is_idle())?;
            must_live(served, || {
                format!("everything is mended, and these were never served: {}; {}", self.crowd.unserved(), self.leading())
            })?;
        }
        self.crowd.judge_last_looks().map_err(|sentence| Check::Account.says(sentence))
    }

    /// Clients go on with what was restored, amid other faults.
    fn work_again(&mut self, work: Work) -> Result<(), Violation> {
        self.tell("clients go on with what was restored");
        self.crowd.reopen();
        self.plan_faults(work.faults);
        let end = self.queue.now() + work.micros;
        self.until(end, |_| false)?;
        self.heal();
        self.until(end + SECOND / 2, |_| false)?;
        let end = self.rolled_out_since(end)?;
        self.look_last(end)
    }

    /// The store fails as it did, also those who restore from it.
    fn break_store(&self) {
        if let (Some(bucket), Some(trouble)) = (&self.bucket, self.options.store) {
            bucket.store.set_faults(trouble.per_mille());
        }
    }

    /// From here on, this thread's hosts break the rule that the options name, or none.
    fn plant(&self) {
        let rule = self.planted.and_then(Planted::rule);
        #[cfg(feature = "planted")]
        strata_base::planted::plant(rule);
        assert!(rule.is_none() || strata_base::planted::CAN_PLANT, "rules of the nodes are broken only with the feature `planted`");
    }

    /// Since when the cluster has to serve: since everything was mended, or since operators have founded it after that.
    fn founded_since(&mut self, mended: u64) -> Result<u64, Violation> {
        if self.is_founded() {
            return Ok(mended);
        }
        let founded = self.until(mended + FOUNDED_BOUND, Simulation::is_founded)?;
        must_live(founded, || format!("everything is mended, and the cluster is not founded: {}", self.ordering()))?;
        Ok(self.queue.now())
    }

    /// Since when the cluster has to serve: since everything was mended, or since the last pod is of the template that was declared.
    fn rolled_out_since(&mut self, mended: u64) -> Result<u64, Violation> {
        // Where a replica stopped for damage, its disk is replaced first, which waits for clients.
        if self.damaged().is_some() { Ok(mended) } else { self.roll_out(mended) }
    }

    /// Waits until no pod is out of date, if one is; since when.
    fn roll_out(&mut self, mended: u64) -> Result<u64, Violation> {
        if !self.is_rolling_out() {
            return Ok(mended);
        }
        let rolled_out = self.until(mended + ROLLED_OUT_BOUND, |simulation| !simulation.is_rolling_out())?;
        must_live(rolled_out, || format!("everything is mended, and pods are still out of date: {}", self.ordering()))?;
        Ok(self.queue.now())
    }

    fn converge(&mut self, since: u64) -> Result<(), Violation> {
        let since = self.roll_out(since)?;
        let converged = self.until(since + CONVERGED_BOUND, |simulation| simulation.is_contested() || simulation.is_converged().is_ok())?;
        must_live(converged, || format!("everything is mended, and: {:?}", self.is_converged()))?;
        let is_at_rest = |simulation: &Simulation| simulation.is_converged().and_then(|()| simulation.is_archived());
        let archived = self.until(self.queue.now() + ARCHIVED_BOUND, |simulation| is_at_rest(simulation).is_ok())?;
        must_live(archived, || format!("everything is mended, and: {:?}: {}", is_at_rest(self), self.restoring()))
    }

    /// Every disk is lost, again and again, amid a restore too; what is restored must serve.
    fn lose_and_restore(&mut self) -> Result<(), Violation> {
        let losses = std::mem::take(&mut self.losses);
        let last = losses.len().saturating_sub(1);
        for (nth, loss) in losses.into_iter().enumerate() {
            self.lose_most()?;
            let is_restorable = self.lose_everything()?;
            if !is_restorable {
                return Ok(());
            }
            self.heal();
            self.break_store();
            self.plan_faults(loss.faults);
            let begun = self.queue.now();
            if let Some(micros) = loss.next_after_micros.filter(|_| nth < last) {
                self.until(begun + micros, |_| false)?;
                continue;
            }
            let founded = self.until(begun + RESTORED_BOUND, |simulation| simulation.is_ordered() || simulation.is_held())?;
            if self.is_held() {
                self.tell("which incarnation goes on is for people to say");
                return self.bucket.as_ref().map_or(Ok(()), Bucket::may_be_ambiguous);
            }
            must_live(founded, || format!("the restore does not end: {}; {}", self.ordering(), self.restoring()))?;
            self.tell("everything that was ordered for the restore is done");
            if loss.old_owner_returns {
                self.tell("the lost incarnation claims its path once more");
                self.wake_zombie();
            }
            self.crowd.close_with(self.probes());
            let served = self.until(self.queue.now() + RESTORED_BOUND, |simulation| simulation.crowd.is_idle())?;
            must_live(served, || format!("it was restored, and these were never served: {}; {}", self.crowd.unserved(), self.restoring()))?;
            if let Some(work) = loss.work {
                self.work_again(work)?;
            }
            self.bucket.iter_mut().for_each(Bucket::mend);
            self.converge(self.queue.now())?;
        }
        Ok(())
    }

    /// What nodes say of a restore, for a failure's sentence.
    fn restoring(&self) -> String {
        let reports = self.nodes.iter().filter_map(|node| node.host.as_ref()).map(|host| host.report());
        format!("{:?}", reports.map(|report| (report.restore, report.archive)).collect::<Vec<_>>())
    }

    /// What replicas think of leadership, for a failure's sentence.
    fn leading(&self) -> String {
        let reports = self.nodes.iter().filter_map(|node| node.host.as_ref()).map(|host| host.report());
        let told = reports.flat_map(|report| report.shards).map(|replica| {
            let members: Vec<_> = replica.members.iter().map(|member| (member.peer, member.store, member.role)).collect();
            let (shard, peer, role, term, leader) = (replica.shard, replica.peer, replica.role, replica.term, replica.leader);
            let (epoch, applied, last) = (replica.shard_epoch, replica.applied, replica.last_index);
            format!("{shard}/{peer} {role:?} in {term} of {leader:?}, epoch {epoch}, at {applied} of {last}, {members:?}")
        });
        told.collect::<Vec<_>>().join("; ")
    }

    /// A write for every shard.
    fn probes(&self) -> Vec<(String, Call)> {
        let names = || (0..).map(|nth| format!("probe:{nth}"));
        let of = |shard| names().find(|key| self.shard_of(key) == shard).map(|key| (key, Call::with("set", "alive")));
        self.hand.shards.iter().filter_map(|(shard, _)| of(*shard)).collect()
    }

    /// Goes on until a moment, or until something holds; whether it does.
    fn until(&mut self, deadline: u64, holds: impl Fn(&Simulation) -> bool) -> Result<bool, Violation> {
        const GLANCE: u64 = 20 * MILLI;
        let mut glance = self.queue.now();
        while self.queue.now() < deadline {
            if self.queue.now() >= glance {
                glance = self.queue.now() + GLANCE;
                if holds(self) {
                    return Ok(true);
                }
            }
            let Some(action) = self.queue.next() else { break };
            self.act(action);
            if let Some(violation) = self.broken.take() {
                return Err(violation);
            }
            must_live(self.trace.steps() < ACTIONS_MAX, || "the simulation goes in circles".to_owned())?;
        }
        Ok(holds(self))
    }

    fn act(&mut self, action: Action) {
        self.trace.note(self.queue.now());
        match action {
            Action::Tick { node, life } if self.lives(node, life) => self.tick(node, life),
            Action::Turn { node, life } if self.lives(node, life) => self.take_turn(node),
            Action::Deliver { to, from, messages } => self.deliver(to, from, messages),
            Action::Arrive { node, life, event } if self.lives(node, life) => self.arrive(node, event),
            Action::WriteLog { node, life } if self.lives(node, life) => self.log_written(node),
            Action::Flush { node, life, shard, generation, applied, tablet } if self.lives(node, life) => {
                self.flush(node, &tablet, (shard, generation, applied));
            }
            Action::Purge { node, life } if self.lives(node, life) => self.purged(node),
            Action::ReadCold { node, life, read } if self.lives(node, life) => self.read_cold(node, *read),
            Action::Retain { node, life, shard, keep } if self.lives(node, life) => self.retained(node, shard, keep),
            Action::TakeSnapshot { node, life, parcel } if self.lives(node, life) => self.take_snapshot(node, parcel),
            Action::LandSnapshot { node, life, parcel } if self.lives(node, life) => self.land_snapshot(node, parcel),
            Action::Restart { node, life } if self.nodes[node].life == life && self.nodes[node].host.is_none() => self.start(node),
            Action::Ask { node, life, call } => self.store_answers(node, life, &call),
            Action::Operator { process, pass, step } => self.operator_steps(process, pass, step),
            Action::Rival { number, step } => self.rival_steps(number, step),
            Action::ReplaceOperator => self.replace_operator(),
            Action::Order { node, life, order, ticket } if self.lives(node, life) => self.order_arrives(node, *order, ticket),
            Action::Client { number } => self.client_steps(number),
            Action::Abandon { token } => self.abandon(token),
            Action::Hand => self.hand_steps(),
            Action::Fault { era, fault } => self.break_something(era, &fault),
            Action::LookAtDisk { node } => self.disk_is_looked_at(node),
            Action::Look => self.look(),
            // The node has crashed meanwhile, and with it whatever waited for this.
            _ => {}
        }
    }

    fn lives(&self, node: usize, life: u64) -> bool {
        self.nodes[node].life == life && self.nodes[node].host.is_some()
    }

    fn tick(&mut self, node: usize, life: u64) {
        if self.nodes[node].stalled_until <= self.queue.now() {
            self.arrive(node, Event::Tick);
        }
        let pause = self.nodes[node].tick_micros() + self.draws.nodes.u64(..MILLI);
        self.queue.after(pause, Action::Tick { node, life });
    }

    /// Writes a sentence into the journal.
    fn tell(&mut self, sentence: impl AsRef<str>) {
        self.journal.tell(self.queue.now(), sentence.as_ref());
    }

    /// A promise was broken; the first one is reported.
    fn breaks(&mut self, violation: Violation) {
        self.broken.get_or_insert(violation);
    }
}

fn message_of(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a message")
}

fn must_live(condition: bool, sentence: impl FnOnce() -> String) -> Result<(), Violation> {
    if condition { Ok(()) } else { Err(Check::Liveness.says(sentence())) }
}
