//! Reads beside the queue, and those of them that memory cannot answer, or not soon: the host hands these on, with all that they need, and goes on.
//! Whoever waits for the disk, or walks over a large hash, is one of many threads, and never the host.

use super::{
    Host, NotDone, Outcome,
    brief::Brief,
    evaluate::{facts, size},
    event::{Command, Effect},
    replica::{Queued, Replica},
};
use crate::{bridge::ViewReader, limits};
use std::sync::Arc;
use strata_base::{Hlc, ShardId};
use strata_engine::tablet::Tablet;
use strata_kv::{Facts, Failure, Overlay, Read, ReadError, Reply, View, command::Call};

/// The right to read a tablet at any later moment: when it was given, this node led, and nobody else could.
pub struct Grant {
    pub(super) tablet: Arc<dyn Tablet>,
    pub(super) generation: u64,
    pub(super) hlc: Hlc,
    pub(super) facts: Facts,
}

impl std::fmt::Debug for Grant {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Grant of generation {} at {:?}", self.generation, self.hlc)
    }
}

/// A command that was granted its read, and needs the disk.
pub struct ColdRead<T> {
    grant: Grant,
    deadline_ms: u64,
    command: Command<T>,
}

/// What became of a cold read.
pub enum ColdDone<T> {
    /// It has its reply.
    Answered {
        /// Whose.
        token: T,
        /// What.
        reply: Reply,
    },
    /// Nothing was read.
    Refused {
        /// Whose.
        token: T,
        /// Its client has too many replies waiting, or its deadline came.
        why: NotDone,
    },
    /// The host must see to it.
    Returned(ColdReturn<T>),
}

/// A cold read that could not be answered from the disk.
pub enum ColdReturn<T> {
    /// The key is expired by the clock only, which is for the queue to say.
    Queue(Command<T>),
    /// The disk failed.
    Failed {
        /// The shard.
        shard: ShardId,
        /// The generation of the tablet that failed.
        generation: u64,
        /// Who waits.
        token: T,
        /// What the disk said.
        reason: String,
    },
}

impl<T> ColdRead<T> {
    /// A command that a lease granted its read; back where none did, or where it may not pass the queue any more. `clock` shows the
    /// host's monotonic time, in milliseconds.
    pub fn by_lease(mut command: Command<T>, clock: impl FnOnce() -> u64) -> Result<ColdRead<T>, Command<T>> {
        match command.grant.take() {
            Some(grant) if command.is_beside_queue => {
                Ok(ColdRead { grant: *grant, deadline_ms: clock() + limits::COMMAND_DEADLINE_MILLIS, command })
            }
            _ => Err(command),
        }
    }

    /// Reads one moment of the tablet, not before the read was granted. Waits for the disk. `now_ms` is the host's monotonic time.
    pub fn perform(self, now_ms: u64) -> ColdDone<T> {
        let ColdRead { grant: Grant { tablet, generation, hlc, facts }, deadline_ms, command } = self;
        if command.room.is_spent() {
            return ColdDone::Refused { token: command.token, why: NotDone::Busy };
        }
        if deadline_ms <= now_ms {
            return ColdDone::Refused { token: command.token, why: NotDone::Deadline };
        }
        match read(&ViewReader(tablet.snapshot()), &command.call, hlc, facts) {
            Ok(Some(reply)) => {
                command.room.take(&reply);
                ColdDone::Answered { token: command.token, reply }
            }
            Ok(None) => ColdDone::Returned(ColdReturn::Queue(Command { is_beside_queue: false, ..command })),
            Err(error) => {
                let (shard, token, reason) = (command.shard, command.token, error.to_string());
                ColdDone::Returned(ColdReturn::Failed { shard, generation, token, reason })
            }
        }
    }

    /// Whose tablet it reads.
    pub fn shard(&self) -> ShardId {
        self.command.shard
    }

    /// Who waits.
    pub fn into_token(self) -> T {
        self.command.token
    }
}

/// Evaluates a command that only reads; none where its key is expired by the clock, and not yet in the log.
pub(super) fn read(reader: &dyn Read, call: &Call, hlc: Hlc, facts: Facts) -> Result<Option<Reply>, ReadError> {
    let mut empty = Overlay::default();
    let mut view = View::with_facts(reader, &mut empty, hlc, facts);
    let reply = match call.try_evaluate(&mut view) {
        Ok(reply) => reply,
        Err(Failure::Reply(error)) => Reply::Error(error),
        Err(Failure::Read(error)) => return Err(error),
    };
    Ok((!view.finish().needs_tick).then_some(reply))
}

impl<T> Host<T> {
    /// Answers a read that was granted, if memory suffices and it is over soon.
    pub(super) fn read_beside(
        &mut self,
        replica: &mut Replica<T>,
        (tablet, in_memory): (&Arc<dyn Tablet>, &ViewReader<'_>),
        now_ms: u64,
        queued: Queued<T>,
    ) {
        if queued.command.room.is_spent() {
            return self.refuse(queued.command.token, NotDone::Busy);
        }
        let hlc = replica.applied.hlc.max(Hlc::from_millis(now_ms));
        let facts = facts(&replica.applied, replica.slots(), self.draws.u64(..));
        let brief = Brief::new(in_memory, limits::RECORDS_AT_ONCE);
        match read(&brief, &queued.command.call, hlc, facts) {
            Ok(Some(reply)) => {
                queued.command.room.take(&reply);
                self.done(queued.command.token, Outcome::Reply(reply));
            }
            Ok(None) => {
                // In the queue its expiry becomes part of the log before anybody hears of it.
                replica.queue_bytes += size(&queued);
                replica.queue.push_back(queued);
            }
            Err(ReadError::Cold) => {
                let grant = Grant { tablet: tablet.clone(), generation: replica.generation, hlc, facts };
                let read = ColdRead { grant, deadline_ms: queued.deadline_ms, command: queued.command };
                self.effects.push(Effect::Read(Box::new(read)));
            }
            Err(error) => {
                self.stop(replica, format!("cannot read: {error}"));
                self.refuse(queued.command.token, NotDone::Stopped);
            }
        }
    }

    /// A replica whose tablet cannot be read in whole stops, though nobody asked it for just that: as a leader it could give no other member a
    /// snapshot, ever.
    pub(super) fn on_tablet_damaged(&mut self, shard: ShardId, tablet: &Arc<dyn Tablet>, reason: String) {
        let replica = self.replicas.get_mut(&shard);
        let is_it = |replica: &&mut Box<Replica<T>>| replica.tablet.as_ref().is_some_and(|current| Arc::ptr_eq(current, tablet));
        if let Some(replica) = replica.filter(is_it) {
            replica.stopped.get_or_insert(reason);
            self.touch(shard);
        }
    }

    pub(super) fn on_cold_returned(&mut self, returned: ColdReturn<T>) {
        match returned {
            ColdReturn::Queue(command) => self.on_command(command),
            ColdReturn::Failed { shard, generation, token, reason } => {
                let replica = self.replicas.get_mut(&shard).filter(|replica| replica.generation == generation);
                if let Some(replica) = replica {
                    replica.stopped.get_or_insert(format!("cannot read: {reason}"));
                    self.touch(shard);
                }
                self.refuse(token, NotDone::Stopped);
            }
        }
    }
}
