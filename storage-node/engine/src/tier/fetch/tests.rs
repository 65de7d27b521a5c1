use super::*;
use crate::{
    objects::{FaultyObjects, MemoryObjects, PerMille},
    tier::{
        layout::LifeId,
        limits::PART_BYTES,
        restore::{Heads, Options, Planned, Target, plan},
        testing::{Simulated, World, cut, entries, layout},
    },
};
use strata_base::IncarnationId;

const SHARDS: [u64; 2] = [7, 8];

/// Two shards whose leaders moved between two nodes, each at another time, with a checkpoint of the first.
fn world() -> World {
    let world = World::new(&[(1, None)]);
    world.put_cluster(1, None, &[1, 2], &SHARDS.map(|shard| (shard, None, Vec::new())));
    world.put_log(1, 1, 0, &[(7, 0, entries(1, 20)), (8, 0, entries(30, 40))]);
    world.put_log(1, 1, 1, &[(7, 0, entries(21, 25)), (8, 0, entries(41, 45))]);
    world.put_log(1, 2, 0, &[(7, 0, entries(26, 33)), (8, 0, entries(1, 29))]);
    world.put_checkpoint(1, 7, 0, cut(0, 10));
    world
}

fn plan_of(world: &World) -> Plan {
    match plan(&world.survey(PerMille::default(), 1), &Target::Latest, &Options::default(), &Heads::new()) {
        Ok(Planned::Plan(plan)) => plan,
        other => panic!("a plan, not {other:?}"),
    }
}

/// What a node has: finished files survive a crash, everything else does not.
#[derive(Default)]
struct Node {
    finished: BTreeMap<ObjectId, Vec<u8>>,
    writing: BTreeMap<ObjectId, Vec<u8>>,
    tablets: BTreeMap<ShardId, (Vec<FileDocument>, Vec<Entry>)>,
    ready: BTreeSet<ShardId>,
    gets: Vec<String>,
    /// Shorter parts than those of the product.
    part_bytes: Option<u64>,
}

/// Runs a fetch until it is done, failed, or `stop` effects were carried out.
fn run(plan: &Plan, node: &mut Node, bucket: MemoryObjects, faults: PerMille, seed: u64, stop: usize) -> Result<bool, String> {
    let mut store = Simulated::new(FaultyObjects::new(bucket, faults, seed), seed);
    let finished = node.finished.keys().copied().collect();
    let mut fetch = Fetch::new(plan, &SHARDS.map(ShardId).into(), &finished, node.part_bytes.unwrap_or(PART_BYTES));
    let mut carried_out = 0;
    let mut percent = 0;
    for now_ms in (0..10_000_000).step_by(20) {
        let mut events = VecDeque::from(store.due(now_ms));
        events.push_back(FetchEvent::Tick);
        while let Some(event) = events.pop_front() {
            for effect in fetch.step(now_ms, event) {
                if carried_out == stop {
                    return Ok(false);
                }
                carried_out += 1;
                match effect {
                    FetchEffect::Call(call) => {
                        node.gets.push(call.request.key().to_owned());
                        store.submit(now_ms, call, |id, answered| FetchEvent::Answered { id, answered });
                    }
                    FetchEffect::Failed { key, error } => return Err(format!("{key}: {error}")),
                    other => events.extend(node.carry_out(other)),
                }
            }
        }
        assert!(fetch.held_bytes <= FETCH_BYTES_MAX);
        if fetch.problem().is_none() {
            percent = percent.max(fetch.progress().percent());
        }
        if node.ready.len() == SHARDS.len() {
            assert_eq!((fetch.progress().percent(), fetch.held_bytes), (100, 0));
            return Ok(true);
        }
    }
    panic!("a fetch ends: {:?}, at {percent}%", fetch.problem())
}

impl Node {
    fn carry_out(&mut self, effect: FetchEffect) -> Option<FetchEvent> {
        match effect {
            FetchEffect::WriteFile { object, offset, bytes } => {
                let file = self.writing.entry(object).or_default();
                file.resize(file.len().max(offset as usize + bytes.len()), 0);
                file[offset as usize..offset as usize + bytes.len()].copy_from_slice(&bytes);
                Some(FetchEvent::Written { object, offset })
            }
            FetchEffect::FinishFile { object } => {
                let file = self.writing.remove(&object).unwrap_or_default();
                assert!(self.finished.insert(object, file).is_none(), "a file is finished once");
                Some(FetchEvent::Finished { object })
            }
            FetchEffect::FilesReady { shard, files } => {
                assert!(files.iter().all(|file| crc32fast::hash(&self.finished[&file.object]) == file.crc32));
                assert!(self.tablets.insert(shard, (files, Vec::new())).is_none());
                None
            }
            FetchEffect::Apply { shard, entries } => {
                let index = entries.last().expect("a step has entries").index;
                self.tablets.get_mut(&shard).expect("files come first").1.extend(entries);
                Some(FetchEvent::Applied { shard, index })
            }
            FetchEffect::ShardReady { shard } => {
                assert!(self.ready.insert(shard));
                None
            }
            FetchEffect::Call(_) | FetchEffect::Failed { .. } => None,
        }
    }

    fn check(&self) {
        let applied = |shard| self.tablets[&ShardId(shard)].1.clone();
        assert_eq!(applied(7), entries(11, 33));
        assert_eq!(applied(8), entries(1, 45));
        assert_eq!(self.tablets[&ShardId(7)].0.len(), 1);
    }
}

#[test]
fn files_come_first_and_entries_in_order_to_the_cut() {
    let world = world();
    let mut node = Node::default();
    assert_eq!(run(&plan_of(&world), &mut node, world.bucket.fork(), PerMille::default(), 1, usize::MAX), Ok(true));
    node.check();
}

#[test]
fn dying_at_any_step_and_running_again_fetches_no_finished_file_twice() {
    let world = world();
    let plan = plan_of(&world);
    for stop in 0.. {
        let mut node = Node::default();
        let done = run(&plan, &mut node, world.bucket.fork(), PerMille::default(), 1, stop).expect("nothing is damaged");
        let mut again = Node { finished: node.finished, ..Node::default() };
        let had: Vec<String> = again.finished.keys().map(ObjectId::to_string).collect();
        assert_eq!(run(&plan, &mut again, world.bucket.fork(), PerMille::default(), 2, usize::MAX), Ok(true));
        again.check();
        assert!(again.gets.iter().all(|key| had.iter().all(|id| !key.contains(id))), "stop {stop}");
        if done {
            assert!(stop > 10, "the walk reached every step");
            return;
        }
    }
}

#[test]
fn a_large_file_comes_in_parts() {
    let world = world();
    let mut plan = plan_of(&world);
    let bytes = Bytes::from((0..2 * PART_BYTES + 77).map(|place| (place % 251) as u8).collect::<Vec<u8>>());
    let (at, document) = plan.shards[0].base.as_mut().expect("it has a checkpoint");
    let file = FileDocument { name: "000009.sst".into(), object: ObjectId(9), size: bytes.len() as u64, crc32: crc32fast::hash(&bytes) };
    world.bucket.tamper(&layout().key(Name::File(at.incarnation, file.object, file.kind())), |_| Some(bytes.clone()));
    let empty = FileDocument { name: "000010.sst".into(), object: ObjectId(10), size: 0, crc32: 0 };
    world.bucket.tamper(&layout().key(Name::File(at.incarnation, empty.object, empty.kind())), |_| Some(Bytes::new()));
    document.files.extend([file, empty]);
    let mut node = Node::default();
    assert_eq!(run(&plan, &mut node, world.bucket.fork(), PerMille::default(), 1, usize::MAX), Ok(true));
    assert_eq!(node.finished[&ObjectId(9)], bytes);
    assert_eq!(node.finished[&ObjectId(10)], Vec::<u8>::new());
}

#[test]
fn a_damaged_or_missing_object_ends_it_with_the_key_and_shows_nothing() {
    let log = layout().key(Name::Log(IncarnationId(1), LifeId(2), 0));
    let plan = plan_of(&world());
    let (at, document) = plan.shards[0].base.clone().expect("it has a checkpoint");
    let file = layout().key(Name::File(at.incarnation, document.files[0].object, document.files[0].kind()));
    for key in [log, file] {
        for damage in [true, false] {
            let world = world();
            world.bucket.tamper(&key, |bytes| {
                let mut bytes = bytes.filter(|_| damage)?.to_vec();
                bytes[12] ^= 1;
                Some(bytes.into())
            });
            let mut node = Node::default();
            let error = run(&plan, &mut node, world.bucket.fork(), PerMille::default(), 1, usize::MAX).expect_err("it fails");
            assert!(error.contains(&key) && error.contains(if damage { "Damaged" } else { "NotFound" }), "{error}");
            assert!(node.ready.len() < SHARDS.len());
            let repaired = super::tests::world().bucket;
            let mut again = Node { finished: node.finished, ..Node::default() };
            assert_eq!(run(&plan, &mut again, repaired, PerMille::default(), 1, usize::MAX), Ok(true), "it can be run again after repair");
            again.check();
        }
    }
}

#[test]
fn a_store_that_fails_only_delays() {
    let world = world();
    let plan = plan_of(&world);
    for seed in 0..50 {
        let faults = PerMille {
            internal: 150,
            throttled: 50,
            timeout_without_effect: 100,
            timeout_with_effect: 100,
            truncated: 10,
            flipped: 10,
            ..PerMille::default()
        };
        let mut node = Node::default();
        assert_eq!(run(&plan, &mut node, world.bucket.fork(), faults, seed, usize::MAX), Ok(true), "seed {seed}");
        node.check();
    }
}

#[test]
fn reads_of_many_parts_that_end_early_do_not_add_up_to_damage() {
    let world = world();
    let plan = plan_of(&world);
    for seed in 0..20 {
        let faults = PerMille { truncated: 100, ..PerMille::default() };
        let mut node = Node { part_bytes: Some(1), ..Node::default() };
        assert_eq!(run(&plan, &mut node, world.bucket.fork(), faults, seed, usize::MAX), Ok(true), "seed {seed}");
        node.check();
    }
}
