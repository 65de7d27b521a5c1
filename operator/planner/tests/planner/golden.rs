//! Golden scripts: `testdata/*.txt`, one behaviour each.
//!
//! ```text
//! # The first sentence says the intent.
//!
//! policy factor 3 tolerance 1 moves 2 transfers 8 lag 1000     what is not said keeps its default
//! node a1 in zone a                        a member that reports; then empty, lost, evicted, skewed, silent, heard or bare (of replicas)
//! shard 0 on a1* b1 c1-5000 d1+            a1 leads, c1 lags by 5000 entries, d1 is a learner; a last word `joint` says so
//! shards 0-3 of 4 on a1* b1 c1             several alike; `of` is how many cover the table, 16 where not said
//! shard 0 on a1* b1 c2=1025                the member on c2 has the id 1025; otherwise ids count from 1
//! archive behind
//! pod orders-a-0 on a1 outdated            a pod for `rollout`; then outdated, crashed or both; `on ?` before it has reported
//! pod orders-a-0 holds a1 of shop 7        a pod for `bootstrap`: a store of cluster shop, incarnation 7, with its shards
//! pod orders-a-0 holds a1 empty            … a new store
//! pod orders-a-0 silent                    … no report; `lost` for a volume that the user named lost
//! bucket nothing                           or: undeclared, reading, unreadable AccessDenied, unusable Damaged …, holds 7 8 until 1700000000000
//! > place 4 shards                         plans and persists the first replicas
//! > plan                                   what the planner says, checked
//! > do                                     the last plan is carried out
//! > settle                                 who is heard catches up
//! > rollout                                what the restart gate says
//! > bootstrap RestoreIfExists              how a cluster begins under this policy
//! ```
//!
//! An answer ends at an empty line, a comment or a command; a sentence never follows one directly. Stores are called a1, b2, …: these are hexadecimal ids, shown without leading zeros. Shards are shown by their ordinals.
//! `UPDATE=1 cargo test -p strata-planner` records the answers anew; people read the difference.

use crate::world::{COMMITTED, INCARNATION, World, node, shard, voter};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
};
use strata_base::{Hlc, IncarnationId, PeerId, ShardId, StoreId};
use strata_planner::{
    MemberView, NodeState, Plan,
    bootstrap::{self, BootstrapPolicy, BootstrapView, BucketFact, ReplicaFact, StoreFact},
    check, check_placement, plan,
    rollout::{self, PodView},
};

struct Script {
    world: World,
    last: Plan,
    pods: Vec<PodView>,
    facts: BTreeMap<String, Option<StoreFact>>,
    named_lost: BTreeSet<String>,
    bucket: BucketFact,
}

impl Script {
    fn new() -> Script {
        Script {
            world: World::new(),
            last: Plan::default(),
            pods: vec![],
            facts: BTreeMap::new(),
            named_lost: BTreeSet::new(),
            bucket: BucketFact::NotDeclared,
        }
    }

    fn sentence(&mut self, words: &[&str]) {
        match words {
            ["policy", rest @ ..] => self.policy(rest),
            ["node", name, "in", "zone", zone, states @ ..] => self.node(name, zone, states),
            ["shard", ordinal, "on", members @ ..] => self.shards(ordinal, 16, members),
            ["shards", range, "on", members @ ..] => self.shards(range, 16, members),
            ["shards", range, "of", count, "on", members @ ..] => self.shards(range, number(count) as u16, members),
            ["archive", "behind"] => self.world.view.is_archive_within_bound = false,
            ["archive", "within"] => self.world.view.is_archive_within_bound = true,
            ["pod", name, "on", at, states @ ..] => {
                self.pods.retain(|pod| pod.name != *name);
                self.pods.push(PodView {
                    name: (*name).to_owned(),
                    store: (*at != "?").then(|| store(at)),
                    is_outdated: states.contains(&"outdated"),
                    is_crashed: states.contains(&"crashed"),
                });
            }
            ["pod", name, fact @ ..] => self.fact(name, fact),
            ["bucket", fact @ ..] => self.bucket = bucket(fact),
            _ => panic!("no sentence {words:?}: see the head of golden.rs"),
        }
    }

    fn policy(&mut self, words: &[&str]) {
        for pair in words.chunks(2) {
            let value = number(pair[1]);
            let policy = &mut self.world.policy;
            match pair[0] {
                "factor" => policy.replication_factor = value as u8,
                "tolerance" => policy.leader_tolerance = value as u32,
                "moves" => policy.moves_max = value as usize,
                "transfers" => policy.transfers_max = value as usize,
                "lag" => policy.lag_entries_max = value,
                other => panic!("no policy {other:?}: see the head of golden.rs"),
            }
        }
    }

    fn node(&mut self, name: &str, zone: &str, states: &[&str]) {
        let mut made = node(zone, NodeState::Member);
        let holds = |shard: &&strata_planner::ShardView| shard.members.iter().any(|member| member.store == store(name));
        made.replicas = self.world.view.shards.iter().filter(holds).map(|shard| shard.shard).collect();
        for state in states {
            match *state {
                "bare" => made.replicas.clear(),
                "empty" => made.state = NodeState::Empty,
                "lost" => made.state = NodeState::Lost,
                "evicted" => made.is_evicted = true,
                "skewed" => made.is_clock_off = true,
                "silent" => (made.report_age_millis, made.heard_age_millis) = (u64::MAX, u64::MAX),
                "heard" => made.report_age_millis = u64::MAX,
                other => panic!("no node is {other:?}: see the head of golden.rs"),
            }
        }
        self.world.view.nodes.insert(store(name), made);
    }

    fn shards(&mut self, range: &str, count: u16, words: &[&str]) {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        for ordinal in number(first) as u16..=number(last) as u16 {
            let (mut members, mut leader) = (Vec::<MemberView>::new(), None);
            for (word, peer) in words.iter().filter(|word| **word != "joint").zip(1..) {
                let (word, peer) = word.split_once('=').map_or((*word, peer), |(word, peer)| (word, number(peer)));
                let (name, lag) = word.split_once('-').map_or((word, 0), |(name, lag)| (name, number(lag)));
                let mut member = voter(peer, store(name.trim_end_matches(['*', '+'])));
                member.matched = Some(COMMITTED - lag);
                member.is_voter = !name.ends_with('+');
                member.is_active = self.world.view.nodes.get(&member.store).is_some_and(|node| node.is_fresh(&self.world.policy));
                leader = leader.or(name.ends_with('*').then_some(PeerId(peer)));
                members.push(member);
            }
            let mut made = shard(ordinal, count, members, leader);
            made.is_joint = words.contains(&"joint");
            self.world.view.shards.retain(|other| other.shard != made.shard);
            self.world.add_shard(made);
        }
    }

    fn fact(&mut self, name: &str, words: &[&str]) {
        let fact = match words {
            ["silent"] => None,
            ["lost"] => {
                self.named_lost.insert(name.to_owned());
                None
            }
            ["holds", at, "empty"] => Some(StoreFact::Empty { store: store(at) }),
            ["holds", at, "of", cluster, incarnation] => Some(StoreFact::Member {
                store: store(at),
                cluster: (*cluster).to_owned(),
                incarnation: IncarnationId(number(incarnation)),
                replicas: self.replicas(store(at)),
            }),
            _ => panic!("no pod {words:?}: see the head of golden.rs"),
        };
        self.facts.insert(name.to_owned(), fact);
    }

    fn replicas(&self, on: StoreId) -> Vec<ReplicaFact> {
        let here = self.world.view.shards.iter().filter(|shard| shard.members.iter().any(|member| member.store == on));
        here.map(|shard| ReplicaFact {
            shard: shard.shard,
            slots: shard.slots,
            epoch: shard.epoch,
            voters: shard.voters().map(|member| member.store).collect(),
        })
        .collect()
    }

    fn command(&mut self, words: &[&str]) -> String {
        match words {
            ["place", shards, "shards"] => self.place(number(shards) as u16),
            ["plan"] => {
                self.last = plan(&self.world.view, &self.world.policy);
                let broken = check(&self.world.view, &self.world.policy, &self.last);
                let steps = self.last.steps.iter().map(ToString::to_string);
                let waiting = self.last.waiting.iter().map(|waiting| format!("waits: {waiting}"));
                lines(steps.chain(waiting).chain(broken.iter().map(|violation| format!("BROKEN: {violation}"))), "nothing to do")
            }
            ["do"] => {
                std::mem::take(&mut self.last).steps.iter().for_each(|step| self.world.execute(step));
                String::new()
            }
            ["settle"] => {
                self.world.settle();
                String::new()
            }
            ["rollout"] => format!("{}\n", rollout::next(&self.world.view, &self.pods, &self.world.policy)),
            ["bootstrap", policy] => {
                let view = BootstrapView {
                    pods: self.facts.clone(),
                    named_lost: self.named_lost.clone(),
                    cluster: None,
                    bucket: self.bucket.clone(),
                    policy: match *policy {
                        "InitOnly" => BootstrapPolicy::InitOnly,
                        "RestoreOnly" => BootstrapPolicy::RestoreOnly,
                        _ => BootstrapPolicy::RestoreIfExists,
                    },
                };
                format!("{}\n", bootstrap::decide(&view))
            }
            _ => panic!("no command {words:?}: see the head of golden.rs"),
        }
    }

    fn place(&mut self, shards: u16) -> String {
        let (stores, policy) = (self.world.stores(), self.world.policy);
        match self.world.place(shards) {
            Err(error) => format!("refused: {error}\n"),
            Ok(planned) => {
                let broken = check_placement(planned, &stores, &policy);
                let shown = planned.iter().map(|shard| {
                    let members: Vec<String> = shard.members.iter().map(|(peer, store)| format!("{peer}:{store}")).collect();
                    format!("shard {} (slots {}) on {}", shard.shard, shard.slots, members.join(" "))
                });
                lines(shown.chain(broken.iter().map(|violation| format!("BROKEN: {violation}"))), "nothing")
            }
        }
    }
}

fn bucket(words: &[&str]) -> BucketFact {
    match words {
        ["undeclared"] => BucketFact::NotDeclared,
        ["nothing"] => BucketFact::Nothing,
        ["reading"] => BucketFact::Reading,
        ["unusable", class, message @ ..] => BucketFact::Unusable { class: (*class).to_owned(), message: message.join(" ") },
        ["unreadable", class] => BucketFact::Unreadable { class: (*class).to_owned() },
        ["holds", leaves @ .., "until", millis] => BucketFact::Lineage {
            leaves: leaves.iter().map(|leaf| IncarnationId(number(leaf))).collect(),
            latest: Some(Hlc::from_millis(number(millis))),
        },
        _ => panic!("no bucket {words:?}: see the head of golden.rs"),
    }
}

fn lines(lines: impl Iterator<Item = String>, otherwise: &str) -> String {
    let all: String = lines.map(|line| format!("{line}\n")).collect();
    if all.is_empty() { format!("{otherwise}\n") } else { all }
}

fn number(word: &str) -> u64 {
    word.parse().unwrap_or_else(|_| panic!("{word:?} is not a number"))
}

fn store(name: &str) -> StoreId {
    StoreId(u64::from_str_radix(name, 16).unwrap_or_else(|_| panic!("{name:?} is not a store: call it a1, b2, …")))
}

/// Shards by their ordinals, stores and incarnations without leading zeros.
fn readable(text: &str) -> String {
    let mut out = text.to_owned();
    for ordinal in 0..64 {
        out = out.replace(&ShardId::derive(INCARNATION.0, 0, ordinal).to_string(), &ordinal.to_string());
    }
    let mut short = String::new();
    for word in out.split_inclusive(|letter: char| !letter.is_ascii_alphanumeric()) {
        let digits = word.chars().take_while(char::is_ascii_hexdigit).count();
        short.push_str(if digits == 16 { word.trim_start_matches('0') } else { word });
    }
    short
}

/// Runs a script, and returns it with the answers of now.
fn run(text: &str) -> String {
    let mut script = Script::new();
    let mut out = String::new();
    let mut is_answer = false;
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let answer = match words.first() {
            Some(&">") => {
                is_answer = true;
                readable(&script.command(&words[1..]))
            }
            None | Some(&"#") => {
                is_answer = false;
                String::new()
            }
            // An answer of an earlier recording: up to the next empty line, comment or command.
            Some(_) if is_answer => continue,
            Some(_) => {
                script.sentence(&words);
                String::new()
            }
        };
        writeln!(out, "{line}").expect("a string takes every write");
        out.push_str(&answer);
    }
    out
}

#[test]
fn scripts_give_what_they_recorded() {
    strata_golden::check_scripts("testdata", run);
}
