use super::*;
use crate::{
    objects::{FaultyObjects, MemoryObjects, PerMille, SimulatedObjects},
    tier::{
        documents::Beat,
        layout::LifeId,
        testing::{INCARNATION, Simulated, layout, owner, place},
    },
};

const NEW: IncarnationId = IncarnationId(2);

fn claim(intent: Intent) -> Claim {
    let owner = Owner { cluster: "new-cluster".into(), kv_cluster_uid: "new-kvcluster".into(), ..owner(NEW) };
    Claim { place: place(), layout: layout(), intent, owner, retire: Vec::new(), gone: None }
}

fn key() -> String {
    layout().key(Name::Owner)
}

/// Runs a claim to its end. The old owner's beat changes every `beat_ms`, 0 for never.
fn run(
    claim: Claim,
    store: FaultyObjects<MemoryObjects>,
    beat_ms: u64,
    for_ms: u64,
) -> (Option<TakeoverEffect>, u64, Simulated<TakeoverEvent>) {
    run_takeover(Takeover::new(claim), store, beat_ms, for_ms)
}

/// Runs a claim that may have begun after another one.
fn run_takeover(
    mut takeover: Takeover,
    store: FaultyObjects<MemoryObjects>,
    beat_ms: u64,
    for_ms: u64,
) -> (Option<TakeoverEffect>, u64, Simulated<TakeoverEvent>) {
    let mut store = Simulated::new(store, 5);
    let mut outcome = None;
    for now_ms in (0..for_ms).step_by(100) {
        if beat_ms > 0 && now_ms % beat_ms == 0 {
            let beat = Beat { incarnation: INCARNATION, life: LifeId(1), count: now_ms };
            store.bucket().tamper(&layout().key(Name::Beat(INCARNATION)), |_| Some(beat.encode()));
        }
        let mut events = store.due(now_ms);
        events.push(TakeoverEvent::Tick);
        for event in events {
            for effect in takeover.step(now_ms, event) {
                match effect {
                    TakeoverEffect::Call(call) => store.submit(now_ms, call, |id, answered| TakeoverEvent::Answered { id, answered }),
                    end => {
                        assert_eq!(outcome, None, "an end comes once");
                        outcome = Some((end, now_ms));
                    }
                }
            }
        }
    }
    let (end, at_ms) = outcome.map_or((None, for_ms), |(end, at_ms)| (Some(end), at_ms));
    (end, at_ms, store)
}

fn bucket(found: Option<Owner>) -> FaultyObjects<MemoryObjects> {
    let store = FaultyObjects::new(MemoryObjects::default(), PerMille::default(), 5);
    store.inner().tamper(&key(), |_| found.map(|owner| owner.encode()));
    store
}

#[test]
fn a_free_path_is_taken_at_once() {
    let (end, at_ms, store) = run(claim(Intent::Initialise), bucket(None), 0, 5_000);
    assert_eq!(end, Some(TakeoverEffect::Taken(claim(Intent::Initialise).owner)));
    assert!(at_ms < 1_000);
    assert_eq!(Owner::decode(&store.bucket().peek(&key()).expect("written")), Ok(claim(Intent::Initialise).owner));
}

#[test]
fn an_existing_owner_never_leads_to_initialise() {
    let (end, _, store) = run(claim(Intent::Initialise), bucket(Some(owner(INCARNATION))), 0, 200_000);
    let Some(TakeoverEffect::Refused(refusal @ Refusal::PathInUse { .. })) = end else { panic!("refused, not {end:?}") };
    assert!(refusal.to_string().contains("cluster-uuid"), "{refusal}");
    assert_eq!(store.bucket().peek(&key()), Some(owner(INCARNATION).encode()));
}

#[test]
fn a_moving_beat_refuses_and_names_the_owner() {
    let (end, at_ms, store) = run(claim(Intent::Continue), bucket(Some(owner(INCARNATION))), 30_000, 200_000);
    let Some(TakeoverEffect::Refused(refusal @ Refusal::OwnerLives { .. })) = end else { panic!("refused, not {end:?}") };
    assert!(refusal.to_string().contains("living cluster cluster-uuid"), "{refusal}");
    assert!((60_000..100_000).contains(&at_ms), "it goes on moving for two periods, after {at_ms} ms");
    assert_eq!(store.bucket().peek(&key()), Some(owner(INCARNATION).encode()));
}

#[test]
fn a_standing_beat_is_watched_for_three_periods_and_the_past_is_kept() {
    let mut claim = claim(Intent::Continue);
    claim.retire = vec![INCARNATION];
    let (end, at_ms, _) = run(claim, bucket(Some(owner(INCARNATION))), 0, 200_000);
    let Some(TakeoverEffect::Taken(taken)) = end else { panic!("taken, not {end:?}") };
    assert!((90_000..100_000).contains(&at_ms), "after {at_ms} ms");
    let known: Vec<_> = taken.incarnations.iter().map(|incarnation| (incarnation.id, incarnation.retired)).collect();
    assert_eq!(known, [(INCARNATION, true), (NEW, false)]);
}

/// Runs a claim beside a beat that is given for each moment, until it ends or writes OWNER, which is no effect; and when that is, in milliseconds.
fn watch(mut takeover: Takeover, from_ms: u64, mut beat: impl FnMut(u64) -> Option<Bytes>) -> (Option<TakeoverEffect>, u64) {
    for now_ms in (from_ms..from_ms + 300_000).step_by(500) {
        let mut effects = takeover.step(now_ms, TakeoverEvent::Tick);
        while let Some(effect) = effects.pop() {
            let TakeoverEffect::Call(call) = effect else { return (Some(effect), now_ms) };
            let answered = match &call.request {
                Request::Get { key: read, .. } if *read == key() => Ok(owner(INCARNATION).encode()),
                Request::Get { .. } => beat(now_ms).ok_or_else(|| ObjectError::not_found("BEAT")),
                _ => return (None, now_ms),
            };
            let answered = answered.map(|bytes| Response::Bytes { size: bytes.len() as u64, bytes });
            effects.extend(takeover.step(now_ms, TakeoverEvent::Answered { id: call.id, answered }));
        }
    }
    panic!("it ends")
}

#[test]
fn the_last_beat_of_the_dead_that_takes_effect_late_begins_the_watch_anew_and_does_not_refuse() {
    let beat = |now_ms: u64| Some(if now_ms < 70_000 { "before".into() } else { "the last one".into() });
    assert_eq!(watch(Takeover::new(claim(Intent::Continue)), 0, beat), (None, 160_000));
}

#[test]
fn beats_of_several_dead_that_take_effect_late_refuse_nobody() {
    let beat = |now_ms| {
        let beat = match now_ms {
            ..10_000 => "before",
            10_000..20_000 => "of one",
            _ => "of another",
        };
        Some(beat.into())
    };
    assert_eq!(watch(Takeover::new(claim(Intent::Continue)), 0, beat), (None, 110_000));
}

#[test]
fn a_bit_that_flips_on_the_way_is_no_change_of_the_beat() {
    let mut reads = 0;
    let beat = |_| {
        reads += 1;
        Some(if [3, 7, 12].contains(&reads) { format!("flipped in read {reads}").into() } else { "the beat".into() })
    };
    assert_eq!(watch(Takeover::new(claim(Intent::Continue)), 0, beat), (None, 90_000));
}

/// A claim that begins 100 s after an earlier one, beside no beat; when that one looked first and last, and what it saw.
fn goes_on(seen: (u64, u64), incarnation: IncarnationId, beat: Option<Bytes>) -> (Option<TakeoverEffect>, u64) {
    let earlier = Sighting { incarnation, beat, first_ms: seen.0, last_ms: seen.1 };
    watch(Takeover::new(claim(Intent::Continue)).after(Some(earlier)), 100_000, |_| None)
}

#[test]
fn what_an_earlier_claimant_saw_shortens_the_watch() {
    assert_eq!(goes_on((5_000, 90_000), INCARNATION, None), (None, 100_000), "three periods are over: OWNER is written");
    assert_eq!(goes_on((40_000, 90_000), INCARNATION, None), (None, 130_000), "two thirds of them are");
}

#[test]
fn what_an_earlier_claimant_saw_never_refuses_and_counts_for_the_same_beat_only_and_not_for_long() {
    let whole = (None, 190_000);
    assert_eq!(goes_on((0, 39_000), INCARNATION, None), whole, "it is too old");
    assert_eq!(goes_on((0, 90_000), INCARNATION, Some("a beat".into())), whole, "it moved since");
    assert_eq!(goes_on((0, 90_000), IncarnationId(9), None), whole, "it is another one's");
}

#[test]
fn a_kvcluster_known_to_be_gone_needs_no_watch_in_the_same_namespace_only() {
    let gone = Claim { gone: Some("kvcluster-uid".into()), ..claim(Intent::Continue) };
    let (end, at_ms, _) = run(gone.clone(), bucket(Some(owner(INCARNATION))), 0, 5_000);
    assert!(matches!(end, Some(TakeoverEffect::Taken(_))) && at_ms < 1_000, "{end:?}");
    let elsewhere = Owner { namespace_uid: "another".into(), ..owner(INCARNATION) };
    assert_eq!(decide(Some(&elsewhere), &gone), Decision::Watch(INCARNATION));
}

#[test]
fn the_owner_itself_goes_on_without_a_write() {
    let claim = claim(Intent::Initialise);
    let (end, _, store) = run(claim.clone(), bucket(Some(claim.owner.clone())), 0, 5_000);
    assert_eq!(end, Some(TakeoverEffect::Taken(claim.owner)));
    assert_eq!(store.bucket().keys(), [key()]);
}

#[test]
fn an_error_of_access_is_never_an_absence() {
    let store = bucket(None);
    store.set_outage(Some(ErrorClass::AccessDenied));
    let (end, _, store) = run(claim(Intent::Initialise), store, 0, 60_000);
    assert_eq!((end, store.bucket().keys()), (None, Vec::<String>::new()));
}

#[test]
fn an_outage_while_watching_does_not_count_as_standing() {
    let mut takeover = Takeover::new(claim(Intent::Continue));
    let answers = |ask: &TakeoverEffect, now_ms: u64| match ask {
        TakeoverEffect::Call(call) if call.request.key() == key() => Ok(Response::Bytes { bytes: owner(INCARNATION).encode(), size: 1 }),
        TakeoverEffect::Call(_) if now_ms < 10_000 => Err(ObjectError::not_found("BEAT")),
        _ => Err(ObjectError::new(ErrorClass::Timeout, "no answer")),
    };
    for now_ms in (0..400_000).step_by(500) {
        let mut effects = takeover.step(now_ms, TakeoverEvent::Tick);
        while let Some(effect) = effects.pop() {
            let TakeoverEffect::Call(call) = &effect else { panic!("nothing is decided while the store is out: {effect:?}") };
            let event = TakeoverEvent::Answered { id: call.id, answered: answers(&effect, now_ms) };
            effects.extend(takeover.step(now_ms, event));
        }
    }
    assert!(takeover.problem().is_some() && takeover.watched().is_some());
}

#[test]
fn unfinished_uploads_of_the_predecessor_are_aborted() {
    let store = bucket(None);
    let upload = |key: &str| store.answer(0, Request::BeginUpload { key: key.into() }).result.expect("it begins");
    upload("default/shop/0000000000000001/file/00/x.sst");
    upload("default/shopping/of-somebody-else");
    let (_, _, store) = run(claim(Intent::Initialise), store, 0, 5_000);
    let left = store.bucket().answer(0, Request::ListUploads { prefix: String::new(), after: None }).result;
    let Ok(Response::Uploads { uploads, .. }) = left else { panic!("a list") };
    assert_eq!(uploads.len(), 1);
    assert!(uploads[0].key.starts_with("default/shopping/"));
}

#[test]
fn a_store_that_fails_only_delays() {
    for seed in 0..40 {
        let faults = PerMille {
            internal: 150,
            throttled: 50,
            timeout_without_effect: 100,
            timeout_with_effect: 100,
            truncated: 50,
            flipped: 50,
            ..PerMille::default()
        };
        let store = FaultyObjects::new(MemoryObjects::default(), faults, seed);
        store.inner().tamper(&key(), |_| Some(owner(INCARNATION).encode()));
        let (end, _, _) = run(claim(Intent::Continue), store, 0, 600_000);
        match end {
            Some(TakeoverEffect::Taken(taken)) => assert_eq!(taken.incarnations.len(), 2, "seed {seed}"),
            other => panic!("seed {seed}: {other:?}"),
        }
    }
}
