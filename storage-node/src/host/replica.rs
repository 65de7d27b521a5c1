//! One replica: its Raft group, its tablet, and what waits for either.

use super::{comparison::Compared, event::Command, lease::ReadLease};
use crate::{
    agreement::{Agreed, AgreementKind},
    bridge::{LogReader, TabletReader},
    descriptor::{Applied, Descriptor, ReplicaRecord},
};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};
use strata_base::{Epoch, Hlc, PeerId, ShardId, StoreId};
use strata_engine::{tablet::Tablet, tier::archive::Position};
use strata_kv::{Overlay, Reply, Round};
use strata_raft_group::{HardState, Message, Place, RaftGroup};

/// A command that waits for evaluation.
pub(super) struct Queued<T> {
    pub(super) command: Command<T>,
    pub(super) deadline_ms: u64,
}

/// A reply that waits for the fate of an entry.
pub(super) struct Pending<T> {
    pub(super) term: u64,
    pub(super) round: Round,
    pub(super) replies: Vec<(T, Reply)>,
    pub(super) deadline_ms: u64,
}

/// A command that waits for a read barrier.
pub(super) enum Reading<T> {
    /// To be evaluated against the tablet once the barrier was passed.
    Beside(Queued<T>),
    /// Evaluated already, without effects; may be answered once the barrier was passed and `after` is applied.
    Evaluated { token: T, reply: Reply, after: Option<Place>, deadline_ms: u64 },
}

impl<T> Reading<T> {
    pub(super) fn deadline_ms(&self) -> u64 {
        match self {
            Reading::Beside(queued) => queued.deadline_ms,
            Reading::Evaluated { deadline_ms, .. } => *deadline_ms,
        }
    }

    pub(super) fn into_token(self) -> T {
        match self {
            Reading::Beside(queued) => queued.command.token,
            Reading::Evaluated { token, .. } => token,
        }
    }
}

/// Readings under one barrier.
pub(super) struct Barrier<T> {
    /// The proof of leadership that grants it.
    pub(super) proof: u64,
    /// The index to apply first, once it was granted.
    pub(super) granted: Option<u64>,
    pub(super) readings: Vec<Reading<T>>,
}

/// Barriers that the shards of this node asked for in one turn: their messages, and the answers to them, travel together. While they are under
/// way, the reads of all shards gather for the next round.
#[derive(Debug, Default)]
pub(super) struct BarrierRound {
    /// Shards whose barrier is not known to be granted.
    pub(super) members: Vec<ShardId>,
    /// Shards with reads that wait for the next round.
    pub(super) held: Vec<ShardId>,
    /// When it began.
    pub(super) begun_ms: u64,
    turn: u64,
}

impl BarrierRound {
    /// Whether a shard may join in this turn, or begin the next round.
    pub(super) fn takes_members(&self, turn: u64) -> bool {
        self.members.is_empty() || self.turn == turn
    }

    /// A barrier of this shard is under way.
    pub(super) fn join(&mut self, shard: ShardId, turn: u64, now_ms: u64) {
        if self.members.is_empty() {
            (self.turn, self.begun_ms) = (turn, now_ms);
        }
        self.members.push(shard);
    }
}

/// A ready that waits for the disk.
pub(super) struct InFlight {
    pub(super) ready: u64,
    /// The append that makes it durable; `None` where nothing of its own needs to be.
    pub(super) write: Option<u64>,
    pub(super) messages: Vec<Message>,
}

/// What a replica does besides following its leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lead {
    /// It follows.
    Not,
    /// It leads in this term, and has not applied an entry of it: it evaluates nothing.
    Elect(u64),
    /// It leads in this term, and serves.
    Serving(u64),
}

/// A planned transfer of leadership.
#[derive(Clone, Copy, Debug)]
pub(super) struct Transfer {
    pub(super) to: PeerId,
    pub(super) until_tick: u64,
    pub(super) is_begun: bool,
}

/// A promise to the archive that waits for its confirmation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Closing {
    /// The proof of leadership that confirms it.
    pub(super) proof: u64,
    /// What is promised: every command up to here was given.
    pub(super) hlc: Hlc,
    /// The last entry proposed before, which must be applied first.
    pub(super) after: u64,
    /// When it is given up.
    pub(super) until_tick: u64,
    pub(super) is_confirmed: bool,
}

/// One replica.
///
/// Invariants: `overlay` is empty unless the replica leads; `pending` is keyed by index, and an entry of another term at that index proves
/// that ours was overwritten; `in_flight` is in the order of the readies.
pub(super) struct Replica<T> {
    pub(super) shard: ShardId,
    pub(super) descriptor: Option<Descriptor>,
    pub(super) group: RaftGroup<LogReader>,
    pub(super) tablet: Option<Arc<dyn Tablet>>,
    pub(super) generation: u64,
    pub(super) applied: Applied,
    pub(super) flushed: u64,
    pub(super) is_flushing: bool,
    /// Bytes of entries applied since the last flush began.
    pub(super) unflushed_bytes: u64,
    /// Why it stopped for ever, if it did.
    pub(super) stopped: Option<String>,

    pub(super) lead: Lead,
    /// The last that was handed out, or promised to the archive.
    pub(super) hlc: Hlc,
    /// That of the last entry of commands proposed here.
    pub(super) proposed_hlc: Hlc,
    pub(super) overlay: Overlay,
    pub(super) queue: VecDeque<Queued<T>>,
    pub(super) queue_bytes: usize,
    pub(super) pending: BTreeMap<u64, Pending<T>>,
    pub(super) last_place: Option<Place>,
    pub(super) readings: Vec<Reading<T>>,
    pub(super) barriers: VecDeque<Barrier<T>>,
    pub(super) transfer: Option<Transfer>,
    /// Where it leads, serves, and has not begun to give its leadership away.
    pub(super) lease: Option<Arc<ReadLease>>,
    /// Until when it may help nobody else to lead, in monotonic milliseconds.
    pub(super) pledged_until_ms: u64,

    pub(super) in_flight: VecDeque<InFlight>,
    /// A commit index that will be written with the next append: losing it is harmless.
    pub(super) lazy_hard_state: Option<HardState>,
    /// Whether the log already knows of this replica.
    pub(super) is_recorded: bool,
    /// A snapshot that was received and not yet installed.
    pub(super) arrived: Option<Arc<dyn Tablet>>,
    pub(super) last_heard_tick: u64,
    /// When it next looks for keys whose time has come.
    pub(super) next_expiry_tick: u64,
    /// Where members lie that wrote to a replica without a descriptor.
    pub(super) correspondents: BTreeMap<PeerId, StoreId>,
    /// Its shard removed it; it goes at the next tick.
    pub(super) is_removed: bool,
    /// A round was refused after evaluation: nothing is evaluated until what is proposed is applied and the overlay can be cleared.
    pub(super) must_drain: bool,
    /// Up to where the shard is known to be archived.
    pub(super) archived: Position,
    /// Up to where the log need not be kept for the archive, by policy.
    pub(super) released: u64,
    pub(super) closing: Option<Closing>,
    /// The last promise that was confirmed in this term.
    pub(super) closed: Hlc,
    /// The last entry applied that holds commands; too late rather than too early.
    pub(super) last_write: u64,
    /// Epoch, term and leader as the routes of this node know them from this replica.
    pub(super) routed: Option<(Epoch, u64, Option<StoreId>)>,
    /// The documents that the shard agreed on last.
    pub(super) agreed: BTreeMap<AgreementKind, Agreed>,
    /// What it held when it was last compared.
    pub(super) compared: Option<Compared>,
}

impl<T> Replica<T> {
    pub(super) fn new(shard: ShardId, group: RaftGroup<LogReader>) -> Replica<T> {
        Replica {
            shard,
            descriptor: None,
            group,
            tablet: None,
            generation: 0,
            applied: Applied::default(),
            flushed: 0,
            is_flushing: false,
            unflushed_bytes: 0,
            stopped: None,
            lead: Lead::Not,
            hlc: Hlc::ZERO,
            proposed_hlc: Hlc::ZERO,
            overlay: Overlay::default(),
            queue: VecDeque::new(),
            queue_bytes: 0,
            pending: BTreeMap::new(),
            last_place: None,
            readings: Vec::new(),
            barriers: VecDeque::new(),
            transfer: None,
            lease: None,
            pledged_until_ms: 0,
            in_flight: VecDeque::new(),
            lazy_hard_state: None,
            is_recorded: false,
            arrived: None,
            last_heard_tick: 0,
            next_expiry_tick: 0,
            correspondents: BTreeMap::new(),
            is_removed: false,
            must_drain: false,
            archived: Position::default(),
            released: 0,
            closing: None,
            closed: Hlc::ZERO,
            last_write: 0,
            routed: None,
            agreed: BTreeMap::new(),
            compared: None,
        }
    }

    /// What the log store keeps of it.
    pub(super) fn record(&self) -> ReplicaRecord {
        let (truncated_index, truncated_term) = self.group.truncated();
        let (archived_index, archived_hlc) = (self.archived.index, self.archived.hlc);
        let (peer, generation) = (self.group.peer(), self.generation);
        ReplicaRecord::Here { peer, generation, truncated_index, truncated_term, archived_index, archived_hlc }
    }

    /// What waits for an entry behind the one applied last, and of an older term: none of it can commit any more, since whoever leads from now on holds
    /// the applied one, and behind it nothing older. It may wait for ever, as long as nothing else is appended.
    pub(super) fn take_overtaken(&mut self) -> Vec<Pending<T>> {
        let Applied { index, term, .. } = self.applied;
        self.pending.extract_if(index + 1.., |_, pending| pending.term < term).map(|(_, pending)| pending).collect()
    }

    /// Whether it waits for a barrier that it asked for.
    pub(super) fn has_barrier_under_way(&self) -> bool {
        self.barriers.iter().any(|barrier| barrier.granted.is_none())
    }

    /// Whether it leads and serves.
    pub(super) fn is_serving(&self) -> bool {
        matches!(self.lead, Lead::Serving(_)) && self.stopped.is_none()
    }

    /// The tablet, for evaluation.
    pub(super) fn reader(&self) -> Option<TabletReader> {
        self.tablet.clone().map(TabletReader)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::start::tests::host_over;
    use strata_engine::log::LogState;

    #[test]
    fn what_waits_behind_a_later_term_can_never_commit() {
        let (truncated_index, truncated_term, archived_index, archived_hlc) = Default::default();
        let here = ReplicaRecord::Here { peer: PeerId(1), generation: 0, truncated_index, truncated_term, archived_index, archived_hlc };
        let (mut host, shard) = host_over(vec![(LogState::Replica, here.encode())]);
        let replica = host.replicas.get_mut(&shard).expect("it is there");
        replica.applied = Applied { index: 7, term: 5, ..Applied::default() };
        let pending = |term| Pending { term, round: Round::default(), replies: Vec::new(), deadline_ms: 0 };
        replica.pending = [(6, 4), (8, 4), (9, 5), (10, 4)].map(|(index, term)| (index, pending(term))).into();
        assert_eq!(replica.take_overtaken().iter().map(|pending| pending.term).collect::<Vec<_>>(), [4, 4]);
        assert_eq!(replica.pending.keys().collect::<Vec<_>>(), [&6, &9], "one may be done, one may commit");
    }
}
