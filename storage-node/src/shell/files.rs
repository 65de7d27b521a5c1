//! The thread that works with files of checkpoints and restores, so that neither the host nor the flushes of tablets wait for them. Digests of
//! whole tablets it hands on.
//!
//! ```text
//! <data_dir>/checkpoints/<shard>-<attempt>/   hard links of one checkpoint, until it counts or is given up
//! <data_dir>/restore/<object>.part            a fetched file that is not whole
//! <data_dir>/restore/<object>                 a fetched file, whole and synced
//! ```

use super::{
    driver::{HostHandle, Input},
    snapshot::is_plain_name,
};
use crate::{
    descriptor::{APPLIED_KEY, Applied},
    host::{Event, FIRST_GENERATION, FilesDone, FilesWork, digest, replay, seal},
};
use bytes::Bytes;
use crossbeam_channel::Receiver;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File, OpenOptions},
    io::{self, Read},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
};
use strata_base::ShardId;
use strata_engine::{
    tablet::{Tablet, TabletFamily, TabletStore},
    tier::{checkpoint::LocalFile, documents::FileDocument, layout::ObjectId},
};

/// The folder of checkpoints on their way to the bucket.
pub const CHECKPOINTS: &str = "checkpoints";

/// The folder of files that a restore fetched.
pub const RESTORE: &str = "restore";

/// Works with files.
pub struct FilesWorker {
    /// The node's tablets.
    pub tablets: Arc<dyn TabletStore>,
    /// The way to the host.
    pub host: HostHandle,
    /// The node's disk.
    pub data_dir: PathBuf,
}

impl FilesWorker {
    /// Works until the host is gone.
    pub fn run(self, work: &Receiver<FilesWork>) {
        while let Ok(work) = work.recv() {
            if let Some(done) = self.perform(work) {
                self.host.give(Input::Event(Event::Files(Box::new(done))));
            }
        }
    }

    fn perform(&self, work: FilesWork) -> Option<FilesDone> {
        Some(match work {
            FilesWork::Checkpoint { shard, attempt, tablet, known } => {
                let result = self.checkpoint(shard, attempt, &tablet, known);
                if let Err(error) = &result {
                    tracing::warn!(%shard, error, "a checkpoint was not made");
                }
                FilesDone::Checkpointed { shard, attempt, result }
            }
            FilesWork::ReadCheckpoint { shard, attempt, name, offset, length } => {
                let bytes = read_part(&self.checkpoint_folder(shard, attempt).join(&name), offset, length);
                FilesDone::CheckpointRead { shard, attempt, name, offset, bytes: bytes.map_err(|error| error.to_string()) }
            }
            FilesWork::DropCheckpoint { shard, attempt } => {
                // What cannot be removed now is removed at the next start.
                let _ = fs::remove_dir_all(self.checkpoint_folder(shard, attempt));
                return None;
            }
            FilesWork::FindFetched => FilesDone::Found(self.find_fetched()),
            FilesWork::WriteFetched { object, offset, bytes } => {
                let result = self.write_fetched(object, offset, &bytes).map_err(|error| format!("cannot write a fetched file: {error}"));
                FilesDone::FetchedWritten { object, offset, result }
            }
            FilesWork::FinishFetched { object } => {
                let result = self.finish_fetched(object).map_err(|error| format!("cannot sync a fetched file: {error}"));
                FilesDone::FetchedFinished { object, result }
            }
            FilesWork::Build { shard, files } => FilesDone::Built { shard, result: self.build(shard, &files) },
            FilesWork::Replay { shard, tablet, applied, entries } => {
                FilesDone::Replayed { shard, result: replay(&tablet, applied, entries) }
            }
            FilesWork::Seal { shard, tablet } => FilesDone::Sealed { shard, result: seal(&tablet) },
            FilesWork::ClearFetched => {
                let _ = fs::remove_dir_all(self.data_dir.join(RESTORE));
                return None;
            }
            FilesWork::Digest { shard, index, moment } => {
                let host = self.host.clone();
                digest(shard, index, moment, move |done| host.give(Input::Event(Event::Files(Box::new(done)))));
                return None;
            }
        })
    }

    fn checkpoint_folder(&self, shard: ShardId, attempt: u64) -> PathBuf {
        self.data_dir.join(CHECKPOINTS).join(format!("{shard}-{attempt}"))
    }

    fn checkpoint(
        &self,
        shard: ShardId,
        attempt: u64,
        tablet: &Arc<dyn Tablet>,
        known: Vec<LocalFile>,
    ) -> Result<(Vec<LocalFile>, Applied), String> {
        let folder = self.checkpoint_folder(shard, attempt);
        let failed = |error: io::Error| format!("cannot read a checkpoint: {error}");
        folder.parent().map_or(Ok(()), fs::create_dir_all).map_err(failed)?;
        tablet.checkpoint(&folder).map_err(|error| error.to_string())?;
        let known: BTreeMap<String, LocalFile> = known.into_iter().map(|file| (file.name.clone(), file)).collect();
        let mut files = Vec::new();
        for entry in fs::read_dir(&folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let (name, size) = (entry.file_name().to_string_lossy().into_owned(), entry.metadata().map_err(failed)?.len());
            // Table files are immutable, and their names are never used again by one tablet.
            let crc32 = match known.get(&name).filter(|file| file.size == size && name.ends_with(".sst")) {
                Some(file) => file.crc32,
                None => checksum(&entry.path()).map_err(failed)?,
            };
            files.push(LocalFile { name, size, crc32 });
        }
        let is_new = |file: &LocalFile| file.name.ends_with(".sst") && known.get(&file.name) != Some(file);
        if files.iter().any(is_new)
            && let Err(error) = tablet.verify()
        {
            // Its checksum would be that of the damage, and a restore would take it for data.
            let (tablet, reason) = (Arc::clone(tablet), error.to_string());
            self.host.give(Input::Event(Event::TabletDamaged { shard, tablet, reason: reason.clone() }));
            return Err(reason);
        }
        let applied = self.tablets.peek(&folder, TabletFamily::System, APPLIED_KEY).map_err(|error| error.to_string())?;
        let applied = applied.and_then(|bytes| Applied::decode(&bytes)).ok_or("the checkpoint does not say what it holds")?;
        Ok((files, applied))
    }

    fn fetched(&self, object: ObjectId) -> PathBuf {
        self.data_dir.join(RESTORE).join(String::from(object))
    }

    fn part(&self, object: ObjectId) -> PathBuf {
        self.fetched(object).with_extension("part")
    }

    fn find_fetched(&self) -> BTreeSet<ObjectId> {
        let entries = fs::read_dir(self.data_dir.join(RESTORE)).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().into_string().ok()?.try_into().ok()).collect()
    }

    fn write_fetched(&self, object: ObjectId, offset: u64, bytes: &Bytes) -> io::Result<()> {
        fs::create_dir_all(self.data_dir.join(RESTORE))?;
        OpenOptions::new().create(true).write(true).truncate(false).open(self.part(object))?.write_all_at(bytes, offset)
    }

    fn finish_fetched(&self, object: ObjectId) -> io::Result<()> {
        File::open(self.part(object))?.sync_all()?;
        fs::rename(self.part(object), self.fetched(object))?;
        File::open(self.data_dir.join(RESTORE))?.sync_all()
    }

    fn build(&self, shard: ShardId, files: &[FileDocument]) -> Result<(Arc<dyn Tablet>, Option<Applied>), String> {
        if files.is_empty() {
            return self.tablets.create(shard, FIRST_GENERATION).map(|tablet| (tablet, None)).map_err(|error| error.to_string());
        }
        // The names come from a bucket: none may lead out of the tablet's folder.
        if let Some(file) = files.iter().find(|file| !is_plain_name(&file.name)) {
            return Err(format!("the checkpoint names a file {:?}, which is no plain file name: it was tampered with", file.name));
        }
        let placed: Vec<(PathBuf, String)> = files.iter().map(|file| (self.fetched(file.object), file.name.clone())).collect();
        let tablet = self.tablets.build(shard, FIRST_GENERATION, &placed).map_err(|error| error.to_string())?;
        let applied = tablet.get(TabletFamily::System, APPLIED_KEY).map_err(|error| error.to_string())?;
        let applied = applied.and_then(|bytes| Applied::decode(&bytes)).ok_or("the checkpoint does not say what it holds")?;
        Ok((tablet, Some(applied)))
    }
}

/// Removes what checkpoints of an earlier life left.
pub fn clear_checkpoints(data_dir: &Path) {
    // A folder that cannot be removed now is in nobody's way.
    let _ = fs::remove_dir_all(data_dir.join(CHECKPOINTS));
}

fn read_part(path: &Path, offset: u64, length: u64) -> io::Result<Bytes> {
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
    File::open(path)?.read_exact_at(&mut bytes, offset)?;
    Ok(Bytes::from(bytes))
}

fn checksum(path: &Path) -> io::Result<u32> {
    let mut hasher = crc32fast::Hasher::new();
    let mut file = File::open(path)?;
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hasher.finalize()),
            length => hasher.update(&buffer[..length]),
        }
    }
}
