//! The restore plan: from a survey and a target to the files and the log that each shard needs, and the cut where its log ends.
//!
//! ```text
//!          base             steps: parts of runs, each index once          cut
//! shard  ──◆════════════════╪════════════╪═══════════╪═══════════════════════┤   ┄┄ gap ┄┄ ═══ does not count
//!          checkpoint       parent's log             child's log
//! ```
//!
//! - Pure: the same survey and target give the same plan, on every node. `cluster/0` of the new incarnation takes [`Plan::origins`], and
//!   nodes plan again with [`Target::Cuts`], so a late PUT cannot give replicas different ends.
//! - Only the contiguous prefix behind the base counts. The base is the newest checkpoint that does not lie behind the target.
//! - A damaged or missing object that the target may rest on is an error that names its key: any, unless the log goes on behind the cut or
//!   the base is younger than all that the object can hold. Only [`Options::accept_damage`] goes on without it, to where the log reaches.
//! - A time is cut by HLC within a run, so such runs must be read first: [`Planned::Need`] names them. [`Planner`] is the machine that
//!   surveys, reads them, and plans.

mod planner;
mod shard;

pub use planner::{Planner, PlannerEvent};

use super::{
    Cut,
    documents::{CheckpointDocument, Origin, ParentReference},
    layout::Name,
    lineage::{self, LineageError},
    log_object::{LogPlace, RunSummary},
    survey::Survey,
};
use std::collections::{BTreeMap, BTreeSet};
use strata_base::{Hlc, IncarnationId, ShardId, SlotRange, TableId};

/// What to restore.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// All that the bucket has.
    Latest,
    /// Every write up to this moment, in milliseconds since the Unix epoch, and none after it.
    Time(u64),
    /// From these checkpoints, by the numbers of their documents in the chosen incarnation, and the log up to a moment.
    Backup {
        /// One for every shard.
        checkpoints: BTreeMap<ShardId, u64>,
        /// Milliseconds since the Unix epoch.
        until_ms: u64,
    },
    /// Exactly these ends, by the shards of the chosen incarnation: what was planned before.
    Cuts(BTreeMap<ShardId, Cut>),
}

/// How to plan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// The incarnation to restore; none for the one living leaf.
    pub incarnation: Option<IncarnationId>,
    /// Go on without damaged and missing objects: what they held is lost, as are writes behind them.
    pub accept_damage: bool,
}

/// A plan, or what must be read before there can be one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Planned {
    /// The plan.
    Plan(Plan),
    /// Read these runs and plan again with their [`Heads`].
    Need(BTreeSet<RunPlace>),
}

/// Index, term and HLC of the entries of runs that a plan asked for.
pub type Heads = BTreeMap<RunPlace, Vec<(u64, u64, Hlc)>>;

/// Where a run lies.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RunPlace {
    /// The incarnation, bucket and path.
    pub at: ParentReference,
    /// The object.
    pub object: LogPlace,
    /// Which run of the object, from 0.
    pub run: usize,
}

/// What to do to restore.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The incarnation that is restored: the parent of the one to come.
    pub parent: ParentReference,
    /// Its shards, in the order of their ids.
    pub shards: Vec<ShardPlan>,
}

/// How one shard is restored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardPlan {
    /// The shard of the parent incarnation.
    pub shard: ShardId,
    /// Its table.
    pub table: TableId,
    /// Its slots.
    pub slots: SlotRange,
    /// The checkpoint to begin with, and where it lies; none for a shard that begins empty.
    pub base: Option<(ParentReference, CheckpointDocument)>,
    /// The log to replay behind it, in order, each index once.
    pub steps: Vec<Step>,
    /// Where the shard's log ends.
    pub cut: Cut,
    /// What lies in the bucket behind the cut and cannot be reached, where the log ends there before the target does: (last index before, first
    /// index behind).
    pub gap: Option<(u64, u64)>,
}

/// A part of a run to replay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Where the run lies.
    pub place: RunPlace,
    /// What the footer says of it.
    pub run: RunSummary,
    /// The first index to replay.
    pub from: u64,
    /// The last index to replay.
    pub to: u64,
}

/// Why there is no plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// There is nothing to restore, or it is not clear what.
    #[error(transparent)]
    Lineage(#[from] LineageError),
    /// An object that the target may rest on is damaged.
    #[error("{key} is damaged: {what}")]
    Damaged {
        /// Its key.
        key: String,
        /// What is wrong.
        what: String,
    },
    /// An object that the target may rest on is missing.
    #[error("{key} is missing")]
    Missing {
        /// Its key.
        key: String,
    },
    /// Nothing reaches back that far.
    #[error("shard {shard} can be restored to {earliest_ms} ms since 1970 and later, not to {target_ms}")]
    TooEarly {
        /// The shard.
        shard: ShardId,
        /// The earliest moment that can be restored, in milliseconds since the Unix epoch.
        earliest_ms: u64,
        /// What was asked for.
        target_ms: u64,
    },
    /// The bucket no longer reaches the cut that was planned.
    #[error("shard {shard} reaches index {reached} and its cut is at {}", cut.index)]
    CutUnreachable {
        /// The shard.
        shard: ShardId,
        /// What was planned.
        cut: Cut,
        /// How far it reaches.
        reached: u64,
    },
    /// A target by shards names none for this one, or one that does not exist.
    #[error("the target does not name shard {shard}")]
    ShardNotNamed {
        /// The shard.
        shard: ShardId,
    },
}

impl PlanError {
    /// The class of the error, for conditions: a closed list.
    pub const fn class(&self) -> &'static str {
        match self {
            PlanError::Lineage(LineageError::NoCluster { .. }) => "NoCluster",
            PlanError::Lineage(LineageError::NoSuchIncarnation { .. }) => "NoSuchIncarnation",
            PlanError::Lineage(LineageError::AmbiguousLineage { .. }) => "AmbiguousLineage",
            PlanError::Lineage(LineageError::Damaged { .. }) | PlanError::Damaged { .. } => "Damaged",
            PlanError::Lineage(LineageError::ParentMissing { .. }) | PlanError::Missing { .. } => "Missing",
            PlanError::TooEarly { .. } => "TooEarly",
            PlanError::CutUnreachable { .. } => "CutUnreachable",
            PlanError::ShardNotNamed { .. } => "ShardNotNamed",
        }
    }
}

/// Plans. `heads` holds what an earlier [`Planned::Need`] asked for.
pub fn plan(survey: &Survey, target: &Target, options: &Options, heads: &Heads) -> Result<Planned, PlanError> {
    let parent = lineage::choose(survey, options.incarnation)?;
    let document = survey.incarnations.get(&parent).and_then(|found| found.newest());
    let missing = || LineageError::ParentMissing { parent: Box::new(parent.clone()) };
    let document = document.ok_or_else(missing)?;
    let mut shards = Vec::new();
    let mut need = BTreeSet::new();
    for described in &document.shards {
        let past = lineage::stretches(survey, &parent, described.shard);
        let scope = shard::Scope { survey, target, options, heads, past: &past, shard: described.shard };
        match scope.plan(described.table, described.slots)? {
            Ok(shard) => shards.push(shard),
            Err(place) => drop(need.insert(place)),
        }
    }
    shards.sort_by_key(|shard| shard.shard);
    if need.is_empty() { Ok(Planned::Plan(Plan { parent, shards })) } else { Ok(Planned::Need(need)) }
}

impl Plan {
    /// What the shards of the new incarnation continue, in the order of the parent's shards.
    pub fn origins(&self) -> Vec<Origin> {
        self.shards.iter().map(|shard| Origin { shard: shard.shard, cut: shard.cut }).collect()
    }

    /// The ends of all shards: the target with which nodes plan again.
    pub fn cuts(&self) -> Target {
        Target::Cuts(self.shards.iter().map(|shard| (shard.shard, shard.cut)).collect())
    }

    /// The last write that it restores.
    pub fn last_write(&self) -> Hlc {
        self.shards.iter().map(|shard| shard.cut.hlc).max().unwrap_or_default()
    }

    /// Bytes of checkpoint files, one replica of each shard.
    pub fn file_bytes(&self) -> u64 {
        self.shards.iter().filter_map(|shard| shard.base.as_ref()).map(|(_, document)| document.size()).sum()
    }

    /// Bytes of log to replay, one replica of each shard.
    pub fn log_bytes(&self) -> u64 {
        self.shards.iter().flat_map(|shard| &shard.steps).map(|step| step.run.length).sum()
    }
}

impl RunPlace {
    /// The key of the object.
    pub fn key(&self) -> String {
        self.at.path.key(Name::Log(self.object.incarnation, self.object.life, self.object.seq))
    }
}

#[cfg(test)]
mod tests;
