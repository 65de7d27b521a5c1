//! Scenes: faults that show something only together, in one order, at about the right distances. Drawn one by one they come together too rarely.
//!
//! Each is the worst moment for one rule, told in faults that any run may have; a scene decides nothing but when and whom.

use super::{
    options::{Options, Swarm},
    queue::{MILLI, SECOND},
    schedule::{Fault, TimedFault, Victim},
};
use fastrand::Rng;
use std::ops::Range;

/// One of so many seeds has a scene, where it can have one.
const SHARE: u8 = 2;

/// A scene.
#[derive(Clone, Copy)]
enum Scene {
    /// A leader is stuck and cut off, and wakes up; the store leaves, and everything is lost. What that leader promises of the archive meanwhile is about
    /// a shard that another one has led since.
    LateWord,
    /// Two nodes lose sight of each other, and later the third one, which both still hear, starts anew just as one of them is cut off: what it pledged to
    /// that one it must still keep to.
    FreshStart,
    /// A member leaves a node whose disk is slow, and comes back before it has gone.
    QuickReturn,
}

/// Plays a scene among the faults before everything is mended. Where it needs quiet, what breaks meanwhile is left out.
pub(super) fn stage(options: &Options, swarm: &Swarm, faults: &mut Vec<TimedFault>, draws: &mut Rng) {
    let may_cut = swarm.cuts && swarm.only_victim.is_none();
    let table = [
        (may_cut && options.store.is_some() && options.is_lost_amid, Scene::LateWord),
        (may_cut && swarm.crashes && options.leases, Scene::FreshStart),
        (swarm.moves, Scene::QuickReturn),
    ];
    let possible: Vec<Scene> = table.into_iter().filter(|(is_possible, _)| *is_possible).map(|(_, scene)| scene).collect();
    let (is_played, scene) = (draws.u8(..SHARE) == 0, draws.choice(possible));
    let played = match scene.filter(|_| is_played) {
        Some(Scene::LateWord) => late_word(options, faults, draws),
        Some(Scene::FreshStart) => fresh_start(options, faults, draws),
        Some(Scene::QuickReturn) => quick_return(options, draws),
        None => Vec::new(),
    };
    faults.extend(played);
}

/// Leaves out what breaks within some time; messages arrive meanwhile.
fn quiet(faults: &mut Vec<TimedFault>, within: Range<u64>) {
    faults.retain(|fault| !within.contains(&fault.at_micros));
    faults.extend([at(within.start, Fault::MendCuts), at(within.start, Fault::Lose { loss: 0, doubling: 0 })]);
}

fn at(at_micros: u64, fault: Fault) -> TimedFault {
    TimedFault { at_micros, fault }
}

/// A moment that leaves so much time until the end, in microseconds; the beginning, where there is not so much.
fn moment(options: &Options, left: u64, draws: &mut Rng) -> u64 {
    draws.u64(..options.trouble_micros.saturating_sub(left).max(1))
}

fn late_word(options: &Options, faults: &mut Vec<TimedFault>, draws: &mut Rng) -> Vec<TimedFault> {
    let (micros, awake) = (draws.u64(2_400 * MILLI..3_200 * MILLI), draws.u64(700 * MILLI..1_300 * MILLI));
    let whom = Victim::LeaderOf { shard: draws.usize(..usize::from(options.shards)), or_node: draws.usize(..options.nodes) };
    let begin = options.trouble_micros.saturating_sub(micros + awake);
    quiet(faults, begin.saturating_sub(SECOND)..options.trouble_micros);
    // It has uploaded what it had when the store goes; the other leader has not.
    let store_leaves = begin + micros + draws.u64(100 * MILLI..250 * MILLI);
    vec![
        at(begin.saturating_sub(SECOND), Fault::StoreReturns),
        at(begin, Fault::Vanish { whom, micros }),
        at(store_leaves, Fault::StoreLeaves),
    ]
}

fn fresh_start(options: &Options, faults: &mut Vec<TimedFault>, draws: &mut Rng) -> Vec<TimedFault> {
    let mut nodes: Vec<usize> = (0..options.nodes).collect();
    draws.shuffle(&mut nodes);
    let [one, other, third, ..] = nodes[..] else { return Vec::new() };
    let begin = moment(options, 6 * SECOND, draws);
    let later = begin + draws.u64(1_200 * MILLI..2_500 * MILLI);
    quiet(faults, begin..later + SECOND);
    vec![
        at(begin, Fault::CutOneWay { from: one, to: other }),
        at(begin, Fault::CutOneWay { from: other, to: one }),
        at(later, Fault::Isolate { whom: Victim::Node(one) }),
        at(later, Fault::Crash { node: third, micros: draws.u64(MILLI..100 * MILLI) }),
        at(later + draws.u64(2 * SECOND..4 * SECOND), Fault::MendCuts),
    ]
}

fn quick_return(options: &Options, draws: &mut Rng) -> Vec<TimedFault> {
    let begin = moment(options, 8 * SECOND, draws);
    let shard = draws.usize(..usize::from(options.shards));
    let mut go = |goes_back: bool| {
        let (member, other) = (draws.usize(..options.replicas), draws.usize(..options.nodes));
        Fault::MoveMember { shard, member, other, goes_back }
    };
    let mut faults = vec![at(begin, go(false))];
    faults.extend((1..60).map(|nth| at(begin + nth * 100 * MILLI, go(true))));
    faults.push(at(begin, Fault::SlowDisk { node: draws.usize(..options.nodes), micros: 6 * SECOND }));
    faults
}
