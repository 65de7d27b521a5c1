//! What a seed chooses before anything happens: the size of the cluster, its budgets, and which kinds of trouble it meets (a swarm: each seed
//! has some of them, so that no kind always hides another).

use super::queue::{MILLI, SECOND};
use fastrand::Rng;
use strata_base::planted::{CAN_PLANT, Mistake};
use strata_node::limits;

/// A mistake put into the simulated world on purpose, to see that the checks notice it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Planted {
    /// The disk says that an append is durable, and a crash takes it all the same.
    ForgetfulLog,
    /// Now and then a command reaches the node twice.
    CommandsTwice,
    /// A client takes "not done" for "done".
    RefusalsBelieved,
    /// One replica gets a record that the others do not have.
    StrayRecord,
    /// The archive promises three seconds more than it has.
    PromisesTooMuch,
    /// Reads are answered by a follower's tablet.
    StaleReads,
    /// Readers look at a clock that is behind that of their host.
    LateClocks,
    /// A rule of the nodes is broken.
    Rule(Mistake),
}

impl Planted {
    /// Mistakes of the world around the nodes.
    const OF_WORLD: [(Planted, &str); 7] = [
        (Planted::ForgetfulLog, "forgetful-log"),
        (Planted::CommandsTwice, "commands-twice"),
        (Planted::RefusalsBelieved, "refusals-believed"),
        (Planted::StrayRecord, "stray-record"),
        (Planted::PromisesTooMuch, "promises-too-much"),
        (Planted::StaleReads, "stale-reads"),
        (Planted::LateClocks, "late-clocks"),
    ];

    /// All that this build can make: rules of the nodes are broken only where the feature `planted` is on.
    pub fn all() -> Vec<Planted> {
        let rules = Mistake::ALL.iter().filter(|_| CAN_PLANT).map(|rule| Planted::Rule(*rule));
        Planted::OF_WORLD.into_iter().map(|(mistake, _)| mistake).chain(rules).collect()
    }

    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Planted::Rule(rule) => rule.name(),
            of_world => Planted::OF_WORLD.iter().find(|(mistake, _)| *mistake == of_world).map_or("", |(_, name)| name),
        }
    }

    /// The rule of the nodes that it breaks.
    pub(super) fn rule(self) -> Option<Mistake> {
        if let Planted::Rule(rule) = self { Some(rule) } else { None }
    }

    /// Whether it can only show beside a bucket.
    pub fn needs_bucket(self) -> bool {
        use Mistake::{
            ArchivedAssumed, CheckpointIndexLate, CutBeforeArchive, CutPerReplica, DocumentBeforeFiles, ListingBelieved,
            PromiseWithoutProof, SnapshotAmidRestore,
        };
        let of_tier = [
            ArchivedAssumed,
            CheckpointIndexLate,
            CutBeforeArchive,
            CutPerReplica,
            DocumentBeforeFiles,
            ListingBelieved,
            PromiseWithoutProof,
            SnapshotAmidRestore,
        ];
        self == Planted::PromisesTooMuch || self.rule().is_some_and(|rule| of_tier.contains(&rule))
    }
}

/// What a seed chose.
#[derive(Clone, Debug)]
pub(super) struct Options {
    pub(super) nodes: usize,
    pub(super) replicas: usize,
    pub(super) shards: u16,
    pub(super) clients: usize,
    pub(super) log_bytes: u64,
    /// The longest pause of a client between two commands, in microseconds.
    pub(super) think_micros: u64,
    /// How long things break, in microseconds.
    pub(super) faults_micros: u64,
    /// The mean time between two faults, in microseconds.
    pub(super) calm_micros: u64,
    pub(super) crashes: bool,
    pub(super) whole_crashes: bool,
    pub(super) cuts: bool,
    pub(super) loss: bool,
    pub(super) delays: bool,
    pub(super) slow_disks: bool,
    pub(super) stalls: bool,
    pub(super) transfers: bool,
    pub(super) replacement: bool,
    /// Whether members move between nodes, where there are more of these.
    pub(super) moves: bool,
    /// Whether one of the clients only reads, here and there.
    pub(super) has_reader: bool,
    pub(super) abandons: bool,
    /// The furthest that a minority's clocks are off, in milliseconds.
    pub(super) skew_ms: i64,
    /// Whether clocks stay wrong after the faults have ended.
    pub(super) skew_stays: bool,
    /// Where clocks are wildly wrong and deadlines are judged, trouble meets only this node: two of three clocks must be right and heard.
    pub(super) only_victim: Option<usize>,
    /// Whether the time of the cluster is bounded by the true one, so that short times to live may be judged.
    pub(super) time_is_sound: bool,
    /// Whether there is a bucket beside the nodes.
    pub(super) has_bucket: bool,
    /// Whether the disks are lost amid writes, or after all is quiet.
    pub(super) is_lost_amid: bool,
    /// Whether leaders read by leases.
    pub(super) leases: bool,
    /// How long a pledge is: that of the product, or one that outlasts elections, so that whatever breaks a lease shows.
    pub(super) pledge_millis: u64,
    pub(super) planted: Option<Planted>,
}

impl Options {
    pub(super) fn draw(draws: &mut Rng) -> Options {
        let nodes = if draws.u8(..3) == 0 { 5 } else { 3 };
        let replicas = if nodes == 5 && draws.u8(..3) == 0 { 5 } else { 3 };
        let is_small = draws.u8(..100) < 60;
        let log_bytes = if is_small { 1 << draws.u32(11..15) } else { 64 << 20 };
        let think_micros = 1 << draws.u32(11..16);
        let mut often = |percent: u8| draws.u8(..100) < percent;
        let (is_skewed, is_wild, keeps_time) = (often(40), often(50), often(50));
        let mut options = Options {
            nodes,
            replicas,
            shards: 1,
            clients: 3,
            log_bytes,
            think_micros,
            faults_micros: 6 * SECOND,
            calm_micros: 500 * MILLI,
            crashes: often(70),
            whole_crashes: often(30),
            cuts: often(60),
            loss: often(50),
            delays: often(50),
            slow_disks: often(40),
            stalls: often(40),
            transfers: often(60),
            replacement: often(35),
            moves: nodes > replicas && often(70),
            has_reader: often(50),
            abandons: often(40),
            skew_ms: 0,
            skew_stays: often(50),
            only_victim: None,
            time_is_sound: true,
            has_bucket: false,
            is_lost_amid: false,
            leases: true,
            pledge_millis: limits::PLEDGE_MILLIS,
            planted: None,
        };
        options.shards = draws.u16(1..=4);
        options.clients = draws.usize(3..=6);
        options.faults_micros = draws.u64(8..=20) * SECOND;
        options.calm_micros = draws.u64(60..=600) * MILLI;
        if is_skewed {
            options.skew_ms = if is_wild { draws.choice([700, 3_000, 100_000, 3_600_000]).unwrap_or(700) } else { 450 };
        }
        if is_skewed && is_wild {
            options.time_is_sound = keeps_time;
            if keeps_time {
                (options.only_victim, options.whole_crashes, options.replacement) = (Some(draws.usize(..nodes)), false, false);
                options.moves = false;
                (options.crashes, options.transfers) = (true, true);
            }
        }
        // One disk lost for ever and one clock wrong for ever are two of three members: whoever has the newest log may not lead then.
        options.skew_stays &= !options.replacement;
        options.leases = draws.u8(..4) > 0;
        if draws.bool() {
            options.pledge_millis = 4 * limits::PLEDGE_MILLIS;
        }
        options
    }
}
