//! Tablets on disk: one RocksDB instance each. The only module that names RocksDB.
//!
//! The write-ahead log is off and flushes are atomic over all families. All tablets of a node share one block cache and one budget of
//! memtables, so that an idle tablet costs little.

use super::{MomentReader, Tablet, TabletChange, TabletFamily, TabletMoment, TabletRead, TabletStore, TabletVisitor};
use crate::EngineError;
use bytes::Bytes;
use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamily, ColumnFamilyDescriptor, DB, DBCompressionType, ErrorKind, FlushOptions, IteratorMode, LogLevel,
    Options, ReadOptions, ReadTier, Snapshot, WriteBatch, WriteBufferManager, WriteOptions, checkpoint::Checkpoint,
};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        mpsc::{SyncSender, sync_channel},
    },
    thread::Builder,
};
use strata_base::ShardId;

/// What is read ahead for whoever reads all of a tablet in order, in bytes.
const READAHEAD_BYTES: usize = 2 << 20;

/// What all tablets of a node share.
#[derive(Clone, Copy, Debug)]
pub struct RocksSettings {
    /// The block cache, in bytes.
    pub block_cache_bytes: u64,
    /// All memtables together, in bytes.
    pub write_buffer_bytes: u64,
    /// Whether files are read and written past the page cache.
    pub direct_io: bool,
}

/// The tablets of a node, under one folder: `<folder>/<shard>/<generation>/`.
pub struct RocksTabletStore {
    folder: PathBuf,
    options: Options,
}

impl RocksTabletStore {
    /// The tablets under `folder`, which is created where it is missing.
    pub fn new(folder: &Path, settings: RocksSettings) -> Result<RocksTabletStore, EngineError> {
        fs::create_dir_all(folder).map_err(EngineError::failed("cannot create the folder of the tablets"))?;
        Ok(RocksTabletStore { folder: folder.to_owned(), options: shared_options(settings) })
    }

    /// Where a generation of a tablet lies.
    pub fn path(&self, shard: ShardId, generation: u64) -> PathBuf {
        self.folder.join(shard.to_string()).join(generation.to_string())
    }

    /// Opens the files of a snapshot that was just received; their folder goes with the tablet.
    pub fn open_received(&self, path: &Path) -> Result<Arc<dyn Tablet>, EngineError> {
        self.open_at(path, true)
    }

    /// Opens the files of a tablet that another process may be serving; nothing is written.
    pub fn open_read_only(&self, path: &Path) -> Result<Arc<dyn Tablet>, EngineError> {
        let families = TabletFamily::ALL.map(|family| ColumnFamilyDescriptor::new(family.name(), self.options.clone()));
        let opened = DB::open_cf_descriptors_read_only(&self.options, path, families, false);
        let db = opened.map_err(EngineError::failed("cannot open a tablet for reading"))?;
        Ok(Arc::new(RocksTablet::new(db, WriteOptions::default(), path, false)))
    }

    fn open_at(&self, path: &Path, is_temporary: bool) -> Result<Arc<dyn Tablet>, EngineError> {
        Ok(Arc::new(self.open_files(path, is_temporary)?))
    }

    fn open_files(&self, path: &Path, is_temporary: bool) -> Result<RocksTablet, EngineError> {
        let families = TabletFamily::ALL.map(|family| ColumnFamilyDescriptor::new(family.name(), self.options.clone()));
        let db = DB::open_cf_descriptors(&self.options, path, families).map_err(EngineError::failed("cannot open a tablet"))?;
        let mut write_options = WriteOptions::default();
        write_options.disable_wal(true);
        Ok(RocksTablet::new(db, write_options, path, is_temporary))
    }
}

fn shared_options(settings: RocksSettings) -> Options {
    const MIB: usize = 1 << 20;
    let cache = Cache::new_lru_cache(usize::try_from(settings.block_cache_bytes).unwrap_or(usize::MAX));
    let buffers = WriteBufferManager::new_write_buffer_manager(usize::try_from(settings.write_buffer_bytes).unwrap_or(usize::MAX), false);
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(&cache);
    table.set_block_size(16 << 10);
    table.set_bloom_filter(10.0, false);
    table.set_cache_index_and_filter_blocks(true);
    table.set_pin_l0_filter_and_index_blocks_in_cache(true);
    table.set_format_version(6);
    let mut options = Options::default();
    options.set_block_based_table_factory(&table);
    options.set_write_buffer_manager(&buffers);
    options.set_write_buffer_size(32 * MIB);
    options.set_arena_block_size(256 << 10);
    options.set_atomic_flush(true);
    options.set_max_background_jobs(2);
    options.set_compression_type(DBCompressionType::Lz4);
    options.set_bottommost_compression_type(DBCompressionType::Zstd);
    options.set_level_compaction_dynamic_level_bytes(true);
    options.set_bytes_per_sync(MIB as u64);
    options.set_keep_log_file_num(2);
    options.set_log_level(LogLevel::Warn);
    options.set_stats_dump_period_sec(0);
    options.set_max_open_files(512);
    options.create_if_missing(false);
    options.set_use_direct_reads(settings.direct_io);
    options.set_use_direct_io_for_flush_and_compaction(settings.direct_io);
    options
}

impl TabletStore for RocksTabletStore {
    fn create(&self, shard: ShardId, generation: u64) -> Result<Arc<dyn Tablet>, EngineError> {
        let path = self.path(shard, generation);
        remove_folder(&path)?;
        fs::create_dir_all(&path).map_err(EngineError::failed("cannot create the folder of a tablet"))?;
        let mut options = self.options.clone();
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        let families = TabletFamily::ALL.map(|family| ColumnFamilyDescriptor::new(family.name(), options.clone()));
        drop(DB::open_cf_descriptors(&options, &path, families).map_err(EngineError::failed("cannot create a tablet"))?);
        sync_folder(&path)?;
        path.parent().map_or(Ok(()), sync_folder)?;
        sync_folder(&self.folder)?;
        self.open_at(&path, false)
    }

    fn open(&self, shard: ShardId, generation: u64) -> Result<Arc<dyn Tablet>, EngineError> {
        self.open_at(&self.path(shard, generation), false)
    }

    fn adopt(&self, shard: ShardId, generation: u64, tablet: &Arc<dyn Tablet>) -> Result<Arc<dyn Tablet>, EngineError> {
        let path = self.path(shard, generation);
        remove_folder(&path)?;
        path.parent().map_or(Ok(()), fs::create_dir_all).map_err(EngineError::failed("cannot create the folder of a shard"))?;
        // Hard links: the received files stay where they are until their folder is removed.
        tablet.checkpoint(&path)?;
        sync_folder(&path)?;
        path.parent().map_or(Ok(()), sync_folder)?;
        sync_folder(&self.folder)?;
        self.open_at(&path, false)
    }

    fn build(&self, shard: ShardId, generation: u64, files: &[(PathBuf, String)]) -> Result<Arc<dyn Tablet>, EngineError> {
        let path = self.path(shard, generation);
        remove_folder(&path)?;
        fs::create_dir_all(&path).map_err(EngineError::failed("cannot create the folder of a tablet"))?;
        for (fetched, name) in files {
            // The table files are immutable and may be links; the others are rewritten when the tablet opens, and must be its own.
            let linked = if name.ends_with(".sst") { fs::hard_link(fetched, path.join(name)) } else { copy(fetched, &path.join(name)) };
            linked.map_err(EngineError::failed("cannot place a file of a tablet"))?;
        }
        sync_folder(&path)?;
        path.parent().map_or(Ok(()), sync_folder)?;
        sync_folder(&self.folder)?;
        self.open_at(&path, false)
    }

    fn peek(&self, checkpoint: &Path, family: TabletFamily, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        let names = TabletFamily::ALL.map(TabletFamily::name);
        let opened = DB::open_cf_for_read_only(&self.options, checkpoint, names, false);
        let db = opened.map_err(EngineError::failed("cannot open a checkpoint"))?;
        let handle = db.cf_handle(family.name()).expect("all families were opened");
        Ok(db.get_cf(handle, key).map_err(EngineError::failed("cannot read a checkpoint"))?.map(Bytes::from))
    }

    fn retain(&self, shard: ShardId, keep: Option<u64>) -> Result<(), EngineError> {
        let folder = self.folder.join(shard.to_string());
        for name in names_in(&folder)? {
            let is_kept = name.parse::<u64>().is_ok_and(|generation| keep.is_some_and(|keep| generation >= keep));
            if !is_kept {
                remove_folder(&folder.join(name))?;
            }
        }
        if keep.is_none() { remove_folder(&folder) } else { Ok(()) }
    }

    fn forget_after(&self, shard: ShardId, last: u64) -> Result<(), EngineError> {
        let folder = self.folder.join(shard.to_string());
        for name in names_in(&folder)? {
            if name.parse::<u64>().is_ok_and(|generation| generation > last) {
                remove_folder(&folder.join(name))?;
            }
        }
        Ok(())
    }

    fn shards(&self) -> Result<Vec<ShardId>, EngineError> {
        Ok(names_in(&self.folder)?.iter().filter_map(|name| name.parse().ok()).collect())
    }
}

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::copy(from, to)?;
    fs::File::open(to)?.sync_all()
}

fn names_in(folder: &Path) -> Result<Vec<String>, EngineError> {
    match fs::read_dir(folder) {
        Ok(entries) => Ok(entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(EngineError::failed("cannot list the folder of the tablets")(error)),
    }
}

fn remove_folder(path: &Path) -> Result<(), EngineError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(EngineError::failed("cannot remove the folder of a tablet")(error))
        }
        _ => Ok(()),
    }
}

fn sync_folder(path: &Path) -> Result<(), EngineError> {
    let synced = fs::File::open(path).and_then(|folder| folder.sync_all());
    synced.map_err(EngineError::failed("cannot sync a folder of the tablets"))
}

struct RocksTablet {
    db: DB,
    write_options: WriteOptions,
    /// How single records are read; made once, since a read in memory takes little longer than the making.
    anywhere: ReadOptions,
    in_memory: ReadOptions,
    path: PathBuf,
    /// Whether the folder goes with the tablet.
    is_temporary: bool,
}

impl Drop for RocksTablet {
    fn drop(&mut self) {
        if self.is_temporary {
            // Files that are open live until they are closed; what cannot be removed now is removed at the next start.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

impl RocksTablet {
    fn new(db: DB, write_options: WriteOptions, path: &Path, is_temporary: bool) -> RocksTablet {
        let (anywhere, in_memory) = (ReadOptions::default(), in_memory_options());
        RocksTablet { db, write_options, anywhere, in_memory, path: path.to_owned(), is_temporary }
    }

    fn family(&self, family: TabletFamily) -> &ColumnFamily {
        self.db.cf_handle(family.name()).expect("all families were opened")
    }

    fn get_by(&self, options: &ReadOptions, family: TabletFamily, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        let value = self.db.get_pinned_cf_opt(self.family(family), key, options).map_err(read_error("cannot read a tablet"))?;
        Ok(value.map(|value| Bytes::copy_from_slice(&value)))
    }

    fn scan_by(
        &self,
        mut options: ReadOptions,
        family: TabletFamily,
        (from, to): (&[u8], &[u8]),
        visit: &mut TabletVisitor<'_>,
    ) -> Result<(), EngineError> {
        if from >= to {
            return Ok(());
        }
        options.set_iterate_lower_bound(from);
        options.set_iterate_upper_bound(to);
        for record in self.db.iterator_cf_opt(self.family(family), options, IteratorMode::Start) {
            let (key, value) = record.map_err(read_error("cannot scan a tablet"))?;
            if visit(&key, &value).is_break() {
                break;
            }
        }
        Ok(())
    }
}

fn read_error(doing: &'static str) -> impl FnOnce(rocksdb::Error) -> EngineError {
    move |error| match error.kind() {
        ErrorKind::Incomplete => EngineError::NotInMemory,
        _ => EngineError::Failed { doing, reason: error.to_string() },
    }
}

/// What memtables and block cache hold.
struct InMemory<'a>(&'a RocksTablet);

fn in_memory_options() -> ReadOptions {
    let mut options = ReadOptions::default();
    options.set_read_tier(ReadTier::BlockCache);
    options
}

impl TabletRead for InMemory<'_> {
    fn get(&self, family: TabletFamily, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        self.0.get_by(&self.0.in_memory, family, key)
    }

    fn scan(&self, family: TabletFamily, from: &[u8], to: &[u8], visit: &mut TabletVisitor<'_>) -> Result<(), EngineError> {
        self.0.scan_by(in_memory_options(), family, (from, to), visit)
    }
}

/// One moment.
struct AtOnce<'a> {
    tablet: &'a RocksTablet,
    snapshot: Snapshot<'a>,
    tier: ReadTier,
    /// Whether all of it will be read, once: the block cache is for others then.
    is_whole: bool,
}

impl AtOnce<'_> {
    fn options(&self) -> ReadOptions {
        let mut options = ReadOptions::default();
        options.set_snapshot(&self.snapshot);
        options.set_read_tier(self.tier);
        if self.is_whole {
            options.fill_cache(false);
            options.set_readahead_size(READAHEAD_BYTES);
        }
        options
    }
}

impl TabletRead for AtOnce<'_> {
    fn get(&self, family: TabletFamily, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        self.tablet.get_by(&self.options(), family, key)
    }

    fn scan(&self, family: TabletFamily, from: &[u8], to: &[u8], visit: &mut TabletVisitor<'_>) -> Result<(), EngineError> {
        self.tablet.scan_by(self.options(), family, (from, to), visit)
    }
}

/// A moment that nobody reads yet. A snapshot borrows its database, so a thread owns both.
struct HeldMoment {
    /// The thread ends when it has read, or when nobody can ask it to any more.
    reader: SyncSender<MomentReader>,
}

impl HeldMoment {
    fn of(tablet: Arc<RocksTablet>) -> Result<HeldMoment, EngineError> {
        let (reader, given) = sync_channel::<MomentReader>(1);
        let (holds, is_held) = sync_channel(1);
        let hold = move || {
            let snapshot = tablet.db.snapshot();
            let moment = AtOnce { tablet: &tablet, snapshot, tier: ReadTier::All, is_whole: true };
            if holds.send(()).is_ok()
                && let Ok(read) = given.recv()
            {
                read(&moment);
            }
        };
        let held = Builder::new().name("moment".to_owned()).spawn(hold).map_err(EngineError::failed("cannot start a thread"))?;
        // Not joined: it ends with its reading.
        drop(held);
        is_held.recv().map_err(EngineError::failed("cannot hold a moment of a tablet"))?;
        Ok(HeldMoment { reader })
    }
}

impl TabletMoment for HeldMoment {
    fn read(self: Box<Self>, reader: MomentReader) {
        // The thread waits for just this.
        let _ = self.reader.send(reader);
    }
}

impl Tablet for RocksTablet {
    fn get(&self, family: TabletFamily, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        self.get_by(&self.anywhere, family, key)
    }

    fn scan(&self, family: TabletFamily, from: &[u8], to: &[u8], visit: &mut TabletVisitor<'_>) -> Result<(), EngineError> {
        self.scan_by(ReadOptions::default(), family, (from, to), visit)
    }

    fn in_memory(&self) -> Box<dyn TabletRead + '_> {
        Box::new(InMemory(self))
    }

    fn snapshot(&self) -> Box<dyn TabletRead + '_> {
        Box::new(AtOnce { tablet: self, snapshot: self.db.snapshot(), tier: ReadTier::All, is_whole: false })
    }

    fn snapshot_in_memory(&self) -> Box<dyn TabletRead + '_> {
        Box::new(AtOnce { tablet: self, snapshot: self.db.snapshot(), tier: ReadTier::BlockCache, is_whole: false })
    }

    fn moment(self: Arc<Self>) -> Result<Box<dyn TabletMoment>, EngineError> {
        Ok(Box::new(HeldMoment::of(self)?))
    }

    fn write(&self, changes: Vec<TabletChange>) -> Result<(), EngineError> {
        let mut batch = WriteBatch::with_capacity_bytes(changes.iter().map(TabletChange::size).sum());
        for change in changes {
            match change {
                TabletChange::Put(family, key, value) => batch.put_cf(self.family(family), key, value),
                TabletChange::Delete(family, key) => batch.delete_cf(self.family(family), key),
                // Of a range that ends before it begins RocksDB would make an error, and take no write after it.
                TabletChange::DeleteRange(family, from, to) if from < to => batch.delete_range_cf(self.family(family), from, to),
                TabletChange::DeleteRange(..) => {}
            }
        }
        self.db.write_opt(&batch, &self.write_options).map_err(EngineError::failed("cannot write a tablet"))
    }

    fn flush(&self) -> Result<(), EngineError> {
        let mut options = FlushOptions::default();
        options.set_wait(true);
        let families: Vec<_> = TabletFamily::ALL.iter().map(|family| self.family(*family)).collect();
        self.db.flush_cfs_opt(&families, &options).map_err(EngineError::failed("cannot flush a tablet"))
    }

    fn verify(&self) -> Result<(), EngineError> {
        let mut options = ReadOptions::default();
        options.fill_cache(false);
        options.set_readahead_size(READAHEAD_BYTES);
        self.db.verify_checksum_opt(&options).map_err(EngineError::failed("cannot read a tablet"))
    }

    fn checkpoint(&self, folder: &Path) -> Result<(), EngineError> {
        self.flush()?;
        let checkpoint = Checkpoint::new(&self.db).map_err(EngineError::failed("cannot begin a checkpoint"))?;
        checkpoint.create_checkpoint(folder).map_err(EngineError::failed("cannot make a checkpoint"))
    }

    fn duplicate(&self) -> Option<Arc<dyn Tablet>> {
        None
    }

    fn file_bytes(&self) -> u64 {
        let files = fs::read_dir(&self.path).into_iter().flatten().filter_map(|entry| entry.ok()?.metadata().ok());
        files.map(|file| file.len()).sum()
    }
}

#[cfg(test)]
mod trace_tests;

#[cfg(test)]
mod tests {
    use super::{
        super::{MemoryTablet, TabletDigest},
        *,
    };
    use std::ops::ControlFlow;

    const SETTINGS: RocksSettings = RocksSettings { block_cache_bytes: 1 << 20, write_buffer_bytes: 1 << 20, direct_io: true };
    const SHARD: ShardId = ShardId(1);

    fn put(key: &'static str, value: &'static str) -> TabletChange {
        TabletChange::Put(TabletFamily::Meta, Bytes::from_static(key.as_bytes()), Bytes::from_static(value.as_bytes()))
    }

    /// A new tablet in which a key is old; and a store over its folder, whose cache has nothing in it.
    fn written(folder: &Path) -> (Arc<dyn Tablet>, RocksTabletStore) {
        let store = || RocksTabletStore::new(folder, SETTINGS).expect("a store");
        let tablet = store().create(SHARD, 1).expect("a tablet");
        tablet.write(vec![put("key", "old")]).expect("it takes a record");
        (tablet, store())
    }

    #[test]
    fn one_bit_of_a_file_is_noticed_when_a_tablet_is_verified_and_when_it_is_read() {
        use std::os::unix::fs::FileExt;
        let folder = tempfile::tempdir().expect("a folder");
        let (tablet, store) = written(folder.path());
        tablet.flush().expect("it is flushed");
        tablet.verify().expect("it is whole");
        let files = fs::read_dir(store.path(SHARD, 1)).expect("its folder").filter_map(|entry| Some(entry.ok()?.path()));
        let table = files.filter(|path| path.extension().is_some_and(|extension| extension == "sst")).min().expect("a table file");
        let file = fs::OpenOptions::new().read(true).write(true).open(table).expect("it opens");
        let mut byte = [0];
        file.read_exact_at(&mut byte, 1).expect("it has a block");
        file.write_all_at(&[byte[0] ^ 1], 1).and_then(|()| file.sync_all()).expect("it is written");
        let found = tablet.verify().expect_err("a block has another checksum");
        assert!(found.to_string().contains("Corruption"), "{found}");
        let read = tablet.get(TabletFamily::Meta, b"key").expect_err("a record in it cannot be read");
        assert!(read.to_string().contains("Corruption"), "{read}");
    }

    fn first(read: &dyn TabletRead) -> Result<Option<Vec<u8>>, EngineError> {
        let mut found = None;
        read.scan(TabletFamily::Meta, b"a", b"z", &mut |_, value| {
            found = Some(value.to_vec());
            ControlFlow::Break(())
        })?;
        Ok(found)
    }

    #[test]
    fn what_is_not_in_memory_is_said_to_be_and_a_snapshot_reads_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let (written, store) = written(folder.path());
        assert_eq!(written.in_memory().get(TabletFamily::Meta, b"key"), Ok(Some(Bytes::from_static(b"old"))), "a memtable is memory");
        written.flush().expect("it flushes");
        drop(written);

        let tablet = store.open(SHARD, 1).expect("it opens");
        assert_eq!(tablet.in_memory().get(TabletFamily::Meta, b"key"), Err(EngineError::NotInMemory));
        assert_eq!(first(&*tablet.in_memory()), Err(EngineError::NotInMemory));
        let snapshot = tablet.snapshot();
        tablet.write(vec![put("key", "new")]).expect("it takes a record");
        assert_eq!(snapshot.get(TabletFamily::Meta, b"key"), Ok(Some(Bytes::from_static(b"old"))));
        assert_eq!(first(&*snapshot), Ok(Some(b"old".to_vec())));
        assert_eq!(tablet.in_memory().get(TabletFamily::Meta, b"key"), Ok(Some(Bytes::from_static(b"new"))));
        assert_eq!(
            store.open_read_only(&store.path(SHARD, 1)).map(|tablet| tablet.get(TabletFamily::Meta, b"key")).expect("it opens beside"),
            Ok(Some(Bytes::from_static(b"old"))),
            "only what is in files"
        );
    }

    /// What a moment of a tablet holds.
    fn digest(tablet: &Arc<dyn Tablet>) -> TabletDigest {
        let (told, tells) = sync_channel(1);
        let moment = tablet.clone().moment().expect("a moment is held");
        moment.read(Box::new(move |read| told.send(TabletDigest::of(read)).expect("somebody waits")));
        tells.recv().expect("the moment is read").expect("it can be")
    }

    #[test]
    fn a_moment_is_read_later_and_elsewhere() {
        let folder = tempfile::tempdir().expect("a folder");
        let (tablet, _) = written(folder.path());
        let before = digest(&tablet);
        let (told, tells) = sync_channel(1);
        let moment = tablet.clone().moment().expect("a moment is held");
        tablet.write(vec![put("key", "new"), put("other", "new")]).expect("it takes records");
        tablet.flush().expect("it flushes");
        let after = digest(&tablet);
        drop(tablet);
        moment.read(Box::new(move |read| told.send(TabletDigest::of(read)).expect("somebody waits")));
        assert_eq!(tells.recv().expect("the moment is read"), Ok(before));
        assert_eq!((before.records, after.records), (1, 2));
        assert_ne!(before, after);
    }

    #[test]
    fn a_digest_is_of_what_a_tablet_holds_and_not_of_how_it_lies() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = RocksTabletStore::new(folder.path(), SETTINGS).expect("a store");
        let keys: Vec<String> = (0..300).map(|number| format!("key-{number:03}")).collect();
        let record = |key: &str| TabletChange::Put(TabletFamily::Meta, Bytes::from(key.to_owned()), Bytes::from(format!("of {key}")));
        let memory: Arc<dyn Tablet> = Arc::new(MemoryTablet::default());
        memory.write(keys.iter().map(|key| record(key)).collect()).expect("it takes records");
        let expected = digest(&memory);
        assert_eq!(expected.records, 300);

        // Backwards, each overwritten once, others removed by themselves and by ranges meanwhile, in memtables and many files.
        drop(store.create(SHARD, 1).expect("a tablet"));
        let files = Arc::new(store.open_files(&store.path(SHARD, 1), false).expect("it opens"));
        let tablet: Arc<dyn Tablet> = files.clone();
        let write = |changes: Vec<TabletChange>| tablet.write(changes).expect("it takes changes");
        for (nth, key) in keys.iter().rev().enumerate() {
            let key_bytes = || Bytes::from(key.clone());
            let passing = || TabletChange::Put(TabletFamily::Data, key_bytes(), Bytes::new());
            write(vec![TabletChange::Put(TabletFamily::Meta, key_bytes(), Bytes::from_static(b"other")), passing()]);
            write(vec![record(key), TabletChange::Delete(TabletFamily::Data, key_bytes())]);
            write(vec![passing(), TabletChange::Put(TabletFamily::System, "own".into(), Bytes::from(nth.to_string()))]);
            if nth % 50 == 0 {
                tablet.flush().expect("it flushes");
            }
        }
        write(vec![TabletChange::DeleteRange(TabletFamily::Data, "key".into(), "kez".into())]);
        assert_eq!(digest(&tablet), expected, "partly in memtables");
        tablet.flush().expect("it flushes");
        assert_eq!(digest(&tablet), expected, "in files");
        TabletFamily::ALL.iter().for_each(|family| files.db.compact_range_cf(files.family(*family), None::<&[u8]>, None::<&[u8]>));
        assert_eq!(digest(&tablet), expected, "compacted");
        write(vec![TabletChange::Put(TabletFamily::Meta, "key-150".into(), "of key-151".into())]);
        assert_ne!(digest(&tablet), expected, "one bit differs");
    }

    #[test]
    fn a_snapshot_of_memory_is_of_one_moment_and_asks_no_disk() {
        let folder = tempfile::tempdir().expect("a folder");
        let (written, store) = written(folder.path());
        let snapshot = written.snapshot_in_memory();
        written.write(vec![put("key", "new")]).expect("it takes a record");
        assert_eq!(snapshot.get(TabletFamily::Meta, b"key"), Ok(Some(Bytes::from_static(b"old"))));
        assert_eq!(first(&*snapshot), Ok(Some(b"old".to_vec())));
        drop(snapshot);
        written.flush().expect("it flushes");
        drop(written);

        let tablet = store.open(SHARD, 1).expect("it opens");
        assert_eq!(tablet.snapshot_in_memory().get(TabletFamily::Meta, b"key"), Err(EngineError::NotInMemory));
        assert_eq!(first(&*tablet.snapshot_in_memory()), Err(EngineError::NotInMemory));
    }
}
