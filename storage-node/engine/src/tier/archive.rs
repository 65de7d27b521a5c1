//! The archive machine: uploads what the shards that this node leads commit, and says what would be lost if all disks were lost now.
//!
//! ```text
//! Committed ─► lane of each shard ─┐  1 s or 4 MiB      PUT log/<life>/<seq>        read back, in order of seq
//!              lane of each shard ─┼────────────────► upload ────────────────► confirmed ─► Archived{shard, index}
//!              lane of each shard ─┘
//! ```
//!
//! Rules it keeps:
//! - A seq is bound to its bytes when the object is made. A failed PUT is repeated under the same name with the same bytes until its end
//!   reads back; no seq is skipped, and the archived position follows confirmed seqs without a gap.
//! - Nothing is uploaded before the life stands in a cluster document ([`ArchiveEvent::Registered`]) and OWNER was read and names this
//!   incarnation. When OWNER names another one, uploads stop for as long as it does.
//! - What waits is uploaded after the flush interval or at 4 MiB. What an earlier leader left has waited already, and is uploaded at once.
//! - Nothing new, no PUT. The leader of shard 0 writes BEAT every 30 s ([`ArchiveEvent::LeadsBeat`]).
//! - Memory is bounded: what does not fit into the buffer is counted, and read from the log again when there is room
//!   ([`ArchiveEffect::ReadLog`]).
//! - [`ShardStatus::recovery_latest_ms`] is the last HLC below the first write that is not archived, less 500 ms. An entry's HLC is that of
//!   its last command, so what lies below its first one is the entry before it, or what [`ArchiveEvent::Closed`] promised before it came.
//!   Without that promise it stays where the last archived entry was: it is never better than the truth.
//! - What the log no longer has cannot be archived: the lane is broken, [`ArchiveEffect::NeedCheckpoint`] asks for a checkpoint, and the
//!   position stands until [`ArchiveEvent::Checkpointed`] names one beyond the gap.
//! - Held bytes above the log's bound either refuse writes ([`ArchiveEffect::Pressure`]) or are dropped with a recorded gap.
//!
//! Not done here, and why: the archived position of followers. It travels as a hint ([`ArchiveEvent::Hint`]), and it is the host that keeps
//! each log up to it.

mod guard;
mod lane;
mod status;
mod upload;

pub use lane::Gap;
pub use status::{ArchiveStatus, Problem, ShardStatus};

use super::{Answered, Call, CallId, Cut, Entry, Place, calls::Calls, layout::Layout, layout::LifeId, limits};
use crate::objects::ErrorClass;
use guard::Guard;
use lane::{Lane, Taken};
use std::collections::BTreeMap;
use strata_base::{Hlc, IncarnationId, ShardId};
use upload::Uploads;

/// What the machine is told once.
#[derive(Clone, Debug)]
pub struct ArchiveSettings {
    /// The bucket.
    pub place: Place,
    /// The path within.
    pub layout: Layout,
    /// The cluster's UUID.
    pub cluster: String,
    /// The incarnation that is archived.
    pub incarnation: IncarnationId,
    /// The life of this process.
    pub life: LifeId,
    /// How long an entry waits for others, in milliseconds. Default: 1,000.
    pub flush_interval_ms: u64,
    /// How many bytes of unarchived entries the node keeps before `when_full` counts.
    pub local_log_bound_bytes: u64,
    /// What happens above the bound.
    pub when_full: WhenFull,
}

/// What happens when more is unarchived than the local log may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenFull {
    /// Writes are refused until there is room.
    RefuseWrites,
    /// The longest lane drops what it has not uploaded; a gap is recorded, and a checkpoint asked for.
    DropAndRecordGap,
}

/// What happened.
#[derive(Clone, Debug)]
pub enum ArchiveEvent {
    /// The life stands in a cluster document that reads back from the bucket.
    Registered,
    /// This node leads the shard from now on. Given again, it starts anew with what it says.
    Lead {
        /// The shard.
        shard: ShardId,
        /// Which history of it.
        fork_epoch: u64,
        /// Up to where the log is known to be archived: the last hint, or the position of a checkpoint in the bucket, or where the shard
        /// started. Too low costs repeated uploads, which readers drop.
        archived: Position,
        /// The last committed index now. What lies between is read from the log.
        committed: u64,
        /// How many bytes lie between, roughly.
        bytes: u64,
    },
    /// This node no longer leads the shard. What is on its way goes on.
    Follow {
        /// The shard.
        shard: ShardId,
    },
    /// Entries were committed, following the last ones without a gap.
    Committed {
        /// The shard.
        shard: ShardId,
        /// In the order of their indexes.
        entries: Vec<Entry>,
    },
    /// The answer to [`ArchiveEffect::ReadLog`].
    LogRead {
        /// The shard.
        shard: ShardId,
        /// What was asked for.
        from: u64,
        /// Entries from there on, at least one; or the first index that the log still has.
        entries: Result<Vec<Entry>, u64>,
    },
    /// A promise of the leader: every entry that holds a command with an HLC up to this one was given in [`ArchiveEvent::Committed`], and
    /// no later command gets such an HLC. With nothing evaluated and unfinished, it is the shard's clock.
    Closed {
        /// The shard.
        shard: ShardId,
        /// Up to and including which HLC.
        hlc: Hlc,
        /// Bytes evaluated and not yet committed.
        pending_bytes: u64,
    },
    /// Another replica knows this much to be archived.
    Hint {
        /// The shard.
        shard: ShardId,
        /// Which history of it.
        fork_epoch: u64,
        /// Up to where.
        archived: Position,
    },
    /// A checkpoint's document of this shard reads back from the bucket.
    Checkpointed {
        /// The shard.
        shard: ShardId,
        /// What it holds.
        at: Cut,
    },
    /// Whether this node writes BEAT: it leads shard 0.
    LeadsBeat(bool),
    /// The store answered.
    Answered {
        /// Which call.
        id: CallId,
        /// What it said.
        answered: Answered,
    },
    /// Time passed. At least every 100 ms while something waits.
    Tick,
}

/// A position in a shard's log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// The last index, included.
    pub index: u64,
    /// Its HLC.
    pub hlc: Hlc,
}

/// What the host must do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ArchiveEffect {
    /// Ask the store.
    Call(Call),
    /// Read committed entries from the log and answer with [`ArchiveEvent::LogRead`].
    ReadLog {
        /// The shard.
        shard: ShardId,
        /// The first index.
        from: u64,
        /// The last index that is wanted.
        to: u64,
        /// Stop with the entry that reaches so many bytes.
        bytes_max: u64,
    },
    /// The shard is archived this far: the log may be cut behind it, and the other replicas shall know.
    Archived {
        /// The shard.
        shard: ShardId,
        /// Which history of it.
        fork_epoch: u64,
        /// Up to where.
        position: Position,
    },
    /// The archive cannot have these entries: checkpoint the shard at or above `above`, as soon as the store permits.
    NeedCheckpoint {
        /// The shard.
        shard: ShardId,
        /// The last index of the gap.
        above: u64,
    },
    /// By policy the log need not be kept up to here for the archive's sake.
    Released {
        /// The shard.
        shard: ShardId,
        /// Up to which index.
        index: u64,
    },
    /// Whether writes may be taken.
    Pressure(Pressure),
}

/// Whether writes may be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pressure {
    /// There is room.
    Normal,
    /// Unarchived bytes reached the bound: refuse writes that grow data.
    RefuseWrites,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ask {
    Put(u64),
    ReadBack(u64),
    Owner,
    Beat,
}

/// The archive of one node.
#[derive(Debug)]
pub struct Archive {
    settings: ArchiveSettings,
    registered: bool,
    lanes: BTreeMap<ShardId, Lane>,
    uploads: Uploads,
    guard: Guard,
    calls: Calls<Ask>,
    pressure: Pressure,
    problem: Option<Problem>,
    /// The shard whose lane the next object begins with, so that a busy one starves nobody.
    turn: ShardId,
    /// Since when something waits for its object, in milliseconds.
    waiting_since_ms: Option<u64>,
}

impl Archive {
    /// An archive that has uploaded nothing in this life.
    pub fn new(settings: ArchiveSettings) -> Archive {
        Archive {
            settings,
            registered: false,
            lanes: BTreeMap::new(),
            uploads: Uploads::default(),
            guard: Guard::default(),
            calls: Calls::default(),
            pressure: Pressure::Normal,
            problem: None,
            turn: ShardId(0),
            waiting_since_ms: None,
        }
    }

    /// Takes one event at `now_ms`, in milliseconds since the Unix epoch by the shard clocks' source.
    pub fn step(&mut self, now_ms: u64, event: ArchiveEvent) -> Vec<ArchiveEffect> {
        let mut effects = Vec::new();
        match event {
            ArchiveEvent::Registered => self.registered = true,
            ArchiveEvent::Lead { shard, fork_epoch, archived, committed, bytes } => {
                self.lanes.insert(shard, Lane::new(fork_epoch, archived, committed, bytes));
            }
            ArchiveEvent::Follow { shard } => drop(self.lanes.remove(&shard)),
            ArchiveEvent::Committed { shard, entries } => {
                let room = limits::ARCHIVE_BUFFER_BYTES_MAX.saturating_sub(self.buffered_bytes());
                if let Some(lane) = self.lanes.get_mut(&shard) {
                    lane.commit(entries, room);
                }
            }
            ArchiveEvent::LogRead { shard, from, entries } => {
                if let Some(lane) = self.lanes.get_mut(&shard)
                    && let Some(above) = lane.log_read(from, entries)
                {
                    effects.push(ArchiveEffect::NeedCheckpoint { shard, above });
                }
            }
            ArchiveEvent::Closed { shard, hlc, pending_bytes } => {
                if let Some(lane) = self.lanes.get_mut(&shard) {
                    lane.close(hlc, pending_bytes);
                }
            }
            ArchiveEvent::Hint { shard, fork_epoch, archived } => {
                if let Some(lane) = self.lanes.get_mut(&shard).filter(|lane| lane.fork_epoch == fork_epoch) {
                    lane.hint(archived);
                }
            }
            ArchiveEvent::Checkpointed { shard, at } => {
                if let Some(lane) = self.lanes.get_mut(&shard).filter(|lane| lane.fork_epoch == at.fork_epoch)
                    && let Some(position) = lane.checkpointed(Position { index: at.index, hlc: at.hlc })
                {
                    effects.push(ArchiveEffect::Archived { shard, fork_epoch: at.fork_epoch, position });
                }
            }
            ArchiveEvent::LeadsBeat(leads) => self.guard.leads_beat = leads,
            ArchiveEvent::Answered { id, answered } => self.answered(now_ms, id, answered, &mut effects),
            ArchiveEvent::Tick => {}
        }
        self.advance(now_ms, &mut effects);
        effects
    }

    fn answered(&mut self, now_ms: u64, id: CallId, answered: Answered, effects: &mut Vec<ArchiveEffect>) {
        let Some(ask) = self.calls.end(id) else { return };
        let outcome = match ask {
            Ask::Put(seq) => self.uploads.put(now_ms, seq, answered),
            Ask::ReadBack(seq) => self.uploads.read_back(now_ms, seq, answered),
            Ask::Owner => self.guard.owner_read(now_ms, &self.settings, answered),
            Ask::Beat => self.guard.beat_written(now_ms, answered),
        };
        match outcome {
            Ok(()) => {
                self.problem = self.problem.take().filter(|problem| problem.error.class == ErrorClass::ForeignOwner && ask != Ask::Owner)
            }
            Err(error) => {
                let (since_ms, attempts) = self.problem.as_ref().map_or((now_ms, 0), |problem| (problem.since_ms, problem.attempts));
                self.problem = Some(Problem { error, since_ms, attempts: attempts + 1 });
            }
        }
        for run in self.uploads.take_confirmed() {
            let lane = self.lanes.get_mut(&run.shard).filter(|lane| lane.fork_epoch == run.fork_epoch);
            if let Some(position) = lane.and_then(|lane| lane.confirm(&run)) {
                effects.push(ArchiveEffect::Archived { shard: run.shard, fork_epoch: run.fork_epoch, position });
            }
        }
    }

    /// Does what has become possible or due.
    fn advance(&mut self, now_ms: u64, effects: &mut Vec<ArchiveEffect>) {
        self.refill(effects);
        self.keep_bound(effects);
        let wanted = self.guard.leads_beat || self.buffered_bytes() > 0 || !self.uploads.is_empty();
        if self.registered && wanted {
            for (ask, request) in self.guard.requests(now_ms, &self.settings) {
                self.call(ask, request, effects);
            }
        }
        self.flush(now_ms);
        if self.registered && self.guard.is_owner() {
            for (ask, request) in self.uploads.requests(now_ms) {
                self.call(ask, request, effects);
            }
        }
    }

    fn call(&mut self, ask: Ask, request: crate::objects::Request, effects: &mut Vec<ArchiveEffect>) {
        let id = self.calls.begin(ask);
        effects.push(ArchiveEffect::Call(Call { id, place: self.settings.place.clone(), request }));
    }

    /// Reads from the log what did not fit into the buffer, one read for a lane at a time.
    fn refill(&mut self, effects: &mut Vec<ArchiveEffect>) {
        let mut room = limits::ARCHIVE_BUFFER_BYTES_MAX.saturating_sub(self.buffered_bytes());
        for (shard, lane) in &mut self.lanes {
            let bytes_max = limits::LOG_OBJECT_BYTES;
            if room < bytes_max {
                return;
            }
            if let Some((from, to)) = lane.begin_read() {
                room -= bytes_max;
                effects.push(ArchiveEffect::ReadLog { shard: *shard, from, to, bytes_max });
            }
        }
    }

    /// Compares what is held with the bound.
    fn keep_bound(&mut self, effects: &mut Vec<ArchiveEffect>) {
        let bound = self.settings.local_log_bound_bytes;
        let held: u64 = self.lanes.values().map(Lane::waiting_bytes).sum::<u64>() + self.uploads.bytes();
        let full = held >= bound || (self.pressure == Pressure::RefuseWrites && held >= bound - bound / 8);
        match (self.settings.when_full, full) {
            (WhenFull::DropAndRecordGap, true) => {
                let longest = self.lanes.iter_mut().max_by_key(|(_, lane)| lane.waiting_bytes());
                if let Some((shard, lane)) = longest
                    && let Some(above) = lane.drop_waiting()
                {
                    effects.push(ArchiveEffect::Released { shard: *shard, index: above });
                    effects.push(ArchiveEffect::NeedCheckpoint { shard: *shard, above });
                }
            }
            (WhenFull::RefuseWrites, full) => {
                let pressure = if full { Pressure::RefuseWrites } else { Pressure::Normal };
                if pressure != self.pressure {
                    self.pressure = pressure;
                    effects.push(ArchiveEffect::Pressure(pressure));
                }
            }
            (WhenFull::DropAndRecordGap, false) => {}
        }
    }

    /// Makes log objects of what waits, when it is enough or has waited long enough.
    fn flush(&mut self, now_ms: u64) {
        loop {
            let waiting = self.buffered_bytes();
            if waiting == 0 {
                self.waiting_since_ms = None;
                return;
            }
            let since_ms = *self.waiting_since_ms.get_or_insert(now_ms);
            let is_enough = waiting >= limits::LOG_OBJECT_BYTES || self.lanes.values().any(Lane::holds_inherited);
            let due = is_enough || now_ms.saturating_sub(since_ms) >= self.settings.flush_interval_ms;
            // Entries get a seq only when they can be sent: what is bound to one can no longer be dropped.
            if !due || !self.registered || !self.guard.is_owner() || self.uploads.len() >= limits::LOG_UPLOADS_MAX {
                return;
            }
            let mut room = limits::LOG_OBJECT_BYTES;
            let mut runs: Vec<Taken> = Vec::new();
            let (before, from): (Vec<_>, Vec<_>) = self.lanes.iter_mut().partition(|(shard, _)| **shard < self.turn);
            for (shard, lane) in from.into_iter().chain(before) {
                self.turn = *shard;
                if room == 0 {
                    break;
                }
                runs.extend(lane.take(*shard, &mut room));
            }
            runs.sort_by_key(|taken| taken.run.shard);
            self.uploads.bind(now_ms, &self.settings, runs);
            self.waiting_since_ms = None;
        }
    }

    fn buffered_bytes(&self) -> u64 {
        self.lanes.values().map(Lane::buffered_bytes).sum()
    }

    /// What ails it; none in health.
    pub fn problem(&self) -> Option<&Problem> {
        self.problem.as_ref()
    }

    /// How far the archive is at `now_ms`.
    pub fn status(&self, now_ms: u64) -> ArchiveStatus {
        let shards = self.lanes.iter().map(|(shard, lane)| self.shard_status(now_ms, *shard, lane)).collect();
        ArchiveStatus { shards, problem: self.problem.clone(), pressure: self.pressure, objects: self.uploads.confirmed() }
    }

    fn shard_status(&self, now_ms: u64, shard: ShardId, lane: &Lane) -> ShardStatus {
        let in_flight = self.uploads.beyond(shard, lane.archived.index);
        let safe = lane.safe(in_flight.above);
        ShardStatus {
            shard,
            archived: lane.archived,
            recovery_latest_ms: safe.millis().saturating_sub(limits::CLOCK_ERROR_MS),
            lag_ms: now_ms.saturating_sub(safe.millis()),
            bytes_at_risk: in_flight.bytes + lane.bytes_at_risk(),
            gaps: lane.gaps.clone(),
        }
    }
}

#[cfg(test)]
mod tests;
