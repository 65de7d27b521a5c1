//! Operators: the real decision over what a simulated one sees, and its acts, one at a time.
//!
//! ```text
//!   Kubernetes (stale, away) ─► Begin ─► Report of each node (silent, late) ─► Decide: the operator's own `decide` ─► Act, Act, … ─► Begin
//!                                                                                 ▲                                   │
//!                                                bucket ─► what it answers ───────┘     Kubernetes (lost, conflict), orders (dropped, twice, late)
//! ```
//!
//! A process remembers nothing but what it asked the bucket. It is killed between any two acts; another one may take over while it goes on.
//! What must hold of all of them together is in [`super::lives`].

mod acts;

use super::{
    Simulation, Violation,
    inquiry::Asking,
    kubernetes::{Kubernetes, OBJECT_STORE, PodObject, pods, time},
    limits::FOUNDED_BOUND,
    lives::Lives,
    must_live,
    node::{Disk, Node},
    operator_faults::{OperatorFault, OperatorTrouble},
    queue::{Action, MILLI, SECOND},
};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};
use strata_base::StoreId;
use strata_crds::{ClusterPhase, ErrorClass, KVCluster, KVClusterStatus};
use strata_node_api::{Order, OrderKind, Report};
use strata_operator::{
    decide::{Act, decide, question},
    limits::{NODE_DEADLINE, RETRY_FIRST, RETRY_LAST},
    observation::{Observation, PodFact, SecretsFact, StoreFact},
    resources::Defaults,
};

/// Tickets of operators are those with this bit; the hand's have it not.
const TICKETS: u64 = 1 << 62;

/// What an operator does next.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// It reads Kubernetes and asks every node for its report.
    Begin,
    /// A node is asked for its report.
    Report { node: usize },
    /// It decides.
    Decide,
    /// It does the next act.
    Act,
    /// It waits no longer for the answer to an order.
    Unanswered { ticket: u64 },
    /// Its process ends.
    End,
}

/// A pass under way: what it saw, and what it still does.
struct Pass {
    begun: u64,
    /// When it decides at the earliest.
    due: u64,
    cluster: KVCluster,
    applied: BTreeMap<(String, String), String>,
    secrets: SecretsFact,
    reports: BTreeMap<String, Report>,
    /// The pods as they were, whether each was out of date, and what its node was: which life of its process, if it ran.
    pods: Vec<SeenPod>,
    acts: VecDeque<Act>,
    /// What the status shall be, where it is not what it was and not persisted yet.
    status: Option<KVClusterStatus>,
    look_again: Duration,
    /// Whether an object could not be applied.
    has_failed: bool,
    /// Whether nothing is left to do for the cluster.
    is_at_rest: bool,
    /// The order whose answer it waits for.
    asked: Option<u64>,
}

/// A pod as a pass saw it.
#[derive(Clone, Copy)]
struct SeenPod {
    object: PodObject,
    is_outdated: bool,
    /// The life of its node's process that had ended, if none ran.
    ended_life: Option<u64>,
}

/// An operator's process.
struct Process {
    identity: String,
    transitions: u64,
    /// Names the pass under way.
    number: u64,
    pass: Option<Pass>,
    /// Passes in a row that failed.
    failures: u32,
    asking: Asking,
}

/// An order that was given.
pub(super) struct Given {
    process: u64,
    pub(super) order: Order,
    /// The highest epoch that its store had obeyed when it arrived.
    pub(super) obeyed_before: u64,
}

/// All operators, and the Kubernetes below them.
pub(super) struct Operators {
    pub(super) kubernetes: Kubernetes,
    pub(super) lives: Lives,
    trouble: OperatorTrouble,
    processes: BTreeMap<u64, Process>,
    next_process: u64,
    next_ticket: u64,
    pub(super) given: BTreeMap<u64, Given>,
    /// Until when each node is not reached, in microseconds.
    unreached_until: Vec<u64>,
    /// After how many more acts all are killed, and how much later another one begins.
    doom: Option<(u8, u64)>,
    /// When something last happened that they must look at.
    disturbed_at: u64,
    /// Whether a pass that began since then found nothing left to do.
    is_at_rest: bool,
    pub(super) passes: u64,
}

impl Simulation {
    /// Operators look after the cluster, from now on.
    pub(super) fn begin_operators(&mut self, trouble: OperatorTrouble) {
        self.operators = Some(Operators {
            kubernetes: Kubernetes::new(&self.options, trouble.zones),
            lives: Lives::default(),
            trouble,
            processes: BTreeMap::new(),
            next_process: 0,
            next_ticket: TICKETS,
            given: BTreeMap::new(),
            unreached_until: vec![0; self.nodes.len()],
            doom: None,
            disturbed_at: 0,
            is_at_rest: false,
            passes: 0,
        });
        self.start_operator();
    }

    /// Whether all that was ordered is done, and nothing is left to order.
    pub(super) fn is_ordered(&self) -> bool {
        self.hand.is_idle() && self.damaged().is_none() && self.operators.as_ref().is_none_or(|operators| operators.is_at_rest)
    }

    /// Whether the cluster was founded.
    pub(super) fn is_founded(&self) -> bool {
        self.operators.as_ref().is_none_or(|operators| operators.kubernetes.status().phase == ClusterPhase::Running)
    }

    /// Whether pods are still out of date.
    pub(super) fn is_rolling_out(&self) -> bool {
        let kubernetes = self.operators.as_ref().map(|operators| &operators.kubernetes);
        kubernetes.is_some_and(|kubernetes| kubernetes.pods().iter().any(|pod| kubernetes.is_outdated(*pod)))
    }

    /// Whether the lineage has two living ends, so that operators do nothing until people have chosen one.
    pub(super) fn is_held(&self) -> bool {
        self.is_refused(ErrorClass::AmbiguousLineage)
    }

    fn is_refused(&self, class: ErrorClass) -> bool {
        let status = self.operators.as_ref().map(|operators| operators.kubernetes.status()).unwrap_or_default();
        status.phase == ClusterPhase::Refused && status.problems.iter().any(|problem| problem.class == class)
    }

    /// What the status says, for a failure's sentence.
    pub(super) fn ordering(&self) -> String {
        let Some(operators) = &self.operators else { return "the hand has orders left".to_owned() };
        let status = operators.kubernetes.status();
        format!("{:?}, waiting for {:?}, problems {:?}, update {:?}", status.phase, status.waiting, status.problems, status.update)
    }

    /// A process begins, and takes the lease.
    fn start_operator(&mut self) {
        let Some(operators) = &mut self.operators else { return };
        operators.next_process += 1;
        operators.kubernetes.lease_transitions += 1;
        let (process, transitions) = (operators.next_process, operators.kubernetes.lease_transitions);
        let identity = format!("operator-{process}/{transitions}");
        let begun = Process { identity: identity.clone(), transitions, number: 0, pass: None, failures: 0, asking: Asking::default() };
        operators.processes.insert(process, begun);
        self.tell(format!("{identity} begins"));
        self.begin_pass_after(process, Duration::ZERO);
    }

    fn begin_pass_after(&mut self, process: u64, pause: Duration) {
        let delay = u64::try_from(pause.as_micros()).unwrap_or(u64::MAX).max(self.draws.operator.u64(MILLI..20 * MILLI));
        let Some(at) = self.operators.as_mut().and_then(|operators| operators.processes.get_mut(&process)) else { return };
        (at.number, at.pass) = (at.number + 1, None);
        let pass = at.number;
        self.queue.after(delay, Action::Operator { process, pass, step: Step::Begin });
    }

    fn step_after(&mut self, process: u64, delay: u64, step: Step) {
        let at = self.operators.as_ref().and_then(|operators| operators.processes.get(&process));
        if let Some(pass) = at.map(|at| at.number) {
            self.queue.after(delay, Action::Operator { process, pass, step });
        }
    }

    /// Another operator begins after the last one was killed, unless one has.
    pub(super) fn replace_operator(&mut self) {
        if self.operators.as_ref().is_some_and(|operators| operators.processes.is_empty()) {
            self.start_operator();
        }
    }

    /// What an operator does next, if it lives and has not given up the pass meanwhile.
    pub(super) fn operator_steps(&mut self, process: u64, number: u64, step: Step) {
        let Some(operators) = &mut self.operators else { return };
        let Some(at) = operators.processes.get(&process) else { return };
        if let Step::End = step {
            let identity = at.identity.clone();
            operators.processes.remove(&process);
            return self.tell(format!("{identity} ends"));
        }
        if at.number != number {
            return;
        }
        self.trace.note((process, number, format!("{step:?}")));
        match step {
            Step::Begin => self.begin_pass(process),
            Step::Report { node } => self.take_report(process, node),
            Step::Decide => self.decide(process),
            Step::Act => self.do_next_act(process),
            Step::Unanswered { ticket } => self.go_on_after(process, ticket),
            Step::End => {}
        }
    }

    fn pass_of(&mut self, process: u64) -> Option<&mut Pass> {
        self.operators.as_mut()?.processes.get_mut(&process)?.pass.as_mut()
    }

    /// Reads Kubernetes, and asks every node for its report.
    fn begin_pass(&mut self, process: u64) {
        let now = self.queue.now();
        let Some(operators) = &mut self.operators else { return };
        if operators.kubernetes.is_away(now) {
            return self.fail_pass(process);
        }
        operators.passes += 1;
        let is_stale = operators.kubernetes.is_stale(now) || self.draws.operator.u64(..1_000) < operators.trouble.stale;
        let back = if is_stale { self.draws.operator.usize(..6) } else { 0 };
        let kubernetes = &operators.kubernetes;
        let seen_pod = |(object, node): (&PodObject, &Node)| SeenPod {
            object: *object,
            is_outdated: kubernetes.is_outdated(*object),
            ended_life: node.host.is_none().then_some(node.life),
        };
        let pass = Pass {
            begun: now,
            due: now,
            cluster: kubernetes.cluster_before(back).clone(),
            applied: kubernetes.applied.clone(),
            secrets: kubernetes.secrets,
            reports: BTreeMap::new(),
            pods: kubernetes.pods().iter().zip(&self.nodes).map(seen_pod).collect(),
            acts: VecDeque::new(),
            status: None,
            look_again: Duration::ZERO,
            has_failed: false,
            is_at_rest: false,
            asked: None,
        };
        let has_certificates = pass.secrets.authority;
        if let Some(at) = operators.processes.get_mut(&process) {
            at.pass = Some(pass);
        }
        let nodes = if has_certificates { self.nodes.len() } else { 0 };
        for node in 0..nodes {
            let delay = self.draws.operator.u64(MILLI..10 * MILLI);
            self.step_after(process, delay, Step::Report { node });
        }
        self.step_after(process, 30 * MILLI, Step::Decide);
    }

    /// Whether operators and a node reach each other.
    fn is_reached(&self, node: usize) -> bool {
        let now = self.queue.now();
        self.operators.as_ref().is_some_and(|operators| operators.unreached_until[node] <= now)
    }

    /// A node says what it is; one that is stuck or not reached is waited for until the deadline.
    fn take_report(&mut self, process: u64, node: usize) {
        let now = self.queue.now();
        let is_silent = self.operators.as_ref().is_some_and(|operators| self.draws.operator.u64(..1_000) < operators.trouble.silent);
        let at: &Node = &self.nodes[node];
        let answers = !is_silent && at.stalled_until <= now && self.is_reached(node);
        let report = at.host.as_ref().map(|host| host.report());
        let Some(pass) = self.pass_of(process) else { return };
        match report {
            // Nobody listens there, which is known at once.
            None => {}
            Some(report) if answers => {
                pass.reports.extend(pods(&pass.cluster).get(node).map(|pod| (pod.clone(), report)));
            }
            Some(_) => pass.due = pass.begun + NODE_DEADLINE.as_micros() as u64,
        }
    }

    /// Decides, once every report is there or late.
    fn decide(&mut self, process: u64) {
        let now = self.queue.now();
        let Some(pass) = self.pass_of(process) else { return };
        if pass.due > now {
            let wait = pass.due - now;
            return self.step_after(process, wait, Step::Decide);
        }
        let Some(mut seen) = self.observation(process) else { return };
        self.ask_bucket(process, &mut seen);
        let decision = decide(&seen);
        let is_quiet = |act: &Act| match act {
            Act::Order { order, .. } => matches!(order.order, OrderKind::Directory { .. } | OrderKind::OpenArchive { .. }),
            _ => false,
        };
        let is_running = decision.status.phase == ClusterPhase::Running && decision.status.waiting.is_empty();
        let is_at_rest = is_running && decision.status.update.is_none() && decision.acts.iter().all(is_quiet);
        let is_persisted = decision.acts.contains(&Act::Persist);
        let is_news = seen.cluster.status.as_ref() != Some(&decision.status);
        for act in decision.acts.iter().filter(|act| !is_quiet(act)) {
            self.trace.note((process, format!("{act:?}").len()));
            self.tell_act(process, act);
        }
        let Some(pass) = self.pass_of(process) else { return };
        pass.acts = decision.acts.into();
        if is_news && !is_persisted {
            // As `act` does it: the status last, where it was not persisted first.
            pass.acts.push_back(Act::Persist);
        }
        pass.status = Some(decision.status);
        (pass.look_again, pass.is_at_rest) = (decision.look_again, is_at_rest);
        self.next_act(process);
    }

    fn tell_act(&mut self, process: u64, act: &Act) {
        match act {
            Act::Order { pod, reason, .. } => self.tell(format!("operator {process} orders {pod}: {reason}")),
            Act::Persist => self.tell(format!("operator {process} persists what it decided")),
            Act::Restart { pod } => self.tell(format!("operator {process} restarts {pod}")),
            Act::IssueCertificates | Act::Apply(_) => {}
        }
    }

    /// What a pass knows.
    fn observation(&mut self, process: u64) -> Option<Observation> {
        let now = self.queue.now();
        let operators = self.operators.as_ref()?;
        let at = operators.processes.get(&process)?;
        let pass = at.pass.as_ref()?;
        let spec = serde_json::json!({
            "endpoint": super::bucket::place().store, "bucket": super::bucket::place().bucket, "credentialsSecretRef": { "name": "credentials" },
        });
        let spec = serde_json::from_value(spec).expect("it is the spec of a KVObjectStore");
        let store = StoreFact { spec: Some(spec), problem: None };
        Some(Observation {
            now: time(now),
            cluster: pass.cluster.clone(),
            identity: at.identity.clone(),
            lease_transitions: at.transitions,
            defaults: Defaults { node_image: "strata".to_owned() },
            applied: pass.applied.clone(),
            secrets: pass.secrets,
            pods: pods(&pass.cluster).into_iter().zip(&pass.pods).map(|(pod, seen)| (pod, pod_fact(seen))).collect(),
            reports: pass.reports.clone(),
            namespace_uid: "namespace".to_owned(),
            living: BTreeSet::from([operators.kubernetes.uid()]),
            stores: if self.bucket.is_some() { [(OBJECT_STORE.to_owned(), store)].into() } else { BTreeMap::new() },
            restore: None,
            answers: BTreeMap::new(),
        })
    }

    /// Asks the bucket what the decision needs, as long as answers lead to questions.
    fn ask_bucket(&mut self, process: u64, seen: &mut Observation) {
        let now = self.queue.now();
        let Some(at) = self.operators.as_mut().and_then(|operators| operators.processes.get_mut(&process)) else { return };
        let incarnation = seen.cluster.status.as_ref().and_then(|status| status.incarnation.clone()).unwrap_or_default();
        let asker = format!("{}/{incarnation}", seen.cluster.metadata.uid.clone().unwrap_or_default());
        let mut has_asked = false;
        while let (Some(question), Some(bucket)) = (question(seen), &self.bucket) {
            has_asked = true;
            let delay = self.draws.operator.u64(10 * MILLI..2 * SECOND);
            let answer = at.asking.ask(now, delay, &asker, &question, bucket);
            seen.answers.insert(question, answer);
        }
        if !has_asked {
            at.asking.forget(&asker);
        }
    }

    fn next_act(&mut self, process: u64) {
        let delay = self.draws.operator.u64(500..8 * MILLI);
        self.step_after(process, delay, Step::Act);
    }

    /// All acts are done.
    fn end_pass(&mut self, process: u64) {
        let Some(operators) = &mut self.operators else { return };
        let Some(at) = operators.processes.get_mut(&process) else { return };
        let Some(pass) = &at.pass else { return };
        if pass.has_failed {
            return self.fail_pass(process);
        }
        at.failures = 0;
        let pause = pass.look_again;
        if pass.begun >= operators.disturbed_at && operators.kubernetes.uid() == pass.cluster.metadata.uid.clone().unwrap_or_default() {
            operators.is_at_rest = pass.is_at_rest;
        }
        self.begin_pass_after(process, pause);
    }

    /// The pass ends early; the next one comes later, and later still if it fails again.
    fn fail_pass(&mut self, process: u64) {
        let Some(at) = self.operators.as_mut().and_then(|operators| operators.processes.get_mut(&process)) else { return };
        at.failures += 1;
        let pause = RETRY_FIRST.saturating_mul(1 << (at.failures - 1).min(8)).min(RETRY_LAST);
        self.begin_pass_after(process, pause);
    }

    /// Something befalls the operators. Whether it made a difference.
    pub(super) fn inflict_on_operators(&mut self, fault: &OperatorFault) -> bool {
        let now = self.queue.now();
        let Some(operators) = &mut self.operators else { return false };
        match *fault {
            OperatorFault::Kill { acts, micros } => operators.doom = Some((acts, micros)),
            OperatorFault::Second { micros } => self.take_over(micros),
            OperatorFault::Away { micros } => operators.kubernetes.away_until = now + micros,
            OperatorFault::Stale { micros } => operators.kubernetes.stale_until = now + micros,
            OperatorFault::Rebuilt { .. } if operators.kubernetes.status().phase != ClusterPhase::Running => return false,
            OperatorFault::Rebuilt { micros } => {
                operators.kubernetes.rebuild(&self.options, operators.trouble.zones);
                self.take_over(micros);
            }
            OperatorFault::Unreached { node, micros } => operators.unreached_until[node] = now + micros,
            OperatorFault::Rollout => {
                operators.kubernetes.change_template();
                (operators.disturbed_at, operators.is_at_rest) = (now, false);
            }
        }
        true
    }

    /// Another operator begins, and those that are there end when they notice.
    fn take_over(&mut self, micros: u64) {
        let Some(operators) = &self.operators else { return };
        let before: Vec<u64> = operators.processes.keys().copied().collect();
        before.into_iter().for_each(|process| self.step_after(process, micros, Step::End));
        self.start_operator();
    }

    /// Everything around the operators is mended, and one of them is left, which looks at once.
    pub(super) fn mend_operators(&mut self) {
        let now = self.queue.now();
        let Some(operators) = &mut self.operators else { return };
        operators.trouble = OperatorTrouble { zones: operators.trouble.zones, ..OperatorTrouble::default() };
        operators.kubernetes.mend();
        operators.unreached_until.fill(0);
        (operators.doom, operators.disturbed_at, operators.is_at_rest) = (None, now, false);
        operators.processes.values_mut().for_each(|process| process.failures = 0);
        while operators.processes.len() > 1 {
            operators.processes.pop_first();
        }
        let Some((&process, _)) = operators.processes.first_key_value() else { return self.start_operator() };
        self.begin_pass_after(process, Duration::ZERO);
    }

    /// Every disk is lost. The KVCluster is still there, or is declared anew.
    pub(super) fn declare_after_loss(&mut self) {
        let now = self.queue.now();
        let is_anew = self.draws.operator.bool();
        let Some(operators) = &mut self.operators else { return };
        operators.lives.everything_is_lost();
        (operators.disturbed_at, operators.is_at_rest) = (now, false);
        operators.kubernetes.make_pods(self.options.nodes);
        if is_anew {
            operators.kubernetes.declare(&self.options, operators.trouble.zones);
            operators.kubernetes.applied.clear();
        }
        self.hand.shards.clear();
        self.tell(if is_anew { "the KVCluster is declared anew" } else { "the KVCluster is still there" });
    }

    /// Now and then a minority of the disks survives, and nobody knows the cluster any more but them: operators must leave the choice to people, and
    /// say so.
    pub(super) fn lose_most(&mut self) -> Result<(), Violation> {
        let is_chosen = self.draws.operator.u8(..3) == 0 && self.is_founded();
        // What was just given an empty disk knows of no cluster: were it all that is left, nothing would be.
        let members: Vec<usize> = (0..self.nodes.len()).filter(|node| self.nodes[*node].disk.identity.membership.is_some()).collect();
        let Some(first) = self.draws.operator.choice(members) else { return Ok(()) };
        // Soon after a loss the status says that the cluster runs, and no disk holds any of it.
        let Some(operators) = self.operators.as_mut().filter(|of| is_chosen && of.lives.living.is_some()) else { return Ok(()) };
        operators.kubernetes.rebuild(&self.options, operators.trouble.zones);
        operators.lives.most_is_lost();
        let survivors = self.options.replicas.saturating_sub(1) / 2;
        self.tell(format!("all but {survivors} disks are lost, and the KVCluster is declared anew"));
        for nth in 0..self.nodes.len() {
            let node = (first + nth) % self.nodes.len();
            if self.nodes[node].host.is_some() {
                self.crash(node);
            }
            if nth >= survivors {
                self.nodes[node].disk = Disk::empty(StoreId(self.nodes[node].store().0 + 1_000_000));
            }
        }
        // The logs that are left do not say what is archived: those that are gone did.
        self.changes_members = true;
        self.heal();
        let refused = self.until(self.queue.now() + FOUNDED_BOUND, |simulation| simulation.is_refused(ErrorClass::AmbiguousBootstrap))?;
        must_live(refused, || format!("a minority of the disks is left, and nobody says so: {}", self.ordering()))?;
        Ok(())
    }
}

fn pod_fact(seen: &SeenPod) -> PodFact {
    PodFact { is_outdated: seen.is_outdated, ..PodFact::default() }
}
