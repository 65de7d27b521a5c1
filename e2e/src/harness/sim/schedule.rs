//! What breaks in a run, and when: plain data, drawn before anything happens, so that leaving one fault out changes no other.

use super::{
    limits::{FAULTS_MAX, LOSSES_MAX},
    operator_faults::OperatorFault,
    options::{Options, Swarm},
    queue::{MILLI, SECOND},
    steps::Step,
};
use fastrand::Rng;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Whom a fault meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Victim {
    /// This node.
    Node(usize),
    /// Whichever node leads a shard then, the shard being named by its place in the order of slots.
    LeaderOf {
        /// The shard.
        shard: usize,
        /// The node that it meets where nobody leads.
        or_node: usize,
    },
}

/// Something that breaks, or is ordered at a bad moment. Nodes and shards are named by their places, lengths are in microseconds.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Fault {
    /// A process is killed, and starts again `micros` later.
    Crash { node: usize, micros: u64 },
    /// All processes are killed, and start again so much later each.
    CrashAll { micros: Vec<u64> },
    /// One direction between two nodes carries nothing.
    CutOneWay { from: usize, to: usize },
    /// A node is cut off in both directions.
    Isolate { whom: Victim },
    /// A node is stuck for `micros`, and cut off in both directions until something mends that.
    Vanish { whom: Victim, micros: u64 },
    /// All cuts are mended.
    MendCuts,
    /// So many of a thousand messages are lost from now on, and so many of a thousand batches arrive twice.
    Lose { loss: u32, doubling: u32 },
    /// Messages take up to so long from now on, and a few of them twenty times that.
    Delay { micros: u64 },
    /// The disk of a node is slow for a while.
    SlowDisk { node: usize, micros: u64 },
    /// A process does nothing at all for a while.
    Stall { node: usize, micros: u64 },
    /// The wall clock of a node is off by `millis`.
    SkewClock { node: usize, millis: i64 },
    /// All wall clocks are right again.
    MendClocks,
    /// A node is told to give its leaders away for `millis`.
    EvictLeaders { node: usize, millis: u64 },
    /// The leader of a shard is told to make way for a member, which is named by its place.
    TransferLeader { shard: usize, member: usize },
    /// The disk of a node is lost for ever; an empty one comes in its place `micros` later. Once in a run.
    LoseDisk { node: usize, micros: u64 },
    /// A member of a shard moves to a node that has none: the member and the node, among those, by place. Where `goes_back` is set, the last move is
    /// undone, if there was one and it can be.
    MoveMember { shard: usize, member: usize, other: usize, goes_back: bool },
    /// The store of objects does not answer any more.
    StoreLeaves,
    /// The store of objects answers again.
    StoreReturns,
    /// The store forgets the next upload in several parts once it has one of them: a rule of the bucket for what is unfinished.
    ForgetUpload,
    /// A shard is to be checkpointed now.
    Checkpoint { shard: usize },
    /// Another KVCluster claims the path: for an empty cluster, or to go on with what lies there.
    Rival { may_continue: bool },
    /// The next append to the log of a node fails: its process ends, and starts again `micros` later.
    FailAppend { node: usize, micros: u64 },
    /// The disk of a node is full for a while, but for its reserve.
    FillDisk { node: usize, micros: u64 },
    /// The process of a node ends when it comes to a step, before or after it, and starts again `micros` later.
    EndAt { node: usize, step: Step, is_done: bool, micros: u64 },
    /// Something befalls the operators, where there are any.
    Operator(OperatorFault),
    /// The next flush of a tablet of a node fails: its replica stops, and the process is started anew `micros` later.
    FailFlush { node: usize, micros: u64 },
    /// On the disk of a node one record in `one_in` of a shard's tablet cannot be read any more.
    RotTablet { node: usize, shard: usize, one_in: u32 },
    /// On the disk of a node one entry in `one_in` of a shard's log cannot be read any more.
    RotLog { node: usize, shard: usize, one_in: u32 },
}

/// A fault and its moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimedFault {
    /// Microseconds since the run began, or since the restore began which it befalls.
    pub at_micros: u64,
    /// What breaks.
    pub fault: Fault,
}

/// Every process and every disk is lost at once, and the bucket is restored. The first loss comes when the trouble ends, another one after the
/// restore before it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Loss {
    /// Where the next loss does not wait for this restore: how long after its beginning it comes, in microseconds.
    pub next_after_micros: Option<u64>,
    /// What breaks while it is restored.
    pub faults: Vec<TimedFault>,
    /// Whether the lost incarnation's claim of the path takes effect once more, after the restore.
    pub old_owner_returns: bool,
    /// What befalls the cluster once it is restored, while clients work with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub work: Option<Work>,
}

/// How long clients work with a restored cluster, and what breaks meanwhile.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Work {
    /// How long, in microseconds.
    pub micros: u64,
    /// What breaks; moments count from when it was restored.
    pub faults: Vec<TimedFault>,
}

impl Loss {
    /// All faults after it.
    pub(super) fn all_faults(&self) -> impl Iterator<Item = &TimedFault> {
        self.faults.iter().chain(self.work.iter().flat_map(|work| &work.faults))
    }

    /// Likewise.
    pub(super) fn all_faults_mut(&mut self) -> impl Iterator<Item = &mut TimedFault> {
        self.faults.iter_mut().chain(self.work.iter_mut().flat_map(|work| &mut work.faults))
    }
}

/// The kinds of faults that a swarm has, each as often as it shall be drawn.
#[derive(Clone, Copy)]
enum Kind {
    Crash,
    CrashAll,
    CutOneWay,
    Isolate,
    MendCuts,
    Lose,
    Delay,
    SlowDisk,
    Stall,
    Vanish,
    SkewClock,
    MendClocks,
    MoveLeaders,
    LoseDisk,
    MoveMember,
    Store,
    Rival,
    FailAppend,
    FillDisk,
    EndAt,
}

fn kinds(options: &Options, swarm: &Swarm) -> Vec<Kind> {
    let may_isolate = swarm.cuts && swarm.only_victim.is_none();
    let table = [
        (swarm.crashes, Kind::Crash, 2),
        (swarm.whole_crashes, Kind::CrashAll, 1),
        (may_isolate, Kind::CutOneWay, 1),
        (may_isolate, Kind::Isolate, 1),
        (may_isolate, Kind::MendCuts, 1),
        (swarm.loss && swarm.only_victim.is_none(), Kind::Lose, 1),
        (swarm.delays, Kind::Delay, 1),
        (swarm.slow_disks, Kind::SlowDisk, 1),
        (swarm.stalls, Kind::Stall, 1),
        (may_isolate && swarm.stalls, Kind::Vanish, 2),
        (swarm.skew_millis > 0, Kind::SkewClock, 1),
        (swarm.skew_millis > 0, Kind::MendClocks, 1),
        (swarm.transfers, Kind::MoveLeaders, 2),
        (swarm.replacement, Kind::LoseDisk, 1),
        (swarm.moves, Kind::MoveMember, 2),
        (options.store.is_some(), Kind::Store, 2),
        (options.store.is_some(), Kind::Rival, 1),
        (swarm.failed_appends, Kind::FailAppend, 1),
        (swarm.full_disks, Kind::FillDisk, 1),
        (swarm.ends, Kind::EndAt, 2),
    ];
    let chosen = table.into_iter().filter(|(is_chosen, ..)| *is_chosen);
    chosen.flat_map(|(_, kind, weight)| std::iter::repeat_n(kind, weight)).collect()
}

/// Draws what breaks: one fault after the other at random moments, of the kinds that the seed has chosen.
pub(super) fn draw_faults(options: &Options, swarm: &Swarm, draws: &mut Rng) -> Vec<TimedFault> {
    faults_until(options.trouble_micros, options, swarm, &kinds(options, swarm), draws)
}

fn faults_until(end_micros: u64, options: &Options, swarm: &Swarm, kinds: &[Kind], draws: &mut Rng) -> Vec<TimedFault> {
    let mut at_micros = if draws.bool() { SECOND } else { 0 };
    let mut faults = Vec::new();
    while at_micros < end_micros && faults.len() < FAULTS_MAX {
        let Some(kind) = draws.choice(kinds) else { break };
        faults.push(TimedFault { at_micros, fault: Drawing { options, swarm, draws: &mut *draws }.fault(*kind) });
        at_micros += draws.u64(1..2 * swarm.calm_micros);
    }
    faults
}

/// Draws up to three losses of everything, each but the last in one of three runs amid the restore before it. Then clients go on, amid
/// faults of the kinds that the seed has chosen.
pub(super) fn draw_losses(options: &Options, swarm: &Swarm, draws: &mut Rng) -> Vec<Loss> {
    let swarm = Swarm { replacement: false, moves: false, ..swarm.clone() };
    let kinds = kinds(options, &swarm);
    let mut loss = |is_last: bool| {
        let next_after_micros = (!is_last && draws.u8(..3) == 0).then(|| draws.u64(..3 * SECOND));
        let mut faults = Vec::new();
        for node in 0..options.nodes {
            if next_after_micros.is_none() && draws.u8(..4) == 0 {
                let at_micros = draws.u64(..3 * SECOND);
                faults.push(TimedFault { at_micros, fault: Fault::Crash { node, micros: draws.u64(MILLI..SECOND) } });
            }
        }
        let old_owner_returns = draws.u8(..3) == 0;
        let micros = draws.u64(2..=6) * SECOND;
        let work = Work { micros, faults: faults_until(micros, options, &swarm, &kinds, draws) };
        Loss { next_after_micros, faults, old_owner_returns, work: next_after_micros.is_none().then_some(work) }
    };
    (0..LOSSES_MAX).map(|nth| loss(nth + 1 == LOSSES_MAX)).collect()
}

struct Drawing<'a> {
    options: &'a Options,
    swarm: &'a Swarm,
    draws: &'a mut Rng,
}

impl Drawing<'_> {
    fn node(&mut self) -> usize {
        let any = self.draws.usize(..self.options.nodes);
        self.swarm.only_victim.unwrap_or(any)
    }

    fn shard(&mut self) -> usize {
        self.draws.usize(..usize::from(self.options.shards))
    }

    /// Half of the time, a node that leads.
    fn whom(&mut self) -> Victim {
        let (node, shard) = (self.node(), self.shard());
        if self.draws.bool() { Victim::LeaderOf { shard, or_node: node } } else { Victim::Node(node) }
    }

    fn length(&mut self) -> u64 {
        if self.draws.u8(..3) == 0 { self.draws.u64(MILLI..50 * MILLI) } else { self.draws.u64(50 * MILLI..2 * SECOND) }
    }

    fn fault(&mut self, kind: Kind) -> Fault {
        match kind {
            Kind::Crash => Fault::Crash { node: self.node(), micros: self.length() },
            Kind::CrashAll => {
                let longest = if self.draws.u8(..3) == 0 { 50 * MILLI } else { SECOND };
                Fault::CrashAll { micros: (0..self.options.nodes).map(|_| self.draws.u64(5 * MILLI..longest)).collect() }
            }
            Kind::CutOneWay => Fault::CutOneWay { from: self.node(), to: self.draws.usize(..self.options.nodes) },
            Kind::Isolate => Fault::Isolate { whom: self.whom() },
            Kind::Vanish => Fault::Vanish { whom: self.whom(), micros: self.length() },
            Kind::MendCuts => Fault::MendCuts,
            Kind::Lose => Fault::Lose { loss: self.draws.u32(..200), doubling: self.draws.u32(..200) },
            Kind::Delay => Fault::Delay { micros: self.draws.u64(MILLI..60 * MILLI) },
            Kind::SlowDisk => Fault::SlowDisk { node: self.node(), micros: self.length() },
            Kind::Stall => Fault::Stall { node: self.node(), micros: self.length() },
            Kind::SkewClock => self.skew(),
            Kind::MendClocks => Fault::MendClocks,
            Kind::MoveLeaders if self.draws.u8(..3) == 0 => {
                Fault::EvictLeaders { node: self.draws.usize(..self.options.nodes), millis: self.draws.u64(..1_500) }
            }
            Kind::MoveLeaders => Fault::TransferLeader { shard: self.shard(), member: self.draws.usize(..self.options.replicas) },
            Kind::LoseDisk => Fault::LoseDisk { node: self.node(), micros: self.length() },
            Kind::MoveMember => Fault::MoveMember {
                shard: self.shard(),
                member: self.draws.usize(..self.options.replicas),
                other: self.draws.usize(..self.options.nodes),
                goes_back: self.draws.bool(),
            },
            Kind::Rival => Fault::Rival { may_continue: self.draws.u8(..4) > 0 },
            Kind::FailAppend => Fault::FailAppend { node: self.node(), micros: self.length() },
            Kind::FillDisk => Fault::FillDisk { node: self.node(), micros: self.length() },
            Kind::EndAt => Fault::EndAt {
                node: self.node(),
                step: self.draws.choice(Step::ALL).copied().unwrap_or(Step::Append),
                is_done: self.draws.bool(),
                micros: self.length(),
            },
            Kind::Store => match self.draws.u8(..5) {
                0 => Fault::StoreLeaves,
                1 => Fault::StoreReturns,
                2 if self.options.part_bytes.is_some() => Fault::ForgetUpload,
                _ => Fault::Checkpoint { shard: self.shard() },
            },
        }
    }

    /// The clocks of a minority of any shard's members are off; always of the same nodes, so that it stays one.
    fn skew(&mut self) -> Fault {
        let minority = self.options.replicas.saturating_sub(1) / 2;
        let any = self.draws.usize(..minority.max(1));
        let bound = self.swarm.skew_millis;
        let millis = self.draws.i64(-bound..=bound);
        // Half of the time it is as far off as it gets.
        let millis = if self.draws.bool() { millis } else { bound * millis.signum() };
        Fault::SkewClock { node: self.swarm.only_victim.unwrap_or(any), millis }
    }
}

impl Fault {
    /// The nodes and the shard that it names.
    fn places(&mut self) -> (Vec<&mut usize>, Option<&mut usize>) {
        match self {
            Fault::Isolate { whom } | Fault::Vanish { whom, .. } => match whom {
                Victim::Node(node) => (vec![node], None),
                Victim::LeaderOf { shard, or_node } => (vec![or_node], Some(shard)),
            },
            Fault::CutOneWay { from, to } => (vec![from, to], None),
            Fault::Operator(OperatorFault::Unreached { node, .. }) => (vec![node], None),
            Fault::Crash { node, .. }
            | Fault::SlowDisk { node, .. }
            | Fault::Stall { node, .. }
            | Fault::SkewClock { node, .. }
            | Fault::EvictLeaders { node, .. }
            | Fault::FailAppend { node, .. }
            | Fault::FillDisk { node, .. }
            | Fault::EndAt { node, .. }
            | Fault::FailFlush { node, .. }
            | Fault::LoseDisk { node, .. } => (vec![node], None),
            Fault::RotTablet { node, shard, .. } | Fault::RotLog { node, shard, .. } => (vec![node], Some(shard)),
            Fault::TransferLeader { shard, .. } | Fault::MoveMember { shard, .. } | Fault::Checkpoint { shard } => {
                (Vec::new(), Some(shard))
            }
            Fault::CrashAll { .. }
            | Fault::MendCuts
            | Fault::Lose { .. }
            | Fault::Delay { .. }
            | Fault::MendClocks
            | Fault::StoreLeaves
            | Fault::StoreReturns
            | Fault::ForgetUpload
            | Fault::Rival { .. }
            | Fault::Operator(_) => (Vec::new(), None),
        }
    }

    /// The same fault in a smaller cluster: what met a node or a shard that is gone meets another one.
    pub(super) fn fold(&mut self, nodes: usize, shards: usize) {
        if let Fault::CrashAll { micros } = self {
            micros.truncate(nodes);
        }
        let (of_nodes, of_shard) = self.places();
        of_nodes.into_iter().for_each(|node| *node %= nodes);
        of_shard.into_iter().for_each(|shard| *shard %= shards);
    }

    /// Whether members come or go by it.
    pub(super) fn changes_members(&self) -> bool {
        matches!(self, Fault::LoseDisk { .. } | Fault::MoveMember { .. } | Fault::RotTablet { .. } | Fault::RotLog { .. })
    }

    /// Whether every node and shard that it names is there.
    pub(super) fn check(&self, options: &Options) -> Result<(), String> {
        let mut folded = self.clone();
        folded.fold(options.nodes, options.shards.into());
        if folded == *self { Ok(()) } else { Err(format!("the fault \"{self}\" names a node or a shard that is not there")) }
    }
}

impl fmt::Display for Victim {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Victim::Node(node) => write!(out, "node {node}"),
            Victim::LeaderOf { shard, or_node } => write!(out, "the leader of shard {shard} (or node {or_node})"),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |micros: &u64| format!("{}.{:03} ms", micros / MILLI, micros % MILLI);
        match self {
            Fault::Crash { node, micros } => write!(out, "node {node} is killed, and starts again after {}", ms(micros)),
            Fault::CrashAll { micros } => {
                let each: Vec<String> = micros.iter().map(ms).collect();
                write!(out, "all nodes are killed, and start again after {}", each.join(", "))
            }
            Fault::CutOneWay { from, to } => write!(out, "nothing gets from node {from} to node {to}"),
            Fault::Isolate { whom } => write!(out, "{whom} is cut off"),
            Fault::Vanish { whom, micros } => write!(out, "{whom} is stuck for {}, and cut off", ms(micros)),
            Fault::MendCuts => write!(out, "all cuts are mended"),
            Fault::Lose { loss, doubling } => write!(out, "{loss} of 1000 messages are lost, {doubling} of 1000 batches come twice"),
            Fault::Delay { micros } => write!(out, "messages take up to {}, some 20 times that", ms(micros)),
            Fault::SlowDisk { node, micros } => write!(out, "the disk of node {node} is slow for {}", ms(micros)),
            Fault::Stall { node, micros } => write!(out, "node {node} is stuck for {}", ms(micros)),
            Fault::SkewClock { node, millis } => write!(out, "the wall clock of node {node} is off by {millis} ms"),
            Fault::MendClocks => write!(out, "all wall clocks are right"),
            Fault::EvictLeaders { node, millis } => write!(out, "node {node} is told to give its leaders away for {millis} ms"),
            Fault::TransferLeader { shard, member } => write!(out, "the leader of shard {shard} is told to make way for member {member}"),
            Fault::LoseDisk { node, micros } => write!(out, "node {node} loses its disk, and starts on an empty one after {}", ms(micros)),
            Fault::MoveMember { shard, member, other, goes_back } => {
                let back = if *goes_back { ", or the last one back" } else { "" };
                write!(out, "member {member} of shard {shard} moves to node {other} of those without one{back}")
            }
            Fault::StoreLeaves => write!(out, "the store of objects is away"),
            Fault::StoreReturns => write!(out, "the store of objects is back"),
            Fault::ForgetUpload => write!(out, "the next upload in several parts is forgotten by the store"),
            Fault::Rival { may_continue } => {
                let what = if *may_continue { "to go on with what lies there" } else { "for an empty cluster" };
                write!(out, "another KVCluster claims the path, {what}")
            }
            Fault::Checkpoint { shard } => write!(out, "shard {shard} is to be checkpointed"),
            Fault::FailAppend { node, micros } => {
                write!(out, "the next append of node {node} fails, which ends it, and it starts again after {}", ms(micros))
            }
            Fault::FillDisk { node, micros } => write!(out, "the disk of node {node} is full for {}", ms(micros)),
            Fault::EndAt { node, step, is_done, micros } => {
                let side = if *is_done { "after" } else { "before" };
                write!(out, "node {node} ends {side} it next {}, and starts again after {}", step.text(), ms(micros))
            }
            Fault::Operator(fault) => fault.fmt(out),
            Fault::FailFlush { node, micros } => {
                write!(out, "the next flush of node {node} fails, and it is started anew after {}", ms(micros))
            }
            Fault::RotTablet { node, shard, one_in } => {
                write!(out, "one record in {one_in} of the tablet of shard {shard} on node {node} cannot be read")
            }
            Fault::RotLog { node, shard, one_in } => {
                write!(out, "one entry in {one_in} of the log of shard {shard} on node {node} cannot be read")
            }
        }
    }
}

impl fmt::Display for TimedFault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:>3}.{:06} s  {}", self.at_micros / SECOND, self.at_micros % SECOND, self.fault)
    }
}
