use super::*;
use crate::{
    objects::{FaultyObjects, PerMille},
    tier::{
        layout::{FileKind, LifeId, ObjectId},
        testing::{Simulated, World, cut, entries, layout, place},
    },
};

fn world() -> World {
    let world = World::new(&[(1, None)]);
    world.put_cluster(1, None, &[1, 2], &[(7, None, Vec::new())]);
    world.put_log(1, 1, 0, &[(7, 0, entries(1, 20))]);
    world.put_log(1, 2, 0, &[(7, 0, entries(21, 30))]);
    world.put_log(1, 2, 1, &[(7, 0, entries(31, 40))]);
    world.put_checkpoint(1, 7, 0, cut(0, 10));
    world
}

fn verify(world: &World, depth: Depth, faults: PerMille) -> Report {
    let mut store = Simulated::new(FaultyObjects::new(world.bucket.fork(), faults, 4), 4);
    let mut verifier = Verifier::new(place(), layout(), depth);
    for now_ms in (0..10_000_000).step_by(20) {
        let mut events = store.due(now_ms);
        events.push(VerifyEvent::Tick);
        for event in events {
            for call in verifier.step(now_ms, event) {
                store.submit(now_ms, call, |id, answered| VerifyEvent::Answered { id, answered });
            }
        }
        if let Some(report) = verifier.finished() {
            return report;
        }
    }
    panic!("a verification ends: {:?}", verifier.problem())
}

fn log_key(life: u64, seq: u64) -> String {
    layout().key(Name::Log(IncarnationId(1), LifeId(life), seq))
}

#[test]
fn a_sound_bucket_says_to_which_moment_it_can_be_restored() {
    for depth in [Depth::Sizes, Depth::Bytes] {
        let report = verify(&world(), depth, PerMille::default());
        assert!(report.is_sound(), "{report:?}");
        assert_eq!(report.choice, Ok(IncarnationId(1)));
        let shards = report.incarnations[0].shards.clone().expect("it can be restored");
        assert_eq!(shards, [ShardRestorable { shard: ShardId(7), index: 40, last_write_ms: 40_000, gap: None }]);
        assert_eq!((report.objects, report.unreferenced), (7, BTreeSet::new()));
    }
}

#[test]
fn what_is_damaged_missing_or_named_by_nobody_is_listed_by_key() {
    let world = world();
    let orphan = layout().key(Name::File(IncarnationId(1), ObjectId(99), FileKind::Sst));
    let of_nobody = log_key(77, 0);
    for key in [orphan.as_str(), of_nobody.as_str(), "default/shop/notes.txt", "default/shopping/notes.txt"] {
        world.bucket.tamper(key, |_| Some("x".into()));
    }
    world.bucket.tamper(&log_key(2, 0), |_| None);
    world.bucket.tamper(&log_key(1, 0), |bytes| {
        let mut bytes = bytes?.to_vec();
        bytes[20] ^= 1;
        Some(bytes.into())
    });
    let report = verify(&world, Depth::Sizes, PerMille::default());
    assert_eq!(report.unreferenced, BTreeSet::from([orphan, of_nobody, "default/shop/notes.txt".to_owned()]));
    assert_eq!(report.missing, BTreeSet::from([log_key(2, 0)]));
    assert_eq!(report.damaged.keys().collect::<Vec<_>>(), [&log_key(1, 0)]);
    assert!(!report.is_sound());
    assert!(report.incarnations[0].shards.is_err());
}

#[test]
fn a_flipped_byte_in_a_file_is_found_by_reading_all_bytes() {
    let world = world();
    let key = world.bucket.keys().into_iter().find(|key| key.contains("/file/")).expect("there is a file");
    world.bucket.tamper(&key, |bytes| {
        let mut bytes = bytes?.to_vec();
        bytes[0] ^= 1;
        Some(bytes.into())
    });
    assert!(verify(&world, Depth::Sizes, PerMille::default()).is_sound());
    let report = verify(&world, Depth::Bytes, PerMille::default());
    assert_eq!(report.damaged.keys().collect::<Vec<_>>(), [&key]);
    assert!(report.incarnations[0].shards.as_ref().expect_err("it cannot be restored").contains(&key));
}

#[test]
fn an_empty_path_holds_nothing() {
    let world = World { bucket: crate::objects::MemoryObjects::default() };
    let report = verify(&world, Depth::Sizes, PerMille::default());
    assert!(report.choice.expect_err("nothing").contains("there is no cluster"));
    assert_eq!((report.objects, report.incarnations.len()), (0, 0));
}

#[test]
fn a_store_that_fails_only_delays() {
    let faults = PerMille { internal: 200, throttled: 50, timeout_without_effect: 100, timeout_with_effect: 100, ..PerMille::default() };
    assert_eq!(verify(&world(), Depth::Bytes, faults), verify(&world(), Depth::Bytes, PerMille::default()));
}
