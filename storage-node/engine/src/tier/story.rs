//! The whole story, by seeds: nodes archive under a store that fails, leaders move, everything dies in mid-write, and a restore finds exactly
//! a prefix of each shard that holds every write older than what was reported.

use super::{
    Call, Cut, Entry,
    archive::{Archive, ArchiveEffect, ArchiveEvent, ArchiveSettings, Position, WhenFull},
    documents::{OwnedIncarnation, Owner},
    fetch::{Fetch, FetchEffect, FetchEvent},
    layout::LifeId,
    limits::PART_BYTES,
    restore::{Heads, Options, Plan, Planned, Target, plan},
    survey::Survey,
    testing::{Simulated, World, at, entry, layout, owner, place},
};
use crate::{
    objects::{FaultyObjects, MemoryObjects, PerMille, faulty_draws},
    tier::documents::Origin,
};
use std::collections::BTreeMap;
use strata_base::{Hlc, IncarnationId, ShardId};

const NODES: u64 = 3;
const SHARDS: u64 = 3;

/// What a cluster of one incarnation does, without disks: the log of each shard is all that counts.
struct Cluster {
    incarnation: u64,
    archives: Vec<Archive>,
    store: Simulated<(usize, ArchiveEvent)>,
    leaders: BTreeMap<ShardId, usize>,
    logs: BTreeMap<ShardId, Vec<Entry>>,
    hints: BTreeMap<ShardId, Position>,
    now_ms: u64,
    draws: Box<dyn FnMut(u64) -> u64>,
}

impl Cluster {
    fn new(incarnation: u64, bucket: MemoryObjects, logs: BTreeMap<ShardId, Vec<Entry>>, now_ms: u64, seed: u64) -> Cluster {
        let faults = PerMille {
            internal: 60,
            throttled: 40,
            timeout_without_effect: 60,
            timeout_with_effect: 60,
            late: 40,
            truncated: 20,
            flipped: 20,
            lagging: 0,
        };
        let settings = |node: u64| ArchiveSettings {
            place: place(),
            layout: layout(),
            cluster: owner(IncarnationId(incarnation)).cluster,
            incarnation: IncarnationId(incarnation),
            life: LifeId(incarnation * 100 + node),
            flush_interval_ms: 1_000,
            local_log_bound_bytes: 64 << 20,
            when_full: WhenFull::RefuseWrites,
        };
        let hints = logs.iter().map(|(shard, log)| (*shard, log.last().map_or(Position::default(), position))).collect();
        let mut cluster = Cluster {
            incarnation,
            archives: (0..NODES).map(|node| Archive::new(settings(node))).collect(),
            store: Simulated::new(FaultyObjects::new(bucket, faults, seed), seed),
            leaders: BTreeMap::new(),
            logs,
            hints,
            now_ms,
            draws: faulty_draws(seed ^ 0x5eed),
        };
        for node in 0..NODES as usize {
            cluster.give(node, ArchiveEvent::Registered);
        }
        for shard in shards(incarnation) {
            cluster.elect(shard);
        }
        cluster
    }

    fn give(&mut self, node: usize, event: ArchiveEvent) {
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            for effect in self.archives[node].step(self.now_ms, event) {
                match effect {
                    ArchiveEffect::Call(call) => self.submit(node, call),
                    ArchiveEffect::ReadLog { shard, from, to, .. } => {
                        let entries =
                            self.logs[&shard].iter().filter(|entry| (from..=to).contains(&entry.index)).take(3).cloned().collect();
                        events.push(ArchiveEvent::LogRead { shard, from, entries: Ok(entries) });
                    }
                    ArchiveEffect::Archived { shard, position, .. } => drop(self.hints.insert(shard, position)),
                    ArchiveEffect::NeedCheckpoint { .. } | ArchiveEffect::Released { .. } | ArchiveEffect::Pressure(_) => {}
                }
            }
        }
    }

    fn submit(&mut self, node: usize, call: Call) {
        self.store.submit(self.now_ms, call, |id, answered| (node, ArchiveEvent::Answered { id, answered }));
    }

    fn elect(&mut self, shard: ShardId) {
        if let Some(old) = self.leaders.remove(&shard) {
            self.give(old, ArchiveEvent::Follow { shard });
        }
        let node = (self.draws)(NODES) as usize;
        self.leaders.insert(shard, node);
        let committed = self.logs[&shard].last().map_or(0, |entry| entry.index);
        let archived = self.hints[&shard];
        self.give(node, ArchiveEvent::Lead { shard, fork_epoch: 0, archived, committed, bytes: 100 });
    }

    /// A while of writes, moves and answers.
    fn live(&mut self, steps: u64) {
        for _ in 0..steps {
            self.now_ms += 50;
            for (node, event) in self.store.due(self.now_ms) {
                self.give(node, event);
            }
            for shard in shards(self.incarnation) {
                if (self.draws)(60) == 0 {
                    self.elect(shard);
                }
                let node = self.leaders[&shard];
                if (self.draws)(3) == 0 {
                    let log = self.logs.entry(shard).or_default();
                    let next = log.last().map_or(1, |entry| entry.index + 1);
                    let new = entry(next, self.now_ms, &format!("{shard} {next}"));
                    log.push(new.clone());
                    self.give(node, ArchiveEvent::Committed { shard, entries: vec![new] });
                }
                self.give(node, ArchiveEvent::Closed { shard, hlc: Hlc::from_millis(self.now_ms), pending_bytes: 0 });
            }
            for node in 0..NODES as usize {
                self.give(node, ArchiveEvent::Tick);
            }
        }
    }

    /// What the leaders report: every write before this moment survives.
    fn recovery_latest_ms(&self) -> BTreeMap<ShardId, u64> {
        let report = |(shard, node): (&ShardId, &usize)| {
            let status = self.archives[*node].status(self.now_ms);
            let shard_status = status.shards.into_iter().find(|status| status.shard == *shard).expect("its leader reports it");
            (*shard, shard_status.recovery_latest_ms)
        };
        self.leaders.iter().map(report).collect()
    }
}

fn position(entry: &Entry) -> Position {
    Position { index: entry.index, hlc: entry.hlc }
}

fn shards(incarnation: u64) -> impl Iterator<Item = ShardId> {
    (0..SHARDS).map(move |ordinal| ShardId(incarnation * 1_000 + ordinal))
}

fn latest(survey: &Survey, target: &Target) -> Plan {
    match plan(survey, target, &Options::default(), &Heads::new()) {
        Ok(Planned::Plan(plan)) => plan,
        other => panic!("a plan, not {other:?}"),
    }
}

/// Restores all shards of a plan, and returns the entries that were applied.
fn restore(plan: &Plan, bucket: MemoryObjects, seed: u64) -> BTreeMap<ShardId, Vec<Entry>> {
    let faults = PerMille { internal: 100, timeout_without_effect: 100, throttled: 50, ..PerMille::default() };
    let mut store = Simulated::new(FaultyObjects::new(bucket, faults, seed), seed);
    let wanted = plan.shards.iter().map(|shard| shard.shard).collect();
    let mut fetch = Fetch::new(plan, &wanted, &Default::default(), PART_BYTES);
    let mut applied: BTreeMap<ShardId, Vec<Entry>> = plan.shards.iter().map(|shard| (shard.shard, Vec::new())).collect();
    let mut ready = 0;
    for now_ms in (0..10_000_000).step_by(20) {
        let mut events = store.due(now_ms);
        events.push(FetchEvent::Tick);
        while let Some(event) = events.pop() {
            for effect in fetch.step(now_ms, event) {
                match effect {
                    FetchEffect::Call(call) => store.submit(now_ms, call, |id, answered| FetchEvent::Answered { id, answered }),
                    FetchEffect::Apply { shard, entries } => {
                        let index = entries.last().expect("a step has entries").index;
                        applied.entry(shard).or_default().extend(entries);
                        events.push(FetchEvent::Applied { shard, index });
                    }
                    FetchEffect::ShardReady { .. } => ready += 1,
                    FetchEffect::FilesReady { .. } => {}
                    other => panic!("nothing else happens: {other:?}"),
                }
            }
        }
        if ready == plan.shards.len() {
            return applied;
        }
    }
    panic!("a fetch ends: {:?}", fetch.problem())
}

fn publish(world: &World, incarnation: u64, parent: Option<u64>, cuts: &BTreeMap<ShardId, Cut>) {
    let known = |id: u64| OwnedIncarnation { id: IncarnationId(id), parent: (id > 1).then(|| at(id - 1)), retired: false };
    world.put_owner(&Owner { incarnations: (1..=incarnation).map(known).collect(), ..owner(IncarnationId(incarnation)) });
    let lives: Vec<u64> = (0..NODES).map(|node| incarnation * 100 + node).collect();
    let origin = |shard: ShardId| {
        let of = ShardId(shard.0 - 1_000);
        parent.map(|_| Origin { shard: of, cut: cuts[&of] })
    };
    let shards: Vec<_> = shards(incarnation).map(|shard| (shard.0, origin(shard), Vec::new())).collect();
    world.put_cluster(incarnation, parent, &lives, &shards);
}

#[test]
fn every_write_older_than_what_was_reported_survives_total_loss_again_and_again() {
    let mut survived = 0;
    let mut lost = 0;
    for seed in 0..40 {
        let mut bucket = MemoryObjects::default();
        let mut logs: BTreeMap<ShardId, Vec<Entry>> = shards(1).map(|shard| (shard, Vec::new())).collect();
        let mut cuts = BTreeMap::new();
        let mut now_ms = 1_000_000;
        for incarnation in 1..=3 {
            let world = World { bucket };
            publish(&world, incarnation, (incarnation > 1).then(|| incarnation - 1), &cuts);
            let mut cluster = Cluster::new(incarnation, world.bucket, logs, now_ms, seed * 10 + incarnation);
            cluster.live(100 + seed * 5);
            let reported = cluster.recovery_latest_ms();
            let (old, dead_ms) = (std::mem::take(&mut cluster.logs), cluster.now_ms);
            // Everything dies; requests of the dead may still happen, and the cut is fixed before anybody replays.
            let world = World { bucket: cluster.store.bucket().fork() };
            let plan = latest(&world.survey(PerMille::default(), seed), &Target::Latest);
            let restored = restore(&plan, world.bucket.fork(), seed);
            for (shard, log) in &old {
                let found = &restored[shard];
                assert_eq!(found[..], log[..found.len()], "seed {seed}: a prefix");
                let first_lost = log.get(found.len());
                if let Some(entry) = first_lost {
                    assert!(entry.hlc.millis() >= reported[shard], "seed {seed}: {} was reported safe at {}", entry.hlc, reported[shard]);
                }
                survived += found.len();
                lost += log.len() - found.len();
            }
            assert_eq!(latest(&world.survey(PerMille::default(), seed), &plan.cuts()), plan, "seed {seed}: every node plans alike");
            cuts = plan.shards.iter().map(|shard| (shard.shard, shard.cut)).collect();
            logs = restored.into_iter().map(|(shard, log)| (ShardId(shard.0 + 1_000), log)).collect();
            bucket = world.bucket;
            now_ms = dead_ms + 10_000;
        }
    }
    assert!(survived > 10_000 && lost > 100, "it proves something: {survived} survived, {lost} were lost");
}
