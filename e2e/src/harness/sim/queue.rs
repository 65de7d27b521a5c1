//! What will happen, in the order in which it happens, and the trace of what did.

use super::{operator::Step, rival, schedule::Fault};
use std::{
    cmp::{Ordering, Reverse},
    collections::BinaryHeap,
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};
use strata_base::{PeerId, ShardId, StoreId};
use strata_engine::{tablet::Tablet, tier::Call};
use strata_node::host::{ColdRead, Event, PeerMessage};
use strata_node_api::Order;

/// What names a command that a client waits for.
pub(super) type Token = u64;

/// A millisecond, in the microseconds that the simulation counts.
pub(super) const MILLI: u64 = 1_000;

/// A second, in microseconds.
pub(super) const SECOND: u64 = 1_000 * MILLI;

/// What will happen. Whatever names a life happens only if the node has not crashed meanwhile.
pub(super) enum Action {
    /// A node's timer.
    Tick { node: usize, life: u64 },
    /// A node takes what has arrived.
    Turn { node: usize, life: u64 },
    /// Messages come out of the network.
    Deliver { to: StoreId, from: StoreId, messages: Vec<PeerMessage> },
    /// Something comes back to the node that asked for it.
    Arrive { node: usize, life: u64, event: Event<Token> },
    /// The disk has written the oldest append.
    WriteLog { node: usize, life: u64 },
    /// The disk has written a tablet.
    Flush { node: usize, life: u64, shard: ShardId, generation: u64, applied: u64, tablet: Arc<dyn Tablet> },
    /// The disk has looked for log files that nobody needs.
    Purge { node: usize, life: u64 },
    /// The disk has removed old tablets.
    Retain { node: usize, life: u64, shard: ShardId, keep: Option<u64> },
    /// The disk has read what was not in memory.
    ReadCold { node: usize, life: u64, read: Box<ColdRead<Token>> },
    /// The files of a snapshot are taken.
    TakeSnapshot { node: usize, life: u64, parcel: Parcel },
    /// A snapshot has crossed the network, or not.
    LandSnapshot { node: usize, life: u64, parcel: Parcel },
    /// A request reaches the store of objects, whether who sent it lives or not.
    Ask { node: usize, life: u64, call: Call },
    /// A node starts again.
    Restart { node: usize, life: u64 },
    /// A client gives its next command.
    Client { number: usize },
    /// A client stops waiting.
    Abandon { token: Token },
    /// The operator's hand does what is next.
    Hand,
    /// An operator does what is next in a pass.
    Operator { process: u64, pass: u64, step: Step },
    /// Another operator begins in the place of one that was killed.
    ReplaceOperator,
    /// Something befalls another KVCluster's claim of the path.
    Rival { number: u64, step: rival::Step },
    /// An operator's order reaches a node.
    Order { node: usize, life: u64, order: Box<Order>, ticket: u64 },
    /// Something breaks, unless everything was mended since it was planned.
    Fault { era: u64, fault: Fault },
    /// A node looks at the free space of its disk.
    LookAtDisk { node: usize },
    /// Replicas are looked at.
    Look,
}

/// A snapshot on its way.
pub(super) struct Parcel {
    pub(super) to: StoreId,
    pub(super) shard: ShardId,
    pub(super) from_peer: PeerId,
    pub(super) to_peer: PeerId,
    pub(super) bytes: bytes::Bytes,
    pub(super) tablet: Arc<dyn Tablet>,
}

struct Scheduled {
    at: u64,
    sequence: u64,
    action: Action,
}

impl Scheduled {
    fn place(&self) -> (u64, u64) {
        (self.at, self.sequence)
    }
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Scheduled) -> bool {
        self.place() == other.place()
    }
}

impl Eq for Scheduled {}

impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Scheduled) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Scheduled {
    fn cmp(&self, other: &Scheduled) -> Ordering {
        self.place().cmp(&other.place())
    }
}

/// What will happen, by time and then by the order of planning.
#[derive(Default)]
pub(super) struct Queue {
    heap: BinaryHeap<Reverse<Scheduled>>,
    sequence: u64,
    now: u64,
}

impl Queue {
    /// Microseconds since the simulation began.
    pub(super) fn now(&self) -> u64 {
        self.now
    }

    /// Plans an action `delay` microseconds from now.
    pub(super) fn after(&mut self, delay: u64, action: Action) {
        self.at(self.now + delay, action);
    }

    /// Plans an action for a moment, which has not passed.
    pub(super) fn at(&mut self, at: u64, action: Action) {
        self.sequence += 1;
        self.heap.push(Reverse(Scheduled { at: at.max(self.now), sequence: self.sequence, action }));
    }

    /// The next action, and its moment becomes now.
    pub(super) fn next(&mut self) -> Option<Action> {
        let Reverse(scheduled) = self.heap.pop()?;
        self.now = scheduled.at;
        Some(scheduled.action)
    }
}

/// A hash of everything that happened, in order: equal traces, equal runs.
#[derive(Default)]
pub(super) struct Trace {
    hasher: DefaultHasher,
    steps: u64,
}

impl Trace {
    /// Adds a fact.
    pub(super) fn note(&mut self, fact: impl Hash) {
        self.steps += 1;
        fact.hash(&mut self.hasher);
    }

    /// Adds messages.
    pub(super) fn note_messages(&mut self, messages: &[PeerMessage]) {
        for message in messages {
            match message {
                PeerMessage::Raft { shard, from, to, bytes } => self.note((shard.0, from.0, to.0, &bytes[..])),
                PeerMessage::Gone { shard, peer, epoch } => self.note((shard.0, peer.0, epoch.0)),
                PeerMessage::Archived { shard, index, hlc } => self.note((shard.0, index, hlc.as_u64())),
                PeerMessage::Confirm { round, leads } | PeerMessage::Confirmed { round, leads } => {
                    self.note(*round);
                    leads.iter().for_each(|lead| self.note((lead.shard.0, lead.peer.0, lead.term)));
                }
                PeerMessage::Gossip { wall_ms, routes, .. } => self.note((wall_ms, routes.len())),
            }
        }
    }

    /// The hash so far.
    pub(super) fn hash(&self) -> u64 {
        self.hasher.finish()
    }

    /// How many facts there were.
    pub(super) fn steps(&self) -> u64 {
        self.steps
    }
}
