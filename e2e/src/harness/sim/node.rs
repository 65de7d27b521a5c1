//! A node: a host, the disk below it, and a clock that may be wrong.

use super::{
    bucket::{self, Files},
    options::Options,
    queue::{MILLI, Token},
    steps::Doom,
};
use fastrand::Rng;
use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
};
use strata_base::{ShardId, StoreId};
use strata_engine::{
    EngineError,
    identity::Identity,
    log::{LogBatch, LogStore, MemoryLogStore},
    tablet::MemoryTabletStore,
};
use strata_node::{
    clock::Moment,
    host::{Event, Host, HostSettings, Stores},
    routes::RouteTable,
};

/// The length of a tick, in milliseconds.
const TICK_MILLIS: u64 = 50;

/// Where the true time of the simulation begins, in milliseconds since the Unix epoch.
pub(super) const EPOCH_MILLIS: u64 = 1_700_000_000_000;

/// How large a node's disk is, and what of it is kept for growth that nobody may refuse, in bytes.
const DISK_BYTES: u64 = 1 << 40;
const DISK_RESERVE_BYTES: u64 = 1 << 20;

/// What survives a crash, less what was not synced.
pub(super) struct Disk {
    pub(super) log: Arc<MemoryLogStore>,
    pub(super) tablets: Arc<MemoryTabletStore>,
    pub(super) identity: Identity,
    pub(super) files: Files,
    /// Shards of which something on it cannot be read.
    pub(super) damaged: BTreeSet<ShardId>,
}

impl Disk {
    pub(super) fn empty(store: StoreId) -> Disk {
        Disk {
            log: Arc::default(),
            tablets: Arc::default(),
            identity: Identity::new(store),
            files: Files::default(),
            damaged: BTreeSet::new(),
        }
    }
}

/// A node.
pub(super) struct Node {
    pub(super) disk: Disk,
    pub(super) host: Option<Host<Token>>,
    /// Grows at every crash and at every start.
    pub(super) life: u64,
    pub(super) inbox: Vec<Event<Token>>,
    pub(super) is_turn_due: bool,
    /// Appends handed to the disk and not yet written.
    pub(super) writes: VecDeque<(u64, LogBatch)>,
    /// When the disk has written all of them, in microseconds.
    pub(super) disk_free_at: u64,
    /// What its wall clock shows less the true time, in milliseconds.
    pub(super) skew_ms: i64,
    /// Until when it does nothing at all, in microseconds.
    pub(super) stalled_until: u64,
    /// Until when its disk is slow, in microseconds.
    pub(super) slow_until: u64,
    /// Until when its disk is full but for the reserve, in microseconds.
    pub(super) full_until: u64,
    /// Where its next append fails: how long its process is gone then, in microseconds.
    pub(super) next_append_fails: Option<u64>,
    /// Where its next flush fails: how much later its process is started anew, in microseconds.
    pub(super) next_flush_fails: Option<u64>,
    /// Shards whose tablets this process could not flush.
    pub(super) unflushed: BTreeSet<ShardId>,
    /// At which step its process ends.
    pub(super) doom: Option<Doom>,
    /// What its connections were last told of leaders.
    pub(super) routes: Arc<RouteTable>,
    boot_ms: u64,
    /// How fast its monotonic clock runs.
    rate_percent: u64,
}

impl Node {
    pub(super) fn new(store: StoreId, boot_ms: u64, rate_percent: u64) -> Node {
        Node {
            disk: Disk::empty(store),
            host: None,
            life: 0,
            inbox: Vec::new(),
            is_turn_due: false,
            writes: VecDeque::new(),
            disk_free_at: 0,
            skew_ms: 0,
            stalled_until: 0,
            slow_until: 0,
            full_until: 0,
            next_append_fails: None,
            next_flush_fails: None,
            unflushed: BTreeSet::new(),
            doom: None,
            routes: Arc::default(),
            boot_ms,
            rate_percent,
        }
    }

    pub(super) fn store(&self) -> StoreId {
        self.disk.identity.store
    }

    /// What its clocks show.
    pub(super) fn moment(&self, now: u64) -> Moment {
        let wall_ms = (EPOCH_MILLIS + now / MILLI).saturating_add_signed(self.skew_ms);
        Moment { monotonic_ms: self.boot_ms + now * self.rate_percent / 100 / MILLI, wall_ms }
    }

    /// What it is told of its disk.
    pub(super) fn disk_event(&self, now: u64) -> Event<Token> {
        let free_bytes = if self.full_until > now { DISK_RESERVE_BYTES - 1 } else { DISK_BYTES };
        Event::Disk { total_bytes: DISK_BYTES, free_bytes }
    }

    /// The true length of its ticks.
    pub(super) fn tick_micros(&self) -> u64 {
        TICK_MILLIS * MILLI * 100 / self.rate_percent
    }

    /// Starts the process on its disk.
    pub(super) fn start(&mut self, options: &Options, seed: u64, now: u64) -> Result<(), EngineError> {
        let settings = HostSettings {
            seed,
            tick_millis: TICK_MILLIS,
            log_bytes: options.log_bytes,
            disk_reserve_bytes: DISK_RESERVE_BYTES,
            leases: options.leases,
            pledge_millis: options.pledge_millis,
            zone: String::new(),
            tier: options.store.map(|_| bucket::settings(options)),
        };
        self.routes = Arc::default();
        self.disk.log.purge_beyond(options.log_bytes);
        let stores = Stores { log: self.disk.log.clone(), tablets: self.disk.tablets.clone(), identity: self.disk.identity.clone() };
        self.host = Some(Host::new(settings, stores, self.moment(now))?);
        self.life += 1;
        Ok(())
    }

    /// Ends the process, and forgets what the disk did not promise to keep. Appends under way may have reached the disk, in their order.
    pub(super) fn crash(&mut self, draws: &mut Rng, is_forgetful: bool) {
        self.host = None;
        self.life += 1;
        self.inbox.clear();
        self.is_turn_due = false;
        self.stalled_until = 0;
        self.unflushed.clear();
        self.disk.files.crash();
        let written = draws.usize(..=self.writes.len());
        for (_, batch) in self.writes.drain(..).take(written) {
            self.disk.log.write(batch).unwrap_or_else(|error| unreachable!("a log in memory does not fail: {error}"));
        }
        let unsynced = self.disk.log.unsynced();
        let kept = if is_forgetful { unsynced.saturating_sub(draws.usize(1..5)) } else { draws.usize(..=unsynced) };
        self.disk.log.crash(kept);
        // Now and then a tablet had flushed by itself.
        self.disk.tablets.crash(|unflushed| if draws.u8(..4) == 0 { draws.usize(..=unflushed) } else { 0 });
    }
}
