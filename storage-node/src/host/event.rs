//! What a host is told, and what it asks for.

use super::{
    cold::{ColdRead, ColdReturn, Grant},
    files::{FilesDone, FilesWork},
    proof::LeadTerm,
};
use crate::{
    limits,
    routes::{Route, RouteTable},
};
use bytes::Bytes;
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};
use strata_base::{Epoch, Hlc, IncarnationId, PeerId, ShardId, StoreId};
use strata_engine::{
    identity::Identity,
    log::LogBatch,
    tablet::Tablet,
    tier::{self, Answered, CallId, layout::LifeId, ownership::Sighting},
};
use strata_kv::{Reply, command::Call};
use strata_node_api::{Answer, Order};

/// A command for a shard that this node is believed to lead. `token` is whatever names the waiting client.
#[derive(Debug)]
pub struct Command<T> {
    /// The shard of its keys.
    pub shard: ShardId,
    /// The call.
    pub call: Call,
    /// Whether it may be read beside the queue: the connection has no unanswered earlier command on this shard.
    pub is_beside_queue: bool,
    /// The right to read it from the disk, where a lease found that memory, or a short look into it, does not suffice.
    pub grant: Option<Box<Grant>>,
    /// What its reply may take.
    pub room: ReplyRoom,
    /// Comes back with the outcome.
    pub token: T,
}

/// What the replies to commands that a connection has begun together take until they are sent. Once they take too much the rest of these commands
/// is refused without effect: a reply is large before anybody knows, and a client need not take it.
#[derive(Clone, Debug, Default)]
pub struct ReplyRoom {
    taken: Arc<AtomicUsize>,
}

impl ReplyRoom {
    /// Whether there is no room for another reply. It stays so: what comes later in a pipeline is refused, too.
    pub fn is_spent(&self) -> bool {
        self.taken.load(Relaxed) > limits::REPLY_BUFFER_BYTES_MAX
    }

    /// A reply takes its part.
    pub fn take(&self, reply: &Reply) {
        self.taken.fetch_add(reply.size(), Relaxed);
    }
}

/// What is worth waking the host for, beside what is urgent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wants {
    /// Whether reads beside the queue would be begun at once.
    pub reads: bool,
    /// Whether queued commands would be evaluated at once.
    pub writes: bool,
}

impl Wants {
    /// Everything wakes the host.
    pub const ALL: Wants = Wants { reads: true, writes: true };
}

/// What became of a command.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It was done, or refused for the client's mistake.
    Reply(Reply),
    /// It certainly had no effect, and may be sent to whoever leads.
    NotDone(NotDone),
    /// It may have been applied; the text says why nobody knows.
    Unknown(&'static str),
}

/// Why a command had no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotDone {
    /// This node does not lead the shard; perhaps the named one does.
    NotLeader(Option<StoreId>),
    /// A queue is full.
    Busy,
    /// It waited until its deadline.
    Deadline,
    /// The replica stopped.
    Stopped,
}

/// A message between two nodes about one shard, or about all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerMessage {
    /// A message of Raft.
    Raft {
        /// The shard.
        shard: ShardId,
        /// The sending member.
        from: PeerId,
        /// The receiving member.
        to: PeerId,
        /// For the receiving group.
        bytes: Bytes,
    },
    /// The receiving member was removed from the shard, as of this epoch of its descriptor.
    Gone {
        /// The shard.
        shard: ShardId,
        /// The receiving member.
        peer: PeerId,
        /// The epoch of the sender's descriptor.
        epoch: Epoch,
    },
    /// What the sender leads, and what its wall clock shows.
    Gossip {
        /// Milliseconds since the Unix epoch.
        wall_ms: u64,
        /// What it leads.
        routes: Vec<Route>,
        /// The life of its process.
        life: LifeId,
        /// From the leader of the first shard: the lives that the cluster document names which was last seen in the bucket.
        registered: Option<Vec<LifeId>>,
        /// From the leader of the first shard, while it watches whether the owner of the path lives: what it saw, for whoever leads next.
        sighting: Option<HeardSighting>,
    },
    /// The sender leads these shards in these terms, as far as it knows: are the named voters still there?
    Confirm {
        /// The sender's number for this round.
        round: u64,
        /// Shards, each with the voter that is asked.
        leads: Vec<LeadTerm>,
    },
    /// These voters are.
    Confirmed {
        /// The asking node's number.
        round: u64,
        /// Those of the round that are in just that term.
        leads: Vec<LeadTerm>,
    },
    /// A shard is archived this far, says its leader.
    Archived {
        /// The shard.
        shard: ShardId,
        /// The last index of the contiguous prefix.
        index: u64,
        /// Its HLC.
        hlc: Hlc,
    },
}

/// A beat that another node saw to stand, by durations, since clocks differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeardSighting {
    /// Whose beat.
    pub incarnation: IncarnationId,
    /// What it says; `None` where there is none.
    pub beat: Option<Bytes>,
    /// For how long it was seen to stand, in milliseconds.
    pub stood_ms: u64,
    /// How long ago it was last seen, in milliseconds, when this was sent.
    pub age_ms: u64,
}

impl HeardSighting {
    /// What is told of a sighting at `now_ms`, in milliseconds of the clock that it was made by.
    pub fn told(sighting: &Sighting, now_ms: u64) -> HeardSighting {
        let Sighting { incarnation, beat, first_ms, last_ms } = sighting.clone();
        HeardSighting { incarnation, beat, stood_ms: last_ms.saturating_sub(first_ms), age_ms: now_ms.saturating_sub(last_ms) }
    }

    /// The sighting by the clock of whoever hears of it at `now_ms`.
    pub fn heard(self, now_ms: u64) -> Sighting {
        let HeardSighting { incarnation, beat, stood_ms, age_ms } = self;
        let last_ms = now_ms.saturating_sub(age_ms);
        Sighting { incarnation, beat, first_ms: last_ms.saturating_sub(stood_ms), last_ms }
    }
}

/// Something happened.
pub enum Event<T> {
    /// One tick went by.
    Tick,
    /// Commands arrived.
    Commands(Vec<Command<T>>),
    /// Messages arrived from another node.
    Messages {
        /// The sender.
        from: StoreId,
        /// In the order they were sent; some may be missing.
        messages: Vec<PeerMessage>,
    },
    /// Messages could not be sent.
    Unreachable(StoreId),
    /// An append is durable.
    LogWritten {
        /// Its number.
        number: u64,
        /// How long the disk took, in microseconds.
        micros: u64,
    },
    /// A tablet was flushed.
    Flushed {
        /// Whose.
        shard: ShardId,
        /// Which generation.
        generation: u64,
        /// Every entry up to this one is in files now; `None` where the flush failed.
        applied: Option<u64>,
    },
    /// The log was purged.
    Purged {
        /// Replicas whose old entries keep files alive.
        late: Vec<ShardId>,
        /// What the log holds on disk, in bytes.
        disk_bytes: u64,
    },
    /// A snapshot was received whole.
    SnapshotArrived {
        /// The shard.
        shard: ShardId,
        /// The sending member.
        from: PeerId,
        /// The receiving member.
        to: PeerId,
        /// The message that announced it.
        bytes: Bytes,
        /// Its content.
        tablet: Arc<dyn Tablet>,
    },
    /// A snapshot was sent whole, or not.
    SnapshotSent {
        /// The shard.
        shard: ShardId,
        /// The receiving member.
        to: PeerId,
        /// Whether the receiver has it.
        succeeded: bool,
    },
    /// The operator asks for something.
    Order {
        /// What.
        order: Box<Order>,
        /// Comes back with the answer.
        ticket: u64,
    },
    /// A store of objects answered.
    Answered {
        /// Which call.
        id: CallId,
        /// What it said.
        answered: Answered,
    },
    /// Work with files is done.
    Files(Box<FilesDone>),
    /// A read from the disk has no reply.
    ColdReturned(ColdReturn<T>),
    /// The files of a tablet were read for a snapshot or for a checkpoint, which is not made of what cannot be read.
    TabletDamaged {
        /// Whose.
        shard: ShardId,
        /// Which tablet.
        tablet: Arc<dyn Tablet>,
        /// What the disk said.
        reason: String,
    },
    /// The disk's free space was looked at.
    Disk {
        /// The file system's size, in bytes.
        total_bytes: u64,
        /// What is left of it, in bytes.
        free_bytes: u64,
    },
}

/// Something to do. Effects are done in order; those that take long come back as events.
pub enum Effect<T> {
    /// Write to the log; comes back as [`Event::LogWritten`].
    WriteLog {
        /// What.
        batch: LogBatch,
        /// Grows by one.
        number: u64,
    },
    /// Send messages; they may be lost.
    Send {
        /// The receiver.
        to: StoreId,
        /// In order.
        messages: Vec<PeerMessage>,
    },
    /// Send a tablet's files of some moment from now on, which were verified first, then the message; comes back as [`Event::SnapshotSent`],
    /// after [`Event::TabletDamaged`] where there is nothing to send.
    SendSnapshot {
        /// The receiving node.
        to: StoreId,
        /// The shard.
        shard: ShardId,
        /// The sending member.
        from_peer: PeerId,
        /// The receiving member.
        to_peer: PeerId,
        /// For the receiving group.
        bytes: Bytes,
        /// What to send.
        tablet: Arc<dyn Tablet>,
    },
    /// Flush a tablet; comes back as [`Event::Flushed`] with `applied`.
    Flush {
        /// Whose.
        shard: ShardId,
        /// Which generation.
        generation: u64,
        /// The last entry applied now.
        applied: u64,
        /// Which tablet.
        tablet: Arc<dyn Tablet>,
    },
    /// Remove log files that are not needed; comes back as [`Event::Purged`].
    PurgeLog,
    /// Remove old generations of a shard's tablet.
    RetainTablet {
        /// The shard.
        shard: ShardId,
        /// Generations before this one go; all, where there is none.
        keep: Option<u64>,
    },
    /// Write the identity, durably, before any effect that follows.
    StoreIdentity(Identity),
    /// Tell a client what became of its command.
    Done {
        /// Whose.
        token: T,
        /// What.
        outcome: Outcome,
    },
    /// Read from the disk, and answer the client; what has no reply comes back as [`Event::ColdReturned`].
    Read(Box<ColdRead<T>>),
    /// Answer an order.
    Answer {
        /// Whose.
        ticket: u64,
        /// What.
        answer: Answer,
    },
    /// Connections shall use this from now on.
    Publish(Arc<RouteTable>),
    /// Ask a store of objects; comes back as [`Event::Answered`].
    Call(tier::Call),
    /// Work with files, in the order given; comes back as [`Event::Files`].
    Files(FilesWork),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_beyond_the_room_spend_it_for_all_that_share_it() {
        let room = ReplyRoom::default();
        let reply = Reply::Array(vec![Reply::bulk(vec![0; limits::REPLY_BUFFER_BYTES_MAX / 2]); 2]);
        room.take(&Reply::OK);
        assert!(!room.is_spent(), "a small reply leaves room");
        room.clone().take(&reply);
        assert!(room.is_spent(), "it is shared by all that was begun with it");
        room.take(&Reply::Null);
        assert!(room.is_spent() && !ReplyRoom::default().is_spent(), "and nobody else");
    }
}
