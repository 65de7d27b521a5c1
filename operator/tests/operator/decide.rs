//! Golden scripts for decisions: `testdata/decide/*.txt`, one behaviour each.
//!
//! ```text
//! # The first sentence says the intent.
//!
//! cluster with 2 shards                  the KVCluster orders, three nodes in zones a, b and c
//! pod orders-a-0 holds a1                its node reports; a store not seen before is empty
//! pod orders-a-0 silent                  it runs, and does not report; or `starting`
//! pod orders-a-0 outdated                it was made from an older template; or `crashed`
//! archive                                the cluster declares one, and its bucket cannot be read
//! shard 0 led by a1                      elections turn out like this
//! > pass                                 what is decided, and then done
//! > look                                 what is decided, and not done
//! > restart operator                     another process takes over
//! ```
//!
//! An answer ends at an empty line, a comment or a command; a sentence never follows one directly. Stores are called a1, b1, …: hexadecimal ids, shown without leading zeros. Objects are shown by kind and name.
//! `UPDATE=1 cargo test -p strata-operator` records the answers anew.

use crate::{check, files};
use std::{collections::BTreeMap, fmt::Write, fs};
use strata_base::{Epoch, Hlc, PeerId, ShardId, StoreId};
use strata_crds::{Archive, KVCluster, KVClusterStatus, Reference};
use strata_node_api::{DiskReport, Member, NodeState, Order, OrderKind, Progress, Report, ShardReport, ShardRole};
use strata_operator::{
    decide::{Act, Decision, decide},
    names::ANNOTATION_FINGERPRINT,
    observation::{Observation, PodFact, SecretsFact},
    resources::Defaults,
};
use strata_planner::bootstrap::BucketFact;

struct World {
    seen: Observation,
    nodes: BTreeMap<String, Report>,
    transitions: u64,
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
            bucket: BucketFact::NotDeclared,
        };
        World { seen, nodes: BTreeMap::new(), transitions: 1 }
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
            ["pod", pod, "silent"] => {
                self.pod(pod).waits = None;
                self.seen.reports.remove(*pod);
            }
            ["pod", pod, "starting"] => self.pod(pod).waits = Some("ContainerCreating".to_owned()),
            ["pod", pod, "outdated"] => self.pod(pod).is_outdated = true,
            ["pod", pod, "crashed"] => self.pod(pod).is_crashed = true,
            ["archive"] => {
                let (path, on_store_down) = (None, Default::default());
                let size = |text: &str| strata_crds::Size(text.to_owned());
                self.seen.cluster.spec.archive = Some(Archive {
                    object_store_ref: Reference { name: "s3".to_owned() },
                    path,
                    flush_interval: strata_crds::Period("1s".to_owned()),
                    local_log_bound: size("1Gi"),
                    on_store_down,
                });
                self.seen.bucket = BucketFact::Unreadable { class: "Dns".to_owned() };
            }
            ["shard", ordinal, "led", "by", store] => {
                let shard = self.shard(ordinal.parse().expect("an ordinal"));
                self.elect(shard, id(store));
            }
            _ => panic!("no sentence {words:?}: see the head of decide.rs"),
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
        let decision = decide(&self.seen);
        let mut out = String::new();
        let mut directories = 0;
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
                    let plan = status.plan.clone().unwrap_or_default().members.join(", ");
                    line(&mut out, format!("persist epoch {} of {}, plan: {plan}", status.epoch, text(&status.epoch_holder)));
                }
                Act::Order { order, .. } if matches!(order.order, OrderKind::Directory { .. }) => directories += 1,
                Act::Order { pod, order, reason } => line(&mut out, format!("order {pod} at epoch {}: {reason}", order.epoch)),
                Act::Restart { pod } => line(&mut out, format!("restart {pod}")),
            }
        }
        if directories > 0 {
            line(&mut out, format!("tell {directories} nodes of each other"));
        }
        let ready = &decision.status.conditions[0];
        line(&mut out, format!("{:?}, Ready {}: {}: {}", decision.status.phase, ready.status, ready.reason, ready.message));
        if let Some(update) = &decision.status.update {
            line(&mut out, format!("update {}/{}, blocked by: {}", update.done, update.total, update.blocked_by.join("; ")));
        }
        let shown = self.readable(&out);
        (decision, shown)
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
                    self.nodes.get_mut(pod).expect("a pod that is restarted has a node").evicted_millis = 0;
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
            OrderKind::OpenArchive { .. } | OrderKind::Restore { .. } | OrderKind::Checkpoint { .. } => {}
            OrderKind::EvictLeaders { for_millis } => node.evicted_millis = *for_millis,
            OrderKind::TransferLeader { shard, to } => {
                let members = node.shards.iter().find(|held| held.shard == *shard).map(|held| held.members.clone()).unwrap_or_default();
                let heir = members.iter().find(|member| member.peer == *to).expect("the heir is a member").store;
                self.elect(*shard, heir);
            }
            OrderKind::CreateShard { shard, table, slots, members, .. } => {
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

fn id(name: &str) -> StoreId {
    StoreId(u64::from_str_radix(name, 16).expect("stores are called a1, b1, …"))
}

fn line(out: &mut String, text: String) {
    writeln!(out, "{text}").expect("a string takes every write");
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
    let mut failures = Vec::new();
    for path in files("testdata/decide", ".txt") {
        let text = fs::read_to_string(&path).expect("a script is readable");
        assert!(text.starts_with("# "), "{}: the first line must say the intent", path.display());
        check(&path, &run(&text), &mut failures);
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn a_peer_of_the_plan_reads_as_it_was_persisted() {
    let planned = strata_operator::view::from_persisted(
        &strata_crds::PersistedPlan { parent: None, members: vec!["1:00000000000000a1 2:00000000000000b1".to_owned()] },
        strata_base::IncarnationId(7),
    );
    let planned = planned.expect("it is what the operator writes");
    assert_eq!(planned[0].members, [(PeerId(1), StoreId(0xa1)), (PeerId(2), StoreId(0xb1))]);
    assert_eq!(strata_operator::view::to_persisted(&planned).members, ["1:00000000000000a1 2:00000000000000b1"]);
}
