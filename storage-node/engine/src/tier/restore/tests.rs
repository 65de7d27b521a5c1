use super::*;
use crate::{
    objects::{FaultyObjects, MemoryObjects, PerMille},
    tier::{
        Place,
        documents::{Fork, OwnedIncarnation, Owner},
        layout::LifeId,
        log_object::{self},
        testing::{Simulated, World, at, cut, entries, layout, owner, place},
    },
};

const SHARD: u64 = 7;

/// One shard of one incarnation: a checkpoint at 10, and the log from 1 to 30 by two leaders, whose objects overlap.
fn simple() -> World {
    let world = World::new(&[(1, None)]);
    world.put_cluster(1, None, &[1, 2], &[(SHARD, None, Vec::new())]);
    world.put_log(1, 1, 0, &[(SHARD, 0, entries(1, 12))]);
    world.put_log(1, 1, 1, &[(SHARD, 0, entries(13, 20))]);
    world.put_log(1, 2, 0, &[(SHARD, 0, entries(18, 24))]);
    world.put_log(1, 2, 1, &[(SHARD, 0, entries(25, 30))]);
    world.put_checkpoint(1, SHARD, 0, cut(0, 10));
    world
}

/// Plans, reading the heads of runs from the bucket where they are asked for.
fn plan_of(bucket: &MemoryObjects, survey: &Survey, target: &Target, options: &Options) -> Result<Plan, PlanError> {
    let mut heads = Heads::new();
    loop {
        match plan(survey, target, options, &heads)? {
            Planned::Plan(plan) => return Ok(plan),
            Planned::Need(places) => {
                for place in places {
                    assert!(!heads.contains_key(&place), "what was read is not asked for again");
                    let bytes = bucket.peek(&place.key()).expect("it asks for what is there");
                    let (_, mut runs) = log_object::decode(&bytes, place.object).expect("it is whole");
                    let run = runs.swap_remove(place.run).into_iter().map(|entry| (entry.index, entry.term, entry.hlc)).collect();
                    heads.insert(place, run);
                }
            }
        }
    }
}

fn try_plan(world: &World, target: Target) -> Result<Plan, PlanError> {
    plan_of(&world.bucket, &world.survey(PerMille::default(), 1), &target, &Options::default())
}

/// The plan of the one shard, as a line.
fn told(plan: &Plan) -> String {
    let shard = &plan.shards[0];
    let base = shard.base.as_ref().map_or("empty".to_owned(), |(at, document)| format!("{}:{}", at.incarnation.0, document.at.index));
    let step = |step: &Step| {
        format!(" {}/{}/{}:{}-{}", step.place.at.incarnation.0, step.place.object.life.0, step.place.object.seq, step.from, step.to)
    };
    let steps: String = shard.steps.iter().map(step).collect();
    let gap = shard.gap.map_or(String::new(), |(after, behind)| format!(" gap {after}-{behind}"));
    format!("{base}{steps} cut {}@{}{gap}", shard.cut.index, shard.cut.fork_epoch)
}

#[test]
fn the_latest_is_the_newest_checkpoint_and_the_log_behind_it_each_index_once() {
    let plan = try_plan(&simple(), Target::Latest).expect("it can be restored");
    assert_eq!(told(&plan), "1:10 1/1/0:11-12 1/1/1:13-20 1/2/0:21-24 1/2/1:25-30 cut 30@0");
    assert_eq!(plan.shards[0].cut, cut(0, 30));
    assert_eq!(plan.last_write().millis(), 30_000);
    assert!(plan.file_bytes() > 0 && plan.log_bytes() > 0);
}

#[test]
fn a_log_begins_where_its_shards_document_says() {
    let world = World::new(&[(1, None)]);
    world.put_cluster_from(1, None, cut(0, 5), &[1], &[(SHARD, None, Vec::new())]);
    world.put_log(1, 1, 0, &[(SHARD, 0, entries(6, 9))]);
    let told_now = || told(&try_plan(&world, Target::Latest).expect("it can be restored"));
    assert_eq!(told_now(), "empty 1/1/0:6-9 cut 9@0");
    world.put_cluster_from(1, None, cut(0, 3), &[1], &[(SHARD, None, Vec::new())]);
    assert_eq!(told_now(), "empty cut 3@0 gap 3-6", "what is missing in front is a gap and not a later beginning");
}

#[test]
fn a_time_is_cut_within_a_run_and_every_earlier_time_is_reached() {
    let world = simple();
    for index in 0..=30 {
        let plan = try_plan(&world, Target::Time(index * 1_000 + 999)).expect("it can be restored");
        let expected = if index == 0 { Cut::default() } else { cut(0, index) };
        assert_eq!(plan.shards[0].cut, expected);
        assert_eq!(plan.shards[0].base.is_some(), index >= 10, "the base is not behind the target");
    }
}

#[test]
fn a_gap_is_named_where_the_plan_ends_at_it_and_not_where_it_lies_behind_the_target() {
    let world = World::new(&[(1, None)]);
    world.put_cluster(1, None, &[1], &[(SHARD, None, Vec::new())]);
    world.put_log(1, 1, 0, &[(SHARD, 0, entries(1, 12))]);
    world.put_log(1, 1, 1, &[(SHARD, 0, entries(18, 24))]);
    let told_at = |ms| told(&try_plan(&world, Target::Time(ms)).expect("it can be restored"));
    assert_eq!(told_at(11_500), "empty 1/1/0:1-11 cut 11@0");
    assert_eq!(told_at(20_000), "empty 1/1/0:1-12 cut 12@0 gap 12-18");
}

#[test]
fn what_only_a_later_checkpoint_has_is_a_gap_for_a_moment_before_it() {
    let world = simple();
    world.put_checkpoint(1, SHARD, 1, cut(0, 35));
    let told_at = |target| told(&try_plan(&world, target).expect("it can be restored"));
    let log = "1:10 1/1/0:11-12 1/1/1:13-20 1/2/0:21-24";
    assert_eq!(told_at(Target::Time(33_500)), format!("{log} 1/2/1:25-30 cut 30@0 gap 30-36"));
    assert_eq!(told_at(Target::Time(24_500)), format!("{log} cut 24@0"));
    assert_eq!(told_at(Target::Latest), "1:35 cut 35@0");
}

#[test]
fn cuts_that_were_planned_are_reached_exactly_also_when_more_has_arrived() {
    let world = simple();
    let planned = try_plan(&world, Target::Time(22_500)).expect("it can be restored");
    world.put_log(1, 2, 2, &[(SHARD, 0, entries(31, 40))]);
    let again = try_plan(&world, planned.cuts()).expect("it is still reached");
    assert_eq!(told(&again), told(&planned));
    let beyond = Target::Cuts(BTreeMap::from([(ShardId(SHARD), cut(0, 41))]));
    assert!(matches!(try_plan(&world, beyond), Err(PlanError::CutUnreachable { reached: 40, .. })));
}

#[test]
fn a_child_continues_its_parent_at_the_cut_and_what_came_later_belongs_to_nobody() {
    let world = simple();
    let world = World { bucket: world.bucket };
    let child = OwnedIncarnation { id: IncarnationId(2), parent: Some(at(1)), retired: false };
    let mut incarnations = owner(IncarnationId(1)).incarnations;
    incarnations.push(child);
    world.put_owner(&Owner { incarnations, ..owner(IncarnationId(2)) });
    assert_eq!(try_plan(&world, Target::Latest).expect("an incarnation without cluster/0 does not exist").parent, at(1));

    let origin = Origin { shard: ShardId(SHARD), cut: cut(0, 22) };
    world.put_cluster(2, Some(1), &[3], &[(8, Some(origin), Vec::new())]);
    assert_eq!(
        told(&try_plan(&world, Target::Latest).expect("lost right after a restore")),
        "1:10 1/1/0:11-12 1/1/1:13-20 1/2/0:21-22 cut 22@0"
    );
    world.put_log(2, 3, 0, &[(8, 0, entries(23, 28))]);
    let plan = try_plan(&world, Target::Latest).expect("parent checkpoint, parent log to the cut, child log");
    assert_eq!(told(&plan), "1:10 1/1/0:11-12 1/1/1:13-20 1/2/0:21-22 2/3/0:23-28 cut 28@0");
    assert_eq!(plan.origins(), [Origin { shard: ShardId(8), cut: cut(0, 28) }]);
    world.put_checkpoint(2, 8, 0, cut(0, 22));
    assert_eq!(told(&try_plan(&world, Target::Latest).expect("its own checkpoint")), "2:22 2/3/0:23-28 cut 28@0");
    world.put_checkpoint(1, SHARD, 1, cut(0, 29));
    assert_eq!(told(&try_plan(&world, Target::Latest).expect("the parent's later checkpoint does not count")), "2:22 2/3/0:23-28 cut 28@0");
    let early = try_plan(&world, Target::Time(15_000)).expect("a time before the child's beginning");
    assert_eq!(told(&early), "1:10 1/1/0:11-12 1/1/1:13-15 cut 15@0");
}

#[test]
fn two_living_leaves_are_ambiguous_until_one_is_named_or_retired() {
    let world = World::new(&[(1, None), (2, Some(1)), (3, Some(1))]);
    let origin = Some(Origin { shard: ShardId(SHARD), cut: Cut::default() });
    world.put_cluster(1, None, &[], &[(SHARD, None, Vec::new())]);
    world.put_cluster(2, Some(1), &[], &[(8, origin, Vec::new())]);
    world.put_cluster(3, Some(1), &[], &[(9, origin, Vec::new())]);
    let error = try_plan(&world, Target::Latest).expect_err("ambiguous");
    assert_eq!(error.class(), "AmbiguousLineage");
    assert!(error.to_string().contains("0000000000000002"), "{error}");
    let survey = world.survey(PerMille::default(), 1);
    let named = Options { incarnation: Some(IncarnationId(2)), ..Options::default() };
    assert_eq!(plan_of(&world.bucket, &survey, &Target::Latest, &named).expect("named").parent, at(2));
    let mut retired = survey.owner.expect("there is one");
    retired.incarnations[1].retired = true;
    world.put_owner(&retired);
    assert_eq!(try_plan(&world, Target::Latest).expect("retired").parent, at(3));
}

#[test]
fn a_grandparent_is_no_leaf_where_the_dead_put_back_an_owner_without_its_child() {
    let world = World::new(&[(1, None), (3, Some(2))]);
    let origin = |shard| Some(Origin { shard: ShardId(shard), cut: Cut::default() });
    world.put_cluster(1, None, &[], &[(SHARD, None, Vec::new())]);
    world.put_cluster(2, Some(1), &[], &[(8, origin(SHARD), Vec::new())]);
    world.put_cluster(3, Some(2), &[], &[(9, origin(8), Vec::new())]);
    world.put_checkpoint(3, 9, 0, cut(0, 1));
    assert_eq!(try_plan(&world, Target::Latest).expect("one leaf").parent, at(3));
}

#[test]
fn a_child_is_found_by_its_parent_where_the_dead_put_back_an_owner_that_names_none() {
    let world = World::new(&[(1, None)]);
    let origin = |shard| Some(Origin { shard: ShardId(shard), cut: Cut::default() });
    world.put_cluster(1, None, &[], &[(SHARD, None, Vec::new())]);
    world.put_cluster(3, Some(1), &[], &[(8, origin(SHARD), Vec::new())]);
    world.put_cluster(4, Some(3), &[], &[(9, origin(8), Vec::new())]);
    // The first one was given up before it lived, and the mark of another does not decode.
    world.put_child(1, 0, 2);
    world.put(Name::Child(IncarnationId(1), 1), "no document".into());
    world.put_child(1, 2, 3);
    world.put_child(3, 0, 4);
    assert_eq!(try_plan(&world, Target::Latest).expect("one leaf").parent, at(4));
    assert_eq!(try_plan(&World::new(&[(1, None)]), Target::Latest).expect_err("nobody lived").class(), "NoCluster");
}

#[test]
fn a_fork_replaces_what_came_after_it_in_the_history_before() {
    let world = World::new(&[(1, None)]);
    world.put_cluster(1, None, &[1, 2], &[(SHARD, None, vec![Fork { epoch: 1, after: 5 }])]);
    world.put_log(1, 1, 0, &[(SHARD, 0, entries(1, 9))]);
    world.put_log(1, 2, 0, &[(SHARD, 1, entries(6, 7))]);
    world.put_checkpoint(1, SHARD, 0, cut(0, 8));
    assert_eq!(told(&try_plan(&world, Target::Latest).expect("it can be restored")), "empty 1/1/0:1-5 1/2/0:6-7 cut 7@1");
}

#[test]
fn a_damaged_or_missing_object_is_an_error_that_names_it() {
    for (seq, class, change) in [(1, "Damaged", true), (1, "Missing", false)] {
        let world = simple();
        world.put_log(1, 1, 2, &[(99, 0, entries(25, 25))]);
        let key = layout().key(Name::Log(IncarnationId(1), LifeId(1), seq));
        world.bucket.tamper(&key, |bytes| bytes.filter(|_| change).map(|bytes| bytes.slice(..bytes.len() - 1)));
        let error = try_plan(&world, Target::Latest).expect_err("refused");
        assert_eq!(error.class(), class);
        assert!(error.to_string().contains(&key), "{error}");
        let early = try_plan(&world, Target::Time(500)).expect("it lies behind the target");
        assert_eq!(early.shards[0].cut.index, 0);
        let accept = Options { accept_damage: true, ..Options::default() };
        let plan = plan_of(&world.bucket, &world.survey(PerMille::default(), 1), &Target::Latest, &accept).expect("accepted");
        assert_eq!(told(&plan), "1:10 1/1/0:11-12 cut 12@0 gap 12-18");
        world.put_checkpoint(1, SHARD, 1, cut(0, 29));
        world.put_log(1, 1, 2, &[(SHARD, 0, entries(19, 20))]);
        let plan = try_plan(&world, Target::Latest).expect("a checkpoint holds what the object held");
        assert_eq!(told(&plan), "1:29 1/2/1:30-30 cut 30@0");
    }
}

#[test]
fn an_object_behind_one_that_never_arrived_does_not_count() {
    let world = simple();
    world.put_log_after(1, 2, 3, 2, &[(SHARD, 0, entries(35, 36))]);
    let plan = try_plan(&world, Target::Latest).expect("it was never confirmed");
    assert_eq!(plan.shards[0].cut.index, 30);
}

#[test]
fn a_backup_names_its_checkpoints_and_its_time() {
    let world = simple();
    world.put_checkpoint(1, SHARD, 1, cut(0, 20));
    let backup = |number, until_ms| Target::Backup { checkpoints: BTreeMap::from([(ShardId(SHARD), number)]), until_ms };
    assert_eq!(told(&try_plan(&world, backup(0, 13_000)).expect("it can be restored")), "1:10 1/1/0:11-12 1/1/1:13-13 cut 13@0");
    let error = try_plan(&world, backup(2, 13_000)).expect_err("there is no such checkpoint");
    assert!(error.to_string().contains("/ckpt/0000000000000007/0000000000000002.json"), "{error}");
    let nothing = Target::Backup { checkpoints: BTreeMap::new(), until_ms: 1 };
    assert_eq!(try_plan(&world, nothing).expect_err("no shard is named").class(), "ShardNotNamed");
}

#[test]
fn an_empty_path_is_no_cluster() {
    let world = World { bucket: MemoryObjects::default() };
    assert_eq!(try_plan(&world, Target::Latest).expect_err("nothing").class(), "NoCluster");
}

#[test]
fn the_same_bucket_gives_the_same_plan_however_the_store_fails() {
    let world = simple();
    let expected = world.survey(PerMille::default(), 1);
    for seed in 0..60 {
        let faults = PerMille {
            internal: 100,
            throttled: 50,
            timeout_without_effect: 100,
            timeout_with_effect: 50,
            late: 0,
            truncated: 20,
            flipped: 20,
            lagging: 300,
        };
        let survey = world.survey(faults, seed);
        // A read that comes back damaged three times in a row is damaged, as far as anybody can know.
        if survey.damaged.is_empty() {
            assert_eq!(try_plan_of(&world, &survey), try_plan_of(&world, &expected), "seed {seed}");
        }
    }
}

fn try_plan_of(world: &World, survey: &Survey) -> Result<Plan, PlanError> {
    plan_of(&world.bucket, survey, &Target::Latest, &Options::default())
}

#[test]
fn a_parent_elsewhere_is_needed_until_every_shard_has_a_checkpoint_of_its_own() {
    let world = World::new(&[(2, None)]);
    let elsewhere = Place { store: "http://other".into(), bucket: "other".into() };
    let origin = Some(Origin { shard: ShardId(SHARD), cut: cut(0, 22) });
    world.put_cluster_of(2, Some(ParentReference { place: elsewhere, ..at(1) }), &[3], &[(8, origin, Vec::new())]);
    world.put_log(2, 3, 0, &[(8, 0, entries(23, 28))]);
    assert_eq!(try_plan(&world, Target::Latest).expect_err("its past is elsewhere, and not there").class(), "Missing");
    world.put_checkpoint(2, 8, 0, cut(0, 22));
    assert_eq!(told(&try_plan(&world, Target::Latest).expect("it stands alone")), "2:22 2/3/0:23-28 cut 28@0");
}

/// Runs a planner on a store that fails by `faults`.
fn run_planner(world: &World, target: Target, faults: PerMille, seed: u64) -> Result<Plan, PlanError> {
    let mut store = Simulated::new(FaultyObjects::new(world.bucket.fork(), faults, seed), seed);
    let mut planner = Planner::new(place(), layout(), target, Options::default());
    for now_ms in (0..10_000_000).step_by(20) {
        let mut events = store.due(now_ms);
        events.push(PlannerEvent::Tick);
        for event in events {
            for call in planner.step(now_ms, event) {
                store.submit(now_ms, call, |id, answered| PlannerEvent::Answered { id, answered });
            }
        }
        if let Some(outcome) = planner.finished() {
            return outcome.clone();
        }
    }
    panic!("a plan ends: {:?}", planner.problem())
}

#[test]
fn the_planner_reads_what_a_time_needs() {
    let world = simple();
    for seed in 0..30 {
        let faults = PerMille { internal: 150, throttled: 50, timeout_without_effect: 100, lagging: 200, ..PerMille::default() };
        let plan = run_planner(&world, Target::Time(22_500), faults, seed).expect("it can be restored");
        assert_eq!(told(&plan), "1:10 1/1/0:11-12 1/1/1:13-20 1/2/0:21-22 cut 22@0", "seed {seed}");
    }
}
