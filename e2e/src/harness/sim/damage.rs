//! Disks that damage what they hold: flushes that fail, and records and entries that cannot be read any more.
//!
//! One disk in a run rots, so that every shard keeps a majority that can be read. Once everything is mended it is replaced by an empty one, which is
//! what the nodes tell their user to do; a flush that failed needs a process that starts anew.

use super::{
    Simulation,
    options::{Options, Swarm},
    planted::Planted,
    queue::{Action, MILLI, SECOND},
    schedule::{Fault, TimedFault},
};
use fastrand::Rng;
use std::sync::Arc;
use strata_base::ShardId;
use strata_engine::tablet::{MemoryTablet, Tablet, TabletChange, TabletFamily};
use strata_node::host::Event;

/// In one of so many seeds flushes fail, and in one of so many a disk rots.
const FLUSHES_SHARE: u8 = 3;
const ROT_SHARE: u8 = 2;

/// Draws what is damaged, and when: nothing rots where a disk is lost, or a clock may stay wrong, as another member of the same shard would be lost.
pub(super) fn draw(options: &Options, swarm: &Swarm, draws: &mut Rng) -> Vec<TimedFault> {
    let mut faults = Vec::new();
    let moment = |draws: &mut Rng| draws.u64(..options.trouble_micros.max(1));
    let (fails_flushes, rots) = (draws.u8(..FLUSHES_SHARE) == 0, draws.u8(..ROT_SHARE) == 0);
    if fails_flushes && swarm.only_victim.is_none() {
        for _ in 0..draws.u8(1..6) {
            let fault = Fault::FailFlush { node: draws.usize(..options.nodes), micros: draws.u64(MILLI..3 * SECOND) };
            faults.push(TimedFault { at_micros: moment(draws), fault });
        }
    }
    let is_survivable = options.replicas >= 3 && swarm.only_victim.is_none() && !swarm.replacement;
    if rots && is_survivable && !(swarm.skew_millis > 0 && options.skew_stays) {
        let node = draws.usize(..options.nodes);
        for _ in 0..draws.u8(1..8) {
            let shard = draws.usize(..usize::from(options.shards));
            let one_in = draws.choice([1, 3, 10, 30]).unwrap_or(1);
            let is_log = draws.u8(..3) == 0;
            let fault = if is_log { Fault::RotLog { node, shard, one_in } } else { Fault::RotTablet { node, shard, one_in } };
            faults.push(TimedFault { at_micros: moment(draws), fault });
        }
    }
    faults
}

impl Simulation {
    /// Whether a replica may stop.
    pub(super) fn may_stop(&self, node: usize, shard: ShardId) -> bool {
        let at = &self.nodes[node];
        at.disk.damaged.contains(&shard) || at.unflushed.contains(&shard)
    }

    /// Tells that a replica stopped, once.
    pub(super) fn tell_stopped(&mut self, node: usize, shard: ShardId, reason: &str) {
        if self.stopped.insert((self.nodes[node].life, node, shard)) {
            self.tell(format!("node {node} stops its replica of shard {shard}: {reason}"));
        }
    }

    /// A node on whose disk something cannot be read.
    pub(super) fn damaged(&self) -> Option<usize> {
        self.nodes.iter().position(|node| !node.disk.damaged.is_empty())
    }

    /// One disk of a run rots, where none is lost, and not before the cluster is founded: a shard without one of its first members is none.
    fn may_rot(&self, node: usize, shard: usize) -> Option<ShardId> {
        let is_other = self.damaged().is_some_and(|damaged| damaged != node);
        let (shard, _) = *self.hand.shards.get(shard)?;
        (!is_other && !self.has_lost_disk && self.is_founded() && self.options.replicas > 2).then_some(shard)
    }

    /// A part of a tablet's files cannot be read any more. Whether there is such a part.
    pub(super) fn rot_tablet(&mut self, node: usize, shard: usize, one_in: u32) -> bool {
        let Some(shard) = self.may_rot(node, shard) else { return false };
        let disk = &mut self.nodes[node].disk;
        let has_rotted = disk.tablets.newest(shard).is_some_and(|tablet| tablet.rot(one_in));
        if has_rotted {
            disk.damaged.insert(shard);
        }
        has_rotted
    }

    /// A part of a log cannot be read any more. Whether there is such a part.
    pub(super) fn rot_log(&mut self, node: usize, shard: usize, one_in: u32) -> bool {
        let Some(shard) = self.may_rot(node, shard) else { return false };
        let disk = &mut self.nodes[node].disk;
        let has_rotted = disk.log.rot(shard, one_in.into());
        if has_rotted {
            disk.damaged.insert(shard);
        }
        has_rotted
    }

    /// A tablet was not flushed. Who looks after the node sees that a replica stopped, and starts the process anew.
    pub(super) fn flush_fails(&mut self, node: usize, (shard, generation): (ShardId, u64), micros: u64) {
        self.tell(format!("  the flush of node {node} fails"));
        self.nodes[node].unflushed.insert(shard);
        self.arrive(node, Event::Flushed { shard, generation, applied: None });
        let (era, fault) = (self.era, Fault::Crash { node, micros: 50 * MILLI });
        self.queue.after(micros, Action::Fault { era, fault });
    }

    /// A tablet whose files are about to be copied; none where they cannot be read in whole, which its host hears.
    pub(super) fn whole(&mut self, node: usize, shard: ShardId, tablet: &Arc<dyn Tablet>) -> Option<Arc<dyn Tablet>> {
        let Err(error) = tablet.verify() else { return Some(tablet.clone()) };
        if self.planted == Some(Planted::DamageSpread) {
            return self.nodes[node].disk.tablets.newest(shard).map(|tablet| readable(&tablet));
        }
        self.tell(format!("node {node} finds that a tablet is damaged"));
        let (tablet, reason) = (tablet.clone(), error.to_string());
        self.arrive(node, Event::TabletDamaged { shard, tablet, reason });
        None
    }

    /// Once everything is mended a disk that rotted is replaced by an empty one, when nothing else is under way.
    pub(super) fn replace_damaged(&mut self) {
        if self.era == 0 || !self.hand.may_replace() || !self.crowd.is_idle() {
            return;
        }
        if let Some(node) = self.damaged() {
            self.tell(format!("node {node} is given an empty disk"));
            self.has_lost_disk = true;
            self.lose_disk(node);
            self.restart_after(node, 50 * MILLI);
            self.mend_operators();
        }
    }
}

/// The mistake of [`Planted::DamageSpread`]: a tablet of all that can be read of another one.
fn readable(tablet: &MemoryTablet) -> Arc<dyn Tablet> {
    let read = |family| tablet.records(family).into_iter().filter(move |(key, _)| tablet.get(family, key).is_ok());
    let put = |family| read(family).map(move |(key, value)| TabletChange::Put(family, key.into(), value));
    let copy = MemoryTablet::default();
    // Memory takes it.
    let _ = copy.write(TabletFamily::ALL.into_iter().flat_map(put).collect());
    Arc::new(copy)
}
