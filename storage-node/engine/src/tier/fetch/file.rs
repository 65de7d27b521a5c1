//! A file on its way to the disk.

use crate::tier::{Place, documents::FileDocument};
use bytes::Bytes;
use std::collections::BTreeMap;
use strata_base::ShardId;

#[derive(Debug)]
pub(super) struct FileFetch {
    pub(super) place: Place,
    pub(super) key: String,
    pub(super) document: FileDocument,
    pub(super) shard: ShardId,
    /// Parts that arrived, by offset.
    parts: BTreeMap<u64, Part>,
}

#[derive(Debug)]
struct Part {
    hasher: crc32fast::Hasher,
    length: u64,
    written: bool,
}

impl FileFetch {
    pub(super) fn new(place: Place, key: String, document: FileDocument, shard: ShardId) -> FileFetch {
        FileFetch { place, key, document, shard, parts: BTreeMap::new() }
    }

    pub(super) fn got(&mut self, offset: u64, bytes: &Bytes) {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(bytes);
        self.parts.insert(offset, Part { hasher, length: bytes.len() as u64, written: false });
    }

    /// A part is on the disk. Returns its length, the first time.
    pub(super) fn written(&mut self, offset: u64) -> Option<u64> {
        let part = self.parts.get_mut(&offset).filter(|part| !part.written)?;
        part.written = true;
        Some(part.length)
    }

    pub(super) fn is_writing(&self) -> bool {
        self.parts.values().any(|part| !part.written)
    }

    pub(super) fn is_complete(&self) -> bool {
        let written: u64 = self.parts.values().filter(|part| part.written).map(|part| part.length).sum();
        written == self.document.size && !self.parts.is_empty() && !self.is_writing()
    }

    pub(super) fn matches(&self) -> bool {
        let mut whole = crc32fast::Hasher::new();
        self.parts.values().for_each(|part| whole.combine(&part.hasher));
        whole.finalize() == self.document.crc32
    }

    pub(super) fn forget(&mut self) {
        self.parts.clear();
    }
}
