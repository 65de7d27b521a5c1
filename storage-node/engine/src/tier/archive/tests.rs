use super::*;
use crate::{
    objects::{FaultyObjects, MemoryObjects, PerMille, Range, Request},
    tier::{
        documents::Document,
        log_object::{self, LogPlace},
        testing::{INCARNATION, Simulated, entry, layout, owner, place},
    },
};

const SHARD: ShardId = ShardId(7);

fn settings() -> ArchiveSettings {
    ArchiveSettings {
        place: place(),
        layout: layout(),
        cluster: owner(INCARNATION).cluster,
        incarnation: INCARNATION,
        life: LifeId(1),
        flush_interval_ms: 1_000,
        local_log_bound_bytes: 64 << 20,
        when_full: WhenFull::RefuseWrites,
    }
}

/// An archive on a simulated store, and the log that it may read.
struct Bench {
    archive: Archive,
    store: Simulated<ArchiveEvent>,
    log: BTreeMap<ShardId, Vec<Entry>>,
    /// The first index that the log still has.
    log_from: u64,
    seen: Vec<ArchiveEffect>,
    now_ms: u64,
}

impl Bench {
    fn new(settings: ArchiveSettings, seed: u64, faults: PerMille) -> Bench {
        let store = FaultyObjects::new(MemoryObjects::default(), PerMille::default(), seed);
        store.inner().tamper(&layout().key(crate::tier::layout::Name::Owner), |_| Some(owner(INCARNATION).encode()));
        store.set_faults(faults);
        let log = BTreeMap::new();
        let mut bench =
            Bench { archive: Archive::new(settings), store: Simulated::new(store, seed), log, log_from: 1, seen: Vec::new(), now_ms: 0 };
        bench.give(ArchiveEvent::Registered);
        bench.give(ArchiveEvent::Lead { shard: SHARD, fork_epoch: 0, archived: Position::default(), committed: 0, bytes: 0 });
        bench
    }

    fn healthy() -> Bench {
        Bench::new(settings(), 1, PerMille::default())
    }

    fn give(&mut self, event: ArchiveEvent) {
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            for effect in self.archive.step(self.now_ms, event) {
                match &effect {
                    ArchiveEffect::Call(call) => {
                        self.store.submit(self.now_ms, call.clone(), |id, answered| ArchiveEvent::Answered { id, answered });
                    }
                    ArchiveEffect::ReadLog { shard, from, to, bytes_max } => events.push(self.read_log(*shard, *from, *to, *bytes_max)),
                    _ => {}
                }
                self.seen.push(effect);
            }
        }
    }

    fn read_log(&self, shard: ShardId, from: u64, to: u64, bytes_max: u64) -> ArchiveEvent {
        let mut bytes = 0;
        let wanted = self.log.get(&shard).into_iter().flatten().filter(|entry| (from..=to).contains(&entry.index));
        let fits = |entry: &&Entry| {
            bytes += entry.size();
            bytes - entry.size() < bytes_max
        };
        let entries: Vec<Entry> = wanted.take_while(fits).cloned().collect();
        let entries = if from < self.log_from { Err(self.log_from) } else { Ok(entries) };
        ArchiveEvent::LogRead { shard, from, entries }
    }

    fn commit(&mut self, shard: ShardId, entries: Vec<Entry>) {
        self.log.entry(shard).or_default().extend(entries.iter().cloned());
        self.give(ArchiveEvent::Committed { shard, entries });
    }

    fn close(&mut self) {
        let hlc = Hlc::from_millis(self.now_ms);
        self.give(ArchiveEvent::Closed { shard: SHARD, hlc, pending_bytes: 0 });
    }

    /// Lets time pass in steps of 50 ms; answers arrive when they are due.
    fn run(&mut self, for_ms: u64) {
        let until = self.now_ms + for_ms;
        while self.now_ms < until {
            self.now_ms += 50;
            for event in self.store.due(self.now_ms) {
                self.give(event);
            }
            self.give(ArchiveEvent::Tick);
        }
    }

    fn shard(&self) -> ShardStatus {
        self.archive.status(self.now_ms).shards.into_iter().find(|status| status.shard == SHARD).expect("it leads the shard")
    }

    /// What a stranger finds of a shard: entries in the order of seqs, until the first seq that is not there.
    fn archived(&self, shard: ShardId) -> Vec<Entry> {
        let mut found = BTreeMap::new();
        for seq in 0.. {
            let at = LogPlace { incarnation: INCARNATION, life: LifeId(1), seq };
            let key = layout().key(crate::tier::layout::Name::Log(at.incarnation, at.life, seq));
            let Some(bytes) = self.store.bucket().peek(&key) else { break };
            let (footer, entries) = log_object::decode(&bytes, at).expect("what is in the bucket is whole");
            assert!(footer.confirmed <= seq);
            for entry in footer.runs.iter().zip(entries).filter(|(run, _)| run.shard == shard).flat_map(|(_, entries)| entries) {
                found.insert(entry.index, entry);
            }
        }
        found.into_values().collect()
    }

    fn puts(&self) -> usize {
        self.seen.iter().filter(|effect| matches!(effect, ArchiveEffect::Call(Call { request: Request::Put { .. }, .. }))).count()
    }
}

#[test]
fn entries_are_flushed_after_a_second_and_an_idle_archive_puts_nothing() {
    let mut bench = Bench::healthy();
    bench.run(5_000);
    assert_eq!(bench.puts(), 0, "nothing new, no PUT");
    bench.commit(SHARD, vec![entry(1, bench.now_ms, "a"), entry(2, bench.now_ms, "b")]);
    bench.run(900);
    assert_eq!(bench.puts(), 0, "entries wait for others");
    bench.run(400);
    assert_eq!(bench.archived(SHARD), bench.log[&SHARD]);
    assert_eq!(bench.shard().archived.index, 2);
    let moved = ArchiveEffect::Archived { shard: SHARD, fork_epoch: 0, position: bench.shard().archived };
    assert!(bench.seen.contains(&moved));
    bench.run(120_000);
    assert_eq!(bench.puts(), 1, "one object for both entries, and nothing after it");
}

#[test]
fn four_mebibytes_do_not_wait() {
    let mut bench = Bench::healthy();
    bench.commit(SHARD, vec![entry(1, 0, "wake")]);
    bench.run(1_500);
    let entries = (2..=6).map(|index| Entry { payload: vec![index as u8; 1 << 20].into(), ..entry(index, bench.now_ms, "") }).collect();
    bench.commit(SHARD, entries);
    assert_eq!(bench.puts(), 2, "the object leaves at once");
    bench.run(2_000);
    assert_eq!(bench.archived(SHARD).len(), 6);
}

#[test]
fn what_an_earlier_leader_left_does_not_wait_again() {
    let mut bench = Bench::healthy();
    bench.log.insert(SHARD, (1..=3).map(|index| entry(index, index, "left")).collect());
    bench.give(ArchiveEvent::Lead { shard: SHARD, fork_epoch: 0, archived: Position::default(), committed: 3, bytes: 100 });
    bench.run(200);
    assert_eq!((bench.puts(), bench.archived(SHARD).len()), (1, 3), "it is uploaded at once");
    bench.commit(SHARD, vec![entry(4, bench.now_ms, "its own")]);
    bench.run(900);
    assert_eq!(bench.puts(), 1, "its own entries wait for others");
    bench.run(400);
    assert_eq!(bench.archived(SHARD).len(), 4);
}

#[test]
fn nothing_is_uploaded_before_the_life_is_registered_or_once_the_path_is_anothers() {
    let mut bench = Bench::healthy();
    bench.archive.registered = false;
    bench.commit(SHARD, vec![entry(1, 0, "a")]);
    bench.run(3_000);
    assert_eq!(bench.seen, [], "an unregistered life is silent");
    bench.give(ArchiveEvent::Registered);
    bench.run(3_000);
    assert_eq!(bench.archived(SHARD).len(), 1);

    let key = layout().key(crate::tier::layout::Name::Owner);
    bench.store.bucket().tamper(&key, |_| Some(owner(IncarnationId(99)).encode()));
    bench.give(ArchiveEvent::LeadsBeat(true));
    bench.run(31_000);
    bench.commit(SHARD, vec![entry(2, bench.now_ms, "b")]);
    bench.run(10_000);
    assert_eq!(bench.archived(SHARD).len(), 1);
    let problem = bench.archive.status(bench.now_ms).problem.expect("it is named");
    assert_eq!(problem.error.class, ErrorClass::ForeignOwner);

    bench.store.bucket().tamper(&key, |_| Some(owner(INCARNATION).encode()));
    bench.run(35_000);
    assert_eq!(bench.archived(SHARD).len(), 2, "it heals without a restart");
    assert_eq!(bench.archive.status(bench.now_ms).problem, None);
}

#[test]
fn the_leader_of_shard_0_writes_a_beat_every_thirty_seconds_and_nothing_else() {
    let mut bench = Bench::healthy();
    bench.give(ArchiveEvent::LeadsBeat(true));
    bench.run(100_000);
    assert_eq!(bench.puts(), 4);
    bench.give(ArchiveEvent::LeadsBeat(false));
    bench.run(100_000);
    assert_eq!(bench.puts(), 4);
}

#[test]
fn the_reported_time_is_that_of_the_first_write_that_could_be_lost() {
    let mut bench = Bench::healthy();
    bench.run(10_000);
    bench.close();
    assert_eq!((bench.shard().recovery_latest_ms, bench.shard().lag_ms), (9_500, 0));
    bench.commit(SHARD, vec![entry(1, 10_020, "many commands, the last at 10,020")]);
    bench.run(700);
    bench.close();
    assert_eq!((bench.shard().recovery_latest_ms, bench.shard().lag_ms), (9_500, 700), "the first may have been right after 10,000");
    assert!(bench.shard().bytes_at_risk > 0);
    bench.run(600);
    assert_eq!((bench.shard().recovery_latest_ms, bench.shard().bytes_at_risk), (10_200, 0), "closed at 10,700");
    bench.give(ArchiveEvent::Closed { shard: SHARD, hlc: Hlc::from_millis(10_900), pending_bytes: 77 });
    assert_eq!((bench.shard().recovery_latest_ms, bench.shard().bytes_at_risk), (10_400, 77), "evaluated and not yet committed");
}

#[test]
fn an_outage_holds_the_position_and_refuses_writes_at_the_bound() {
    let mut bench = Bench::new(ArchiveSettings { local_log_bound_bytes: 1 << 20, ..settings() }, 1, PerMille::default());
    bench.store.faulty().set_outage(Some(ErrorClass::AccessDenied));
    for index in 1..=24 {
        bench.commit(SHARD, vec![Entry { payload: vec![1; 100_000].into(), ..entry(index, bench.now_ms, "") }]);
        bench.run(1_000);
    }
    let status = bench.archive.status(bench.now_ms);
    assert_eq!((status.pressure, status.shards[0].archived.index), (Pressure::RefuseWrites, 0));
    assert!(status.lag_ms() >= 23_000 && status.bytes_at_risk() >= 2_400_000);
    assert_eq!(status.problem.expect("it is named").error.class, ErrorClass::AccessDenied);
    bench.store.faulty().set_outage(None);
    bench.run(20_000);
    assert_eq!(bench.archived(SHARD), bench.log[&SHARD]);
    assert_eq!(bench.archive.status(bench.now_ms).pressure, Pressure::Normal);
    assert!(bench.seen.contains(&ArchiveEffect::Pressure(Pressure::RefuseWrites)));
}

#[test]
fn above_the_bound_a_gap_is_recorded_by_policy_and_a_checkpoint_mends_it() {
    let drop = ArchiveSettings { local_log_bound_bytes: 1 << 20, when_full: WhenFull::DropAndRecordGap, ..settings() };
    let mut bench = Bench::new(drop, 1, PerMille::default());
    bench.store.faulty().set_outage(Some(ErrorClass::Unreachable));
    for index in 1..=12 {
        bench.commit(SHARD, vec![Entry { payload: vec![1; 100_000].into(), ..entry(index, index, "") }]);
    }
    assert!(bench.seen.contains(&ArchiveEffect::NeedCheckpoint { shard: SHARD, above: 11 }), "{:?}", bench.seen);
    bench.store.faulty().set_outage(None);
    bench.run(10_000);
    bench.close();
    let status = bench.shard();
    assert_eq!((status.archived.index, status.recovery_latest_ms), (0, 0), "what lies behind a gap does not count");
    assert!(status.bytes_at_risk >= 1_100_000);
    bench.give(ArchiveEvent::Checkpointed { shard: SHARD, at: Cut { index: 10, ..Cut::default() } });
    assert_eq!(bench.shard().archived.index, 0, "a checkpoint within the gap does not mend it");
    bench.give(ArchiveEvent::Checkpointed { shard: SHARD, at: Cut { index: 11, hlc: Hlc::from_millis(11), ..Cut::default() } });
    let status = bench.shard();
    assert_eq!((status.archived.index, status.recovery_latest_ms, status.bytes_at_risk), (12, 9_500, 0));
    assert_eq!(status.gaps.len(), 1);
}

#[test]
fn a_leader_whose_log_begins_too_late_asks_for_a_checkpoint() {
    let mut bench = Bench::healthy();
    bench.log_from = 51;
    bench.log.insert(SHARD, (51..=60).map(|index| entry(index, index, "late")).collect());
    let archived = Position { index: 40, hlc: Hlc::from_millis(40) };
    bench.give(ArchiveEvent::Lead { shard: SHARD, fork_epoch: 0, archived, committed: 60, bytes: 2_000 });
    bench.run(3_000);
    assert!(bench.seen.contains(&ArchiveEffect::NeedCheckpoint { shard: SHARD, above: 50 }));
    assert_eq!(bench.shard().archived.index, 40);
    assert_eq!(bench.shard().gaps, [Gap { after: archived, last: 50 }]);
    bench.give(ArchiveEvent::Checkpointed { shard: SHARD, at: Cut { index: 55, hlc: Hlc::from_millis(55), ..Cut::default() } });
    assert_eq!(bench.shard().archived.index, 60);
}

#[test]
fn what_does_not_fit_into_memory_is_read_from_the_log() {
    let mut bench = Bench::healthy();
    bench.store.faulty().set_outage(Some(ErrorClass::Timeout));
    for index in 1..=50 {
        bench.commit(SHARD, vec![Entry { payload: vec![1; 1 << 20].into(), ..entry(index, index, "") }]);
    }
    let longest = bench.log[&SHARD][0].size();
    assert!(bench.archive.buffered_bytes() <= limits::ARCHIVE_BUFFER_BYTES_MAX + longest);
    bench.store.faulty().set_outage(None);
    bench.run(60_000);
    assert_eq!(bench.archived(SHARD).len(), 50);
    assert_eq!(bench.shard().archived.index, 50);
}

/// Whatever the store does: a seq never changes its bytes, what counts as archived is in the bucket, and in the end all of it is.
#[test]
fn a_store_that_fails_costs_time_and_nothing_else() {
    for seed in 0..60 {
        let faults = PerMille {
            internal: 60,
            throttled: 40,
            timeout_without_effect: 60,
            timeout_with_effect: 60,
            late: 60,
            truncated: 40,
            flipped: 40,
            lagging: 0,
        };
        let mut bench = Bench::new(settings(), seed, faults);
        bench.give(ArchiveEvent::Lead { shard: ShardId(8), fork_epoch: 0, archived: Position::default(), committed: 0, bytes: 0 });
        let mut index = 0;
        for _round in 0..40 {
            index += 1;
            for shard in [SHARD, ShardId(8)] {
                bench.commit(shard, vec![entry(index, bench.now_ms, "payload")]);
            }
            bench.close();
            bench.run(700);
            check_truth(&bench);
        }
        bench.store.faulty().set_faults(PerMille::default());
        bench.run(120_000);
        for shard in [SHARD, ShardId(8)] {
            assert_eq!(bench.archived(shard), bench.log[&shard], "seed {seed}");
        }
        let mut bound: BTreeMap<String, bytes::Bytes> = BTreeMap::new();
        for effect in &bench.seen {
            if let ArchiveEffect::Call(Call { request: Request::Put { key, bytes, .. }, .. }) = effect {
                let before = bound.entry(key.clone()).or_insert_with(|| bytes.clone());
                assert_eq!(before, bytes, "seed {seed}: a seq is bound to its bytes");
            }
        }
    }
}

fn check_truth(bench: &Bench) {
    let status = bench.shard();
    let archived = bench.archived(SHARD);
    assert!(archived.len() as u64 >= status.archived.index, "what counts as archived is in the bucket");
    for (entry, index) in archived.iter().zip(1..) {
        assert_eq!(entry.index, index, "it is a prefix");
    }
    let lost = bench.log[&SHARD].iter().find(|entry| entry.index > archived.len() as u64);
    if let Some(lost) = lost {
        assert!(status.recovery_latest_ms <= lost.hlc.millis(), "{} is lost, {status:?}", lost.hlc);
        assert!(status.bytes_at_risk >= lost.size());
    }
}

#[test]
fn the_end_of_an_object_is_what_is_read_back() {
    let mut bench = Bench::healthy();
    bench.commit(SHARD, vec![entry(1, 0, "a")]);
    bench.run(2_000);
    let read = bench.seen.iter().find_map(|effect| match effect {
        ArchiveEffect::Call(Call { request: Request::Get { key, range: Range::Last(length) }, .. }) => Some((key.clone(), *length)),
        _ => None,
    });
    let (key, length) = read.expect("it reads back");
    assert!(key.contains("/log/") && length == log_object::end_bytes(1));
}
