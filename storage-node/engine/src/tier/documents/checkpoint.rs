//! `ckpt/<shard>/<n>.json`: a tablet's files at an applied index. Written last: with it the files begin to count.

use super::Document;
use crate::tier::{
    Cut,
    layout::{FileKind, ObjectId},
};
use serde::{Deserialize, Serialize};
use strata_base::{IncarnationId, ShardId};

/// A tablet's files at an applied index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CheckpointDocument {
    /// The incarnation it belongs to.
    pub incarnation: IncarnationId,
    /// The shard.
    pub shard: ShardId,
    /// From 0, dense.
    pub number: u64,
    /// What was applied: fork epoch, index, term and the last HLC.
    pub at: Cut,
    /// Which tablet the files are of. File names mean the same file only within one source.
    pub source: String,
    /// All files, in the order of their names.
    pub files: Vec<FileDocument>,
    /// The number of the segment manifest it refers to; none where nothing was tiered.
    pub manifest: Option<u64>,
}

/// A file of a tablet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FileDocument {
    /// Its name in the tablet's folder.
    pub name: String,
    /// The object that holds it, in the same incarnation.
    pub object: ObjectId,
    /// Its size in bytes.
    pub size: u64,
    /// CRC-32 (IEEE) of all its bytes.
    pub crc32: u32,
}

impl FileDocument {
    /// Its kind, which is part of its object's key.
    pub fn kind(&self) -> FileKind {
        FileKind::of(&self.name)
    }
}

impl CheckpointDocument {
    /// The size of all its files, in bytes.
    pub fn size(&self) -> u64 {
        self.files.iter().fold(0, |sum, file| sum.saturating_add(file.size))
    }
}

impl Document for CheckpointDocument {
    const FORMAT: &'static str = "strata/checkpoint";
}
