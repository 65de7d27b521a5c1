//! What a shell would do with a host's effects, done to models of disk and network.

use super::{
    Check, Simulation,
    node::Node,
    planted::Planted,
    queue::{Action, MILLI, Parcel, SECOND, Token},
    steps::Step,
};
use std::sync::Arc;
use strata_base::{ShardId, StoreId};
use strata_engine::{
    log::LogStore,
    tablet::{Tablet, TabletStore},
};
use strata_node::host::{ColdDone, ColdRead, Effect, Event, Outcome, PeerMessage};

impl Simulation {
    /// Something arrives at a node, which will take it soon, together with whatever else arrives until then.
    pub(super) fn arrive(&mut self, node: usize, event: Event<Token>) {
        let event = match event {
            Event::Commands(commands) => Event::Commands(self.read_by_leases(node, commands)),
            event => event,
        };
        let delay = self.draws.nodes.u64(10..MILLI);
        let at = &mut self.nodes[node];
        at.inbox.push(event);
        if !at.is_turn_due {
            at.is_turn_due = true;
            let life = at.life;
            self.queue.after(delay, Action::Turn { node, life });
        }
    }

    /// Something comes back to a node later, if it lives as long.
    pub(super) fn arrive_after(&mut self, delay: u64, node: usize, event: Event<Token>) {
        let life = self.nodes[node].life;
        self.queue.after(delay, Action::Arrive { node, life, event });
    }

    /// A node takes what has arrived.
    pub(super) fn take_turn(&mut self, node: usize) {
        let now = self.queue.now();
        let at = &mut self.nodes[node];
        if at.stalled_until > now {
            return self.queue.at(at.stalled_until, Action::Turn { node, life: at.life });
        }
        at.is_turn_due = false;
        let (moment, events) = (at.moment(now), std::mem::take(&mut at.inbox));
        let Some(host) = &mut at.host else { return };
        let effects = host.turn(moment, events);
        self.trace.note((node, effects.len()));
        let life = at.life;
        for effect in effects {
            let step = Step::of_effect(&effect);
            if self.lives(node, life) {
                self.step(node, step.as_slice(), |simulation| simulation.execute(node, effect));
            }
        }
    }

    fn execute(&mut self, node: usize, effect: Effect<Token>) {
        let life = self.nodes[node].life;
        match effect {
            Effect::WriteLog { batch, number } => {
                let slowness = self.slowness(node);
                let latency = slowness * if batch.sync { self.draws.disks.u64(200..4 * MILLI) } else { self.draws.disks.u64(10..100) };
                let at = &mut self.nodes[node];
                at.writes.push_back((number, batch));
                at.disk_free_at = at.disk_free_at.max(self.queue.now()) + latency;
                self.queue.at(at.disk_free_at, Action::WriteLog { node, life });
            }
            Effect::Send { to, messages } => self.send(node, to, messages),
            Effect::SendSnapshot { to, shard, from_peer, to_peer, bytes, tablet } => {
                let parcel = Parcel { to, shard, from_peer, to_peer, bytes, tablet };
                let delay = self.slowness(node) * self.draws.disks.u64(100..20 * MILLI);
                self.queue.after(delay, Action::TakeSnapshot { node, life, parcel });
            }
            Effect::Flush { shard, generation, applied, tablet } => {
                let delay = self.slowness(node) * self.draws.disks.u64(MILLI..30 * MILLI);
                self.queue.after(delay, Action::Flush { node, life, shard, generation, applied, tablet });
            }
            Effect::Read(read) => self.begin_cold_read(node, read),
            Effect::PurgeLog => {
                let delay = self.draws.disks.u64(MILLI..10 * MILLI);
                self.queue.after(delay, Action::Purge { node, life });
            }
            Effect::RetainTablet { shard, keep } => {
                let delay = self.slowness(node) * self.draws.disks.u64(100..10 * MILLI);
                self.queue.after(delay, Action::Retain { node, life, shard, keep });
            }
            Effect::StoreIdentity(identity) => self.nodes[node].disk.identity = identity,
            Effect::Done { token, outcome } => {
                self.trace.note((token, format!("{outcome:?}")));
                self.command_done(token, &outcome);
            }
            Effect::Answer { ticket, answer } => {
                self.trace.note((ticket, format!("{answer:?}")));
                self.order_answered(node, ticket, answer);
            }
            Effect::Call(call) => self.ask_store(node, call),
            Effect::Files(work) => self.work_with_files(node, work),
            Effect::Publish(routes) => self.nodes[node].routes = routes,
        }
    }

    /// A thread of the node reads from the disk. Some take so long that another node leads before they read.
    pub(super) fn begin_cold_read(&mut self, node: usize, read: Box<ColdRead<Token>>) {
        let (life, slowness) = (self.nodes[node].life, self.slowness(node));
        let is_late = self.draws.disks.u8(..20) == 0;
        let delay = if is_late { self.draws.disks.u64(MILLI..2_000 * MILLI) } else { slowness * self.draws.disks.u64(50..2 * MILLI) };
        self.queue.after(delay, Action::ReadCold { node, life, read });
    }

    /// The disk has read; the reply goes past the host.
    pub(super) fn read_cold(&mut self, node: usize, read: ColdRead<Token>) {
        let now_ms = self.nodes[node].moment(self.queue.now()).monotonic_ms;
        match read.perform(now_ms) {
            ColdDone::Answered { token, reply } => {
                let outcome = Outcome::Reply(reply);
                self.trace.note((token, format!("{outcome:?}")));
                self.command_done(token, &outcome);
            }
            ColdDone::Refused { token, why } => self.command_done(token, &Outcome::NotDone(why)),
            ColdDone::Returned(returned) => self.arrive(node, Event::ColdReturned(returned)),
        }
    }

    /// How much longer than usual a node's disk takes.
    fn slowness(&mut self, node: usize) -> u64 {
        let rare = self.draws.disks.u8(..100) == 0;
        match (self.nodes[node].slow_until > self.queue.now(), rare) {
            (true, _) => 50,
            (false, true) => 20,
            (false, false) => 1,
        }
    }

    fn node_of(&self, store: StoreId) -> Option<usize> {
        self.nodes.iter().position(|node| node.store() == store)
    }

    fn send(&mut self, node: usize, to: StoreId, mut messages: Vec<PeerMessage>) {
        let reached = self.node_of(to).filter(|other| self.nodes[*other].host.is_some() && self.network.carries(node, *other));
        if reached.is_none() {
            if self.draws.network.bool() {
                let delay = self.draws.network.u64(MILLI..SECOND / 2);
                self.arrive_after(delay, node, Event::Unreachable(to));
            }
            return;
        }
        let (loss, from) = (self.network.loss, self.nodes[node].store());
        messages.retain(|_| self.draws.network.u32(..1_000) >= loss);
        if messages.is_empty() {
            return;
        }
        if self.draws.network.u32(..1_000) < self.network.doubling {
            let delay = self.network.delay(&mut self.draws.network);
            self.queue.after(delay, Action::Deliver { to, from, messages: messages.clone() });
        }
        let delay = self.network.delay(&mut self.draws.network);
        self.queue.after(delay, Action::Deliver { to, from, messages });
    }

    /// Messages come out of the network, unless their receiver is not there.
    pub(super) fn deliver(&mut self, to: StoreId, from: StoreId, messages: Vec<PeerMessage>) {
        let (Some(node), Some(sender)) = (self.node_of(to), self.node_of(from)) else { return };
        if self.nodes[node].host.is_some() && self.network.carries(sender, node) {
            self.trace.note_messages(&messages);
            self.arrive(node, Event::Messages { from, messages });
        }
    }

    /// The disk has written the oldest append.
    pub(super) fn log_written(&mut self, node: usize) {
        let now = self.queue.now();
        let at = &mut self.nodes[node];
        if at.stalled_until > now {
            return self.queue.at(at.stalled_until, Action::WriteLog { node, life: at.life });
        }
        if at.next_append_fails.is_some() && !at.writes.is_empty() {
            return self.append_fails(node);
        }
        let Some((_, batch)) = at.writes.front() else { return };
        let steps = Step::of_batch(batch, at.disk.log.as_ref());
        self.step(node, &steps, |simulation| simulation.write_log(node));
    }

    fn write_log(&mut self, node: usize) {
        let at = &mut self.nodes[node];
        let Some((number, mut batch)) = at.writes.pop_front() else { return };
        if self.planted == Some(Planted::ForgetfulLog) {
            batch.sync = false;
        }
        let written = at.disk.log.write(batch);
        self.trace.note((node, number));
        match written {
            Ok(()) => self.arrive(node, Event::LogWritten { number, micros: 500 }),
            Err(error) => self.breaks(Check::Host.says(error.to_string())),
        }
    }

    /// The oldest append fails. Perhaps it is on the disk all the same, or a part of what is under way: the process ends, and reads what there is.
    fn append_fails(&mut self, node: usize) {
        let Some(micros) = self.nodes[node].next_append_fails.take() else { return };
        self.tell(format!("  the append of node {node} fails"));
        if self.planted != Some(Planted::FailedAppendBelieved) {
            self.crash_for(node, micros);
        } else if let Some((number, _)) = self.nodes[node].writes.pop_front() {
            self.arrive(node, Event::LogWritten { number, micros: 500 });
        }
    }

    /// The disk writes a tablet; the host hears of it a little later.
    pub(super) fn flush(&mut self, node: usize, tablet: &Arc<dyn Tablet>, (shard, generation, applied): (ShardId, u64, u64)) {
        if let Some(micros) = self.nodes[node].next_flush_fails.take() {
            return self.flush_fails(node, (shard, generation), micros);
        }
        match self.step(node, &[Step::Flush], |_| tablet.flush()) {
            Some(Ok(())) => {
                let delay = self.draws.disks.u64(100..5 * MILLI);
                self.arrive_after(delay, node, Event::Flushed { shard, generation, applied: Some(applied) });
            }
            Some(Err(error)) => self.breaks(Check::Host.says(error.to_string())),
            None => {}
        }
    }

    /// The log removes files and says what it holds, and whose old entries keep files alive; now and then it names everybody.
    pub(super) fn purged(&mut self, node: usize) {
        let is_late = self.draws.disks.u8(..10) == 0;
        // Before files go the log is synced, which a disk that forgets would do as little as any other sync.
        let is_forgetful = self.planted == Some(Planted::ForgetfulLog);
        let log = self.nodes[node].disk.log.clone();
        let Some(purged) = self.step(node, &[Step::PurgeLog], |_| if is_forgetful { Ok(Vec::new()) } else { log.purge() }) else { return };
        let at = &self.nodes[node];
        let late = match purged {
            Ok(_) if is_late => at.disk.log.shards(),
            Ok(late) => late,
            Err(error) => return self.breaks(Check::Host.says(error.to_string())),
        };
        let disk_bytes = at.disk.log.disk_bytes();
        self.arrive(node, Event::Purged { late, disk_bytes });
    }

    /// Old generations go.
    pub(super) fn retained(&mut self, node: usize, shard: ShardId, keep: Option<u64>) {
        let tablets = self.nodes[node].disk.tablets.clone();
        if let Some(Err(error)) = self.step(node, &[Step::RetainTablet], |_| tablets.retain(shard, keep)) {
            self.breaks(Check::Host.says(error.to_string()));
        }
    }

    /// The files of a snapshot are taken: from here on the tablet may change.
    pub(super) fn take_snapshot(&mut self, node: usize, mut parcel: Parcel) {
        let Some(whole) = self.whole(node, parcel.shard, &parcel.tablet) else {
            return self.arrive(node, Event::SnapshotSent { shard: parcel.shard, to: parcel.to_peer, succeeded: false });
        };
        let Some(copy) = self.step(node, &[Step::ReadSnapshot], |_| whole.duplicate()) else { return };
        let Some(copy) = copy else { return self.breaks(Check::Host.says("a tablet in memory has no copy")) };
        parcel.tablet = copy;
        let longest = if self.draws.network.u8(..5) == 0 { 2 * SECOND } else { 50 * MILLI };
        let delay = self.network.delay(&mut self.draws.network) + self.draws.network.u64(MILLI..longest);
        let life = self.nodes[node].life;
        self.snapshots += 1;
        self.queue.after(delay, Action::LandSnapshot { node, life, parcel });
    }

    /// A snapshot has crossed the network. Now and then its sender does not hear that it did.
    pub(super) fn land_snapshot(&mut self, node: usize, parcel: Parcel) {
        let reached = self.node_of(parcel.to).filter(|other| self.nodes[*other].host.is_some() && self.network.carries(node, *other));
        let Parcel { shard, from_peer, to_peer, bytes, tablet, .. } = parcel;
        let mut succeeded = reached.is_some() && self.draws.network.u32(..1_000) >= self.network.loss;
        if let (true, Some(other)) = (succeeded, reached) {
            self.trace.note((shard.0, to_peer.0));
            self.arrive(other, Event::SnapshotArrived { shard, from: from_peer, to: to_peer, bytes, tablet });
            succeeded = self.draws.network.u8(..20) > 0;
        }
        let delay = self.draws.network.u64(MILLI..20 * MILLI);
        self.arrive_after(delay, node, Event::SnapshotSent { shard, to: to_peer, succeeded });
    }

    /// A node's process ends without warning.
    pub(super) fn crash(&mut self, node: usize) {
        let is_forgetful = self.planted == Some(Planted::ForgetfulLog);
        self.nodes[node].crash(&mut self.draws.disks, is_forgetful);
        self.abandon_all_at(node);
        self.crashes += 1;
    }

    /// A node's process starts on its disk.
    pub(super) fn start(&mut self, node: usize) {
        let (seed, now) = (self.draws.nodes.u64(..), self.queue.now());
        let at: &mut Node = &mut self.nodes[node];
        if let Err(error) = at.start(&self.options, seed, now) {
            return self.breaks(Check::Host.says(format!("node {node} does not start: {error}")));
        }
        at.disk_free_at = now;
        let (life, disk) = (at.life, at.disk_event(now));
        self.journal.tell(now, &format!("node {node} starts"));
        self.arrive(node, disk);
        self.queue.after(0, Action::Tick { node, life });
    }
}
