//! The host: the event loop of a node as a single-threaded machine. Events in, effects out; the sole owner of its replicas.
//!
//! ```text
//!  commands ─► queue ─► evaluate over overlay and tablet ─► entry ─► propose ─┐
//!                                   ▲                                         ▼
//!                                   │                       group ◄── messages of other members
//!  reads ─► barrier ─► tablet       │                         │
//!                        ▲          └── applied ◄── tablet ◄──┤ committed
//!                        └────────────────────────────────────┤
//!                                 LogWritten ◄── the disk ◄───┘ append
//! ```
//!
//! - A turn takes all events that are there, then lets every touched replica evaluate, propose and speak: one entry per replica and round, one
//!   append for all replicas.
//! - It waits for nothing: appends, flushes, snapshots, messages, and reads that memory cannot answer are effects that come back as events. Only
//!   the evaluation of a write may read a block from the local disk. It writes memtables.
//! - No clock: the moment is an argument. No randomness: the seed is one.
//!
//! The simulator runs this type as it is, over stores in memory.

use crate::{
    bridge::LogReader,
    clock::{ClusterClock, Moment},
    limits,
    routes::RouteTable,
};
use std::{collections::BTreeMap, sync::Arc};
use strata_base::{
    PeerId, ShardId, StoreId,
    planted::{Mistake, planted},
};
use strata_engine::{
    EngineError,
    identity::Identity,
    log::{LogBatch, LogStore, ReplicaBatch},
    tablet::TabletStore,
    tier::layout::LifeId,
};
use strata_node_api::{DiskReport, NodeAddress};

mod apply;
mod brief;
mod checkpoint;
mod cold;
mod comparison;
mod evaluate;
mod event;
mod files;
mod gossip;
mod lease;
mod maintain;
mod order;
mod proof;
mod publish;
mod ready;
mod replica;
mod report;
mod restore;
mod rounds;
mod snapshot;
mod start;
mod tier;

pub use cold::{ColdDone, ColdRead, ColdReturn, Grant};
pub use event::{Command, Effect, Event, HeardSighting, NotDone, Outcome, PeerMessage, ReplyRoom, Wants};
pub use files::{FilesDone, FilesWork, digest, replay, seal};
pub use lease::{Leased, ReadLease};
pub use order::{ChangeContext, FIRST_GENERATION};
pub use proof::LeadTerm;
use proof::Proofs;
use replica::{BarrierRound, Replica};
use rounds::Rounds;
use tier::Tier;
pub use tier::TierSettings;

/// What a host needs to begin.
pub struct HostSettings {
    /// Where its random numbers come from.
    pub seed: u64,
    /// The length of a tick, in milliseconds.
    pub tick_millis: u64,
    /// What the log may hold on disk, in bytes.
    pub log_bytes: u64,
    /// Below this much free disk, writes that grow data are refused, in bytes.
    pub disk_reserve_bytes: u64,
    /// Whether this node, where it leads and was just confirmed, answers reads by itself.
    pub leases: bool,
    /// How long whoever confirms a leader helps nobody else to lead, in milliseconds; the same on all nodes.
    pub pledge_millis: u64,
    /// Its failure domain.
    pub zone: String,
    /// Its bucket; none where nothing is archived.
    pub tier: Option<TierSettings>,
}

impl HostSettings {
    /// How long a confirmed leader reads by a pledge, in milliseconds: shorter by a quarter, for clocks of different rates.
    fn lease_millis(&self) -> u64 {
        self.pledge_millis * 3 / 4
    }
}

/// What survives the process.
pub struct Stores {
    /// The log of all replicas.
    pub log: Arc<dyn LogStore>,
    /// Their tablets.
    pub tablets: Arc<dyn TabletStore>,
    /// Which disk this is, and whose.
    pub identity: Identity,
}

/// The event loop of a node.
pub struct Host<T> {
    settings: HostSettings,
    stores: Stores,
    nodes: Vec<NodeAddress>,
    clock: ClusterClock,
    now: Moment,
    started: Moment,
    life: u64,
    tick: u64,
    draws: fastrand::Rng,

    /// Boxed: a replica is taken out and put back in every turn, and is too large to be copied for that.
    replicas: BTreeMap<ShardId, Box<Replica<T>>>,
    gone: BTreeMap<ShardId, PeerId>,
    /// The last generation of tablets that were removed in this life, and whose files may still be there.
    generations_gone: BTreeMap<ShardId, u64>,
    /// Replicas that may have something to say this turn.
    touched: Vec<ShardId>,
    /// When each other node was last heard, in ticks.
    heard: BTreeMap<StoreId, u64>,
    /// The lives of the other nodes' processes.
    lives: BTreeMap<StoreId, LifeId>,
    tier: Option<Tier>,
    routes: RouteTable,
    routes_changed: bool,
    evicted_until_ms: u64,
    /// Whether the clocks of a majority were heard in this life: until then the time is one node's guess, and nothing is evaluated by it.
    is_time_known: bool,

    log_writes: u64,
    log_writes_done: u64,
    batch: LogBatch,
    rounds: Rounds,
    outbox: BTreeMap<StoreId, Vec<PeerMessage>>,
    /// Effects that wait until an append is durable.
    after_write: Vec<(u64, Effect<T>)>,
    proofs: Proofs,
    barrier_round: BarrierRound,
    /// Tablets that are digested now.
    digests: usize,
    /// Turns so far.
    turns: u64,
    disk: DiskReport,
    /// Bytes of entries written since the disk was looked at.
    written_since_look: u64,
    effects: Vec<Effect<T>>,
}

impl<T> Host<T> {
    /// A host over what the disk holds.
    pub fn new(settings: HostSettings, stores: Stores, now: Moment) -> Result<Host<T>, EngineError> {
        let mut draws = fastrand::Rng::with_seed(settings.seed);
        let nodes: Vec<NodeAddress> = serde_json::from_value(stores.identity.directory.clone()).unwrap_or_default();
        let mut routes = RouteTable::default();
        routes.set_nodes(&nodes);
        let disk = DiskReport { reserve_bytes: settings.disk_reserve_bytes, ..DiskReport::default() };
        let tier = settings.tier.clone().map(Tier::new);
        let mut host = Host {
            life: draws.u64(..),
            settings,
            stores,
            nodes,
            clock: ClusterClock::new(now),
            now,
            started: now,
            tick: 0,
            draws,
            replicas: BTreeMap::new(),
            gone: BTreeMap::new(),
            generations_gone: BTreeMap::new(),
            touched: Vec::new(),
            heard: BTreeMap::new(),
            lives: BTreeMap::new(),
            tier,
            routes,
            routes_changed: true,
            evicted_until_ms: 0,
            is_time_known: false,
            log_writes: 0,
            log_writes_done: 0,
            batch: LogBatch::default(),
            rounds: Rounds::default(),
            outbox: BTreeMap::new(),
            after_write: Vec::new(),
            proofs: Proofs::default(),
            barrier_round: BarrierRound::default(),
            digests: 0,
            turns: 0,
            disk,
            written_since_look: 0,
            effects: Vec::new(),
        };
        host.open_replicas()?;
        host.reopen_archive();
        Ok(host)
    }

    /// Takes events, and returns what follows from them.
    pub fn turn(&mut self, now: Moment, events: impl IntoIterator<Item = Event<T>>) -> Vec<Effect<T>> {
        self.now = now;
        self.turns += 1;
        for event in events {
            self.take(event);
        }
        self.settle();
        std::mem::take(&mut self.effects)
    }

    /// What would be begun at once if it came now: the rest is queued or held until what is under way has ended.
    pub fn wants(&self) -> Wants {
        Wants { reads: self.barrier_round.members.is_empty(), writes: self.rounds.may_begin() }
    }

    /// Milliseconds since the Unix epoch, in the time of the cluster.
    pub fn now_ms(&mut self) -> u64 {
        if planted(Mistake::LocalClock) {
            return self.now.wall_ms;
        }
        self.clock.now_ms(self.now)
    }

    fn take(&mut self, event: Event<T>) {
        match event {
            Event::Tick => self.on_tick(),
            Event::Commands(commands) => commands.into_iter().for_each(|command| self.on_command(command)),
            Event::Messages { from, messages } => {
                self.heard.insert(from, self.tick);
                messages.into_iter().for_each(|message| self.on_message(from, message));
            }
            Event::Unreachable(store) => self.on_unreachable(store),
            Event::LogWritten { number, micros } => self.on_log_written(number, micros),
            Event::Flushed { shard, generation, applied } => self.on_flushed(shard, generation, applied),
            Event::Purged { late, disk_bytes } => self.on_purged(&late, disk_bytes),
            Event::SnapshotArrived { shard, from, to, bytes, tablet } => self.on_snapshot_arrived(shard, from, to, &bytes, tablet),
            Event::SnapshotSent { shard, to, succeeded } => self.on_snapshot_sent(shard, to, succeeded),
            Event::Order { order, ticket } => self.on_order(*order, ticket),
            Event::Answered { id, answered } => self.on_answered(id, answered),
            Event::Files(done) => self.on_files(*done),
            Event::ColdReturned(returned) => self.on_cold_returned(returned),
            Event::TabletDamaged { shard, tablet, reason } => self.on_tablet_damaged(shard, &tablet, reason),
            Event::Disk { total_bytes, free_bytes } => {
                self.disk.total_bytes = total_bytes;
                self.disk.free_bytes = free_bytes;
                self.written_since_look = 0;
            }
        }
    }

    /// Lets every touched replica evaluate, propose and speak, until nothing follows any more.
    fn settle(&mut self) {
        loop {
            while self.run_touched() {}
            self.run_tier();
            self.ask_for_proofs();
            self.release_held_reads();
            if self.touched.is_empty() {
                break;
            }
        }
        for (to, messages) in std::mem::take(&mut self.outbox) {
            self.effects.push(Effect::Send { to, messages });
        }
        if std::mem::take(&mut self.routes_changed) {
            self.effects.push(Effect::Publish(Arc::new(self.routes.clone())));
        }
    }

    /// Whether any replica had something to do.
    fn run_touched(&mut self) -> bool {
        self.touched.sort_unstable();
        self.touched.dedup();
        let touched = std::mem::take(&mut self.touched);
        for shard in &touched {
            self.run_replica(*shard);
        }
        self.write_log();
        !touched.is_empty()
    }

    /// Everything one replica has to do now. It is taken out of the host meanwhile, so that both can be changed.
    fn run_replica(&mut self, shard: ShardId) {
        let Some(mut replica) = self.replicas.remove(&shard) else { return };
        if replica.stopped.is_none() {
            self.watch_lead(&mut replica);
            self.evaluate_queue(&mut replica);
            self.raise_barrier(&mut replica);
            self.take_readies(&mut replica);
            self.watch_log(&mut replica);
        }
        if replica.stopped.is_none() {
            self.watch_lead(&mut replica);
            self.answer_readings(&mut replica);
            self.step_transfer(&mut replica);
        }
        if replica.stopped.is_some() {
            self.close_lease(&mut replica);
            self.refuse_waiting(&mut replica, NotDone::Stopped);
        }
        self.replicas.insert(shard, replica);
    }

    /// Hands the gathered batch to the disk.
    fn write_log(&mut self) {
        if self.batch.replicas.is_empty() {
            return;
        }
        self.log_writes += 1;
        self.rounds.write(self.log_writes);
        let batch = std::mem::take(&mut self.batch);
        self.written_since_look +=
            batch.replicas.iter().flat_map(|replica| &replica.entries).map(|entry| entry.data.len() as u64).sum::<u64>();
        self.effects.push(Effect::WriteLog { batch, number: self.log_writes });
    }

    /// The number that the gathered batch will have.
    fn next_write(&self) -> u64 {
        self.log_writes + 1
    }

    /// Does something once all writes that were handed out are durable.
    fn once_durable(&mut self, effect: Effect<T>) {
        if self.log_writes_done == self.log_writes {
            self.effects.push(effect);
        } else {
            self.after_write.push((self.log_writes, effect));
        }
    }

    fn on_log_written(&mut self, number: u64, micros: u64) {
        self.log_writes_done = self.log_writes_done.max(number);
        self.disk.fsyncs += 1;
        // An exponential mean over about sixteen appends is steady enough for a report.
        self.disk.fsync_micros = (self.disk.fsync_micros * 15 + micros) / 16;
        let done = self.log_writes_done;
        self.rounds.written(done);
        let (due, waiting) = std::mem::take(&mut self.after_write).into_iter().partition(|(write, _)| *write <= done);
        self.after_write = waiting;
        let due: Vec<(u64, Effect<T>)> = due;
        self.effects.extend(due.into_iter().map(|(_, effect)| effect));
        let waits = |replica: &Replica<T>| !replica.in_flight.is_empty() || !replica.queue.is_empty();
        let waiting: Vec<ShardId> = self.replicas.values().filter(|replica| waits(replica)).map(|replica| replica.shard).collect();
        for shard in waiting {
            let Some(mut replica) = self.replicas.remove(&shard) else { continue };
            self.release_in_flight(&mut replica);
            self.replicas.insert(shard, replica);
            self.touch(shard);
        }
    }

    fn touch(&mut self, shard: ShardId) {
        self.touched.push(shard);
    }

    fn queue_message(&mut self, to: StoreId, message: PeerMessage) {
        let messages = self.outbox.entry(to).or_default();
        if messages.len() < limits::PEER_MESSAGES_MAX {
            messages.push(message);
        }
    }

    /// Adds to the batch that this turn writes.
    fn append(&mut self, batch: ReplicaBatch, sync: bool) {
        self.batch.sync |= sync;
        self.batch.replicas.push(batch);
    }

    fn log_reader(&self, shard: ShardId) -> LogReader {
        LogReader { log: self.stores.log.clone(), shard }
    }
}
