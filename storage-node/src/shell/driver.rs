//! The driver: the threads around a host. One runs its turns, one writes the log, one does the slow work of tablets, one that of files; many read
//! what is not in memory.

use super::{
    clock::SystemClock,
    files::FilesWorker,
    inbox::{Inbox, Kind},
    objects::ObjectStores,
    peer_client::Peers,
    readers::Readers,
    snapshot::{self, SnapshotError},
};
use crate::{
    host::{ColdRead, Command, Effect, Event, FilesWork, Host, HostSettings, Leased, NotDone, Outcome, ReadLease, Stores, Wants},
    limits,
    routes::RouteTable,
};
use crossbeam_channel::{Receiver, Sender};
use std::{
    collections::{BTreeMap, VecDeque},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    thread::{Builder, JoinHandle},
    time::Duration,
};
use strata_base::{ShardId, StoreId};
use strata_engine::{
    EngineError,
    log::{LogBatch, LogStore},
    tablet::{Tablet, TabletStore},
};
use strata_kv::command::Call;
use strata_node_api::{Answer, Order, Report};
use tokio::sync::{oneshot, watch};

/// Names a waiting client.
pub type Token = oneshot::Sender<Outcome>;

/// What reaches the host's thread.
pub enum Input {
    /// For the host.
    Event(Event<Token>),
    /// An order, and where its answer goes.
    Order(Box<Order>, oneshot::Sender<Answer>),
    /// Asks for a report.
    Report(oneshot::Sender<Report>),
}

impl Input {
    fn kind(&self) -> Kind {
        let Input::Event(Event::Commands(commands)) = self else { return Kind::Urgent };
        match commands.iter().filter(|command| command.is_beside_queue).count() {
            0 => Kind::Writes,
            reads if reads == commands.len() => Kind::Reads,
            _ => Kind::Urgent,
        }
    }
}

/// The way to a host.
#[derive(Clone)]
pub struct HostHandle {
    inbox: Arc<Inbox<Input>>,
    readers: Arc<Readers>,
    /// Who leads what, as far as the host knows.
    pub routes: watch::Receiver<Arc<RouteTable>>,
    /// The store of this node.
    pub store: StoreId,
    /// The clocks that the host lives by.
    pub clock: SystemClock,
}

impl HostHandle {
    /// Gives an event to the host; it comes back where the host's queue is full.
    pub fn offer(&self, input: Input) -> Result<(), Input> {
        let kind = input.kind();
        self.inbox.offer(input, kind)
    }

    /// Gives an event to the host from a thread that may wait.
    pub fn give(&self, input: Input) {
        // A host that is gone takes nothing; its process is ending.
        let kind = input.kind();
        self.inbox.give(input, kind);
    }

    /// Commands, in their order; where the queue is full, they had no effect. Those that a lease granted their read go past the host.
    pub fn submit(&self, commands: Vec<Command<Token>>) {
        let granted = |command: Command<Token>| match ColdRead::by_lease(command, || self.clock.monotonic_ms()) {
            Ok(read) => {
                self.readers.read(read);
                None
            }
            Err(command) => Some(command),
        };
        let commands: Vec<_> = commands.into_iter().filter_map(granted).collect();
        if commands.is_empty() {
            return;
        }
        if let Err(Input::Event(Event::Commands(commands))) = self.offer(Input::Event(Event::Commands(commands))) {
            for command in commands {
                // A client that went away takes no reply.
                let _ = command.token.send(Outcome::NotDone(NotDone::Busy));
            }
        }
    }

    /// Reads at once where this node may.
    pub fn read_by_lease(&self, lease: &ReadLease, call: &Call) -> Leased {
        lease.read(call, || self.clock.monotonic_ms())
    }

    /// What the node says of itself; `None` where the host does not answer in time.
    pub async fn report(&self) -> Option<Report> {
        let (sender, receiver) = oneshot::channel();
        self.offer(Input::Report(sender)).ok()?;
        tokio::time::timeout(Duration::from_millis(limits::COMMAND_DEADLINE_MILLIS), receiver).await.ok()?.ok()
    }
}

/// What a driver needs beside the host.
pub struct Surroundings {
    /// The clocks.
    pub clock: SystemClock,
    /// The other nodes.
    pub peers: Peers,
    /// The node's disk.
    pub data_dir: PathBuf,
    /// The store of the archive, where one is declared.
    pub objects: Option<ObjectStores>,
    /// Told once, with the reason, when the process must end.
    pub fatal: Fatal,
}

/// Ends the process: a failed write of the log may have dropped what it was to make durable.
#[derive(Clone)]
pub struct Fatal {
    sender: Arc<Mutex<Option<oneshot::Sender<String>>>>,
}

impl Fatal {
    /// The signal, and where it arrives.
    pub fn channel() -> (Fatal, oneshot::Receiver<String>) {
        let (sender, receiver) = oneshot::channel();
        (Fatal { sender: Arc::new(Mutex::new(Some(sender))) }, receiver)
    }

    /// Ends the process with a reason.
    pub fn raise(&self, reason: String) {
        if let Some(sender) = self.sender.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = sender.send(reason);
        }
    }
}

/// Starts the threads of a host.
pub fn start(settings: HostSettings, stores: Stores, around: Surroundings) -> Result<(HostHandle, Vec<JoinHandle<()>>), EngineError> {
    let inbox = Arc::new(Inbox::new(limits::EVENTS_MAX));
    let (publish, routes) = watch::channel(Arc::new(RouteTable::default()));
    let readers = Arc::new(Readers::start(inbox.clone(), around.clock));
    let handle = HostHandle { inbox, readers, routes, store: stores.identity.store, clock: around.clock };
    let tick = Duration::from_millis(settings.tick_millis);
    let (log, tablets) = (stores.log.clone(), stores.tablets.clone());
    let host = Host::new(settings, stores, around.clock.now())?;

    let (log_sender, log_receiver) = crossbeam_channel::bounded(limits::EVENTS_MAX);
    let (slow_sender, slow_receiver) = crossbeam_channel::bounded(limits::EVENTS_MAX);
    let mut threads = Vec::new();
    let mut spawn = |name: &str, run: Box<dyn FnOnce() + Send>| {
        threads.push(Builder::new().name(name.to_owned()).spawn(run).expect("the system starts a thread"));
    };
    let writer = LogWriter { log: log.clone(), handle: handle.clone(), clock: around.clock, fatal: around.fatal.clone() };
    spawn("log", Box::new(move || writer.run(&log_receiver)));
    let (files_sender, files_receiver) = crossbeam_channel::bounded(limits::EVENTS_MAX);
    let files = FilesWorker { tablets: tablets.clone(), host: handle.clone(), data_dir: around.data_dir.clone() };
    spawn("files", Box::new(move || files.run(&files_receiver)));
    let worker = SlowWorker { log, tablets, handle: handle.clone(), data_dir: around.data_dir.clone() };
    spawn("tablets", Box::new(move || worker.run(&slow_receiver)));
    let looper = Looper {
        host,
        tick,
        handle: handle.clone(),
        around,
        publish,
        log: log_sender,
        slow: slow_sender,
        files: files_sender,
        tickets: BTreeMap::new(),
        next_ticket: 0,
        taken: VecDeque::new(),
    };
    spawn("host", Box::new(move || looper.run()));
    Ok((handle, threads))
}

struct Looper {
    host: Host<Token>,
    tick: Duration,
    handle: HostHandle,
    around: Surroundings,
    publish: watch::Sender<Arc<RouteTable>>,
    log: Sender<(LogBatch, u64)>,
    slow: Sender<Slow>,
    files: Sender<FilesWork>,
    tickets: BTreeMap<u64, oneshot::Sender<Answer>>,
    next_ticket: u64,
    /// Out of the inbox, and for the next turns.
    taken: VecDeque<Input>,
}

/// Work that takes long.
enum Slow {
    Flush { shard: ShardId, generation: u64, applied: u64, tablet: Arc<dyn Tablet> },
    Retain { shard: ShardId, keep: Option<u64> },
    Purge,
}

impl Looper {
    /// Events that one turn takes at most, so that ticks are never late by much.
    const EVENTS_PER_TURN: usize = 1_024;

    /// From so many commands on that end in one turn, their clients are woken together.
    const TOLD_TOGETHER: usize = 4;

    /// The longest wait for what the host wants while something else may be in the inbox.
    const PATIENCE: Duration = Duration::from_millis(5);

    fn run(mut self) {
        let reason = self.run_turns();
        self.handle.inbox.close();
        self.around.fatal.raise(reason);
    }

    /// Runs turns until one cannot be performed; why.
    fn run_turns(&mut self) -> String {
        let mut next_tick = self.around.clock.micros();
        loop {
            let now = self.around.clock.micros();
            let mut batch = Vec::new();
            if now >= next_tick {
                batch.push(Event::Tick);
                // After a pause of the process one tick is due, not all that were missed: elections must not follow from sleep.
                next_tick = now.max(next_tick) + self.tick.as_micros() as u64;
            }
            if self.taken.is_empty() {
                let patience = if batch.is_empty() { Duration::from_micros(next_tick - now) } else { Duration::ZERO };
                self.taken = self.take_inputs(patience).into();
            }
            let mut commands = 0;
            while batch.len() < Self::EVENTS_PER_TURN
                && commands < limits::COMMANDS_PER_TURN
                && let Some(input) = self.taken.pop_front()
            {
                commands += if let Input::Event(Event::Commands(more)) = &input { more.len() } else { 0 };
                self.take(input, &mut batch);
            }
            if batch.is_empty() {
                continue;
            }
            let _turn = tracing::debug_span!("turn", events = batch.len(), commands).entered();
            let effects = self.host.turn(self.around.clock.now(), batch);
            let mut done = Vec::new();
            for effect in effects {
                match effect {
                    Effect::Done { token, outcome } => done.push((token, outcome)),
                    effect => {
                        if let Err(reason) = self.perform(effect) {
                            return reason;
                        }
                    }
                }
            }
            self.tell(done);
        }
    }

    /// Wakes the clients whose commands ended in this turn. Many of them are woken by one task among theirs, which costs less than waking each
    /// from here: the runtime's workers would be called through a lock for every one.
    fn tell(&self, done: Vec<(Token, Outcome)>) {
        // A client that went away takes no reply.
        let tell = |done: Vec<(Token, Outcome)>| done.into_iter().for_each(|(token, outcome)| drop(token.send(outcome)));
        if done.len() < Self::TOLD_TOGETHER {
            return tell(done);
        }
        self.around.peers.run(async move { tell(done) });
    }

    fn take_inputs(&self, patience: Duration) -> Vec<Input> {
        let wants = self.host.wants();
        let patience = if wants == Wants::ALL { patience } else { patience.min(Self::PATIENCE) };
        self.handle.inbox.take(wants, patience)
    }

    fn take(&mut self, input: Input, batch: &mut Vec<Event<Token>>) {
        match input {
            Input::Event(event) => batch.push(event),
            Input::Order(order, answer) => {
                self.next_ticket += 1;
                self.tickets.insert(self.next_ticket, answer);
                batch.push(Event::Order { order, ticket: self.next_ticket });
            }
            Input::Report(sender) => {
                let _ = sender.send(self.host.report());
            }
        }
    }

    fn perform(&mut self, effect: Effect<Token>) -> Result<(), String> {
        let gone = |_| "a thread of the host ended".to_owned();
        match effect {
            Effect::WriteLog { batch, number } => self.log.send((batch, number)).map_err(|_| gone(()))?,
            Effect::Send { to, messages } => self.around.peers.send(to, messages),
            Effect::SendSnapshot { to, shard, from_peer, to_peer, bytes, tablet } => {
                let head = snapshot::Head { to, shard, from_peer, to_peer, bytes };
                let folder = self.around.data_dir.join(snapshot::OUTGOING);
                let (peers, handle) = (self.around.peers.clone(), self.handle.clone());
                self.around.peers.run(async move {
                    let sent = snapshot::send(&peers, &folder, &head, Arc::clone(&tablet)).await;
                    if let Err(error) = &sent {
                        tracing::warn!(shard = %head.shard, to = %head.to, %error, "a snapshot was not sent");
                    }
                    let (shard, to) = (head.shard, head.to_peer);
                    let _ = tokio::task::spawn_blocking(move || {
                        if let Err(SnapshotError::Damaged(reason)) = &sent {
                            let reason = reason.clone();
                            handle.give(Input::Event(Event::TabletDamaged { shard, tablet, reason }));
                        }
                        handle.give(Input::Event(Event::SnapshotSent { shard, to, succeeded: sent.is_ok() }));
                    })
                    .await;
                });
            }
            Effect::Flush { shard, generation, applied, tablet } => {
                self.slow.send(Slow::Flush { shard, generation, applied, tablet }).map_err(|_| gone(()))?;
            }
            Effect::RetainTablet { shard, keep } => self.slow.send(Slow::Retain { shard, keep }).map_err(|_| gone(()))?,
            Effect::PurgeLog => self.slow.send(Slow::Purge).map_err(|_| gone(()))?,
            Effect::StoreIdentity(identity) => identity.store(&self.around.data_dir).map_err(|error| error.to_string())?,
            Effect::Done { token, outcome } => self.tell(vec![(token, outcome)]),
            Effect::Read(read) => self.handle.readers.read(*read),
            Effect::Answer { ticket, answer } => {
                if let Some(sender) = self.tickets.remove(&ticket) {
                    let _ = sender.send(answer);
                }
            }
            Effect::Call(call) => {
                if let Some(objects) = &self.around.objects {
                    let (id, handle) = (call.id, self.handle.clone());
                    objects.call(call, move |answered| handle.give(Input::Event(Event::Answered { id, answered })));
                }
            }
            Effect::Files(work) => self.files.send(work).map_err(|_| gone(()))?,
            Effect::Publish(routes) => {
                self.around.peers.set_nodes(&routes);
                self.publish.send_replace(routes);
            }
        }
        Ok(())
    }
}

struct LogWriter {
    log: Arc<dyn LogStore>,
    handle: HostHandle,
    clock: SystemClock,
    fatal: Fatal,
}

impl LogWriter {
    /// Writes batches; those that gathered during one fsync share the next.
    fn run(self, batches: &Receiver<(LogBatch, u64)>) {
        while let Ok((mut batch, mut number)) = batches.recv() {
            while let Ok((more, last)) = batches.try_recv() {
                batch.replicas.extend(more.replicas);
                batch.sync |= more.sync;
                number = last;
            }
            let _append = tracing::debug_span!("append", number, shards = batch.replicas.len(), sync = batch.sync).entered();
            let begun = self.clock.micros();
            if let Err(error) = self.log.write(batch) {
                return self.fatal.raise(format!("the log cannot be written, so this process ends: {error}"));
            }
            self.handle.give(Input::Event(Event::LogWritten { number, micros: self.clock.micros() - begun }));
        }
    }
}

struct SlowWorker {
    log: Arc<dyn LogStore>,
    tablets: Arc<dyn TabletStore>,
    handle: HostHandle,
    data_dir: PathBuf,
}

impl SlowWorker {
    fn run(self, work: &Receiver<Slow>) {
        while let Ok(slow) = work.recv() {
            match slow {
                Slow::Flush { shard, generation, applied, tablet } => {
                    let flushed = tablet.flush();
                    if let Err(error) = &flushed {
                        tracing::error!(%shard, %error, "a tablet was not flushed");
                    }
                    let applied = flushed.is_ok().then_some(applied);
                    self.handle.give(Input::Event(Event::Flushed { shard, generation, applied }));
                }
                Slow::Retain { shard, keep } => {
                    if let Err(error) = self.tablets.retain(shard, keep) {
                        tracing::warn!(%shard, %error, "an old tablet was not removed");
                    }
                }
                Slow::Purge => self.purge(),
            }
        }
    }

    fn purge(&self) {
        match self.log.purge() {
            Ok(late) => self.handle.give(Input::Event(Event::Purged { late, disk_bytes: self.log.disk_bytes() })),
            Err(error) => tracing::warn!(%error, "the log was not purged"),
        }
        if let Ok(disk) = rustix::fs::statvfs(&self.data_dir) {
            let (total_bytes, free_bytes) = (disk.f_blocks * disk.f_frsize, disk.f_bavail * disk.f_frsize);
            self.handle.give(Input::Event(Event::Disk { total_bytes, free_bytes }));
        }
    }
}
