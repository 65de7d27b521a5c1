//! Leases: a leader that was confirmed by a quorum answers reads by itself for a little while, on the thread of whoever asks.
//!
//! ```text
//!  leader's clock     asks ├──────── LEASE ────────┤             reads are answered at once
//!                           ╲          ╱
//!  voter's clock             ├─ answers ──── PLEDGE ────────┤    votes for nobody, and does not campaign
//! ```
//!
//! - Whoever answers `Confirm` pledges to elect nobody for a while. The lease is counted from the moment before the question was sent, the pledge
//!   from that of its answer, and the lease is the shorter by a quarter: clocks whose rates differ by less keep it safe, whatever they show.
//! - A pledge is in memory only, so a process that has just started behaves as if it had pledged at its start.
//! - A planned transfer ends the lease first, for the rest of the term: the chosen successor, and those who vote for it, are bound by no pledge.
//!   A change of members ends it until the next proof, which counts the quorum of the new members.
//! - The lease is looked at again after the read. The clocks count the time that a machine sleeps.
//! - Time makes it end, so that a node which nobody hears serves nothing old. Nothing is asked for where nobody reads.
//!
//! What is read is what this leader has applied, and everything acknowledged is applied before its acknowledgement.

use super::{
    Host,
    brief::Brief,
    cold::{Grant, read},
    replica::Replica,
};
use crate::{bridge::ViewReader, limits};
use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering, fence},
};
use strata_base::{
    Hlc, ShardId, SlotRange,
    planted::{Mistake, planted},
};
use strata_engine::tablet::Tablet;
use strata_kv::{
    Facts, ReadError, Reply,
    command::{Call, Run},
};
use strata_raft_group::Role;

/// The right to read a shard without asking anybody, as long as it lasts. The host prolongs and ends it; connections read by it.
pub struct ReadLease {
    tablet: Arc<dyn Tablet>,
    generation: u64,
    slots: SlotRange,
    /// The host's monotonic time until which it lasts, in milliseconds; 0 once it is ended.
    until_ms: AtomicU64,
    /// What turns the host's monotonic time into that of the cluster, in milliseconds.
    ahead_ms: AtomicU64,
    /// The HLC of the last applied entry, or of an earlier one.
    applied: AtomicU64,
    /// Seeds the random numbers of commands, each with the next.
    draws: AtomicU64,
    /// Whether somebody read, or wanted to, since the host looked last.
    is_wanted: AtomicBool,
}

impl std::fmt::Debug for ReadLease {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "ReadLease until {} ms", self.until_ms.load(Ordering::Relaxed))
    }
}

/// What a read by a lease came to.
#[derive(Debug)]
pub enum Leased {
    /// It is done.
    Reply(Reply),
    /// Memory, or a short look into it, did not suffice. Whoever may wait for the disk reads there.
    Disk(Box<Grant>),
    /// The host must see to it.
    Host,
}

impl ReadLease {
    /// Evaluates a command that only reads its keys, if the lease lasts and memory suffices. `clock` shows the host's monotonic time, in milliseconds.
    pub fn read(&self, call: &Call, clock: impl Fn() -> u64) -> Leased {
        if call.spec.is_write() || !matches!(call.spec.run, Run::Keyed { .. }) {
            return Leased::Host;
        }
        if !self.is_wanted.load(Ordering::Relaxed) {
            self.is_wanted.store(true, Ordering::Relaxed);
        }
        let now_ms = clock();
        if now_ms >= self.until_ms.load(Ordering::SeqCst) {
            return Leased::Host;
        }
        let applied = Hlc::from_u64(self.applied.load(Ordering::Acquire));
        let hlc = applied.max(Hlc::from_millis(now_ms.wrapping_add(self.ahead_ms.load(Ordering::Relaxed))));
        let random = fastrand::Rng::with_seed(self.draws.fetch_add(1, Ordering::Relaxed)).u64(..);
        let facts = Facts { applied, slots: self.slots, random, ..Facts::default() };
        let reply = match self.read_memory(call, hlc, facts) {
            Ok(Some(reply)) => reply,
            Err(ReadError::Cold) => {
                // The moment that counts is this one, as for reads that the host grants: the disk may answer after the lease has ended.
                let (tablet, generation) = (self.tablet.clone(), self.generation);
                return Leased::Disk(Box::new(Grant { tablet, generation, hlc, facts }));
            }
            Ok(None) | Err(_) => return Leased::Host,
        };
        fence(Ordering::SeqCst);
        if clock() < self.until_ms.load(Ordering::SeqCst) { Leased::Reply(reply) } else { Leased::Host }
    }

    /// One record is of one moment by itself; who needs a second one reads a snapshot.
    fn read_memory(&self, call: &Call, hlc: Hlc, facts: Facts) -> Result<Option<Reply>, ReadError> {
        let now = ViewReader(self.tablet.in_memory());
        let one = Brief::new(&now, 1);
        match read(&one, call, hlc, facts) {
            Err(ReadError::Cold) if one.is_cut() => {
                let at_once = ViewReader(self.tablet.snapshot_in_memory());
                read(&Brief::new(&at_once, limits::RECORDS_AT_ONCE), call, hlc, facts)
            }
            read => read,
        }
    }

    fn end(&self) {
        self.until_ms.store(0, Ordering::SeqCst);
        fence(Ordering::SeqCst);
    }
}

impl<T> Host<T> {
    /// A leader that begins to serve has a lease, which a proof must make last.
    pub(super) fn open_lease(&mut self, replica: &mut Replica<T>) {
        let (Some(tablet), true) = (replica.tablet.clone(), self.settings.leases) else { return };
        let lease = Arc::new(ReadLease {
            tablet,
            generation: replica.generation,
            slots: replica.slots(),
            until_ms: AtomicU64::new(0),
            ahead_ms: AtomicU64::new(self.ahead_ms()),
            applied: AtomicU64::new(replica.applied.hlc.as_u64()),
            draws: AtomicU64::new(self.draws.u64(..)),
            is_wanted: AtomicBool::new(false),
        });
        self.routes.set_lease(replica.shard, Some(lease.clone()));
        self.routes_changed = true;
        replica.lease = Some(lease);
    }

    /// Ends the lease for the rest of this term.
    pub(super) fn close_lease(&mut self, replica: &mut Replica<T>) {
        if let Some(lease) = replica.lease.take() {
            lease.end();
            self.routes.set_lease(replica.shard, None);
            self.routes_changed = true;
        }
    }

    /// By the tick: readers know what time it is, and leases that are read by are prolonged in time.
    pub(super) fn keep_leases(&mut self) {
        let ahead_ms = self.ahead_ms();
        let shards: Vec<ShardId> = self.replicas.values().filter(|replica| replica.lease.is_some()).map(|replica| replica.shard).collect();
        for shard in shards {
            let Some(replica) = self.replicas.remove(&shard) else { continue };
            if let Some(lease) = &replica.lease {
                lease.ahead_ms.store(ahead_ms, Ordering::Relaxed);
                let ends_soon = lease.until_ms.load(Ordering::Relaxed) < self.now.monotonic_ms + self.settings.lease_millis() / 2;
                if ends_soon && lease.is_wanted.swap(false, Ordering::Relaxed) {
                    // A transfer, or a term too new: readers ask the host meanwhile.
                    let _ = self.begin_lease_proof(&replica);
                }
            }
            self.replicas.insert(shard, replica);
        }
    }

    fn ahead_ms(&mut self) -> u64 {
        self.now_ms().wrapping_sub(self.now.monotonic_ms)
    }
}

impl<T> Replica<T> {
    /// A quorum was in this term, and pledged for longer than until then.
    pub(super) fn prolong_lease(&self, until_ms: u64) {
        if let Some(lease) = &self.lease {
            lease.until_ms.fetch_max(until_ms, Ordering::SeqCst);
        }
    }

    /// The members changed: what was proven was proven by others.
    pub(super) fn suspend_lease(&self) {
        if let Some(lease) = &self.lease {
            lease.end();
        }
    }

    /// More was applied.
    pub(super) fn tell_lease(&self) {
        if let Some(lease) = &self.lease {
            lease.applied.store(self.applied.hlc.as_u64(), Ordering::Release);
        }
    }

    /// Whether this member follows in the term; if so it helps nobody to lead in a later one until then.
    pub(super) fn pledge(&mut self, term: u64, until_ms: u64) -> bool {
        let follows = self.group.term() == term && matches!(self.group.role(), Role::Follower(_));
        if follows {
            self.pledge_until(until_ms);
        }
        follows
    }

    pub(super) fn pledge_until(&mut self, until_ms: u64) {
        self.pledged_until_ms = self.pledged_until_ms.max(until_ms);
        self.group.set_pledged(!planted(Mistake::PledgeIgnored));
    }

    /// By the tick: a pledge ends.
    pub(super) fn watch_pledge(&mut self, now_ms: u64) {
        self.group.set_pledged(now_ms < self.pledged_until_ms && !planted(Mistake::PledgeIgnored));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        bridge::{TabletReader, apply_effect},
        host::{ColdDone, ColdRead, Command, ReplyRoom},
    };
    use std::cell::Cell;
    use strata_engine::tablet::MemoryTablet;
    use strata_kv::{Counts, Overlay, View, command};

    const UNTIL_MS: u64 = 100;

    fn call(words: &[&str]) -> Call {
        command::parse(words.iter().map(|word| (*word).to_owned().into()).collect()).expect("it is well-formed")
    }

    /// A tablet in files, in which each key holds itself.
    fn flushed(keys: &[String]) -> Arc<dyn Tablet> {
        let tablet: Arc<dyn Tablet> = Arc::new(MemoryTablet::default());
        let (reader, mut overlay, mut changes) = (TabletReader(tablet.clone()), Overlay::default(), Vec::new());
        for key in keys {
            let mut view = View::with_facts(&reader, &mut overlay, Hlc::from_millis(1), Facts::default());
            call(&["set", key, key]).try_evaluate(&mut view).expect("it is a plain SET");
            view.finish().effects.into_iter().for_each(|effect| apply_effect(effect, &mut changes, &mut Counts::default()));
        }
        tablet.write(changes).and_then(|()| tablet.flush()).expect("memory takes it");
        tablet
    }

    fn lease(tablet: Arc<dyn Tablet>) -> ReadLease {
        ReadLease {
            tablet,
            generation: 1,
            slots: SlotRange::ALL,
            until_ms: AtomicU64::new(UNTIL_MS),
            ahead_ms: AtomicU64::new(0),
            applied: AtomicU64::new(0),
            draws: AtomicU64::new(0),
            is_wanted: AtomicBool::new(false),
        }
    }

    #[test]
    fn it_reads_while_it_lasts_and_writes_nothing() {
        let lease = lease(flushed(&[]));
        assert!(matches!(lease.read(&call(&["get", "nothing"]), || UNTIL_MS - 1), Leased::Reply(Reply::Null)));
        assert!(matches!(lease.read(&call(&["get", "nothing"]), || UNTIL_MS), Leased::Host));
        assert!(matches!(lease.read(&call(&["set", "a", "b"]), || 0), Leased::Host));
        let later = Cell::new(UNTIL_MS - 2);
        let passing = || later.replace(later.get() + 2);
        assert!(matches!(lease.read(&call(&["get", "nothing"]), passing), Leased::Host), "it ended while the tablet was read");
        lease.end();
        assert!(matches!(lease.read(&call(&["get", "nothing"]), || 0), Leased::Host));
    }

    #[test]
    fn what_memory_lacks_is_granted_unless_a_write_follows() {
        let keys: Vec<String> = (0..64).map(|number| format!("key-{number}")).collect();
        let lease = lease(flushed(&keys));
        let grant = |key: &str| match lease.read(&call(&["get", key]), || 0) {
            Leased::Disk(grant) => Some(grant),
            _ => None,
        };
        let cold = keys.iter().find(|key| grant(key).is_some()).expect("a part of what was flushed is not in memory");
        let command = |is_beside_queue| Command {
            shard: ShardId(1),
            call: call(&["get", cold]),
            is_beside_queue,
            grant: grant(cold),
            room: ReplyRoom::default(),
            token: (),
        };
        let read = ColdRead::by_lease(command(true), || 0).expect("it may pass the queue");
        let ColdDone::Answered { reply, .. } = read.perform(UNTIL_MS + 1) else { panic!("the disk answers, also after the lease") };
        assert_eq!(reply, Reply::bulk(cold.clone()));
        let queued = ColdRead::by_lease(command(false), || 0).err().expect("it may not pass a write that follows");
        assert!(queued.grant.is_none() && !queued.is_beside_queue);
    }
}
