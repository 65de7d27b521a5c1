//! What breaks: one fault after the other at random moments, of the kinds that the seed has chosen; and at last everything is mended.

use super::{
    Simulation, bucket,
    queue::{Action, MILLI, SECOND},
};

/// A kind of trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Fault {
    Crash,
    CrashAll,
    CutOneWay,
    Isolate,
    Mend,
    Lose,
    Delay,
    SlowDisk,
    Stall,
    Vanish,
    SkewClock,
    MendClocks,
    MoveLeaders,
    LoseDisk,
    MoveMember,
    TroubleBucket,
}

impl Simulation {
    fn kinds(&self) -> Vec<Fault> {
        let options = &self.options;
        let may_isolate = options.cuts && options.only_victim.is_none();
        let table = [
            (options.crashes, Fault::Crash),
            (options.crashes, Fault::Crash),
            (options.whole_crashes, Fault::CrashAll),
            (may_isolate, Fault::CutOneWay),
            (may_isolate, Fault::Isolate),
            (may_isolate, Fault::Mend),
            (options.loss && options.only_victim.is_none(), Fault::Lose),
            (options.delays, Fault::Delay),
            (options.slow_disks, Fault::SlowDisk),
            (options.stalls, Fault::Stall),
            (may_isolate && options.stalls, Fault::Vanish),
            (may_isolate && options.stalls, Fault::Vanish),
            (options.skew_ms > 0, Fault::SkewClock),
            (options.skew_ms > 0, Fault::MendClocks),
            (options.transfers, Fault::MoveLeaders),
            (options.transfers, Fault::MoveLeaders),
            (options.replacement, Fault::LoseDisk),
            (options.moves, Fault::MoveMember),
            (options.moves, Fault::MoveMember),
            (options.has_bucket, Fault::TroubleBucket),
            (options.has_bucket, Fault::TroubleBucket),
        ];
        table.into_iter().filter(|(is_chosen, _)| *is_chosen).map(|(_, fault)| fault).collect()
    }

    /// Something breaks, and the next fault is planned.
    pub(super) fn break_something(&mut self) {
        if self.is_healed {
            return;
        }
        if let Some(fault) = self.draws.choice(self.kinds()) {
            self.faults += 1;
            self.trace.note(fault);
            self.inflict(fault);
        }
        let pause = self.draws.u64(1..2 * self.options.calm_micros);
        self.queue.after(pause, Action::Fault);
    }

    fn victim(&mut self) -> usize {
        let any = self.draws.usize(..self.nodes.len());
        self.options.only_victim.unwrap_or(any)
    }

    /// Half of the time, a node that leads.
    fn leading_node(&mut self) -> Option<usize> {
        let (shard, _) = self.draws.choice(self.hand.shards.clone()).filter(|_| self.draws.bool())?;
        self.leader(shard).map(|(node, _)| node)
    }

    fn inflict(&mut self, fault: Fault) {
        let now = self.queue.now();
        let victim = self.victim();
        let is_quick = self.draws.u8(..3) == 0;
        let length = if is_quick { self.draws.u64(MILLI..50 * MILLI) } else { self.draws.u64(50 * MILLI..2 * SECOND) };
        match fault {
            Fault::Crash => self.crash_for(victim, length),
            Fault::CrashAll => {
                for node in 0..self.nodes.len() {
                    let length = self.draws.u64(5 * MILLI..if is_quick { 50 * MILLI } else { SECOND });
                    self.crash_for(node, length);
                }
            }
            Fault::CutOneWay => {
                let to = self.draws.usize(..self.nodes.len());
                self.network.cut(victim, to);
            }
            Fault::Isolate => {
                let victim = self.leading_node().unwrap_or(victim);
                self.network.isolate(victim, self.nodes.len());
            }
            Fault::Vanish => {
                // When it comes back it still believes what it believed, and hears nobody who knows better.
                let victim = self.leading_node().unwrap_or(victim);
                self.nodes[victim].stalled_until = now + length;
                self.network.isolate(victim, self.nodes.len());
            }
            Fault::Mend => self.network.mend(),
            Fault::Lose => {
                self.network.loss = self.draws.u32(..200);
                self.network.doubling = self.draws.u32(..200);
            }
            Fault::Delay => self.network.delay_micros = self.draws.u64(MILLI..60 * MILLI),
            Fault::SlowDisk => self.nodes[victim].slow_until = now + length,
            Fault::Stall => self.nodes[victim].stalled_until = now + length,
            Fault::SkewClock => self.skew_clock(),
            Fault::MendClocks => self.nodes.iter_mut().for_each(|node| node.skew_ms = 0),
            Fault::MoveLeaders => self.move_leaders(),
            Fault::MoveMember => self.move_member(),
            Fault::TroubleBucket => self.trouble_bucket(),
            Fault::LoseDisk => {
                if !self.has_lost_disk && self.hand.may_replace() {
                    self.has_lost_disk = true;
                    self.lose_disk(victim);
                    self.restart_after(victim, length);
                }
            }
        }
    }

    /// The clocks of a minority of any shard's members are off; always of the same nodes, so that it stays one.
    fn skew_clock(&mut self) {
        let minority = (self.options.replicas - 1) / 2;
        let victim = match self.options.only_victim {
            Some(only) => only,
            None => self.draws.usize(..minority),
        };
        let bound = self.options.skew_ms;
        let skew_ms = self.draws.i64(-bound..=bound);
        // Half of the time it is as far off as it gets.
        self.nodes[victim].skew_ms = if self.draws.bool() { skew_ms } else { bound * skew_ms.signum() };
    }

    pub(super) fn crash_for(&mut self, node: usize, length: u64) {
        if self.nodes[node].host.is_some() {
            self.crash(node);
            self.restart_after(node, length);
        }
    }

    fn restart_after(&mut self, node: usize, length: u64) {
        let life = self.nodes[node].life;
        self.queue.after(length, Action::Restart { node, life });
    }

    /// Everything is mended; clocks may stay wrong on a minority.
    pub(super) fn heal(&mut self) {
        self.is_healed = true;
        self.network.heal();
        self.bucket.iter().for_each(bucket::Bucket::mend);
        let now = self.queue.now();
        for node in 0..self.nodes.len() {
            if !self.options.skew_stays {
                self.nodes[node].skew_ms = 0;
            }
            self.nodes[node].slow_until = now;
            self.nodes[node].stalled_until = now;
            if self.nodes[node].host.is_none() {
                self.start(node);
            }
        }
    }
}
