//! What the reports of nodes say of one comparison of one shard, looked at without asking anybody: facts in, one of few conclusions out.

use std::{cmp::Reverse, collections::BTreeSet};
use strata_base::{ShardId, StoreId};
use strata_node_api::{ComparisonReport, ComparisonState, Member, Report, ShardReport, ShardRole};

/// What a node said, or why it said nothing.
pub struct Seen {
    /// `host:port`, as it was named.
    pub node: String,
    /// Its report.
    pub report: Result<Report, String>,
}

/// What the reports say of a comparison.
#[derive(Debug, PartialEq, Eq)]
pub enum Look {
    /// No replica has heard of it. This node, by its place among those seen, leads the shard and shall be ordered to begin it.
    Begin(usize),
    /// It goes on; what is waited for.
    Waits(String),
    /// It cannot tell of all replicas any more, but another one may: why.
    Spent(String),
    /// It cannot be told of all replicas as they are now: why. Perhaps that passes.
    Lacks(String),
    /// It has ended.
    Ended(Verdict),
}

/// What came of the comparison of a shard. Each sentence follows the shard's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All replicas hold the same.
    Equal(String),
    /// Some do not; which, and what to do.
    Different(String),
    /// It could not be told; why, and what to do.
    Unknown(String),
}

/// A replica that answered: its node, by name and by store, and what it says.
struct Replica<'a> {
    node: &'a str,
    store: StoreId,
    says: &'a ShardReport,
}

impl Replica<'_> {
    /// What it says of this comparison.
    fn told(&self, comparison: u64) -> Option<&ComparisonReport> {
        self.says.comparison.as_ref().filter(|told| told.comparison == comparison)
    }
}

/// A replica that has told what it held.
type Ready<'a> = (&'a Replica<'a>, &'a ComparisonReport);

/// Replicas by what keeps each of them from being compared, or does not.
#[derive(Default)]
struct Sorted<'a> {
    ready: Vec<Ready<'a>>,
    waits: Vec<String>,
    spent: Vec<String>,
    lacks: Vec<String>,
}

/// Looks at the comparison of this name.
pub fn look(shard: ShardId, comparison: u64, seen: &[Seen]) -> Look {
    let replicas = replicas(shard, seen);
    // Who the members are, the one that is furthest knows best.
    let Some(newest) = replicas.iter().map(|replica| replica.says).max_by_key(|says| (says.shard_epoch, says.term, says.applied)) else {
        let unreachable = unreachable(seen).unwrap_or_else(|| "none of the named nodes has a replica of it: check its name".to_owned());
        return Look::Lacks(unreachable);
    };
    let Some(entry) = replicas.iter().filter_map(|replica| replica.told(comparison)).map(|told| told.index).max() else {
        return begin(&replicas, seen);
    };
    let mut sorted = Sorted::default();
    for member in &newest.members {
        match replicas.iter().find(|replica| replica.store == member.store && replica.says.peer == member.peer) {
            Some(replica) => sorted.sort(replica, comparison, entry),
            None => sorted.lacks.push(absent(member, seen)),
        }
    }
    sorted.conclude()
}

impl<'a> Sorted<'a> {
    fn sort(&mut self, replica: &'a Replica<'a>, comparison: u64, entry: u64) {
        let (node, applied) = (replica.node, replica.says.applied);
        if let Some(reason) = &replica.says.stopped {
            return self
                .lacks
                .push(format!("its replica on {node} stopped: {reason}: give that node an empty disk, so that the member is replaced"));
        }
        match replica.told(comparison) {
            Some(told) if told.index != entry => self.spent.push(format!("{node} was compared at entry {}, others at {entry}", told.index)),
            Some(told) => match &told.state {
                ComparisonState::Digesting => self.waits.push(format!("{node} reads what it held at entry {entry}")),
                ComparisonState::Done { .. } => self.ready.push((replica, told)),
                ComparisonState::Failed { message } => self.spent.push(format!("{node} was not compared: {message}")),
            },
            None if applied < entry => self.waits.push(format!("{node} has applied entry {applied}, and the comparison is at {entry}")),
            None => self.spent.push(format!(
                "{node} has applied entry {entry} and says nothing of it: it started anew, was given a snapshot, or was asked by somebody else"
            )),
        }
    }

    fn conclude(self) -> Look {
        let Sorted { ready, waits, spent, lacks } = self;
        if !spent.is_empty() {
            return Look::Spent(spent.join("; "));
        }
        if !waits.is_empty() {
            return Look::Waits(waits.join("; "));
        }
        if let Some(sentence) = differing(&ready) {
            return Look::Ended(Verdict::Different(sentence));
        }
        match ready.first() {
            None if lacks.is_empty() => Look::Lacks("it has no members: wait until its leader says who they are".to_owned()),
            None => Look::Lacks(lacks.join("; ")),
            Some((_, told)) if lacks.is_empty() => Look::Ended(Verdict::Equal(format!("equal, {}", replicas_at(ready.len(), told)))),
            Some((_, told)) => Look::Lacks(format!(
                "{}; among those that answer there is no difference: {}",
                lacks.join("; "),
                replicas_at(ready.len(), told)
            )),
        }
    }
}

fn replicas(shard: ShardId, seen: &[Seen]) -> Vec<Replica<'_>> {
    let of = seen.iter().filter_map(|seen| {
        let report = seen.report.as_ref().ok()?;
        let says = report.shards.iter().find(|replica| replica.shard == shard)?;
        Some(Replica { node: &seen.node, store: report.store, says })
    });
    of.collect()
}

/// Nobody knows of the comparison yet: who shall begin it.
fn begin(replicas: &[Replica<'_>], seen: &[Seen]) -> Look {
    let versions: BTreeSet<&str> = seen.iter().filter_map(|seen| seen.report.as_ref().ok()).map(|report| &*report.version).collect();
    if versions.len() > 1 {
        let versions = versions.into_iter().collect::<Vec<_>>().join(" and ");
        return Look::Lacks(format!(
            "nodes run versions {versions}, and an older one might stop at the comparison: finish the rollout first"
        ));
    }
    let leaders = replicas.iter().filter(|replica| replica.says.role == ShardRole::Leader);
    let leader = leaders.max_by_key(|replica| replica.says.term).and_then(|leader| seen.iter().position(|seen| seen.node == leader.node));
    let nobody =
        || unreachable(seen).map_or("nobody leads it: see what ails its nodes".to_owned(), |why| format!("nobody leads it, and {why}"));
    leader.map_or_else(|| Look::Lacks(nobody()), Look::Begin)
}

/// Why a member cannot be asked.
fn absent(member: &Member, seen: &[Seen]) -> String {
    let holder = seen.iter().find(|seen| seen.report.as_ref().is_ok_and(|report| report.store == member.store));
    if let Some(holder) = holder {
        return format!("{} has nothing of its member {} yet: wait until the leader has sent a snapshot", holder.node, member.peer);
    }
    let unnamed = || {
        format!("its member {} lies on store {}, which none of the named nodes is: name every node by --node", member.peer, member.store)
    };
    unreachable(seen).unwrap_or_else(unnamed)
}

/// The nodes that did not answer, if any.
pub fn unreachable(seen: &[Seen]) -> Option<String> {
    let silent = |seen: &Seen| seen.report.as_ref().err().map(|error| format!("{} does not answer ({error})", seen.node));
    let silent: Vec<String> = seen.iter().filter_map(silent).collect();
    (!silent.is_empty()).then(|| format!("{}: start it, or wait until its members are replaced", silent.join(", ")))
}

/// Which replicas differ from which, and what to do; none where all of them hold the same.
fn differing(ready: &[Ready<'_>]) -> Option<String> {
    let mut groups: Vec<Vec<&Ready<'_>>> = Vec::new();
    for one in ready {
        match groups.iter_mut().find(|group| group[0].1 == one.1) {
            Some(group) => group.push(one),
            None => groups.push(vec![one]),
        }
    }
    groups.sort_by_key(|group| Reverse(group.len()));
    let [largest, others @ ..] = &groups[..] else { return None };
    if others.is_empty() {
        return None;
    }
    let all: Vec<String> = groups.iter().map(|group| format!("{}: {}", nodes(group), describe(group[0].1))).collect();
    let remedy = if 2 * largest.len() > ready.len() {
        let few: Vec<String> = others.iter().map(|group| nodes(group)).collect();
        let few = few.join(" and ");
        format!("{few} differs from most: let another member lead, then give that node an empty disk, so that its member is replaced")
    } else {
        "no majority of them agrees: bring every member up and compare again, or compare with what its bucket restores".to_owned()
    };
    Some(format!("DIFFERENT at {}: {}; {remedy}", ready[0].1.index, all.join("; ")))
}

fn nodes(group: &[&Ready<'_>]) -> String {
    let named: Vec<String> = group.iter().map(|(replica, _)| format!("{} (store {})", replica.node, replica.store)).collect();
    named.join(" and ")
}

fn describe(told: &ComparisonReport) -> String {
    let ComparisonReport { term, hlc, keys, expires, state, .. } = told;
    let (records, digest) = content(state);
    format!("{records} records, {keys} keys, {expires} with a time to live, last clock {hlc} of term {term}, digest {digest}")
}

fn replicas_at(count: usize, told: &ComparisonReport) -> String {
    let (records, digest) = content(&told.state);
    let noun = if count == 1 { "replica" } else { "replicas" };
    format!("{count} {noun} at {}, {records} records, digest {digest}", told.index)
}

fn content(state: &ComparisonState) -> (u64, &str) {
    match state {
        ComparisonState::Done { records, digest } => (*records, digest.as_str()),
        ComparisonState::Digesting | ComparisonState::Failed { .. } => (0, "unknown"),
    }
}
