//! Random traces on the model and on RocksDB, crashes included.

use super::*;
use crate::{
    tablet::{MemoryTablet, MemoryTabletStore},
    traces,
};
use proptest::{collection::vec, prelude::*, sample::select};
use std::ops::ControlFlow;
use tempfile::TempDir;

const SHARD: ShardId = ShardId(1);

/// Beyond every key.
const END: &[u8] = &[0xff; 32];

/// Where each batch writes its number, as the host does.
const APPLIED: &[u8] = b"applied";

type Record = (Bytes, Bytes);
type Content = [Vec<Record>; TabletFamily::ALL.len()];

/// What a scan visits, and how it ends.
fn visited(scan: impl FnOnce(&mut TabletVisitor<'_>) -> Result<(), EngineError>) -> (Vec<Record>, Result<(), EngineError>) {
    let mut seen = Vec::new();
    let end = scan(&mut |key, value| {
        seen.push((Bytes::copy_from_slice(key), Bytes::copy_from_slice(value)));
        ControlFlow::Continue(())
    });
    (seen, end)
}

fn records(tablet: &dyn Tablet, family: TabletFamily, from: &[u8], to: &[u8]) -> Vec<Record> {
    let (seen, end) = visited(|visit| tablet.scan(family, from, to, visit));
    end.expect("a tablet can be read");
    seen
}

fn content(tablet: &dyn Tablet) -> Content {
    TabletFamily::ALL.map(|family| records(tablet, family, &[], END))
}

/// RocksDB, and the folder it lies in.
struct Real {
    tablet: Option<RocksTablet>,
    store: RocksTabletStore,
    folder: TempDir,
}

impl Real {
    fn new(settings: RocksSettings) -> Real {
        let folder = tempfile::tempdir().expect("a folder");
        let store = RocksTabletStore::new(folder.path(), settings).expect("a store");
        Real { tablet: None, store, folder }
    }

    fn tablet(&self) -> &RocksTablet {
        self.tablet.as_ref().expect("it is open but while it restarts")
    }

    fn reopen(&mut self, generation: u64) {
        self.tablet = None;
        let opened = self.store.open_files(&self.store.path(SHARD, generation), false);
        self.tablet = Some(opened.expect("what a crash leaves can be opened"));
    }

    /// Copies the files as they are at this moment, which is what a killed process leaves: the manifest first, and then what it may name, of which
    /// nothing is removed meanwhile.
    fn copy_as_it_is(&self, to: &Path) {
        let tablet = self.tablet();
        let copy = |name: &str| fs::copy(tablet.path.join(name), to.join(name));
        fs::create_dir_all(to).expect("a folder");
        tablet.db.disable_file_deletions().expect("files stay");
        let current = fs::read_to_string(tablet.path.join("CURRENT")).expect("every tablet has one");
        for name in ["CURRENT", current.trim()] {
            copy(name).expect("the manifest is copied");
        }
        let is_needed = |name: &str| !to.join(name).exists() && !name.starts_with("LO") && !name.ends_with("dbtmp");
        for name in names_in(&tablet.path).expect("the folder is listed").iter().filter(|name| is_needed(name)) {
            match copy(name) {
                // Its removal had begun before.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                copied => assert!(copied.is_ok(), "a file is copied: {copied:?}"),
            }
        }
        tablet.db.enable_file_deletions().expect("files may go again");
    }
}

#[derive(Clone, Debug)]
enum Step {
    Write(Vec<TabletChange>),
    Flush,
    Read(TabletFamily, Vec<u8>, Vec<u8>),
    /// Moments are kept while a batch is written.
    Hold(TabletFamily, Vec<TabletChange>),
    /// A snapshot is taken and installed.
    Replace,
    /// The process ends in order.
    Restart,
    Crash,
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    vec(select(vec![0, b'a', b'b', 0xff]), 0..4)
}

fn changes() -> impl Strategy<Value = Vec<TabletChange>> {
    let value = (any::<u8>(), prop_oneof![6 => 0..40_usize, 1 => 1_000..4_000_usize]).prop_map(|(byte, length)| vec![byte; length]);
    let family = || select(TabletFamily::ALL.to_vec());
    let change = prop_oneof![
        6 => (family(), key(), value).prop_map(|(family, key, value)| TabletChange::Put(family, key.into(), value.into())),
        2 => (family(), key()).prop_map(|(family, key)| TabletChange::Delete(family, key.into())),
        1 => (family(), key(), key()).prop_map(|(family, from, to)| TabletChange::DeleteRange(family, from.into(), to.into())),
    ];
    vec(change, 0..8)
}

fn step() -> impl Strategy<Value = Step> {
    let family = || select(TabletFamily::ALL.to_vec());
    prop_oneof![
        12 => changes().prop_map(Step::Write),
        2 => Just(Step::Flush),
        5 => (family(), key(), key()).prop_map(|(family, from, to)| Step::Read(family, from, to)),
        2 => (family(), changes()).prop_map(|(family, changes)| Step::Hold(family, changes)),
        1 => Just(Step::Replace),
        1 => Just(Step::Restart),
        3 => Just(Step::Crash),
    ]
}

/// The model and the real tablet, side by side.
struct Pair {
    real: Real,
    models: MemoryTabletStore,
    model: Arc<MemoryTablet>,
    settings: RocksSettings,
    generation: u64,
    /// What a crash may leave: what was flushed, and what each batch since then made of it.
    possible: Vec<Content>,
    number: u64,
}

impl Pair {
    /// Where memory is short, RocksDB flushes by itself.
    fn new(is_short: bool) -> Pair {
        let write_buffer_bytes = if is_short { 64 << 10 } else { 8 << 20 };
        let settings = RocksSettings { block_cache_bytes: 32 << 10, write_buffer_bytes, direct_io: false };
        let (mut real, models) = (Real::new(settings), MemoryTabletStore::default());
        drop(real.store.create(SHARD, 1).expect("a tablet"));
        real.reopen(1);
        drop(models.create(SHARD, 1).expect("a model"));
        let model = models.newest(SHARD).expect("it was just made");
        Pair { real, models, model, settings, generation: 1, possible: vec![Content::default()], number: 0 }
    }

    fn may_flush_by_itself(&self) -> bool {
        self.settings.write_buffer_bytes < 1 << 20
    }

    fn play(&mut self, step: &Step) {
        match step {
            Step::Write(changes) => self.write(changes.clone()),
            Step::Flush => {
                [self.real.tablet() as &dyn Tablet, &*self.model].into_iter().try_for_each(|tablet| tablet.flush()).expect("both flush");
                self.settle();
            }
            Step::Read(family, from, to) => self.read(*family, from, to),
            Step::Hold(family, changes) => self.hold(*family, changes.clone()),
            Step::Replace => self.replace(),
            Step::Restart => {
                self.real.reopen(self.generation);
                self.go_on();
            }
            Step::Crash => self.crash(),
        }
        assert_eq!(content(self.real.tablet()), content(&*self.model), "model and tablet show the same");
        assert_eq!(self.model.unflushed() + 1, self.possible.len());
    }

    fn write(&mut self, mut changes: Vec<TabletChange>) {
        self.number += 1;
        changes.push(TabletChange::Put(TabletFamily::System, APPLIED.into(), self.number.to_string().into()));
        self.real.tablet().write(changes.clone()).expect("the tablet takes it");
        self.model.write(changes).expect("the model takes it");
        self.possible.push(content(&*self.model));
    }

    /// Everything is durable.
    fn settle(&mut self) {
        self.possible = vec![content(&*self.model)];
    }

    fn read(&self, family: TabletFamily, from: &[u8], to: &[u8]) {
        let truth = records(&*self.model, family, from, to);
        assert_eq!(records(self.real.tablet(), family, from, to), truth);
        for tablet in [self.real.tablet() as &dyn Tablet, &*self.model] {
            assert_eq!(tablet.get(family, from), self.model.get(family, from));
            shows(&*tablet.snapshot(), (family, from, to), &truth, false);
            shows(&*tablet.snapshot_in_memory(), (family, from, to), &truth, true);
            shows(&*tablet.in_memory(), (family, from, to), &truth, true);
        }
    }

    fn hold(&mut self, family: TabletFamily, changes: Vec<TabletChange>) {
        let truth = records(&*self.model, family, &[], END);
        let model = self.model.clone();
        let moments = [(model.snapshot(), false), (model.snapshot_in_memory(), true)];
        let real = self.real.tablet();
        let real_moments = [(real.snapshot(), false), (real.snapshot_in_memory(), true)];
        let (now, real_now) = (model.in_memory(), real.in_memory());
        for tablet in [real as &dyn Tablet, &*model] {
            tablet.write(changes.clone()).expect("both take it");
        }
        for (moment, may_lack) in moments.iter().chain(&real_moments) {
            shows(&**moment, (family, &[], END), &truth, *may_lack);
        }
        let truth = records(&*model, family, &[], END);
        [now, real_now].iter().for_each(|now| shows(&**now, (family, &[], END), &truth, true));
        drop((moments, real_moments));
        self.possible.push(content(&*model));
    }

    fn replace(&mut self) {
        let (real, store) = (self.real.tablet(), &self.real.store);
        let files = self.real.folder.path().join("checkpoint");
        real.checkpoint(&files).expect("a checkpoint");
        let copy = self.model.duplicate().expect("a model has a copy");
        assert_eq!(store.peek(&files, TabletFamily::System, APPLIED), copy.get(TabletFamily::System, APPLIED));
        let received = store.open_received(&files).expect("the files of a checkpoint are a tablet");
        assert_eq!(content(&*received), content(&*copy));
        self.generation += 1;
        drop(store.adopt(SHARD, self.generation, &received).expect("it is taken over"));
        drop(received);
        assert!(!files.exists(), "its folder goes with it");
        self.real.reopen(self.generation);
        self.real.store.retain(SHARD, Some(self.generation)).expect("the old one goes");
        drop(self.models.adopt(SHARD, self.generation, &copy).expect("the model, too"));
        self.models.retain(SHARD, Some(self.generation)).expect("the old one goes");
        self.model = self.models.newest(SHARD).expect("it was just taken over");
        self.settle();
    }

    fn crash(&mut self) {
        let mut left = Real::new(self.settings);
        self.real.copy_as_it_is(&left.store.path(SHARD, self.generation));
        left.reopen(self.generation);
        self.real = left;
        if !self.may_flush_by_itself() {
            assert_eq!(content(self.real.tablet()), self.possible[0], "nothing is left but what was flushed");
        }
        self.go_on();
    }

    /// The tablet shows a state that the model allows, and the model goes on with it.
    fn go_on(&mut self) {
        let left = content(self.real.tablet());
        let kept = self.possible.iter().rposition(|possible| *possible == left);
        self.model.crash(kept.expect("what is left is what was flushed, and whole batches after it, in all families"));
        self.settle();
    }
}

/// A way to read shows nothing but the truth. Where it may lack something it says so, and has shown a beginning.
fn shows(read: &dyn TabletRead, (family, from, to): (TabletFamily, &[u8], &[u8]), truth: &[Record], may_lack: bool) {
    let (seen, end) = visited(|visit| read.scan(family, from, to, visit));
    match end {
        Ok(()) => assert_eq!(seen, truth),
        Err(EngineError::NotInMemory) if may_lack => assert!(truth.starts_with(&seen), "{seen:?} is no beginning of {truth:?}"),
        Err(error) => panic!("a scan failed: {error}"),
    }
    for (key, value) in truth {
        match read.get(family, key) {
            Err(EngineError::NotInMemory) if may_lack => {}
            found => assert_eq!(found.as_ref(), Ok(&Some(value.clone()))),
        }
    }
}

proptest! {
    #![proptest_config(traces::config(24))]

    #[test]
    fn the_model_is_what_the_tablet_is_crashes_included(is_short: bool, steps in vec(step(), 1..40)) {
        let mut pair = Pair::new(is_short);
        steps.iter().for_each(|step| pair.play(step));
    }
}

#[test]
fn a_range_that_ends_before_it_begins_removes_nothing() {
    let mut pair = Pair::new(false);
    let put = |key: &'static str| TabletChange::Put(TabletFamily::Data, key.into(), key.into());
    let range = |from: &'static str, to: &'static str| TabletChange::DeleteRange(TabletFamily::Data, from.into(), to.into());
    pair.play(&Step::Write(vec![put("a"), put("b"), range("b", "a"), range("a", "a"), put("c")]));
    pair.play(&Step::Write(vec![range("a", "b")]));
    assert_eq!(content(pair.real.tablet())[TabletFamily::Data as usize].len(), 2);
}

#[test]
fn a_tablet_that_is_short_of_memory_flushes_by_itself_and_the_model_allows_it() {
    let mut pair = Pair::new(true);
    let value = Bytes::from(vec![7; 4_000]);
    let put = |family| TabletChange::Put(family, "key".into(), value.clone());
    let mut kept = 0;
    // Whether it has ended when the process dies is left to the threads of RocksDB; in so many batches one has.
    for _ in 0..20 {
        (0..20).for_each(|_| pair.play(&Step::Write(TabletFamily::ALL.map(put).to_vec())));
        let before = pair.possible[0].clone();
        pair.play(&Step::Crash);
        kept += usize::from(pair.possible[0] != before);
    }
    assert!(kept > 0, "a crash took everything each time");
}
