//! Mistakes put into the simulated world, or into the nodes, on purpose.

use serde::{Deserialize, Serialize};
use strata_base::planted::{CAN_PLANT, Mistake};

/// A mistake put into the simulated world on purpose, to see that the checks notice it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Planted {
    /// The disk says that an append is durable, and a crash takes it all the same.
    ForgetfulLog,
    /// Now and then a command reaches the node twice.
    CommandsTwice,
    /// A command that writes two keys reaches the node without the second one.
    PairsTorn,
    /// The disk says that an append is durable which failed: it is not there.
    FailedAppendBelieved,
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
    /// A snapshot or a checkpoint of a tablet that cannot be read in whole is made of what can be read.
    DamageSpread,
    /// Kubernetes takes a status whatever version it was decided from.
    BlindWrites,
    /// A rule of the nodes is broken.
    Rule(Mistake),
}

impl Planted {
    /// Mistakes of the world around the nodes.
    const OF_WORLD: [(Planted, &str); 11] = [
        (Planted::ForgetfulLog, "forgetful-log"),
        (Planted::FailedAppendBelieved, "failed-append-believed"),
        (Planted::CommandsTwice, "commands-twice"),
        (Planted::PairsTorn, "pairs-torn"),
        (Planted::RefusalsBelieved, "refusals-believed"),
        (Planted::StrayRecord, "stray-record"),
        (Planted::PromisesTooMuch, "promises-too-much"),
        (Planted::StaleReads, "stale-reads"),
        (Planted::LateClocks, "late-clocks"),
        (Planted::DamageSpread, "damage-spread"),
        (Planted::BlindWrites, "blind-writes"),
    ];

    /// All that there are, whether this build can make them or not.
    fn known() -> impl Iterator<Item = Planted> {
        let rules = Mistake::ALL.iter().map(|rule| Planted::Rule(*rule));
        Planted::OF_WORLD.into_iter().map(|(mistake, _)| mistake).chain(rules)
    }

    /// All that this build can make: rules of the nodes are broken only where the feature `planted` is on.
    pub fn all() -> Vec<Planted> {
        Planted::known().filter(|mistake| mistake.can_be_made()).collect()
    }

    /// Whether it is of the world around the nodes, so that any build can make it.
    pub fn is_of_world(self) -> bool {
        self.rule().is_none()
    }

    /// Whether this build can make it.
    pub fn can_be_made(self) -> bool {
        self.is_of_world() || CAN_PLANT
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

    /// Whether it can only show where operators look after the cluster.
    pub fn needs_operators(self) -> bool {
        use Mistake::{EpochIgnored, EpochShared, JoinsTheDead, MinorityAdopted, RolloutUngated};
        let of_operators = [EpochIgnored, EpochShared, JoinsTheDead, MinorityAdopted, RolloutUngated];
        self == Planted::BlindWrites || self.rule().is_some_and(|rule| of_operators.contains(&rule))
    }

    /// Whether it can only show where leaders read by leases, or where they do not.
    pub(super) fn needs_leases(self) -> Option<bool> {
        use Mistake::{LeaseInTransfer, PledgeForgotten, PledgeIgnored, ReadWithoutProof};
        match self.rule() {
            Some(LeaseInTransfer | PledgeForgotten | PledgeIgnored) => Some(true),
            Some(ReadWithoutProof) => Some(false),
            _ => (self == Planted::LateClocks).then_some(true),
        }
    }

    /// Whether it can only show beside a bucket.
    pub fn needs_bucket(self) -> bool {
        use Mistake::{
            ArchivedAssumed, CheckpointIndexLate, CutBeforeArchive, CutPerReplica, DocumentBeforeFiles, JoinsTheDead, ListingBelieved,
            MinorityAdopted, OldestForLeaf, OwnerUnwatched, ParentForgotten, PromiseWithoutProof, SnapshotAmidRestore, UploadTrusted,
        };
        let of_tier = [
            ArchivedAssumed,
            CheckpointIndexLate,
            CutBeforeArchive,
            CutPerReplica,
            DocumentBeforeFiles,
            JoinsTheDead,
            ListingBelieved,
            MinorityAdopted,
            OldestForLeaf,
            OwnerUnwatched,
            ParentForgotten,
            PromiseWithoutProof,
            SnapshotAmidRestore,
            UploadTrusted,
        ];
        self == Planted::PromisesTooMuch || self.rule().is_some_and(|rule| of_tier.contains(&rule))
    }
}

impl From<Planted> for String {
    fn from(mistake: Planted) -> String {
        mistake.name().to_owned()
    }
}

impl TryFrom<String> for Planted {
    type Error = String;

    fn try_from(name: String) -> Result<Planted, String> {
        let found = Planted::known().find(|mistake| mistake.name() == name);
        found.ok_or_else(|| {
            let names: Vec<&str> = Planted::known().map(Planted::name).collect();
            format!("there is no mistake called {name:?}; choose one of {}", names.join(", "))
        })
    }
}
