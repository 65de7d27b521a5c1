//! What a cluster may begin from, and what to ask of buckets for it. Pure.
//!
//! ```text
//! spec.bootstrap.restoreRef     sources, the first that holds a cluster counts
//!   none                        the cluster's own path
//!   of another path             its own path, since what it wrote since then is newer; then the KVRestore's
//!   of its own path             the KVRestore's, until that is Complete; then its own path
//! ```
//!
//! A bucket is asked only when a decision needs it: before there is an incarnation, for the first document of one that was adopted, and when
//! a claim of the path was refused.

use crate::{
    bucket::{Ask, Finding, Inquiry, Moment, PlannedRestore, Question},
    names::Names,
    observation::{Observation, RestoreFact},
    restore,
};
use std::sync::Arc;
use strata_base::{IncarnationId, ShardId};
use strata_crds::{BeyondEnd, ErrorClass, JobPhase, KVBackup, KVCluster, RestoreMode, TargetKind};
use strata_engine::tier::{documents::Owner, lineage::LineageError, restore::PlanError};
use strata_planner::bootstrap::BucketFact;

/// A class and a sentence.
pub type Trouble = (ErrorClass, String);

/// Where a cluster may begin from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// What to ask.
    pub question: Question,
    /// Whether it is the cluster's own path.
    pub is_own: bool,
    /// The KVRestore that names it.
    pub restore: Option<String>,
    /// What happens when the bucket does not reach the moment.
    pub beyond_end: BeyondEnd,
}

/// What a cluster begins from.
#[derive(Clone, Debug, PartialEq)]
pub struct Chosen {
    /// Where.
    pub source: Source,
    /// All that the bucket said.
    pub finding: Arc<Finding>,
    /// What the restore takes.
    pub plan: PlannedRestore,
}

/// The folder of a cluster in its bucket.
pub fn path(cluster: &KVCluster) -> String {
    let names = Names::of(cluster);
    let declared = cluster.spec.archive.as_ref().and_then(|archive| archive.path.clone());
    declared.unwrap_or_else(|| format!("{}/{}", names.namespace, names.cluster))
}

/// The question for the first document of an incarnation below the cluster's own path; none without an archive.
pub fn document_question(seen: &Observation, incarnation: IncarnationId) -> Option<Question> {
    let store = seen.cluster.spec.archive.as_ref()?.object_store_ref.name.clone();
    Some(Question { store, path: path(&seen.cluster), ask: Ask::Document { incarnation } })
}

/// Everything a cluster may begin from, in the order it counts.
pub fn sources(seen: &Observation) -> Result<Vec<Source>, Trouble> {
    let Some(archive) = &seen.cluster.spec.archive else {
        return match &seen.restore {
            None => Ok(Vec::new()),
            // What nodes fetch, they fetch with the credentials of their archive.
            Some(_) => Err((ErrorClass::ReferenceMissing, "spec.bootstrap.restoreRef needs a spec.archive: declare one".to_owned())),
        };
    };
    let own = Source {
        question: Question {
            store: archive.object_store_ref.name.clone(),
            path: path(&seen.cluster),
            ask: Ask::Plan { moment: Moment::Latest, incarnation: None },
        },
        is_own: true,
        restore: None,
        beyond_end: BeyondEnd::Fail,
    };
    let Some(fact) = &seen.restore else { return Ok(vec![own]) };
    match asked(seen, fact)? {
        None => Ok(vec![own]),
        Some(asked) if asked.is_own => Ok(vec![asked]),
        Some(asked) => Ok(vec![own, asked]),
    }
}

/// The source that a KVRestore names; none where it has been obeyed.
fn asked(seen: &Observation, fact: &RestoreFact) -> Result<Option<Source>, Trouble> {
    if let Some(restore) = &fact.found {
        if let Some(trouble) = restore::given_up(restore) {
            return Err(trouble);
        }
        if restore.spec.mode != RestoreMode::NewCluster {
            let message = format!("the KVRestore {} is of mode Plan, which restores nothing: name one of mode NewCluster", fact.name);
            return Err((ErrorClass::ReferenceMissing, message));
        }
        if restore.status.as_ref().is_some_and(|status| status.phase == JobPhase::Complete) {
            return Ok(None);
        }
    }
    let source = source(fact)?;
    let own_store = seen.cluster.spec.archive.as_ref().map(|archive| &archive.object_store_ref.name);
    let place = |store: &String| {
        let spec = seen.stores.get(store).and_then(|fact| fact.spec.as_ref());
        spec.map(crate::object_store::place)
    };
    let store = &source.question.store;
    let is_same_bucket = own_store.is_some_and(|own| own == store || (place(own).is_some() && place(own) == place(store)));
    let is_own = is_same_bucket && source.question.path == path(&seen.cluster);
    Ok(Some(Source { is_own, ..source }))
}

/// The source that a KVRestore names, as if it were nobody's own.
pub fn source(fact: &RestoreFact) -> Result<Source, Trouble> {
    let missing =
        || (ErrorClass::ReferenceMissing, format!("the KVRestore {} does not exist: create it, or correct the reference", fact.name));
    let restore = fact.found.as_ref().ok_or_else(missing)?;
    let from = &restore.spec.source;
    let (moment, incarnation) = moment(fact)?;
    Ok(Source {
        question: Question { store: from.object_store_ref.name.clone(), path: from.path.clone(), ask: Ask::Plan { moment, incarnation } },
        is_own: false,
        restore: Some(fact.name.clone()),
        beyond_end: restore.spec.on_target_beyond_end,
    })
}

/// The moment that a KVRestore wants, and the incarnation that it names.
pub fn moment(fact: &RestoreFact) -> Result<(Moment, Option<IncarnationId>), Trouble> {
    let Some(restore) = &fact.found else { return Ok((Moment::Latest, None)) };
    let named = restore.spec.source.incarnation.as_ref().and_then(|text| text.parse().ok());
    let target = &restore.spec.target;
    match (target.kind, &target.time, &target.backup) {
        (TargetKind::Time, Some(time), _) => Ok((Moment::Time(u64::try_from(time.0.as_millisecond()).unwrap_or_default()), named)),
        (TargetKind::Backup, _, Some(name)) => {
            of_backup(name, fact.backup.as_ref()).map(|(moment, incarnation)| (moment, Some(incarnation)))
        }
        _ => Ok((Moment::Latest, named)),
    }
}

fn of_backup(name: &str, backup: Option<&KVBackup>) -> Result<(Moment, IncarnationId), Trouble> {
    let missing = |message: String| (ErrorClass::ReferenceMissing, message);
    let backup = backup.ok_or_else(|| missing(format!("spec.target.backup names the KVBackup {name}, which does not exist")))?;
    let status = backup.status.clone().unwrap_or_default();
    let incarnation = status.incarnation.as_ref().and_then(|text| text.parse().ok());
    let (JobPhase::Complete, Some(incarnation), Some(time)) = (status.phase, incarnation, status.time) else {
        return Err(missing(format!("the KVBackup {name} is {:?}: only a Complete one can be restored", status.phase)));
    };
    let number = |number: i64| u64::try_from(number).unwrap_or_default();
    let checkpoint = |kept: &strata_crds::BackupCheckpoint| Some((kept.shard.parse::<ShardId>().ok()?, number(kept.number)));
    let checkpoints = status.checkpoints.iter().filter_map(checkpoint).collect();
    Ok((Moment::Backup { checkpoints, until_millis: number(time.0.as_millisecond()) }, incarnation))
}

/// The next question to ask, for a cluster that has not begun; none when the answers suffice or are waited for.
pub fn next_question(seen: &Observation) -> Option<Question> {
    for source in sources(seen).ok()? {
        match seen.answers.get(&source.question) {
            None => return Some(source.question),
            Some(Inquiry::Found(finding)) if holds_nothing(finding) => {}
            Some(_) => return None,
        }
    }
    None
}

fn holds_nothing(finding: &Finding) -> bool {
    finding.owner.is_none() && matches!(finding.plan, Some(Err(PlanError::Lineage(LineageError::NoCluster { .. }))))
}

/// What the buckets hold, for the decision how to begin; and what is wrong, in one sentence, where they cannot be read.
pub fn bucket(seen: &Observation) -> (BucketFact, Option<Trouble>) {
    let sources = match sources(seen) {
        Ok(sources) if sources.is_empty() => return (BucketFact::NotDeclared, None),
        Ok(sources) => sources,
        Err((class, message)) => return (BucketFact::Unreadable { class: class.name() }, Some((class, message))),
    };
    for source in &sources {
        let store = &source.question.store;
        if let Some((class, message)) = seen.stores.get(store).and_then(|fact| fact.problem.clone()) {
            return (BucketFact::Unreadable { class: class.name() }, Some((class, message)));
        }
        match seen.answers.get(&source.question) {
            None | Some(Inquiry::Reading(None)) => return (BucketFact::Reading, None),
            Some(Inquiry::Reading(Some(error))) => {
                let class = ErrorClass::named(error.class.name()).unwrap_or(ErrorClass::Internal);
                return (BucketFact::Unreadable { class: class.name() }, Some((class, error.message.clone())));
            }
            Some(Inquiry::Found(finding)) if holds_nothing(finding) => {}
            Some(Inquiry::Found(finding)) => return (fact(seen, source, finding), None),
        }
    }
    (BucketFact::Nothing, None)
}

/// What a path holds that is not empty.
fn fact(seen: &Observation, source: &Source, finding: &Finding) -> BucketFact {
    let unusable = |class: ErrorClass, message: String| BucketFact::Unusable { class: class.name(), message };
    if source.is_own
        && let Some(owner) = finding.owner.as_ref().filter(|owner| is_living(seen, owner))
    {
        let message = format!(
            "the path {} belongs to cluster {} of the KVCluster with UID {}, which lives in this namespace; choose another path, or delete that one first",
            source.question.path, owner.cluster, owner.kv_cluster_uid
        );
        return unusable(ErrorClass::ForeignOwner, message);
    }
    match finding.plan.as_ref() {
        None => BucketFact::Reading,
        Some(Ok(plan)) => match beyond_end(source, plan) {
            Some(message) => unusable(ErrorClass::TargetBeyondEnd, message),
            None => BucketFact::Lineage { leaves: vec![plan.parent.incarnation], latest: Some(plan.last_write) },
        },
        Some(Err(PlanError::Lineage(LineageError::AmbiguousLineage { leaves, .. }))) => {
            BucketFact::Lineage { leaves: leaves.clone(), latest: None }
        }
        Some(Err(PlanError::Lineage(LineageError::NoCluster { path }))) => unusable(
            ErrorClass::BucketInUse,
            format!(
                "the path {path} has an OWNER and no cluster that ever lived: choose another path, or remove {path}/OWNER if you know whose it was"
            ),
        ),
        Some(Err(error)) => unusable(class_of(error), error.to_string()),
    }
}

/// Why the wanted moment is not reached, where that ends the restore.
pub fn beyond_end(source: &Source, plan: &PlannedRestore) -> Option<String> {
    let Ask::Plan { moment: Moment::Time(wanted), .. } = &source.question.ask else { return None };
    if source.beyond_end == BeyondEnd::RestoreToLatest {
        return None;
    }
    let until = |millis: u64| strata_crds::time_of_millis(millis).0;
    if plan.end.millis() < *wanted {
        let message = "the bucket reaches to";
        return Some(format!(
            "{message} {}, and {} is wanted: choose an earlier time, or onTargetBeyondEnd RestoreToLatest",
            until(plan.end.millis()),
            until(*wanted)
        ));
    }
    let torn = plan.shards.iter().find(|shard| shard.gap.is_some())?;
    Some(format!(
        "the log of shard {} has a gap behind {}, and {} is wanted: choose an earlier time, or onTargetBeyondEnd RestoreToLatest",
        torn.shard,
        until(torn.cut.hlc.millis()),
        until(*wanted)
    ))
}

/// The class of a plan's error, in the words of conditions.
pub fn class_of(error: &PlanError) -> ErrorClass {
    match error.class() {
        "NoCluster" | "NoSuchIncarnation" => ErrorClass::NothingToRestore,
        "AmbiguousLineage" => ErrorClass::AmbiguousLineage,
        "Damaged" => ErrorClass::Damaged,
        "Missing" | "CutUnreachable" => ErrorClass::NotFound,
        "TooEarly" => ErrorClass::TargetTooEarly,
        _ => ErrorClass::Internal,
    }
}

/// What the cluster begins from, once it was read.
pub fn chosen(seen: &Observation) -> Option<Chosen> {
    let found = |source: Source| match seen.answers.get(&source.question) {
        Some(Inquiry::Found(finding)) => {
            let plan = finding.plan.as_ref()?.as_ref().ok()?.clone();
            Some(Chosen { source, finding: finding.clone(), plan })
        }
        _ => None,
    };
    sources(seen).ok()?.into_iter().find_map(found)
}

/// Whether the owner of a path is another KVCluster of this namespace that exists.
fn is_living(seen: &Observation, owner: &Owner) -> bool {
    is_neighbour(seen, owner) && seen.living.contains(&owner.kv_cluster_uid)
}

/// The UID of a path's owner, if it was a KVCluster of this namespace and Kubernetes says that it is gone.
pub fn gone(seen: &Observation, owner: &Owner) -> Option<String> {
    (is_neighbour(seen, owner) && !seen.living.contains(&owner.kv_cluster_uid)).then(|| owner.kv_cluster_uid.clone())
}

fn is_neighbour(seen: &Observation, owner: &Owner) -> bool {
    owner.namespace_uid == seen.namespace_uid && Some(&owner.kv_cluster_uid) != seen.cluster.metadata.uid.as_ref()
}
