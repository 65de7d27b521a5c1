//! The limits of the simulation: name, unit, reason.

use super::queue::{MILLI, SECOND};
use std::{ops::RangeInclusive, time::Duration};

/// How long the cluster may take until it serves again, once everything is mended, in simulated microseconds: an election, an eviction that
/// was ordered last, and a command's deadline.
pub(super) const SERVING_BOUND: u64 = 20 * SECOND;

/// How long the cluster may take until all replicas hold the same, in simulated microseconds.
pub(super) const CONVERGED_BOUND: u64 = 40 * SECOND;

/// How long operators may take to found the cluster once everything is mended, in simulated microseconds: some passes, each of which may wait for a
/// node's deadline.
pub(super) const FOUNDED_BOUND: u64 = 60 * SECOND;

/// How long a rollout may take once everything is mended, in simulated microseconds: for each of seven nodes an eviction, a restart, an election, and
/// leaders that are spread again.
pub(super) const ROLLED_OUT_BOUND: u64 = 150 * SECOND;

/// How long the archive may take until it has everything, in simulated microseconds. That a late request of the past took the path back is noticed within
/// half a minute; it is claimed again a minute after the last claim, and its beat is watched for a minute and a half, twice where the last beat of the
/// dead takes effect meanwhile: 270 s by a clock that may be a tenth slow.
pub(super) const ARCHIVED_BOUND: u64 = 340 * SECOND;

/// How long a restore may take, in simulated microseconds: three periods of a dead owner's beat, twice where the last one takes effect meanwhile, and
/// some.
pub(super) const RESTORED_BOUND: u64 = 270 * SECOND;

/// How many actions a simulation may take; one that needs more goes in circles.
pub(super) const ACTIONS_MAX: u64 = 20_000_000;

/// How many nodes, shards and clients a run may have: what a seed draws at most.
pub(super) const NODES_MAX: usize = 7;
pub(super) const SHARDS_MAX: u16 = 8;
pub(super) const CLIENTS_MAX: usize = 8;

/// How fast the clocks of nodes run, in percent of the true rate: two nodes may differ by nearly as much as leases allow.
pub(super) const RATES_PERCENT: RangeInclusive<u64> = 90..=110;

/// The longest and the shortest time within which things break, in microseconds. A schedule that was made smaller may be shorter than what seeds
/// draw.
pub(super) const TROUBLE_MICROS: RangeInclusive<u64> = 1..=60 * SECOND;

/// The size of a part of an upload or of a ranged read, in bytes: shorter ones ask the store for nothing else any more.
pub(super) const PART_BYTES: RangeInclusive<u64> = 64..=8 << 20;

/// The longest pause of a client between two commands, in microseconds, at least and at most.
pub(super) const THINK_MICROS: RangeInclusive<u64> = MILLI..=SECOND;

/// How many faults a run may have, and how many losses of everything.
pub(super) const FAULTS_MAX: usize = 2_000;
pub(super) const LOSSES_MAX: usize = 3;

/// How many lines are told of one run: beyond it nobody reads them.
pub(super) const JOURNAL_LINES_MAX: usize = 2_000;

/// How many seeds of the other draws a schedule's file may ask for.
pub(super) const SEEDS_MAX: u64 = 1_000;

/// How many other runs are played to make one smaller: five faults out of a hundred are found in about a hundred.
pub const SHRINK_ATTEMPTS_MAX: u64 = 400;

/// How long it may take to make a run smaller.
pub const SHRINK_TIME_MAX: Duration = Duration::from_secs(90);

/// How many seeds of the other draws are tried for a smaller cluster, in which everything happens at other moments.
pub(super) const SHRINK_SEEDS: u64 = 3;
