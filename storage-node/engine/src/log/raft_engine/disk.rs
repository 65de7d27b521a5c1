//! A disk that forgets what was not synced, below the real raft-engine.
//!
//! The contents of its files are in memory, each as it was synced last and as it was changed since; the folder holds their names, which
//! raft-engine lists by itself. Files that were created, renamed or removed stay so.

use fastrand::Rng;
use raft_engine::env::{FileSystem, Handle, Permission, WriteExt};
use std::{
    collections::BTreeMap,
    fs,
    io::{Error, ErrorKind, Read, Result, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

/// What a crash leaves of changes that were not synced.
#[derive(Clone, Copy, Debug)]
pub(super) enum Tear {
    /// None of them.
    All,
    /// The first of them, and the beginning of the next.
    Tail,
    /// Any sectors of all of them, since a disk keeps no order.
    Sectors,
}

/// The bytes that a disk writes at once.
const SECTOR: usize = 512;

/// A disk. Clones are the same disk.
#[derive(Clone, Default)]
pub(super) struct ForgetfulDisk {
    files: Arc<Mutex<BTreeMap<PathBuf, File>>>,
    faults: Arc<Faults>,
}

#[derive(Default)]
struct Faults {
    lies: AtomicBool,
    fails_next_sync: AtomicBool,
    last_sync: Mutex<Option<(File, Content)>>,
}

type File = Arc<Mutex<Content>>;

#[derive(Clone, Default)]
struct Content {
    synced: Vec<u8>,
    changes: Vec<Change>,
    /// `synced` with all changes.
    now: Vec<u8>,
}

#[derive(Clone)]
enum Change {
    Write { at: usize, bytes: Vec<u8> },
    Truncate { length: usize },
    Extend { length: usize },
}

impl Change {
    fn make(&self, content: &mut Vec<u8>) {
        match self {
            Change::Write { at, bytes } => {
                content.resize(content.len().max(at + bytes.len()), 0);
                content[*at..at + bytes.len()].copy_from_slice(bytes);
            }
            Change::Truncate { length } => content.resize(*length, 0),
            Change::Extend { length } => content.resize(content.len().max(*length), 0),
        }
    }

    /// A beginning of it.
    fn torn(&self, draws: &mut Rng) -> Option<Change> {
        let Change::Write { at, bytes } = self else { return None };
        Some(Change::Write { at: *at, bytes: bytes[..draws.usize(..=bytes.len())].to_vec() })
    }
}

impl Content {
    fn change(&mut self, change: Change) {
        change.make(&mut self.now);
        self.changes.push(change);
    }

    fn left(&self, tear: Tear, draws: &mut Rng) -> Vec<u8> {
        let mut left = self.synced.clone();
        match tear {
            Tear::All => {}
            Tear::Tail => {
                let whole = draws.usize(..=self.changes.len());
                self.changes[..whole].iter().for_each(|change| change.make(&mut left));
                if let Some(torn) = self.changes.get(whole).and_then(|change| change.torn(draws)) {
                    torn.make(&mut left);
                }
            }
            Tear::Sectors => {
                if !self.changes.is_empty() && draws.bool() {
                    left.resize(self.now.len(), 0);
                }
                for (sector, new) in left.chunks_mut(SECTOR).zip(self.now.chunks(SECTOR)) {
                    if draws.bool() {
                        let length = sector.len().min(new.len());
                        sector[..length].copy_from_slice(&new[..length]);
                    }
                }
            }
        }
        left
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Files are known by their last names: a disk is moved from folder to folder.
fn name(path: impl AsRef<Path>) -> PathBuf {
    path.as_ref().file_name().map(PathBuf::from).unwrap_or_default()
}

impl ForgetfulDisk {
    /// From now on it says that it synced, and does not.
    pub(super) fn lie(&self) {
        self.faults.lies.store(true, Ordering::SeqCst);
    }

    /// Makes the next sync fail; those after it succeed.
    pub(super) fn fail_next_sync(&self) {
        self.faults.fails_next_sync.store(true, Ordering::SeqCst);
    }

    /// Makes the last sync undone: the power was lost before it ended.
    pub(super) fn undo_last_sync(&self) {
        if let Some((file, before)) = lock(&self.faults.last_sync).take() {
            *lock(&file) = before;
        }
    }

    /// What a crash leaves of it, with names in a folder of its own, which must be empty.
    pub(super) fn crash(&self, folder: &Path, tear: Tear, draws: &mut Rng) -> ForgetfulDisk {
        let left = ForgetfulDisk::default();
        for (name, file) in &*lock(&self.files) {
            let synced = lock(file).left(tear, draws);
            fs::write(folder.join(name), b"").expect("the folder takes a name");
            let content = Content { now: synced.clone(), synced, changes: Vec::new() };
            lock(&left.files).insert(name.clone(), Arc::new(Mutex::new(content)));
        }
        left
    }

    fn handle(&self, path: impl AsRef<Path>) -> Result<DiskHandle> {
        let file = lock(&self.files).get(&name(path)).cloned().ok_or_else(|| Error::from(ErrorKind::NotFound))?;
        Ok(DiskHandle { file, faults: self.faults.clone() })
    }
}

/// An open file.
pub(super) struct DiskHandle {
    file: File,
    faults: Arc<Faults>,
}

impl Handle for DiskHandle {
    fn truncate(&self, offset: usize) -> Result<()> {
        lock(&self.file).change(Change::Truncate { length: offset });
        Ok(())
    }

    fn file_size(&self) -> Result<usize> {
        Ok(lock(&self.file).now.len())
    }

    fn sync(&self) -> Result<()> {
        if self.faults.fails_next_sync.swap(false, Ordering::SeqCst) {
            return Err(Error::other("the disk is to fail"));
        }
        if !self.faults.lies.load(Ordering::SeqCst) {
            let mut content = lock(&self.file);
            *lock(&self.faults.last_sync) = Some((self.file.clone(), content.clone()));
            let content = &mut *content;
            content.synced.clone_from(&content.now);
            content.changes.clear();
        }
        Ok(())
    }
}

/// A place in an open file.
pub(super) struct Cursor {
    file: File,
    at: usize,
}

impl Seek for Cursor {
    fn seek(&mut self, to: SeekFrom) -> Result<u64> {
        let place = match to {
            SeekFrom::Start(at) => i128::from(at),
            SeekFrom::Current(by) => self.at as i128 + i128::from(by),
            SeekFrom::End(by) => lock(&self.file).now.len() as i128 + i128::from(by),
        };
        self.at = usize::try_from(place).map_err(|_| Error::from(ErrorKind::InvalidInput))?;
        Ok(self.at as u64)
    }
}

impl Read for Cursor {
    fn read(&mut self, into: &mut [u8]) -> Result<usize> {
        let content = lock(&self.file);
        let rest = content.now.get(self.at..).unwrap_or_default();
        let length = rest.len().min(into.len());
        into[..length].copy_from_slice(&rest[..length]);
        self.at += length;
        Ok(length)
    }
}

impl Write for Cursor {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        lock(&self.file).change(Change::Write { at: self.at, bytes: bytes.to_vec() });
        self.at += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}

impl WriteExt for Cursor {
    fn truncate(&mut self, offset: usize) -> Result<()> {
        lock(&self.file).change(Change::Truncate { length: offset });
        self.at = offset;
        Ok(())
    }

    fn allocate(&mut self, offset: usize, size: usize) -> Result<()> {
        lock(&self.file).change(Change::Extend { length: offset + size });
        Ok(())
    }
}

impl FileSystem for ForgetfulDisk {
    type Handle = DiskHandle;
    type Reader = Cursor;
    type Writer = Cursor;

    fn create<P: AsRef<Path>>(&self, path: P) -> Result<DiskHandle> {
        fs::write(&path, b"")?;
        lock(&self.files).entry(name(&path)).or_default();
        self.handle(path)
    }

    fn open<P: AsRef<Path>>(&self, path: P, _: Permission) -> Result<DiskHandle> {
        self.handle(path)
    }

    fn delete<P: AsRef<Path>>(&self, path: P) -> Result<()> {
        lock(&self.files).remove(&name(&path));
        fs::remove_file(path)
    }

    fn rename<P: AsRef<Path>>(&self, from: P, to: P) -> Result<()> {
        let mut files = lock(&self.files);
        let file = files.remove(&name(&from)).ok_or_else(|| Error::from(ErrorKind::NotFound))?;
        files.insert(name(&to), file);
        fs::rename(from, to)
    }

    fn new_reader(&self, handle: Arc<DiskHandle>) -> Result<Cursor> {
        Ok(Cursor { file: handle.file.clone(), at: 0 })
    }

    fn new_writer(&self, handle: Arc<DiskHandle>) -> Result<Cursor> {
        Ok(Cursor { file: handle.file.clone(), at: 0 })
    }
}
