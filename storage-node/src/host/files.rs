//! Work with files that takes long: checkpoints to upload, what a restore fetched, and whole tablets to digest. A host asks for it and goes on; it
//! comes back as an event.

use crate::{
    agreement::{AgreementKind, LogEntry},
    bridge::apply_effect,
    descriptor::{APPLIED_KEY, Applied},
};
use bytes::Bytes;
use std::{collections::BTreeSet, sync::Arc};
use strata_base::ShardId;
use strata_engine::{
    tablet::{Tablet, TabletChange, TabletDigest, TabletFamily, TabletMoment},
    tier::{Entry, checkpoint::LocalFile, documents::FileDocument, layout::ObjectId},
};

/// Work with files, in the order given; digests end when they end.
pub enum FilesWork {
    /// Verify a tablet where it has new files, make a checkpoint of it and tell its files. Comes back as [`FilesDone::Checkpointed`], after
    /// [`super::Event::TabletDamaged`] where it is damaged.
    Checkpoint {
        /// Whose.
        shard: ShardId,
        /// Names the checkpoint together with the shard.
        attempt: u64,
        /// Of which tablet.
        tablet: Arc<dyn Tablet>,
        /// Immutable files of the same tablet whose checksums are known already.
        known: Vec<LocalFile>,
    },
    /// Read a part of a file of a checkpoint. Comes back as [`FilesDone::CheckpointRead`].
    ReadCheckpoint {
        /// Whose.
        shard: ShardId,
        /// Which attempt.
        attempt: u64,
        /// Which file.
        name: String,
        /// From where.
        offset: u64,
        /// How many bytes.
        length: u64,
    },
    /// Remove a checkpoint.
    DropCheckpoint {
        /// Whose.
        shard: ShardId,
        /// Which attempt.
        attempt: u64,
    },
    /// Say which fetched files are whole. Comes back as [`FilesDone::Found`].
    FindFetched,
    /// Write a part of a fetched file. Comes back as [`FilesDone::FetchedWritten`].
    WriteFetched {
        /// Which file.
        object: ObjectId,
        /// From where.
        offset: u64,
        /// The bytes.
        bytes: Bytes,
    },
    /// Sync a fetched file and give it the name of a whole one. Comes back as [`FilesDone::FetchedFinished`].
    FinishFetched {
        /// Which file.
        object: ObjectId,
    },
    /// Make a tablet of fetched files; an empty one of none. Comes back as [`FilesDone::Built`].
    Build {
        /// The new shard.
        shard: ShardId,
        /// Its files.
        files: Vec<FileDocument>,
    },
    /// Replay entries. Comes back as [`FilesDone::Replayed`].
    Replay {
        /// The new shard.
        shard: ShardId,
        /// Its tablet.
        tablet: Arc<dyn Tablet>,
        /// How far it is.
        applied: Applied,
        /// What follows.
        entries: Vec<Entry>,
    },
    /// Make a tablet durable, without what belongs to its parent only. Comes back as [`FilesDone::Sealed`].
    Seal {
        /// The new shard.
        shard: ShardId,
        /// Its tablet.
        tablet: Arc<dyn Tablet>,
    },
    /// Remove all fetched files.
    ClearFetched,
    /// Digest all that a tablet held at a moment. Comes back as [`FilesDone::Digested`].
    Digest {
        /// Whose.
        shard: ShardId,
        /// The entry that was applied last.
        index: u64,
        /// The moment.
        moment: Box<dyn TabletMoment>,
    },
}

/// What came of [`FilesWork`].
pub enum FilesDone {
    /// A checkpoint is on disk.
    Checkpointed {
        /// Whose.
        shard: ShardId,
        /// Which attempt.
        attempt: u64,
        /// Its files, and what they hold.
        result: Result<(Vec<LocalFile>, Applied), String>,
    },
    /// A part of a file of a checkpoint.
    CheckpointRead {
        /// Whose.
        shard: ShardId,
        /// Which attempt.
        attempt: u64,
        /// Which file.
        name: String,
        /// From where.
        offset: u64,
        /// The bytes.
        bytes: Result<Bytes, String>,
    },
    /// The fetched files that are whole.
    Found(BTreeSet<ObjectId>),
    /// A part of a fetched file is written.
    FetchedWritten {
        /// Which file.
        object: ObjectId,
        /// From where.
        offset: u64,
        /// Whether it is.
        result: Result<(), String>,
    },
    /// A fetched file is whole.
    FetchedFinished {
        /// Which file.
        object: ObjectId,
        /// Whether it is.
        result: Result<(), String>,
    },
    /// A tablet was made of fetched files.
    Built {
        /// The new shard.
        shard: ShardId,
        /// The tablet, and how far it is; nothing said for an empty one.
        result: Result<(Arc<dyn Tablet>, Option<Applied>), String>,
    },
    /// Entries were replayed.
    Replayed {
        /// The new shard.
        shard: ShardId,
        /// How far it is now.
        result: Result<Applied, String>,
    },
    /// A tablet is durable.
    Sealed {
        /// The new shard.
        shard: ShardId,
        /// Whether it is.
        result: Result<(), String>,
    },
    /// A moment of a tablet was read whole.
    Digested {
        /// Whose.
        shard: ShardId,
        /// The entry that was applied last.
        index: u64,
        /// What it held.
        result: Result<TabletDigest, String>,
    },
}

/// Has a moment digested by whoever may wait for the disk, who tells [`FilesDone::Digested`].
pub fn digest(shard: ShardId, index: u64, moment: Box<dyn TabletMoment>, tell: impl FnOnce(FilesDone) + Send + 'static) {
    moment.read(Box::new(move |read| {
        let result = TabletDigest::of(read).map_err(|error| format!("it cannot read what it holds: {error}"));
        tell(FilesDone::Digested { shard, index, result });
    }));
}

/// Applies archived entries to a tablet, as their shard applied them. What the parent agreed on is its own business.
pub fn replay(tablet: &Arc<dyn Tablet>, mut applied: Applied, entries: Vec<Entry>) -> Result<Applied, String> {
    let mut changes = Vec::new();
    for entry in entries {
        if entry.index <= applied.index {
            continue;
        }
        if entry.index != applied.index + 1 {
            return Err(format!("entry {} follows entry {}: the log has a hole", entry.index, applied.index));
        }
        (applied.index, applied.term) = (entry.index, entry.term);
        applied.hlc = applied.hlc.max(entry.hlc);
        // Raft's own entries have no bytes.
        if entry.payload.is_empty() {
            continue;
        }
        let decoded = LogEntry::decode(entry.payload).map_err(|error| format!("cannot replay entry {}: {error}", entry.index))?;
        if let LogEntry::Commands(commands) = decoded {
            for effect in commands.effects {
                apply_effect(effect, &mut changes, &mut applied.counts);
            }
        }
    }
    changes.push(TabletChange::Put(TabletFamily::System, Bytes::from_static(APPLIED_KEY), applied.encode()));
    tablet.write(changes).map_err(|error| error.to_string())?;
    Ok(applied)
}

/// Makes a replayed tablet durable, without the documents that its parent agreed on.
pub fn seal(tablet: &Arc<dyn Tablet>) -> Result<(), String> {
    let forget = |kind: AgreementKind| TabletChange::Delete(TabletFamily::System, Bytes::from_static(kind.key()));
    let sealed = tablet.write(AgreementKind::ALL.map(forget).to_vec()).and_then(|()| tablet.flush());
    sealed.map_err(|error| error.to_string())
}
