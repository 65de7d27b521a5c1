//! Random clusters: whatever the view, the plan breaks no rule; carried out again and again it comes to rest, balanced; and then it rests.

use crate::world::{COMMITTED, World, node, shard, voter};
use proptest::{prelude::*, sample::Index};
use std::collections::{BTreeMap, BTreeSet};
use strata_base::{PeerId, StoreId};
use strata_planner::{Action, NodeState, Plan, Policy, check, check_placement, plan};

/// More passes than any cluster of these sizes needs.
const PASSES_MAX: usize = 200;

/// What a random node may be, and how often.
fn node_kind() -> impl Strategy<Value = u8> {
    prop_oneof![12 => Just(0u8), 1 => Just(1), 1 => Just(2), 1 => Just(3), 1 => Just(4), 1 => Just(5)]
}

#[derive(Clone, Debug)]
struct Seeds {
    factor: u8,
    tolerance: u32,
    moves: usize,
    transfers: usize,
    nodes: Vec<(u8, u8)>,
    shards: Vec<Vec<(Index, u64, bool)>>,
    leaders: Vec<Index>,
    oddities: Vec<u8>,
}

fn seeds() -> impl Strategy<Value = Seeds> {
    (
        prop_oneof![Just(1u8), Just(3), Just(3), Just(3), Just(5)],
        1u32..4,
        1usize..4,
        1usize..10,
        prop::collection::vec((0u8..4, node_kind()), 1..12),
        prop::collection::vec(
            prop::collection::vec((any::<Index>(), prop_oneof![4 => Just(0u64), 1 => 0u64..5_000], any::<bool>()), 5),
            1..24,
        ),
        prop::collection::vec(any::<Index>(), 24),
        prop::collection::vec(0u8..20, 24),
    )
        .prop_map(|(factor, tolerance, moves, transfers, nodes, shards, leaders, oddities)| Seeds {
            factor,
            tolerance,
            moves,
            transfers,
            nodes,
            shards,
            leaders,
            oddities,
        })
}

/// Any cluster at all: lags, silence, lost disks, joint changes, learners, shards without leaders.
fn any_world(seeds: &Seeds) -> World {
    let mut world = World::new();
    world.policy = Policy {
        replication_factor: seeds.factor,
        leader_tolerance: seeds.tolerance,
        moves_max: seeds.moves,
        transfers_max: seeds.transfers,
        ..Policy::default()
    };
    let stores: Vec<StoreId> = (1..=seeds.nodes.len() as u64).map(StoreId).collect();
    for (store, (zone, kind)) in stores.iter().zip(&seeds.nodes) {
        let mut made = node(["a", "b", "c", "d"][usize::from(*zone)], NodeState::Member);
        match kind {
            1 => made.state = NodeState::Empty,
            2 => made.state = NodeState::Lost,
            3 => made.report_age_millis = u64::MAX,
            4 => made.is_evicted = true,
            5 => made.is_clock_off = true,
            _ => {}
        }
        world.view.nodes.insert(*store, made);
    }
    for (ordinal, members) in seeds.shards.iter().enumerate() {
        let mut homes = stores.clone();
        let mut made = Vec::new();
        for ((index, lag, active), peer) in members.iter().zip(1..=u64::from(seeds.factor)) {
            if homes.is_empty() {
                break;
            }
            let store = homes.remove(index.index(homes.len()));
            let mut member = voter(peer, store);
            member.matched = Some(COMMITTED - lag);
            member.is_active = *active || *lag == 0;
            made.push(member);
        }
        let leader = seeds.leaders[ordinal].get(&made).peer;
        let oddity = seeds.oddities[ordinal];
        let mut made = shard(ordinal as u16, 24, made, (oddity != 0).then_some(leader));
        made.is_joint = oddity == 1;
        if let (2, [.., last]) = (oddity, made.members.as_mut_slice()) {
            last.is_voter = Some(last.peer) == made.leader;
        }
        world.add_shard(made);
    }
    world
}

/// A cluster whose nodes are well but for lost disks, with shards placed by the planner and leaders anywhere.
fn well_world(seeds: &Seeds) -> Option<World> {
    let mut world = World::new();
    world.policy = Policy {
        replication_factor: seeds.factor,
        leader_tolerance: seeds.tolerance,
        moves_max: seeds.moves,
        transfers_max: seeds.transfers,
        ..Policy::default()
    };
    for (store, (zone, _)) in (1..).map(StoreId).zip(&seeds.nodes) {
        world.view.nodes.insert(store, node(["a", "b", "c", "d"][usize::from(*zone)], NodeState::Empty));
    }
    let count = seeds.shards.len() as u16;
    let stores = world.stores();
    let policy = world.policy;
    let broken = check_placement(world.place(count).ok()?, &stores, &policy);
    assert_eq!(broken, [], "a placement keeps the rules");
    rest(&mut world);
    assert_eq!(world.view.shards.len(), usize::from(count), "every planned shard is created");
    for (found, leader) in world.view.shards.iter_mut().zip(&seeds.leaders) {
        found.leader = Some(leader.get(&found.members).peer);
    }
    Some(world)
}

/// Plans and obeys until nothing is left to do. Returns all steps.
fn rest(world: &mut World) -> Vec<Action> {
    let mut steps = Vec::new();
    for _ in 0..PASSES_MAX {
        let made = sound_plan(world);
        if made.steps.is_empty() && made.waiting.is_empty() {
            return steps;
        }
        made.steps.iter().for_each(|step| world.execute(step));
        steps.extend(made.steps.into_iter().map(|step| step.action));
        world.settle();
    }
    panic!("no rest after {PASSES_MAX} passes: {:#?}", plan(&world.view, &world.policy));
}

fn sound_plan(world: &World) -> Plan {
    let made = plan(&world.view, &world.policy);
    assert_eq!(check(&world.view, &world.policy, &made), [], "{made:#?}");
    assert_eq!(made, plan(&world.view, &world.policy), "same view, same plan");
    made
}

/// Leaders per node against replicas ÷ factor, computed from first principles.
fn assert_balanced(world: &World) {
    let mut leaders: BTreeMap<StoreId, i64> = BTreeMap::new();
    let mut replicas: BTreeMap<StoreId, i64> = BTreeMap::new();
    for found in &world.view.shards {
        let leader = found.leading().expect("a shard at rest has a leader");
        *leaders.entry(leader.store).or_default() += 1;
        found.voters().for_each(|member| *replicas.entry(member.store).or_default() += 1);
    }
    for (store, replicas) in replicas {
        let expected = replicas / i64::from(world.policy.replication_factor);
        let leads = leaders.get(&store).copied().unwrap_or_default();
        let tolerance = i64::from(world.policy.leader_tolerance);
        assert!((leads - expected).abs() <= tolerance, "{store} leads {leads}, expected {expected} ± {tolerance}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_the_view_a_plan_keeps_every_rule(seeds in seeds()) {
        let mut world = any_world(&seeds);
        for _ in 0..4 {
            let made = sound_plan(&world);
            made.steps.iter().for_each(|step| world.execute(step));
        }
    }

    #[test]
    fn leaders_come_to_rest_in_balance_and_stay(seeds in seeds()) {
        let Some(mut world) = well_world(&seeds) else { return Ok(()) };
        let moves = rest(&mut world);
        assert_balanced(&world);
        prop_assert!(moves.iter().all(|action| matches!(action, Action::Transfer { .. })), "only leaders move: {moves:?}");
        let shards: BTreeSet<_> = moves.iter().filter_map(Action::shard).collect();
        prop_assert!(moves.len() <= 2 * shards.len().max(1), "no shard goes to and fro: {moves:?}");
        prop_assert_eq!(sound_plan(&world), Plan::default());
    }

    #[test]
    fn a_lost_disk_is_replaced_where_a_store_is_left(seeds in seeds(), lost in any::<Index>()) {
        let Some(mut world) = well_world(&seeds) else { return Ok(()) };
        if seeds.factor == 1 {
            return Ok(());
        }
        let stores: Vec<StoreId> = world.view.nodes.keys().copied().collect();
        let gone = *lost.get(&stores);
        let zone = world.view.nodes[&gone].zone.clone();
        world.view.nodes.get_mut(&gone).expect("it is there").state = NodeState::Lost;
        world.view.nodes.insert(StoreId(0xff), node(&zone, NodeState::Empty));
        for found in &mut world.view.shards {
            found.members.iter_mut().filter(|member| member.store == gone).for_each(|member| member.is_active = false);
            if found.leading().is_some_and(|leader| leader.store == gone) {
                found.leader = found.members.iter().find(|member| member.store != gone).map(|member| member.peer);
            }
        }
        rest(&mut world);
        assert_balanced(&world);
        for found in &world.view.shards {
            prop_assert_eq!(found.voters().count(), usize::from(seeds.factor));
            prop_assert!(found.members.iter().all(|member| member.store != gone && member.is_voter));
            let peers: BTreeSet<PeerId> = found.members.iter().map(|member| member.peer).collect();
            prop_assert_eq!(peers.len(), usize::from(seeds.factor), "ids differ");
        }
    }
}
