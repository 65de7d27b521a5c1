//! The lineage: which incarnation a restore starts from, and which log and checkpoints make up the past of a shard.
//!
//! ```text
//! parent   ══════════════╪═ ═ ═    its log counts up to the cut; what came later belongs to nobody
//!                    cut │
//! child                  ╰═══════════►   the next index is the first of its own log
//! ```
//!
//! An incarnation exists when its `cluster/0` does. A leaf is one that exists, is not retired, and is nobody's parent below its path. One that its
//! parent names and OWNER does not counts all the same: the dead may have put back an OWNER of before.

use super::{
    Cut,
    documents::{Fork, Origin, ParentReference},
    survey::{IncarnationSurvey, Survey},
};
use std::collections::BTreeSet;
use strata_base::{
    IncarnationId, ShardId,
    planted::{Mistake, planted},
};

/// A stretch of a shard's past that lies in one incarnation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// The incarnation.
    pub at: ParentReference,
    /// The shard there.
    pub shard: ShardId,
    /// What it continues; none where the shard began empty.
    pub origin: Option<Origin>,
    /// Where it begins if it began empty.
    pub start: Cut,
    /// Where that lies.
    pub parent: Option<ParentReference>,
    /// The last index before it.
    pub after: u64,
    /// The last index of it that counts; `u64::MAX` where it is open.
    pub until: u64,
    /// Its histories after the first.
    pub forks: Vec<Fork>,
}

/// Why there is no lineage.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineageError {
    /// Nobody ever was below the path, or never lived.
    #[error("there is no cluster to restore below {path}")]
    NoCluster {
        /// The path.
        path: String,
    },
    /// The incarnation that was asked for does not exist.
    #[error("incarnation {incarnation} does not exist below {path}")]
    NoSuchIncarnation {
        /// Which.
        incarnation: IncarnationId,
        /// The path.
        path: String,
    },
    /// More than one incarnation could be continued.
    #[error("{path} has more than one living leaf, {leaves:?}: name the incarnation to restore in a KVRestore")]
    AmbiguousLineage {
        /// The path.
        path: String,
        /// The candidates, oldest first.
        leaves: Vec<IncarnationId>,
    },
    /// An object that the lineage rests on is damaged.
    #[error("{key} is damaged: {what}")]
    Damaged {
        /// Its key.
        key: String,
        /// What is wrong.
        what: String,
    },
    /// A parent that the lineage rests on is not there.
    #[error("incarnation {} below {} in bucket {} is named as a parent and does not exist", parent.incarnation, parent.path, parent.place.bucket)]
    ParentMissing {
        /// Which.
        parent: Box<ParentReference>,
    },
}

/// The incarnation to restore from: `wanted`, or the one living leaf.
pub fn choose(survey: &Survey, wanted: Option<IncarnationId>) -> Result<ParentReference, LineageError> {
    let path = survey.layout.path().to_owned();
    let owner_key = survey.layout.key(super::layout::Name::Owner);
    if let Some(what) = survey.damaged.get(&(survey.place.clone(), owner_key.clone())) {
        return Err(LineageError::Damaged { key: owner_key, what: what.clone() });
    }
    let Some(owner) = &survey.owner else { return Err(LineageError::NoCluster { path }) };
    if let Some(incarnation) = wanted {
        let exists = first_document(survey, &survey.at(incarnation))?.is_some();
        return if exists { Ok(survey.at(incarnation)) } else { Err(LineageError::NoSuchIncarnation { incarnation, path }) };
    }
    let mut known: Vec<IncarnationId> = owner.incarnations.iter().map(|incarnation| incarnation.id).collect();
    let unlisted: BTreeSet<IncarnationId> = survey.children.values().copied().filter(|child| !known.contains(child)).collect();
    known.extend(unlisted);
    for incarnation in &known {
        first_document(survey, &survey.at(*incarnation))?;
    }
    let parents: Vec<&ParentReference> =
        survey.incarnations.values().filter_map(|found| found.clusters.values().next()?.parent.as_ref()).collect();
    let is_leaf =
        |at: &ParentReference| survey.incarnations.contains_key(at) && (planted(Mistake::OldestForLeaf) || !parents.contains(&at));
    let is_retired = |id: &IncarnationId| owner.incarnations.iter().any(|incarnation| incarnation.retired && incarnation.id == *id);
    let candidates = known.into_iter().filter(|id| !is_retired(id)).map(|id| survey.at(id));
    let leaves: Vec<ParentReference> = candidates.filter(is_leaf).collect();
    match &leaves[..] {
        [] => Err(LineageError::NoCluster { path }),
        [leaf] => Ok(leaf.clone()),
        [oldest, ..] if planted(Mistake::OldestForLeaf) => Ok(oldest.clone()),
        _ => Err(LineageError::AmbiguousLineage { path, leaves: leaves.iter().map(|leaf| leaf.incarnation).collect() }),
    }
}

/// An incarnation, unless it does not exist. That its first document is damaged is no absence.
fn first_document<'a>(survey: &'a Survey, at: &ParentReference) -> Result<Option<&'a IncarnationSurvey>, LineageError> {
    let key = at.path.key(super::layout::Name::Cluster(at.incarnation, 0));
    match survey.damaged.get(&(at.place.clone(), key.clone())) {
        Some(what) => Err(LineageError::Damaged { key, what: what.clone() }),
        None => Ok(survey.incarnations.get(at)),
    }
}

/// The past of a shard of an incarnation, oldest first: every index counts in at most one stretch. It ends where a parent cannot be read;
/// whether that parent is needed is known when the base is ([`require_parent`]).
pub fn stretches(survey: &Survey, at: &ParentReference, shard: ShardId) -> Vec<Stretch> {
    let mut past = Vec::new();
    let (mut at, mut shard, mut until, mut fork_max) = (at.clone(), shard, u64::MAX, u64::MAX);
    // Each incarnation is visited at most once, or the documents contradict themselves.
    for _ in 0..survey.incarnations.len() {
        let found = first_document(survey, &at).ok().flatten();
        let described = found.and_then(|found| found.clusters.values().rev().find_map(|document| document.shard(shard)));
        let (Some(found), Some(document)) = (found, described) else { break };
        let after = document.origin.map_or(document.start.index, |origin| origin.cut.index);
        let forks = document.forks.iter().filter(|fork| fork.epoch <= fork_max && fork.after < until).copied().collect();
        let parent = found.clusters.values().next().and_then(|first| first.parent.clone());
        let (origin, start) = (document.origin, document.start);
        past.push(Stretch { at, shard, origin, start, parent: parent.clone(), after, until, forks });
        let (Some(origin), Some(parent)) = (document.origin, parent) else { break };
        if origin.cut.index <= until {
            (until, fork_max) = (origin.cut.index, origin.cut.fork_epoch);
        }
        (at, shard) = (parent, origin.shard);
    }
    past.reverse();
    past
}

/// The error of a restore that needs what lies before the oldest stretch; none where the shard began empty there.
pub fn require_parent(survey: &Survey, oldest: &Stretch) -> Result<(), LineageError> {
    let Some(parent) = oldest.parent.clone().filter(|_| oldest.origin.is_some()) else { return Ok(()) };
    first_document(survey, &parent)?;
    Err(LineageError::ParentMissing { parent: Box::new(parent) })
}

impl Stretch {
    /// The indexes that count in a fork epoch, as (last before, last).
    pub fn bounds_of(&self, fork_epoch: u64) -> Option<(u64, u64)> {
        let from =
            if fork_epoch == 0 { Some(self.after) } else { self.forks.iter().find(|fork| fork.epoch == fork_epoch).map(|fork| fork.after) };
        let next = self.forks.iter().filter(|fork| fork.epoch > fork_epoch).map(|fork| fork.after).min();
        let bounds = (from?.max(self.after), next.unwrap_or(u64::MAX).min(self.until));
        if bounds.0 < bounds.1 { Some(bounds) } else { None }
    }

    /// Whether a position counts: its index lies in the stretch, in the history that counts there. The last index before the stretch is its
    /// parent's, and is not in it.
    pub fn holds(&self, fork_epoch: u64, index: u64) -> bool {
        self.bounds_of(fork_epoch).is_some_and(|(after, until)| after < index && index <= until)
    }
}
