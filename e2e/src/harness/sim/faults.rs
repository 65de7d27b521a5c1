//! What breaks is done: the faults of a run's schedule, one by one; and at last everything is mended.

use super::{
    Simulation, bucket,
    queue::{Action, MILLI, SECOND},
    schedule::{Fault, TimedFault, Victim},
    steps::Doom,
};

impl Simulation {
    /// Plans what breaks between now and the next mending; moments count from now.
    pub(super) fn plan_faults(&mut self, faults: Vec<TimedFault>) {
        let era = self.era;
        for TimedFault { at_micros, fault } in faults {
            self.queue.after(at_micros, Action::Fault { era, fault });
        }
    }

    /// Something breaks, unless everything was mended meanwhile.
    pub(super) fn break_something(&mut self, era: u64, fault: &Fault) {
        if era == self.era {
            self.trace.note(fault);
            self.tell(fault.to_string());
            let has_effect = self.inflict(fault);
            self.faults += u64::from(has_effect);
            if !has_effect {
                self.tell("  which changes nothing");
            }
        }
    }

    fn node_of_victim(&mut self, whom: Victim) -> usize {
        match whom {
            Victim::Node(node) => node,
            Victim::LeaderOf { shard, or_node } => {
                let node = self.nth_leader(shard).map_or(or_node, |(_, node, _)| node);
                self.tell(format!("  which is node {node}"));
                node
            }
        }
    }

    /// Does it. Whether it made a difference.
    fn inflict(&mut self, fault: &Fault) -> bool {
        let now = self.queue.now();
        match *fault {
            Fault::Crash { node, micros } => self.crash_for(node, micros),
            Fault::CrashAll { ref micros } => {
                let crashed = micros.iter().enumerate().filter(|(node, micros)| self.crash_for(*node, **micros)).count();
                crashed > 0
            }
            Fault::CutOneWay { from, to } => self.network.cut(from, to),
            Fault::Isolate { whom } => {
                let node = self.node_of_victim(whom);
                self.network.isolate(node, self.nodes.len())
            }
            Fault::Vanish { whom, micros } => {
                // When it comes back it still believes what it believed, and hears nobody who knows better.
                let node = self.node_of_victim(whom);
                self.nodes[node].stalled_until = now + micros;
                self.network.isolate(node, self.nodes.len());
                true
            }
            Fault::MendCuts => self.network.mend(),
            Fault::Lose { loss, doubling } => {
                (self.network.loss, self.network.doubling) = (loss, doubling);
                true
            }
            Fault::Delay { micros } => {
                self.network.delay_micros = micros;
                true
            }
            Fault::SlowDisk { node, micros } => {
                self.nodes[node].slow_until = now + micros;
                true
            }
            Fault::Stall { node, micros } => {
                self.nodes[node].stalled_until = now + micros;
                true
            }
            Fault::SkewClock { node, millis } => std::mem::replace(&mut self.nodes[node].skew_ms, millis) != millis,
            Fault::MendClocks => self.mend_clocks(),
            Fault::EvictLeaders { node, millis } => {
                self.evict_leaders(node, millis);
                self.nodes[node].host.is_some()
            }
            Fault::TransferLeader { shard, member } => self.transfer_leader(shard, member),
            Fault::LoseDisk { node, micros } => self.lose_disk_once(node, micros),
            Fault::MoveMember { shard, member, other, goes_back } => self.move_member(shard, member, other, goes_back),
            Fault::StoreLeaves => self.set_outage(true),
            Fault::StoreReturns => self.set_outage(false),
            // It makes a difference when there is such an upload.
            Fault::ForgetUpload => {
                self.bucket.iter_mut().for_each(|bucket| bucket.forgets_upload = true);
                false
            }
            Fault::Checkpoint { shard } => self.bucket.is_some() && self.order_checkpoint(shard),
            Fault::Rival { may_continue } => self.begin_rival(may_continue),
            Fault::FailAppend { node, micros } => self.nodes[node].next_append_fails.replace(micros).is_none(),
            Fault::FillDisk { node, micros } => self.fill_disk(node, micros),
            // It makes a difference when the node comes to the step.
            Fault::EndAt { node, step, is_done, micros } => {
                self.nodes[node].doom = Some(Doom { step, is_done, micros });
                false
            }
            Fault::Operator(ref fault) => self.inflict_on_operators(fault),
            Fault::FailFlush { node, micros } => self.nodes[node].next_flush_fails.replace(micros).is_none(),
            Fault::RotTablet { node, shard, one_in } => self.rot_tablet(node, shard, one_in),
            Fault::RotLog { node, shard, one_in } => self.rot_log(node, shard, one_in),
        }
    }

    fn mend_clocks(&mut self) -> bool {
        let was_wrong = self.nodes.iter().any(|node| node.skew_ms != 0);
        self.nodes.iter_mut().for_each(|node| node.skew_ms = 0);
        was_wrong
    }

    fn set_outage(&mut self, is_down: bool) -> bool {
        let Some(bucket) = self.bucket.as_mut().filter(|bucket| bucket.is_down != is_down) else { return false };
        bucket.set_outage(is_down);
        true
    }

    /// A disk is full for a while; the node hears of both within a second.
    fn fill_disk(&mut self, node: usize, micros: u64) -> bool {
        let now = self.queue.now();
        self.nodes[node].full_until = now + micros;
        self.disk_is_looked_at(node);
        self.queue.after(micros, Action::LookAtDisk { node });
        true
    }

    /// A node looks at the free space of its disk.
    pub(super) fn disk_is_looked_at(&mut self, node: usize) {
        if self.nodes[node].host.is_some() {
            let (delay, event) = (self.draws.disks.u64(..SECOND), self.nodes[node].disk_event(self.queue.now()));
            self.arrive_after(delay, node, event);
        }
    }

    fn lose_disk_once(&mut self, node: usize, micros: u64) -> bool {
        let is_other_damaged = self.damaged().is_some_and(|damaged| damaged != node);
        let may_lose = !self.has_lost_disk && !is_other_damaged && self.hand.may_replace();
        if may_lose {
            self.has_lost_disk = true;
            self.lose_disk(node);
            self.restart_after(node, micros);
        }
        may_lose
    }

    /// A process ends without warning, and starts again later. Whether there was one.
    pub(super) fn crash_for(&mut self, node: usize, micros: u64) -> bool {
        let is_running = self.nodes[node].host.is_some();
        if is_running {
            self.crash(node);
            self.restart_after(node, micros);
        }
        is_running
    }

    pub(super) fn restart_after(&mut self, node: usize, micros: u64) {
        let life = self.nodes[node].life;
        self.queue.after(micros, Action::Restart { node, life });
    }

    /// Everything is mended, and nothing that was planned breaks any more; clocks may stay wrong on a minority.
    pub(super) fn heal(&mut self) {
        self.tell("everything is mended");
        self.era += 1;
        self.network.heal();
        self.bucket.iter_mut().for_each(bucket::Bucket::mend);
        self.rival = None;
        let now = self.queue.now();
        for node in 0..self.nodes.len() {
            if !self.options.skew_stays {
                self.nodes[node].skew_ms = 0;
            }
            self.nodes[node].slow_until = now;
            self.nodes[node].next_append_fails = None;
            self.nodes[node].next_flush_fails = None;
            self.nodes[node].doom = None;
            self.nodes[node].full_until = now;
            let event = self.nodes[node].disk_event(now);
            self.arrive_after(MILLI, node, event);
            self.nodes[node].stalled_until = now;
            if !self.nodes[node].unflushed.is_empty() {
                self.crash(node);
            }
            if self.nodes[node].host.is_none() {
                self.start(node);
            }
        }
        self.mend_operators();
    }
}
