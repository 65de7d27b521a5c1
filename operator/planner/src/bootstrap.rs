//! How a cluster begins: adopt the volumes that survived, restore from the bucket, or initialise. Decided once per incarnation, before any order.
//!
//! ```text
//! a pod is silent, and nobody named it lost            → wait: silence is not emptiness
//! a store belongs to another cluster                   → refuse: touch nothing
//! every store empty                                    → the bucket and the policy decide (below)
//! one incarnation, and of every slot's shard a quorum  → adopt: loss 0, whatever the bucket and the policy say
//! anything between                                     → AmbiguousBootstrap, saying what each choice would lose
//!
//! every store empty      bucket holds a lineage    bucket holds nothing    no bucket declared
//!   InitOnly             refuse: it would be left   initialise             initialise
//!   RestoreOnly          restore                    refuse                 refuse
//!   RestoreIfExists      restore                    initialise             initialise
//! ```
//!
//! An access error is never "nothing": a bucket that cannot be read holds the decision. Two living leaves of a lineage hold it too, and
//! so does whatever can neither be restored nor be taken for nothing, such as a path of another living cluster.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};
use strata_base::{
    Epoch, Hlc, IncarnationId, SLOT_COUNT, ShardId, SlotRange, StoreId,
    planted::{Mistake, planted},
};

/// What the user allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BootstrapPolicy {
    /// Begin empty; refuse where the bucket holds a cluster.
    InitOnly,
    /// Begin from the bucket; refuse where it holds none.
    RestoreOnly,
    /// Begin from the bucket where it holds a cluster, and empty where it holds none.
    RestoreIfExists,
}

/// All that the decision is made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BootstrapView {
    /// Every pod that the cluster shall have, and what its node says; `None` while it is silent.
    pub pods: BTreeMap<String, Option<StoreFact>>,
    /// Pods whose volumes the user named lost: their silence is taken for loss.
    pub named_lost: BTreeSet<String>,
    /// The cluster that the stores must belong to in order to be adopted; `None` where the user's object is new and any one will do.
    pub cluster: Option<String>,
    /// What the bucket holds.
    pub bucket: BucketFact,
    /// What the user allows.
    pub policy: BootstrapPolicy,
}

/// What a node says of its store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreFact {
    /// The store is new.
    Empty {
        /// Its id.
        store: StoreId,
    },
    /// The store belongs to a cluster.
    Member {
        /// Its id.
        store: StoreId,
        /// The cluster.
        cluster: String,
        /// The incarnation.
        incarnation: IncarnationId,
        /// The shards that it has replicas of.
        replicas: Vec<ReplicaFact>,
    },
}

/// What a surviving replica knows of its shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaFact {
    /// Which shard.
    pub shard: ShardId,
    /// Its slots.
    pub slots: SlotRange,
    /// The epoch of the descriptor it holds.
    pub epoch: Epoch,
    /// The stores that vote in that descriptor.
    pub voters: Vec<StoreId>,
}

/// What the bucket holds under the cluster's path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BucketFact {
    /// The cluster declares no object store.
    NotDeclared,
    /// It could not be read.
    Unreadable {
        /// Why, in the words of the class list.
        class: String,
    },
    /// It is being read.
    Reading,
    /// It was read, and there is no cluster.
    Nothing,
    /// It was read, and what it holds can neither be restored nor be taken for nothing.
    Unusable {
        /// Why, in the words of the class list.
        class: String,
        /// What, and what to do, in one sentence.
        message: String,
    },
    /// It holds a lineage.
    Lineage {
        /// Its living leaves: one, unless a restore was torn apart.
        leaves: Vec<IncarnationId>,
        /// The time of the last write that a restore reaches, where it is known.
        latest: Option<Hlc>,
    },
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bootstrap {
    /// Ask again when more is known.
    Wait(BootstrapWait),
    /// Go on with the volumes that are there. Nothing is lost.
    Adopt {
        /// The cluster that they belong to.
        cluster: String,
        /// The incarnation that they belong to.
        incarnation: IncarnationId,
    },
    /// Begin a new incarnation from the bucket.
    Restore {
        /// The incarnation to begin from.
        parent: IncarnationId,
    },
    /// Begin a new incarnation with nothing in it.
    Initialise,
    /// Do nothing until the user has changed something.
    Refuse(BootstrapRefusal),
}

/// What is waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BootstrapWait {
    /// These pods do not report.
    Silent {
        /// Their names.
        pods: Vec<String>,
    },
    /// The bucket cannot be read.
    Bucket {
        /// Why, in the words of the class list.
        class: String,
    },
    /// The bucket is being read.
    Reading,
}

/// Why nothing is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BootstrapRefusal {
    /// Some volumes survived, too few to go on with. Each sentence says what a choice would lose.
    Ambiguous {
        /// Waiting for, or bringing back, the volumes that are missing.
        adopting: String,
        /// Restoring from the bucket.
        restoring: String,
        /// Beginning empty.
        initialising: String,
    },
    /// A store belongs to another cluster.
    ForeignStore {
        /// The pod above it.
        pod: String,
        /// The cluster that it belongs to.
        cluster: String,
    },
    /// `InitOnly`, and the bucket holds a cluster.
    BucketInUse {
        /// Its newest incarnation.
        incarnation: IncarnationId,
    },
    /// `RestoreOnly`, and there is nothing to restore.
    NothingToRestore,
    /// The lineage has more than one living leaf.
    AmbiguousLineage {
        /// All of them.
        leaves: Vec<IncarnationId>,
    },
    /// What the bucket holds can neither be restored nor be taken for nothing.
    Unusable {
        /// Why, in the words of the class list.
        class: String,
        /// What, and what to do, in one sentence.
        message: String,
    },
}

/// A store that belongs to a cluster, and the pod above it.
struct Survivor<'a> {
    pod: &'a str,
    store: StoreId,
    cluster: &'a str,
    incarnation: IncarnationId,
    replicas: &'a [ReplicaFact],
}

/// How a cluster without an incarnation begins.
pub fn decide(view: &BootstrapView) -> Bootstrap {
    let silent = |(pod, fact): (&String, &Option<StoreFact>)| (fact.is_none() && !view.named_lost.contains(pod)).then(|| pod.clone());
    let pods: Vec<String> = view.pods.iter().filter_map(silent).collect();
    if !pods.is_empty() {
        return Bootstrap::Wait(BootstrapWait::Silent { pods });
    }
    let survivors = survivors(view);
    let Some(first) = survivors.first() else { return from_bucket(view) };
    let cluster = view.cluster.as_deref().unwrap_or(first.cluster);
    if let Some(other) = survivors.iter().find(|survivor| survivor.cluster != cluster) {
        return Bootstrap::Refuse(BootstrapRefusal::ForeignStore { pod: other.pod.to_owned(), cluster: other.cluster.to_owned() });
    }
    let is_one_incarnation = survivors.iter().all(|survivor| survivor.incarnation == first.incarnation);
    match missing(&survivors) {
        None if is_one_incarnation => Bootstrap::Adopt { cluster: cluster.to_owned(), incarnation: first.incarnation },
        missing => Bootstrap::Refuse(ambiguous(view, &survivors, missing)),
    }
}

/// Every store is empty or lost: the bucket and the policy decide.
fn from_bucket(view: &BootstrapView) -> Bootstrap {
    let leaves = match &view.bucket {
        BucketFact::Unreadable { class } => return Bootstrap::Wait(BootstrapWait::Bucket { class: class.clone() }),
        BucketFact::Reading => return Bootstrap::Wait(BootstrapWait::Reading),
        BucketFact::Unusable { class, message } => {
            return Bootstrap::Refuse(BootstrapRefusal::Unusable { class: class.clone(), message: message.clone() });
        }
        BucketFact::NotDeclared | BucketFact::Nothing => [].as_slice(),
        BucketFact::Lineage { leaves, .. } => leaves.as_slice(),
    };
    match (leaves, view.policy) {
        ([], BootstrapPolicy::RestoreOnly) => Bootstrap::Refuse(BootstrapRefusal::NothingToRestore),
        ([], _) => Bootstrap::Initialise,
        ([.., newest], BootstrapPolicy::InitOnly) => Bootstrap::Refuse(BootstrapRefusal::BucketInUse { incarnation: *newest }),
        ([parent], _) => Bootstrap::Restore { parent: *parent },
        (leaves, _) => Bootstrap::Refuse(BootstrapRefusal::AmbiguousLineage { leaves: leaves.to_vec() }),
    }
}

fn survivors(view: &BootstrapView) -> Vec<Survivor<'_>> {
    let survivor = |(pod, fact)| match fact {
        &Some(StoreFact::Member { store, ref cluster, incarnation, ref replicas }) => {
            Some(Survivor { pod, store, cluster, incarnation, replicas })
        }
        _ => None,
    };
    view.pods.iter().map(|(pod, fact)| (pod.as_str(), fact)).filter_map(survivor).collect()
}

/// What keeps the survivors from going on by themselves: slots without a shard, or shards without a quorum. `None` if nothing does.
fn missing(survivors: &[Survivor<'_>]) -> Option<String> {
    let mut newest: BTreeMap<ShardId, &ReplicaFact> = BTreeMap::new();
    for replica in survivors.iter().flat_map(|survivor| survivor.replicas) {
        let known = newest.entry(replica.shard).or_insert(replica);
        if known.epoch < replica.epoch {
            *known = replica;
        }
    }
    let holds = |store: StoreId, shard: ShardId| {
        survivors.iter().any(|survivor| survivor.store == store && survivor.replicas.iter().any(|replica| replica.shard == shard))
    };
    let has_quorum = |replica: &ReplicaFact| {
        let here = replica.voters.iter().filter(|store| holds(**store, replica.shard)).count();
        here > replica.voters.len() / 2 || planted(Mistake::MinorityAdopted)
    };
    let covered: u32 = newest.values().map(|replica| u32::from(replica.slots.last() - replica.slots.first()) + 1).sum();
    let headless = newest.values().filter(|replica| !has_quorum(replica)).count();
    match (u32::from(SLOT_COUNT).saturating_sub(covered), headless) {
        (0, 0) => None,
        (0, headless) => Some(format!("{headless} of {} shards have no quorum", newest.len())),
        (uncovered, headless) => Some(format!("{uncovered} slots have no shard, and {headless} of {} shards no quorum", newest.len())),
    }
}

fn ambiguous(view: &BootstrapView, survivors: &[Survivor<'_>], missing: Option<String>) -> BootstrapRefusal {
    let missing = missing.unwrap_or_else(|| "the volumes are of different incarnations".to_owned());
    let lost: Vec<&str> = view.named_lost.iter().map(String::as_str).collect();
    let whose = if lost.is_empty() { "no pod is named lost".to_owned() } else { format!("named lost: {}", lost.join(", ")) };
    let volumes = match survivors.len() {
        1 => "the volume of one pod".to_owned(),
        pods => format!("the volumes of {pods} pods"),
    };
    let restoring = match &view.bucket {
        BucketFact::NotDeclared => "is not possible: no object store is declared".to_owned(),
        BucketFact::Unreadable { class } => format!("cannot be judged: the bucket cannot be read ({class})"),
        BucketFact::Reading => "cannot be judged yet: the bucket is being read".to_owned(),
        BucketFact::Nothing => "is not possible: the bucket holds no cluster".to_owned(),
        BucketFact::Unusable { class, message } => format!("is not possible: {class}: {message}"),
        BucketFact::Lineage { latest: Some(latest), .. } => {
            format!(
                "loses what was written after {} ms since 1970, and leaves the volumes of {} pods behind",
                latest.millis(),
                survivors.len()
            )
        }
        BucketFact::Lineage { latest: None, .. } => {
            format!("loses what was not archived, an unknown amount, and leaves {volumes} behind")
        }
    };
    BootstrapRefusal::Ambiguous {
        adopting: format!("loses nothing once the missing volumes are back: {missing} ({whose})"),
        restoring,
        initialising: format!("loses everything that {volumes} and the bucket hold"),
    }
}

impl fmt::Display for Bootstrap {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Bootstrap::Wait(wait) => write!(out, "wait: {wait}"),
            Bootstrap::Adopt { cluster, incarnation } => {
                write!(out, "adopt incarnation {incarnation} of cluster {cluster}: nothing is lost")
            }
            Bootstrap::Restore { parent } => write!(out, "restore from incarnation {parent}"),
            Bootstrap::Initialise => write!(out, "initialise"),
            Bootstrap::Refuse(refusal) => write!(out, "refuse: {refusal}"),
        }
    }
}

impl fmt::Display for BootstrapWait {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BootstrapWait::Silent { pods } => {
                write!(out, "no report from {}; silence is not emptiness: repair them, or name them lost", pods.join(", "))
            }
            BootstrapWait::Reading => write!(out, "the bucket is being read"),
            BootstrapWait::Bucket { class } => write!(out, "the bucket cannot be read ({class}), and that is not the same as empty"),
        }
    }
}

impl BootstrapRefusal {
    /// The reason of the condition that shows it.
    pub fn class(&self) -> &str {
        match self {
            BootstrapRefusal::Ambiguous { .. } => "AmbiguousBootstrap",
            BootstrapRefusal::ForeignStore { .. } => "ForeignStore",
            BootstrapRefusal::BucketInUse { .. } => "BucketInUse",
            BootstrapRefusal::NothingToRestore => "NothingToRestore",
            BootstrapRefusal::AmbiguousLineage { .. } => "AmbiguousLineage",
            BootstrapRefusal::Unusable { class, .. } => class,
        }
    }
}

impl fmt::Display for BootstrapRefusal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BootstrapRefusal::Ambiguous { adopting, restoring, initialising } => {
                write!(out, "{}: adopting {adopting}; restoring {restoring}; initialising {initialising}", self.class())
            }
            BootstrapRefusal::ForeignStore { pod, cluster } => {
                write!(out, "{}: the volume of {pod} belongs to cluster {cluster}; give the pod another volume", self.class())
            }
            BootstrapRefusal::BucketInUse { incarnation } => write!(
                out,
                "{}: the path holds incarnation {incarnation}, and the policy is InitOnly; choose RestoreIfExists or another path",
                self.class()
            ),
            BootstrapRefusal::NothingToRestore => {
                write!(
                    out,
                    "{}: the policy is RestoreOnly, and the path holds no cluster; correct the path or choose RestoreIfExists",
                    self.class()
                )
            }
            BootstrapRefusal::Unusable { class, message } => write!(out, "{class}: {message}"),
            BootstrapRefusal::AmbiguousLineage { leaves } => {
                let leaves: Vec<String> = leaves.iter().map(ToString::to_string).collect();
                write!(out, "{}: the incarnations {} both live; choose one with a KVRestore", self.class(), leaves.join(" and "))
            }
        }
    }
}
