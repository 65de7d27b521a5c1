use super::{
    disk::{ForgetfulDisk, Tear},
    *,
};
use crate::{log::MemoryLogStore, traces};
use fastrand::Rng;
use proptest::{collection::vec, prelude::*};
use tempfile::TempDir;

/// Files that a few batches fill, so that a trace has many.
const FILE_BYTES: u64 = 4 << 10;
const PURGE_BYTES: u64 = 4 * FILE_BYTES;

const SHARD: ShardId = ShardId(1);

/// What the log of a replica shows: its bounds, entries and records.
type Shown = (Option<(u64, u64)>, Vec<StoredEntry>, [Option<Bytes>; LogState::ALL.len()]);

/// Everything that a log shows.
type Content = BTreeMap<ShardId, Shown>;

/// raft-engine keeps the last block that a thread read by its place alone, and another log has other blocks there: no thread reads two logs.
fn in_own_thread<T: Send>(act: impl FnOnce() -> T + Send) -> T {
    let ended = std::thread::scope(|scope| scope.spawn(act).join());
    ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn content(log: &dyn LogStore) -> Content {
    in_own_thread(|| shown(log))
}

fn shown(log: &dyn LogStore) -> Content {
    let show = |shard: ShardId| {
        let bounds = log.bounds(shard);
        let read = |(first, last): (u64, u64)| log.entries(shard, first, last + 1, u64::MAX).expect("what the bounds name is there");
        (bounds, bounds.map(read).unwrap_or_default(), LogState::ALL.map(|state| log.state(shard, state)))
    };
    log.shards().into_iter().map(|shard| (shard, show(shard))).collect()
}

/// The real log on a disk that forgets.
struct Real {
    log: Option<RaftEngineLogStore<ForgetfulDisk>>,
    disk: ForgetfulDisk,
    folder: TempDir,
}

impl Real {
    fn new(disk: ForgetfulDisk, folder: TempDir) -> Real {
        let mut real = Real { log: None, disk, folder };
        real.restart();
        real
    }

    fn empty() -> Real {
        Real::new(ForgetfulDisk::default(), tempfile::tempdir().expect("a folder"))
    }

    fn log(&self) -> &RaftEngineLogStore<ForgetfulDisk> {
        self.log.as_ref().expect("it is open but while it restarts")
    }

    /// Ends in order, and opens again.
    fn restart(&mut self) {
        self.log = None;
        let opened = RaftEngineLogStore::open_on(Arc::new(self.disk.clone()), self.folder.path(), FILE_BYTES, PURGE_BYTES);
        self.log = Some(opened.expect("what a crash leaves can be opened"));
    }

    fn crash(&mut self, tear: Tear, draws: &mut Rng) {
        let folder = tempfile::tempdir().expect("a folder");
        let disk = self.disk.crash(folder.path(), tear, draws);
        *self = Real::new(disk, folder);
    }
}

/// A part of a batch, by how it relates to what the log holds.
#[derive(Clone, Debug)]
enum Part {
    /// Entries, which overwrite so many of the last.
    Append {
        back: u64,
        count: u64,
        bytes: usize,
    },
    /// Cuts so many of the first; perhaps more than there are.
    Cut {
        count: u64,
    },
    /// What a snapshot does, from a little before the first entry on.
    Install {
        ahead: u64,
    },
    Record {
        state: LogState,
        bytes: usize,
    },
    /// What the removal of a replica does.
    Remove,
}

impl Part {
    fn batch(&self, shard: ShardId, held: Option<(u64, u64)>, number: u64) -> ReplicaBatch {
        let (first, last) = held.unwrap_or((number + 1, number));
        let record = |bytes| vec![(LogState::Replica, noise(number, bytes))];
        let nothing = ReplicaBatch { shard, ..ReplicaBatch::default() };
        match *self {
            Part::Append { back, count, bytes } => {
                let begin = (last + 1).saturating_sub(back).max(first);
                let entry = |index| {
                    let (kind, context) = ((number % 3) as u8, noise(index, number as usize % 4));
                    StoredEntry { index, term: number, kind, context, data: noise(number ^ (index << 32), bytes) }
                };
                ReplicaBatch { entries: (begin..begin + count).map(entry).collect(), ..nothing }
            }
            Part::Cut { count } => ReplicaBatch { cut_before: Some(first + count), states: record(8), ..nothing },
            Part::Install { ahead } => {
                let index = first.saturating_sub(2) + ahead;
                ReplicaBatch { drop_after: Some(index), cut_before: Some(index + 1), states: record(9), ..nothing }
            }
            Part::Record { state, bytes } => ReplicaBatch { states: vec![(state, noise(number, bytes))], ..nothing },
            Part::Remove => ReplicaBatch { cut_before: Some(last + 1), states: record(3), ..nothing },
        }
    }
}

/// What no compression makes shorter.
fn noise(seed: u64, bytes: usize) -> Bytes {
    let mut draws = Rng::with_seed(seed);
    std::iter::repeat_with(|| draws.u8(..)).take(bytes).collect()
}

type Parts = Vec<(u64, Part)>;

#[derive(Clone, Debug)]
enum Step {
    Write {
        parts: Parts,
        sync: bool,
    },
    Read {
        shard: u64,
        skip: u64,
        count: u64,
        max_bytes: u64,
    },
    Purge,
    /// The process ends in order.
    Restart,
    /// The power is lost while a last batch is synced.
    Crash {
        parts: Parts,
        tear: Tear,
        seed: u64,
    },
    /// A sync fails, and the power is lost afterwards.
    FailedSync {
        parts: Parts,
        tear: Tear,
        seed: u64,
    },
}

fn parts(least: usize) -> impl Strategy<Value = Parts> {
    let bytes = prop_oneof![8 => 0..200_usize, 3 => 200..1_500_usize, 1 => 8_500..9_500_usize];
    let state = prop_oneof![Just(LogState::HardState), Just(LogState::Replica)];
    let part = prop_oneof![
        9 => (0..4_u64, 0..6_u64, bytes).prop_map(|(back, count, bytes)| Part::Append { back, count, bytes }),
        2 => (0..3_u64, 32..40_u64, 0..60_usize).prop_map(|(back, count, bytes)| Part::Append { back, count, bytes }),
        3 => (0..30_u64).prop_map(|count| Part::Cut { count }),
        1 => (0..20_u64).prop_map(|ahead| Part::Install { ahead }),
        3 => (state, 0..30_usize).prop_map(|(state, bytes)| Part::Record { state, bytes }),
        1 => Just(Part::Remove),
    ];
    vec((1..4_u64, part), least..4)
}

fn step() -> impl Strategy<Value = Step> {
    let tear = || prop_oneof![Just(Tear::All), Just(Tear::Tail), Just(Tear::Sectors)];
    let max_bytes = prop_oneof![Just(0), 0..4_000_u64, Just(u64::MAX)];
    prop_oneof![
        12 => (parts(1), prop::bool::weighted(0.6)).prop_map(|(parts, sync)| Step::Write { parts, sync }),
        3 => (1..5_u64, 0..8_u64, 0..9_u64, max_bytes).prop_map(|(shard, skip, count, max_bytes)| Step::Read { shard, skip, count, max_bytes }),
        3 => Just(Step::Purge),
        1 => Just(Step::Restart),
        3 => (parts(0), tear(), any::<u64>()).prop_map(|(parts, tear, seed)| Step::Crash { parts, tear, seed }),
        1 => (parts(1), tear(), any::<u64>()).prop_map(|(parts, tear, seed)| Step::FailedSync { parts, tear, seed }),
    ]
}

/// The model and the real log, side by side.
struct Pair {
    memory: MemoryLogStore,
    real: Real,
    /// What a crash may leave: what was synced, and what each batch since then made of it.
    possible: Vec<Content>,
    /// Whether there are entries among what was not synced: they must be written in their order, or the last alone are found to be torn.
    has_loose_entries: bool,
    number: u64,
}

impl Pair {
    fn new() -> Pair {
        let memory = MemoryLogStore::default();
        memory.purge_beyond(PURGE_BYTES);
        Pair { memory, real: Real::empty(), possible: vec![Content::new()], has_loose_entries: false, number: 0 }
    }

    fn play(&mut self, step: &Step) {
        self.number += 1;
        match step {
            Step::Write { parts, sync } => self.write(LogBatch { replicas: self.batches(parts), sync: *sync }),
            Step::Read { shard, skip, count, max_bytes } => self.read(ShardId(*shard), *skip, *count, *max_bytes),
            Step::Purge => self.purge(),
            Step::Restart => {
                self.real.restart();
                self.memory.crash(self.memory.unsynced());
                self.settle();
            }
            Step::Crash { parts, tear, seed } => {
                self.write_without_end(parts);
                self.crash(*tear, *seed);
            }
            Step::FailedSync { parts, tear, seed } => {
                self.fail(parts);
                self.crash(*tear, *seed);
            }
        }
        assert_eq!(content(self.real.log()), content(&self.memory), "model and log show the same");
        assert_eq!(self.memory.unsynced() + 1, self.possible.len());
    }

    fn batches(&self, parts: &Parts) -> Vec<ReplicaBatch> {
        let mut held = BTreeMap::new();
        let batch = |(shard, part): &(u64, Part)| {
            let held = held.entry(*shard).or_insert_with(|| self.memory.bounds(ShardId(*shard)));
            let batch = part.batch(ShardId(*shard), *held, self.number);
            *held = batch.follow(*held).expect("parts are within the rules");
            batch
        };
        parts.iter().map(batch).collect()
    }

    fn write(&mut self, batch: LogBatch) {
        let (sync, is_empty) = (batch.sync, is_empty(&batch));
        self.has_loose_entries |= batch.replicas.iter().any(|replica| !replica.entries.is_empty());
        self.real.log().write(batch.clone()).expect("the log takes it");
        self.memory.write(batch).expect("the model takes it");
        match (sync, is_empty) {
            (_, true) => {}
            (true, false) => self.settle(),
            (false, false) => self.possible.push(content(&self.memory)),
        }
    }

    /// Everything is durable.
    fn settle(&mut self) {
        self.possible = vec![content(&self.memory)];
        self.has_loose_entries = false;
    }

    fn read(&self, shard: ShardId, skip: u64, count: u64, max_bytes: u64) {
        let from = self.memory.bounds(shard).map_or(0, |(first, _)| first.saturating_sub(1)) + skip;
        let read = |log: &dyn LogStore| in_own_thread(|| log.entries(shard, from, from + count, max_bytes).ok());
        assert_eq!(read(self.real.log()), read(&self.memory), "{count} entries from {from} on, up to {max_bytes} bytes");
    }

    fn purge(&mut self) {
        for log in [self.real.log() as &dyn LogStore, &self.memory] {
            let late = in_own_thread(|| log.purge()).expect("the log is purged");
            let is_long = |shard: &ShardId| log.bounds(*shard).is_some_and(|(first, last)| last - first >= 31);
            assert!(late.iter().all(is_long), "only who has many entries is asked to cut: {late:?}");
        }
        // Where nothing goes, the real log is synced as well, and the model is not.
        if self.memory.unsynced() == 0 {
            self.settle();
        }
    }

    /// A batch whose sync has not ended.
    fn write_without_end(&mut self, parts: &Parts) {
        let batch = LogBatch { replicas: self.batches(parts), sync: true };
        if !is_empty(&batch) {
            self.real.log().write(batch.clone()).expect("the log takes it");
            self.real.disk.undo_last_sync();
            self.memory.write(LogBatch { sync: false, ..batch }).expect("the model takes it");
        }
    }

    /// A batch whose sync fails, after which none succeeds.
    fn fail(&mut self, parts: &Parts) {
        let batch = LogBatch { replicas: self.batches(parts), sync: true };
        if !is_empty(&batch) {
            self.real.disk.fail_next_sync();
            self.memory.fail_next_write();
            for _ in 0..2 {
                assert!(self.real.log().write(batch.clone()).is_err(), "no write succeeds after a failed sync");
                assert!(self.memory.write(batch.clone()).is_err(), "nor in the model");
            }
            assert!(self.real.log().purge().is_err() && self.memory.purge().is_err(), "nor is anything removed");
        }
    }

    /// The log shows a state that the model allows, and the model goes on with it.
    fn crash(&mut self, tear: Tear, seed: u64) {
        let tear = if self.has_loose_entries && matches!(tear, Tear::Sectors) { Tear::Tail } else { tear };
        self.real.crash(tear, &mut Rng::with_seed(seed));
        let left = content(self.real.log());
        // Beyond them there is at most the batch that did not end.
        let kept = self.possible.iter().rposition(|possible| *possible == left).unwrap_or(self.possible.len());
        self.memory.crash(kept);
        assert_eq!(left, content(&self.memory), "what is left is what was synced, and whole batches after it");
        self.settle();
    }
}

fn is_empty(batch: &LogBatch) -> bool {
    batch.replicas.iter().all(|replica| *replica == ReplicaBatch { shard: replica.shard, ..ReplicaBatch::default() })
}

proptest! {
    #![proptest_config(traces::config(64))]

    #[test]
    fn the_model_is_what_the_log_is_crashes_included(steps in vec(step(), 1..40)) {
        let mut pair = Pair::new();
        steps.iter().for_each(|step| pair.play(step));
    }
}

#[test]
fn a_disk_that_lies_loses_what_was_acknowledged() {
    let mut real = Real::empty();
    write(real.log(), vec![ReplicaBatch { shard: SHARD, entries: entries(1..=3, 1), ..ReplicaBatch::default() }]);
    real.disk.lie();
    write(real.log(), vec![ReplicaBatch { shard: SHARD, entries: entries(4..=5, 1), ..ReplicaBatch::default() }]);
    assert_eq!(real.log().bounds(SHARD), Some((1, 5)));
    real.crash(Tear::All, &mut Rng::with_seed(1));
    assert_eq!(real.log().bounds(SHARD), Some((1, 3)), "a crash that takes nothing proves nothing");
}

#[test]
fn what_replaced_the_old_is_durable_before_files_go() {
    let mut real = Real::empty();
    let record = |text: &'static str| vec![(LogState::Replica, Bytes::from(text))];
    write(real.log(), vec![ReplicaBatch { shard: SHARD, states: record("old"), ..ReplicaBatch::default() }]);
    // Far more files than raft-engine keeps for reuse.
    for number in 0..200 {
        let part = Part::Append { back: 0, count: 1, bytes: 500 };
        write(real.log(), vec![part.batch(SHARD, real.log().bounds(SHARD), number)]);
    }
    let cut = ReplicaBatch { shard: SHARD, cut_before: Some(201), states: record("new"), ..ReplicaBatch::default() };
    real.log().write(LogBatch { replicas: vec![cut], sync: false }).expect("the log takes it");
    let before = real.log().disk_bytes();
    assert_eq!(in_own_thread(|| real.log().purge()), Ok(Vec::new()));
    assert!(real.log().disk_bytes() < before, "files went");
    real.crash(Tear::All, &mut Rng::with_seed(1));
    assert_eq!(real.log().state(SHARD, LogState::Replica), Some(Bytes::from("new")), "the file with the old record is gone");
    assert_eq!(real.log().bounds(SHARD), None);
}

#[test]
fn what_was_overwritten_and_cut_is_not_back_after_a_restart() {
    let mut real = Real::empty();
    let one = |entries| vec![ReplicaBatch { shard: SHARD, entries, ..ReplicaBatch::default() }];
    let hard_state = vec![(LogState::HardState, Bytes::from("vote"))];
    write(real.log(), vec![ReplicaBatch { shard: SHARD, entries: entries(1..=20, 1), states: hard_state, ..ReplicaBatch::default() }]);
    // Another replica fills the log, so that a purge puts aside what this one has.
    for number in 0..60 {
        let part = Part::Append { back: 0, count: 1, bytes: 500 };
        write(real.log(), vec![part.batch(ShardId(2), real.log().bounds(ShardId(2)), number)]);
    }
    in_own_thread(|| real.log().purge()).expect("the log is purged");
    write(real.log(), one(entries(11..=12, 2)));
    write(real.log(), vec![ReplicaBatch { shard: SHARD, cut_before: Some(13), ..ReplicaBatch::default() }]);
    assert_eq!(real.log().bounds(SHARD), None);
    real.restart();
    assert_eq!(real.log().bounds(SHARD), None, "entries of an earlier leader would hide that there were later ones");
    assert_eq!(real.log().state(SHARD, LogState::HardState), Some(Bytes::from("vote")));
}

#[test]
fn a_gap_is_refused_before_it_is_written() {
    let (memory, mut real) = (MemoryLogStore::default(), Real::empty());
    let append = |range, term| vec![ReplicaBatch { shard: SHARD, entries: entries(range, term), ..ReplicaBatch::default() }];
    let half = ReplicaBatch { shard: SHARD, drop_after: Some(2), ..ReplicaBatch::default() };
    for log in [real.log() as &dyn LogStore, &memory] {
        write(log, append(3..=5, 1));
        write(log, vec![ReplicaBatch { shard: SHARD, cut_before: Some(4), ..ReplicaBatch::default() }]);
    }
    for wrong in [append(7..=8, 2), append(3..=4, 2), vec![half]] {
        for log in [real.log() as &dyn LogStore, &memory] {
            assert!(log.write(LogBatch { replicas: wrong.clone(), sync: true }).is_err());
            assert!(log.write(LogBatch { replicas: append(6..=6, 2), sync: true }).is_err(), "the process must end");
        }
        real.crash(Tear::Tail, &mut Rng::with_seed(1));
        memory.crash(1);
        assert_eq!(content(real.log()), content(&memory));
        assert_eq!(memory.bounds(SHARD), Some((4, 5)));
    }
}

#[test]
fn who_keeps_old_files_is_named_until_it_cuts() {
    let (memory, real) = (MemoryLogStore::default(), Real::empty());
    memory.purge_beyond(PURGE_BYTES);
    let (late, busy) = (ShardId(1), ShardId(2));
    for log in [real.log() as &dyn LogStore, &memory] {
        let append =
            |shard, number| write(log, vec![Part::Append { back: 0, count: 1, bytes: 400 }.batch(shard, log.bounds(shard), number)]);
        (0..60).for_each(|number| append(late, number));
        (0..200).for_each(|number| append(busy, number));
        let cut = |shard, before| write(log, vec![ReplicaBatch { shard, cut_before: Some(before), ..ReplicaBatch::default() }]);
        cut(busy, 199);
        assert_eq!(in_own_thread(|| log.purge()), Ok(vec![late]));
        let before = log.disk_bytes();
        cut(late, 60);
        assert_eq!((in_own_thread(|| log.purge()), log.disk_bytes() < before), (Ok(Vec::new()), true), "what is cut goes");
    }
}

fn entries(range: std::ops::RangeInclusive<u64>, term: u64) -> Vec<StoredEntry> {
    range.map(|index| StoredEntry { index, term, ..StoredEntry::default() }).collect()
}

fn write(store: &dyn LogStore, replicas: Vec<ReplicaBatch>) {
    store.write(LogBatch { replicas, sync: true }).expect("the log takes it");
}

/// The same traces on disk, after a restart, and in memory.
fn check(traces: &[Vec<&ReplicaBatch>], expected: Option<(u64, u64)>) {
    let folder = tempfile::tempdir().expect("a folder");
    let memory = MemoryLogStore::default();
    let disk = RaftEngineLogStore::open(folder.path(), 1 << 20).expect("opens");
    for trace in traces {
        write(&disk, trace.iter().copied().cloned().collect());
        write(&memory, trace.iter().copied().cloned().collect());
    }
    assert_eq!((disk.bounds(ShardId(1)), memory.bounds(ShardId(1))), (expected, expected));
    drop(disk);
    let disk = RaftEngineLogStore::open(folder.path(), 1 << 20).expect("opens again");
    assert_eq!(disk.bounds(ShardId(1)), expected, "after a restart");
    if let Some((first, last)) = expected {
        let read = |store: &dyn LogStore| store.entries(ShardId(1), first, last + 1, u64::MAX).expect("they are there");
        assert_eq!(read(&disk), read(&memory));
    }
}

#[test]
fn a_snapshot_leaves_no_divergent_tail() {
    let shard = ShardId(1);
    let old = ReplicaBatch { shard, entries: entries(1..=10, 1), ..ReplicaBatch::default() };
    let install = ReplicaBatch { shard, drop_after: Some(5), cut_before: Some(6), ..ReplicaBatch::default() };
    let new = ReplicaBatch { shard, entries: entries(6..=7, 2), ..ReplicaBatch::default() };
    check(&[vec![&old], vec![&install]], None);
    check(&[vec![&old], vec![&install], vec![&new]], Some((6, 7)));
    check(&[vec![&old, &install, &new]], Some((6, 7)));
    let short = ReplicaBatch { entries: entries(1..=3, 1), ..old.clone() };
    check(&[vec![&short], vec![&install], vec![&new]], Some((6, 7)));
    check(&[vec![&install], vec![&new]], Some((6, 7)));
    let later = ReplicaBatch { entries: entries(8..=10, 1), ..old.clone() };
    check(&[vec![&later], vec![&install]], None);
    check(&[vec![&later, &install, &new]], Some((6, 7)));
}
