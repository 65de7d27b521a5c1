//! Golden scripts for decisions: `testdata/decide/*.txt`, one behaviour each.
//!
//! ```text
//! # The first sentence says the intent.
//!
//! cluster with 2 shards                  the KVCluster orders, three nodes in zones a, b and c
//! pod orders-a-0 holds a1                its node reports; a store not seen before is empty
//! pod orders-a-0 belongs a1 7             its store is of cluster shop and incarnation 7, with two shards on a1, b1 and c1
//! pod orders-a-0 silent                  it runs, and does not report; or `starting`
//! pod orders-a-0 restarted                its process is another one, and remembers no order
//! pod orders-a-0 outdated                it was made from an older template; or `crashed`; or `unbound`, placed without its volume
//! archive                                the cluster declares one, in the bucket of the object store s3, which is empty
//! bucket Dns                             it fails with this class; or `bucket answers`, `bucket missing` for no KVObjectStore
//! bucket holds 7 of old-uid until 9000   an incarnation of two shards, its KVCluster, and its last write; `at PATH` for another path
//! bucket loses KEY                       an object is gone; `damages KEY` for one that is no longer what was stored
//! restoreRef Latest from PATH            the cluster names a KVRestore of this target: Latest, or a time in milliseconds; `or latest`
//! kvcluster old-uid lives                another KVCluster of the namespace exists; `goes` when it is deleted
//! pod orders-a-0 restores 40/100         how far its restore is; `restores ready`, `restores failed Damaged KEY`
//! pod orders-a-0 archives published      how its archive is: claiming, published, `watching X`, `refused`, `failing AccessDenied`
//! shard 0 archived until 5000 risk 10    what its leader says of the bucket
//! clock 60                               so many seconds later
//! policy InitOnly                        what is allowed
//! shard 0 led by a1                      elections turn out like this
//! > pass                                 what is decided, and then done
//! > look                                 what is decided, and not done
//! > restart operator                     another process takes over
//! ```
//!
//! An answer ends at an empty line, a comment or a command; a sentence never follows one directly. Stores are called a1, b1, …: hexadecimal ids, shown without leading zeros. Objects are shown by kind and name.
//! `UPDATE=1 cargo test -p strata-operator` records the answers anew.

use crate::bucket;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    sync::Arc,
};
use strata_base::{Epoch, Hlc, PeerId, ShardId, StoreId};
use strata_crds::{BootstrapPolicy, KVCluster, KVClusterStatus, PersistedPlan, Reference};
use strata_engine::objects::{ErrorClass, MemoryObjects, ObjectError};
use strata_node_api::{
    ArchiveReport, ClaimState, DiskReport, Member, NodeState, ObjectProblem, Order, OrderKind, Progress, Report, RestoreReport,
    RestoreState, ShardArchive, ShardReport, ShardRole,
};
use strata_operator::{
    bucket::Inquiry,
    decide::{Act, Decision, decide, question},
    names::ANNOTATION_FINGERPRINT,
    observation::{Observation, PodFact, RestoreFact, SecretsFact, StoreFact},
    resources::Defaults,
};

struct World {
    seen: Observation,
    nodes: BTreeMap<String, Report>,
    transitions: u64,
    bucket: Arc<MemoryObjects>,
    failing: Option<ErrorClass>,
}

fn empty_node(store: StoreId, pod: &str) -> Report {
    Report {
        version: "0.1.0".to_owned(),
        store,
        life: 1,
        state: NodeState::Empty,
        epoch: Epoch(0),
        zone: pod.split('-').nth(1).unwrap_or_default().to_owned(),
        uptime_millis: 1_000,
        evicted_millis: 0,
        clock_offset_millis: 0,
        disk: DiskReport { total_bytes: 100, free_bytes: 90, ..DiskReport::default() },
        shards: Vec::new(),
        heard: Vec::new(),
        problems: Vec::new(),
        archive: None,
        restore: None,
    }
}

impl World {
    fn new() -> World {
        let cluster: KVCluster = serde_yaml_ng::from_str(
            "{apiVersion: strata.dev/v1alpha1, kind: KVCluster, metadata: {name: orders, namespace: shop, uid: the-uid, generation: 1},
              spec: {version: 0.1.0, nodes: 3, zones: [a, b, c], shards: 2, storage: {size: 1Gi}}}",
        )
        .expect("the fixture is a KVCluster");
        let seen = Observation {
            now: "2026-01-01T00:00:00Z".parse().expect("the fixture is a time"),
            cluster,
            identity: "operator/1".to_owned(),
            lease_transitions: 1,
            defaults: Defaults { node_image: "strata".to_owned() },
            applied: BTreeMap::new(),
            secrets: SecretsFact::default(),
            pods: BTreeMap::new(),
            reports: BTreeMap::new(),
            namespace_uid: "namespace-uid".to_owned(),
            living: BTreeSet::from(["the-uid".to_owned()]),
            stores: BTreeMap::new(),
            restore: None,
            answers: BTreeMap::new(),
        };
        World { seen, nodes: BTreeMap::new(), transitions: 1, bucket: Arc::default(), failing: None }
    }

    fn sentence(&mut self, words: &[&str]) {
        match words {
            ["cluster", "with", shards, "shards"] => self.seen.cluster.spec.shards = shards.parse().expect("a number of shards"),
            ["pod", pod, "holds", store] => {
                self.seen.pods.entry((*pod).to_owned()).or_default();
                let known = self.nodes.values().find(|report| report.store == id(store)).cloned();
                let report = known.unwrap_or_else(|| empty_node(id(store), pod));
                self.nodes.insert((*pod).to_owned(), report.clone());
                self.seen.reports.insert((*pod).to_owned(), report);
            }
            ["pod", pod, "belongs", store, incarnation] => self.survivor(pod, id(store), incarnation.parse().expect("a number")),
            ["pod", pod, "restarted"] => (self.node(pod).restore, self.node(pod).archive) = (None, None),
            ["pod", pod, "silent"] => {
                self.pod(pod).waits = None;
                self.seen.reports.remove(*pod);
            }
            ["pod", pod, "starting"] => self.pod(pod).waits = Some("ContainerCreating".to_owned()),
            ["pod", pod, "outdated"] => self.pod(pod).is_outdated = true,
            ["pod", pod, "crashed"] => self.pod(pod).is_crashed = true,
            ["pod", pod, "unbound"] => self.pod(pod).lacks_volume = true,
            ["archive"] => {
                self.seen.cluster.spec.archive = Some(yaml("{objectStoreRef: {name: s3}}"));
                let spec = yaml("{bucket: strata, endpoint: 'http://s3.example', credentialsSecretRef: {name: s3-credentials}}");
                self.seen.stores.insert("s3".to_owned(), StoreFact { spec: Some(spec), problem: None });
            }
            ["bucket", "missing"] => {
                let problem = (strata_crds::ErrorClass::ReferenceMissing, "the KVObjectStore s3 does not exist".to_owned());
                self.seen.stores.insert("s3".to_owned(), StoreFact { spec: None, problem: Some(problem) });
            }
            ["bucket", "answers"] => self.failing = None,
            ["bucket", "holds", incarnation, "of", uid, "until", millis, at @ ..] => {
                let path = at.last().unwrap_or(&"shop/orders");
                let number = |word: &str| word.parse().expect("a number");
                bucket::put_cluster(&self.bucket, path, number(incarnation), uid, number(millis));
            }
            ["bucket", "loses", key] => self.bucket.tamper(key, |was| was.and(None)),
            ["bucket", "damages", key] => self.bucket.tamper(key, |was| was.map(|_| "rubbish".into())),
            ["bucket", class] => self.failing = Some(class_named(class)),
            ["policy", policy] => self.seen.cluster.spec.bootstrap.policy = yaml::<BootstrapPolicy>(policy),
            ["restoreRef", moment, "from", path, beyond @ ..] => self.restore_ref(moment, path, !beyond.is_empty()),
            ["kvcluster", uid, "goes"] => drop(self.seen.living.remove(*uid)),
            ["kvcluster", uid, "lives"] => drop(self.seen.living.insert((*uid).to_owned())),
            ["pod", pod, "restores", state @ ..] => self.node(pod).restore = Some(restoring(state)),
            ["pod", pod, "archives", state @ ..] => self.node(pod).archive = Some(archiving(state)),
            ["shard", ordinal, "archived", "until", millis, "risk", bytes] => {
                let shard = self.shard(ordinal.parse().expect("an ordinal"));
                let archive = ShardArchive {
                    archived: 5,
                    recovery_latest_millis: millis.parse().expect("milliseconds"),
                    lag_millis: 0,
                    bytes_at_risk: bytes.parse().expect("bytes"),
                    gaps: Vec::new(),
                };
                let mut held = self.nodes.values_mut().flat_map(|node| &mut node.shards);
                let leader = held.find(|held| held.shard == shard && held.role == ShardRole::Leader);
                leader.expect("the shard has a leader").archive = Some(archive);
            }
            ["clock", seconds] => {
                let later = k8s_openapi::jiff::SignedDuration::from_secs(seconds.parse().expect("seconds"));
                self.seen.now = self.seen.now.checked_add(later).expect("a time");
            }
            ["shard", ordinal, "led", "by", store] => {
                let shard = self.shard(ordinal.parse().expect("an ordinal"));
                self.elect(shard, id(store));
            }
            _ => panic!("no sentence {words:?}: see the head of decide.rs"),
        }
    }

    /// A node whose disk survived, with both shards of an incarnation; the first one leads them.
    fn survivor(&mut self, pod: &str, store: StoreId, incarnation: u64) {
        self.sentence(&["pod", pod, "holds", &store.to_string()]);
        let members = ["a1", "b1", "c1"].map(id);
        let member = |(peer, store): (u64, StoreId)| Member { peer: PeerId(peer), store, role: strata_node_api::MemberRole::Voter };
        let members: Vec<Member> = (1..).zip(members).map(member).collect();
        let incarnation = strata_base::IncarnationId(incarnation);
        for (ordinal, slots) in (0..).zip(strata_base::SlotRange::split_evenly(2)) {
            let shard = ShardId::derive(incarnation.0, 0, ordinal);
            let (table, members) = (strata_base::TableId(0), members.clone());
            let order = OrderKind::CreateShard { shard, table, slots, members, origin: None };
            self.obey(pod, &Order { epoch: Epoch(1), cluster: "shop".to_owned(), incarnation, store, order });
        }
        self.node(pod).state = NodeState::Member { cluster: "shop".to_owned(), incarnation };
    }

    fn restore_ref(&mut self, moment: &str, path: &str, or_latest: bool) {
        let target = match moment.parse() {
            Ok(millis) => format!("{{type: Time, time: '{}'}}", strata_crds::time_of_millis(millis).0),
            Err(_) => "{type: Latest}".to_owned(),
        };
        let beyond = if or_latest { "RestoreToLatest" } else { "Fail" };
        let found = yaml(&format!(
            "{{apiVersion: strata.dev/v1alpha1, kind: KVRestore, metadata: {{name: back}},
              spec: {{mode: NewCluster, source: {{objectStoreRef: {{name: s3}}, path: {path}}}, target: {target}, onTargetBeyondEnd: {beyond}}}}}"
        ));
        self.seen.cluster.spec.bootstrap.restore_ref = Some(Reference { name: "back".to_owned() });
        self.seen.restore = Some(RestoreFact { name: "back".to_owned(), found: Some(found), backup: None });
    }

    fn node(&mut self, pod: &str) -> &mut Report {
        self.nodes.get_mut(pod).expect("the pod has a node")
    }

    /// Asks the bucket what the decision needs, as `observe` does.
    fn ask(&mut self) {
        self.seen.answers.clear();
        while let Some(question) = question(&self.seen) {
            let is_reached = self.seen.stores.get(&question.store).is_some_and(|fact| fact.problem.is_none());
            if !is_reached {
                return;
            }
            let answer = match self.failing {
                Some(class) => Inquiry::Reading(Some(ObjectError::new(class, "what the store said"))),
                None => Inquiry::Found(Arc::new(bucket::answer(&self.bucket, &question))),
            };
            self.seen.answers.insert(question, answer);
        }
    }

    fn pod(&mut self, name: &str) -> &mut PodFact {
        self.seen.pods.entry(name.to_owned()).or_default()
    }

    fn shard(&self, ordinal: u32) -> ShardId {
        let status = self.seen.cluster.status.clone().unwrap_or_default();
        let incarnation = status.incarnation.and_then(|text| u64::from_str_radix(&text, 16).ok()).unwrap_or_default();
        ShardId::derive(incarnation, 0, ordinal)
    }

    /// Looks at the world, and says what is decided.
    fn look(&mut self) -> (Decision, String) {
        for (pod, report) in &mut self.seen.reports {
            *report = self.nodes[pod].clone();
        }
        self.ask();
        let decision = decide(&self.seen);
        let mut out = String::new();
        let (mut directories, mut archives) = (0, 0);
        for act in &decision.acts {
            match act {
                Act::IssueCertificates => out.push_str("issue certificates\n"),
                Act::Apply(object) => {
                    let kind = object.types.as_ref().map(|types| types.kind.clone()).unwrap_or_default();
                    line(&mut out, format!("apply {kind} {}", object.metadata.name.clone().unwrap_or_default()));
                }
                Act::Persist => {
                    let status = &decision.status;
                    let text = |text: &Option<String>| text.clone().unwrap_or_default();
                    let plan = status.plan.clone().unwrap_or_default();
                    let members = plan.members.join(", ");
                    line(&mut out, format!("persist epoch {} of {}, plan: {members}", status.epoch, text(&status.epoch_holder)));
                    if let Some(document) = &plan.document {
                        let (parent, gone) = (plan.parent.unwrap_or("nothing".to_owned()), plan.gone.unwrap_or("nobody".to_owned()));
                        let (bytes, continues, retire) = (document.len() > 100, plan.continues, plan.retire);
                        line(
                            &mut out,
                            format!(
                                "  of cluster {}, from {parent}, continues the path {continues}, gone {gone}, retires {retire:?}, document {bytes}",
                                text(&status.cluster_id)
                            ),
                        );
                    }
                }
                Act::Order { order, .. } if matches!(order.order, OrderKind::Directory { .. }) => directories += 1,
                Act::Order { order, .. } if matches!(order.order, OrderKind::OpenArchive { .. }) => archives += 1,
                Act::Order { pod, order, reason } => line(&mut out, format!("order {pod} at epoch {}: {reason}", order.epoch)),
                Act::Restart { pod } => line(&mut out, format!("restart {pod}")),
            }
        }
        if archives > 0 {
            line(&mut out, format!("tell {archives} nodes of the archive"));
        }
        if directories > 0 {
            line(&mut out, format!("tell {directories} nodes of each other"));
        }
        let ready = &decision.status.conditions[0];
        line(&mut out, format!("{:?}, Ready {}: {}: {}", decision.status.phase, ready.status, ready.reason, ready.message));
        self.tell(&decision.status, &mut out);
        if let Some(update) = &decision.status.update {
            line(&mut out, format!("update {}/{}, blocked by: {}", update.done, update.total, update.blocked_by.join("; ")));
        }
        let shown = self.readable(&out);
        (decision, shown)
    }

    /// What a status says of bucket, restore and what is waited for.
    fn tell(&self, status: &KVClusterStatus, out: &mut String) {
        let time = |time: &Option<k8s_openapi::apimachinery::pkg::apis::meta::v1::Time>| {
            time.as_ref().map_or("never".to_owned(), |time| time.0.to_string())
        };
        if let Some(restore) = &status.restore {
            let (done, total) = (restore.bytes_done, restore.bytes_total);
            let (percent, end) = (restore.percent, time(&restore.expected_end));
            line(
                out,
                format!(
                    "restore from {}: nodes {}, {done} of {total} bytes, {percent}%, expected end {end}",
                    restore.parent, restore.nodes_done
                ),
            );
        }
        if let Some(recovery) = &status.recovery {
            line(out, format!("recovery until {}, {} bytes at risk", time(&recovery.latest), recovery.bytes_at_risk));
        }
        for problem in status.problems.iter().skip(1) {
            line(out, format!("also {:?}: {}", problem.class, problem.message));
        }
        for waiting in status.waiting.iter().filter(|_| self.seen.cluster.spec.archive.is_some()) {
            line(out, format!("waits: {waiting}"));
        }
    }

    fn readable(&self, text: &str) -> String {
        let mut out = text.to_owned();
        for ordinal in 0..64 {
            out = out.replace(&self.shard(ordinal).to_string(), &ordinal.to_string());
        }
        let words = out.split_inclusive(|letter: char| !letter.is_ascii_alphanumeric());
        let is_id = |word: &str| word.chars().take_while(char::is_ascii_hexdigit).count() == 16;
        words.map(|word| if is_id(word) { word.trim_start_matches('0') } else { word }).collect()
    }

    fn pass(&mut self) -> String {
        let (decision, shown) = self.look();
        for act in &decision.acts {
            match act {
                Act::IssueCertificates => self.seen.secrets = SecretsFact { authority: true, certificates: true },
                Act::Apply(object) => {
                    let kind = object.types.as_ref().map(|types| types.kind.clone()).unwrap_or_default();
                    let name = object.metadata.name.clone().unwrap_or_default();
                    let fingerprint = object.metadata.annotations.as_ref().and_then(|all| all.get(ANNOTATION_FINGERPRINT)).cloned();
                    self.seen.applied.insert((kind, name), fingerprint.expect("an object has a fingerprint"));
                }
                Act::Persist => {}
                Act::Order { pod, order, .. } => self.obey(pod, order),
                Act::Restart { pod } => {
                    *self.pod(pod) = PodFact::default();
                    if let Some(node) = self.nodes.get_mut(pod) {
                        node.evicted_millis = 0;
                    }
                }
            }
        }
        self.seen.cluster.status = Some(KVClusterStatus { ..decision.status });
        shown
    }

    fn obey(&mut self, pod: &str, order: &Order) {
        let node = self.nodes.get_mut(pod).expect("an order goes to a node that reports");
        node.epoch = node.epoch.max(order.epoch);
        match &order.order {
            OrderKind::Join => node.state = NodeState::Member { cluster: order.cluster.clone(), incarnation: order.incarnation },
            OrderKind::Directory { .. } | OrderKind::ChangeMembers { .. } => {}
            OrderKind::Checkpoint { .. } | OrderKind::Compare { .. } => {}
            OrderKind::OpenArchive { .. } => drop(node.archive.get_or_insert_with(|| archiving(&["claiming"]))),
            OrderKind::Restore { restore } => {
                assert!(restore.shards.iter().all(|shard| shard.origin.index > 0), "a shard is restored up to its cut");
                node.restore = Some(restoring(&["planning"]));
            }
            OrderKind::EvictLeaders { for_millis } => node.evicted_millis = *for_millis,
            OrderKind::TransferLeader { shard, to } => {
                let members = node.shards.iter().find(|held| held.shard == *shard).map(|held| held.members.clone()).unwrap_or_default();
                let heir = members.iter().find(|member| member.peer == *to).expect("the heir is a member").store;
                self.elect(*shard, heir);
            }
            OrderKind::CreateShard { shard, table, slots, members, origin } => {
                assert_eq!(origin.is_some(), node.restore.is_some(), "what was restored is continued");
                let own = members.iter().find(|member| member.store == order.store).expect("a node creates its own replica");
                let held = ShardReport {
                    shard: *shard,
                    table: *table,
                    slots: *slots,
                    shard_epoch: Epoch(1),
                    peer: own.peer,
                    role: ShardRole::Follower,
                    term: 1,
                    leader: None,
                    members: members.clone(),
                    is_joint: false,
                    last_index: 5,
                    committed: 5,
                    applied: 5,
                    flushed: 5,
                    first_index: 1,
                    hlc: Hlc::ZERO,
                    keys: 0,
                    expires: 0,
                    progress: Vec::new(),
                    archive: None,
                    checkpoint: None,
                    checkpointing: None,
                    comparison: None,
                    stopped: None,
                };
                node.shards.push(held);
                let first = members[0].store;
                let holders = self.nodes.values().filter(|node| node.shards.iter().any(|held| held.shard == *shard)).count();
                if holders > members.len() / 2 {
                    self.elect(*shard, first);
                }
            }
        }
    }

    /// Makes the replica on this store the leader, and all others followers that keep up.
    fn elect(&mut self, shard: ShardId, leader: StoreId) {
        for node in self.nodes.values_mut() {
            let store = node.store;
            for held in node.shards.iter_mut().filter(|held| held.shard == shard) {
                held.role = if store == leader { ShardRole::Leader } else { ShardRole::Follower };
                let progress = |member: &Member| Progress { peer: member.peer, matched: 5, in_snapshot: false, is_active: true };
                let others = held.members.iter().filter(|member| member.store != leader).map(progress).collect();
                held.progress = if store == leader { others } else { Vec::new() };
            }
        }
    }

    fn command(&mut self, words: &[&str]) -> String {
        match words {
            ["pass"] => self.pass(),
            ["look"] => self.look().1,
            ["restart", "operator"] => {
                self.transitions += 1;
                self.seen.lease_transitions = self.transitions;
                self.seen.identity = format!("operator/{}", self.transitions);
                String::new()
            }
            _ => panic!("no command {words:?}: see the head of decide.rs"),
        }
    }
}

fn yaml<T: serde::de::DeserializeOwned>(text: &str) -> T {
    serde_yaml_ng::from_str(text).expect("the fixture is what the type says")
}

fn class_named(name: &str) -> ErrorClass {
    ErrorClass::ALL.into_iter().find(|class| class.name() == name).expect("a class of the engine's list")
}

fn restoring(words: &[&str]) -> RestoreReport {
    let (state, done_bytes, total_bytes) = match words {
        ["planning"] => (RestoreState::Planning, 0, 0),
        ["ready"] => (RestoreState::Ready, 100, 100),
        ["failed", class, message @ ..] => (RestoreState::Failed { class: (*class).to_owned(), message: message.join(" ") }, 0, 0),
        [part] => {
            let (done, total) = part.split_once('/').expect("done/total");
            (RestoreState::Fetching, done.parse().expect("bytes"), total.parse().expect("bytes"))
        }
        _ => panic!("no state {words:?}: see the head of decide.rs"),
    };
    RestoreReport { state, done_bytes, total_bytes, millis: 1_000, problem: None }
}

fn archiving(words: &[&str]) -> ArchiveReport {
    let (claim, class) = match words {
        ["claiming"] => (ClaimState::Claiming, None),
        ["published"] => (ClaimState::Taken, None),
        ["watching", cluster] => (ClaimState::Watching { cluster: (*cluster).to_owned() }, None),
        ["refused"] => (ClaimState::Refused { message: "shop/orders belongs to the living cluster shop".to_owned() }, None),
        ["failing", class] => (ClaimState::Taken, Some(*class)),
        _ => panic!("no state {words:?}: see the head of decide.rs"),
    };
    let problem = |class: &str| ObjectProblem { class: class.to_owned(), message: "the store refused".to_owned(), millis: 1, attempts: 1 };
    ArchiveReport {
        is_published: claim == ClaimState::Taken,
        is_registered: true,
        claim,
        refuses_writes: false,
        objects: 0,
        problem: class.map(problem),
    }
}

fn id(name: &str) -> StoreId {
    StoreId(u64::from_str_radix(name, 16).expect("stores are called a1, b1, …"))
}

fn line(out: &mut String, text: String) {
    writeln!(out, "{text}").expect("a string takes every write");
}

/// What is seen after a script.
pub fn seen_after(script: &str) -> Observation {
    let mut world = World::new();
    for written in script.lines() {
        match written.split_whitespace().collect::<Vec<_>>()[..] {
            [] | ["#", ..] => {}
            [">", ref command @ ..] => drop(world.command(command)),
            ref words => world.sentence(words),
        }
    }
    for (pod, report) in &mut world.seen.reports {
        *report = world.nodes[pod].clone();
    }
    world.seen
}

fn run(text: &str) -> String {
    let mut world = World::new();
    let mut out = String::new();
    let mut is_answer = false;
    for written in text.lines() {
        let words: Vec<&str> = written.split_whitespace().collect();
        let answer = match words.first() {
            Some(&">") => {
                is_answer = true;
                world.command(&words[1..])
            }
            None | Some(&"#") => {
                is_answer = false;
                String::new()
            }
            Some(_) if is_answer => continue,
            Some(_) => {
                world.sentence(&words);
                String::new()
            }
        };
        line(&mut out, written.to_owned());
        out.push_str(&answer);
    }
    out
}

#[test]
fn decisions_are_what_was_recorded() {
    strata_golden::check_scripts("testdata/decide", run);
}

#[test]
fn a_peer_of_the_plan_reads_as_it_was_persisted() {
    let planned = strata_operator::view::from_persisted(
        &PersistedPlan { members: vec!["1:00000000000000a1 2:00000000000000b1".to_owned()], ..PersistedPlan::default() },
        strata_base::IncarnationId(7),
    );
    let planned = planned.expect("it is what the operator writes");
    assert_eq!(planned[0].members, [(PeerId(1), StoreId(0xa1)), (PeerId(2), StoreId(0xb1))]);
    assert_eq!(strata_operator::view::to_persisted(&planned).members, ["1:00000000000000a1 2:00000000000000b1"]);
}
