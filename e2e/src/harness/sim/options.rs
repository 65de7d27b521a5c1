//! What a seed chooses before anything happens: the size of the cluster, its budgets, and which kinds of trouble it meets (a swarm: each seed
//! has some of them, so that no kind always hides another).

use super::{
    limits::{CLIENTS_MAX, NODES_MAX, PART_BYTES, RATES_PERCENT, SHARDS_MAX, THINK_MICROS, TROUBLE_MICROS},
    operator_faults::OperatorTrouble,
    queue::{MILLI, SECOND},
};
use fastrand::Rng;
use serde::{Deserialize, Serialize};
use strata_engine::objects::PerMille;
use strata_node::limits;

/// Where and how a run is played: everything that is neither a fault nor a draw.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// Nodes.
    pub nodes: usize,
    /// Members of each shard.
    pub replicas: usize,
    /// Shards.
    pub shards: u16,
    /// Clients.
    pub clients: usize,
    /// The longest pause of a client between two commands, in microseconds.
    pub think_micros: u64,
    /// Whether one of the clients only reads, here and there.
    pub has_reader: bool,
    /// Whether clients give commands up.
    pub abandons: bool,
    /// How long things break, in microseconds; then everything is mended.
    pub trouble_micros: u64,
    /// How much log a node keeps, in bytes.
    pub log_bytes: u64,
    /// How fast the monotonic clock of each node runs, in percent of the true rate.
    pub rates_percent: Vec<u64>,
    /// Whether clocks stay wrong after the faults have ended.
    pub skew_stays: bool,
    /// Whether the time of the cluster is bounded by the true one, so that short times to live may be judged.
    pub time_is_sound: bool,
    /// Whether leaders read by leases.
    pub leases: bool,
    /// How long a pledge is, in milliseconds: that of the product, or one that outlasts elections, so that whatever breaks a lease shows.
    pub pledge_millis: u64,
    /// The bucket beside the nodes, if there is one, and how it fails.
    pub store: Option<StoreTrouble>,
    /// Whether the disks are lost amid writes, or after all is quiet.
    pub is_lost_amid: bool,
    /// Whether replicas are told, again and again, to say what they hold at one entry.
    #[serde(default)]
    pub compares: bool,
    /// How much each node keeps of what is not archived, where that is so little that it matters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archive_bound: Option<ArchiveBound>,
    /// The size of a part of an upload or of a ranged read, in bytes, where that is so little that files have several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part_bytes: Option<u64>,
    /// The operators that found and mend the cluster, and what goes wrong around them; without them a hand does their part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator: Option<OperatorTrouble>,
}

/// What a node keeps of what is not archived.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArchiveBound {
    /// How many bytes.
    pub bytes: u64,
    /// Whether what is beyond is dropped, and a checkpoint made instead; otherwise writes are refused.
    pub drops: bool,
}

impl ArchiveBound {
    /// In one of four runs a bound that clients reach within seconds while the store is away.
    pub(super) fn draw(draws: &mut Rng) -> Option<ArchiveBound> {
        let (is_felt, bytes, drops) = (draws.u8(..4) == 0, 1 << draws.u32(11..15), draws.bool());
        is_felt.then_some(ArchiveBound { bytes, drops })
    }
}

/// In one of three runs parts of uploads and of ranged reads that are shorter than most files.
fn draw_part_bytes(draws: &mut Rng) -> Option<u64> {
    let (is_short, bytes) = (draws.u8(..3) == 0, 1 << draws.u32(9..13));
    is_short.then_some(bytes)
}

/// A pledge that outlasts elections, in milliseconds.
pub(super) const LONG_PLEDGE_MILLIS: u64 = 4 * limits::PLEDGE_MILLIS;

/// How often requests to the store of objects go wrong, in thousandths: [`PerMille`] as a schedule's file has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoreTrouble {
    /// 500 without effect.
    pub internal: u64,
    /// SlowDown without effect.
    pub throttled: u64,
    /// No answer, and nothing happened.
    pub timeout_without_effect: u64,
    /// No answer, yet it happened.
    pub timeout_with_effect: u64,
    /// No answer, and it happens later.
    pub late: u64,
    /// A read ends early.
    pub truncated: u64,
    /// A read has one bit flipped.
    pub flipped: u64,
    /// A list ends early.
    pub lagging: u64,
}

/// Which kinds of trouble a run meets, and how often: what its faults are drawn from.
#[derive(Clone, Debug)]
pub(super) struct Swarm {
    /// The mean time between two faults, in microseconds.
    pub(super) calm_micros: u64,
    pub(super) crashes: bool,
    pub(super) whole_crashes: bool,
    pub(super) cuts: bool,
    pub(super) loss: bool,
    pub(super) delays: bool,
    pub(super) slow_disks: bool,
    pub(super) failed_appends: bool,
    pub(super) full_disks: bool,
    /// Whether processes end at durable steps.
    pub(super) ends: bool,
    pub(super) stalls: bool,
    pub(super) transfers: bool,
    pub(super) replacement: bool,
    /// Whether members move between nodes, where there are more of these.
    pub(super) moves: bool,
    /// The furthest that a minority's clocks are off, in milliseconds.
    pub(super) skew_millis: i64,
    /// Where clocks are wildly wrong and deadlines are judged, trouble meets only this node: two of three clocks must be right and heard.
    pub(super) only_victim: Option<usize>,
}

impl StoreTrouble {
    fn draw(draws: &mut Rng) -> StoreTrouble {
        let mut often = |bound: u64| if draws.bool() { draws.u64(..bound) } else { 0 };
        StoreTrouble {
            internal: often(80),
            throttled: often(40),
            timeout_without_effect: often(40),
            timeout_with_effect: often(40),
            late: often(20),
            truncated: often(20),
            flipped: often(40),
            lagging: often(40),
        }
    }

    /// A file in many parts is read by many requests, and any flipped bit spoils it: bits flip more seldom, so that it can be read at all.
    fn of_parts(self, part_bytes: Option<u64>) -> StoreTrouble {
        StoreTrouble { flipped: self.flipped.min(if part_bytes.is_some() { 3 } else { u64::MAX }), ..self }
    }

    pub(super) fn per_mille(self) -> PerMille {
        let StoreTrouble { internal, throttled, timeout_without_effect, timeout_with_effect, late, truncated, flipped, lagging } = self;
        PerMille { internal, throttled, timeout_without_effect, timeout_with_effect, late, truncated, flipped, lagging }
    }
}

/// Nodes, and members of each shard.
fn size(draws: &mut Rng) -> (usize, usize) {
    let nodes = draws.choice([3, 3, 3, 3, 4, 5, 5, 6, NODES_MAX]).unwrap_or(3);
    let replicas = if nodes >= 5 && draws.u8(..3) == 0 { 5 } else { 3 };
    (nodes, replicas)
}

impl Options {
    pub(super) fn draw(has_bucket: bool, draws: &mut Rng) -> (Options, Swarm) {
        let (nodes, replicas) = size(draws);
        let mut often = |percent: u8| draws.u8(..100) < percent;
        let (is_small, is_skewed, is_wild, keeps_time) = (often(60), often(40), often(50), often(50));
        let mut swarm = Swarm {
            calm_micros: 500 * MILLI,
            crashes: often(70),
            whole_crashes: often(30),
            cuts: often(60),
            loss: often(50),
            delays: often(50),
            slow_disks: often(40),
            failed_appends: often(40),
            full_disks: often(40),
            ends: often(50),
            stalls: often(40),
            transfers: often(60),
            replacement: often(35),
            moves: nodes > replicas && often(70),
            skew_millis: 0,
            only_victim: None,
        };
        let (has_reader, abandons, skew_stays, is_lost_amid) = (often(50), often(40), often(50), often(50));
        let most_shards = if often(60) { SHARDS_MAX / 2 } else { SHARDS_MAX };
        swarm.calm_micros = draws.u64(80..=500) * MILLI;
        if is_skewed {
            swarm.skew_millis = if is_wild { draws.choice([700, 3_000, 100_000, 3_600_000]).unwrap_or(700) } else { 450 };
        }
        if is_skewed && is_wild && keeps_time {
            (swarm.only_victim, swarm.whole_crashes, swarm.replacement) = (Some(draws.usize(..nodes)), false, false);
            (swarm.moves, swarm.crashes, swarm.transfers) = (false, true, true);
        }
        let mut options = Options {
            nodes,
            replicas,
            shards: draws.u16(1..=most_shards),
            clients: draws.usize(5..=CLIENTS_MAX),
            think_micros: 1 << draws.u32(11..15),
            has_reader,
            abandons,
            trouble_micros: draws.u64(14..=28) * SECOND,
            log_bytes: if is_small { 1 << draws.u32(11..15) } else { 64 << 20 },
            rates_percent: (0..nodes).map(|_| draws.u64(RATES_PERCENT)).collect(),
            // One disk lost for ever and one clock wrong for ever are two of three members: whoever has the newest log may not lead then.
            skew_stays: skew_stays && !swarm.replacement,
            time_is_sound: !(is_skewed && is_wild) || keeps_time,
            leases: draws.u8(..4) > 0,
            pledge_millis: if draws.bool() { LONG_PLEDGE_MILLIS } else { limits::PLEDGE_MILLIS },
            store: has_bucket.then(|| StoreTrouble::draw(draws)),
            is_lost_amid,
            compares: false,
            archive_bound: None,
            part_bytes: None,
            operator: None,
        };
        options.part_bytes = draw_part_bytes(draws).filter(|_| has_bucket);
        options.store = options.store.map(|trouble| trouble.of_parts(options.part_bytes));
        (options, swarm)
    }

    /// How fast the monotonic clock of a node runs, in percent of the true rate.
    pub(super) fn rate_percent(&self, node: usize) -> u64 {
        self.rates_percent.get(node).copied().unwrap_or(100)
    }

    /// Whether a run can be played so.
    pub(super) fn check(&self) -> Result<(), String> {
        let Options { nodes, replicas, shards, clients, .. } = *self;
        let within = |is_within: bool, sentence: String| if is_within { Ok(()) } else { Err(sentence) };
        within((1..=NODES_MAX).contains(&nodes), format!("{nodes} nodes are not between 1 and {NODES_MAX}"))?;
        within((1..=nodes).contains(&replicas), format!("{replicas} replicas do not fit on {nodes} nodes"))?;
        within((1..=SHARDS_MAX).contains(&shards), format!("{shards} shards are not between 1 and {SHARDS_MAX}"))?;
        within((1..=CLIENTS_MAX).contains(&clients), format!("{clients} clients are not between 1 and {CLIENTS_MAX}"))?;
        within(THINK_MICROS.contains(&self.think_micros), format!("think_micros is not within {THINK_MICROS:?}"))?;
        within(TROUBLE_MICROS.contains(&self.trouble_micros), format!("trouble_micros is not within {TROUBLE_MICROS:?}"))?;
        let part = self.part_bytes.is_none_or(|bytes| PART_BYTES.contains(&bytes));
        within(part, format!("part_bytes is not within {PART_BYTES:?}"))?;
        let zones = self.operator.map_or(0, |operator| operator.zones);
        within(zones == 0 || (zones == 3 && nodes >= 3), format!("{zones} zones are neither none nor three of {nodes} nodes"))?;
        let rates = self.rates_percent.iter().all(|rate| RATES_PERCENT.contains(rate));
        within(rates, format!("rates_percent are not all within {RATES_PERCENT:?}"))
    }
}
