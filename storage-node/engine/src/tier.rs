//! The object tier: a cluster's log, checkpoints and topology in a bucket, from which alone the cluster can be rebuilt.
//!
//! ```text
//!  committed entries ─► archive ────► log/<life>/<seq>      ┐
//!  tablet files ──────► checkpoint ─► file/…, ckpt/<shard>/ ├─► survey ─► lineage ─► restore plan ─► fetch ─► tablet files, entries
//!  topology ──────────► documents ──► OWNER, cluster/<n>    ┘     └────► verify
//! ```
//!
//! | room | what it does | kind |
//! | --- | --- | --- |
//! | [`layout`] | every key under a cluster's path, and back | pure |
//! | [`documents`] | OWNER, BEAT, cluster and checkpoint documents as JSON with a version | pure |
//! | [`log_object`] | committed entries of many shards as one object | pure |
//! | [`archive`] | uploads what a node's shards commit, and says what would be lost | machine |
//! | [`ownership`] | who may write below a path | machine |
//! | [`checkpoint`] | uploads a tablet's files and then the document that makes them count | machine |
//! | [`survey`] | reads what a bucket says of a cluster | machine |
//! | [`lineage`] | which log and checkpoints make up the past of a shard | pure |
//! | [`restore`] | which of them reach a target, up to which cut | pure |
//! | [`fetch`] | brings a plan's files and entries to a node | machine |
//! | [`verify`] | reads a bucket alone and says what it is worth | machine |
//!
//! A machine takes one event and the time, and returns effects. It never waits: a request to the store is an effect with a [`CallId`],
//! and its answer comes back as an event with the same one. Requests of a machine may be answered in any order. Dropping a machine at any
//! moment loses nothing but unfinished work.
//!
//! Rules kept here, each with a test:
//! - Nothing is found by listing alone: names are dense numbers, or stand in a document already read.
//! - A log object's name is bound to its bytes for ever; data objects are never overwritten with other bytes.
//! - A document that makes others count is written after them.
//! - An error of access is never an absence; what cannot be read is never skipped in silence.
//! - What the tier reports as safe is never better than the truth.
//!
//! Not done here, and why: no sockets, files, clocks or randomness: shells own them. Tiering of cold values, compaction of the archive and
//! removal of what nothing names come with later work; their names are reserved in [`layout`].

pub mod archive;
mod calls;
pub mod checkpoint;
pub mod documents;
pub mod fetch;
pub mod layout;
pub mod limits;
pub mod lineage;
pub mod log_object;
pub mod ownership;
pub mod restore;
pub mod survey;
pub mod verify;

pub use calls::CallId;

#[cfg(test)]
mod story;
#[cfg(test)]
mod testing;

use crate::objects::{ObjectError, Request, Response};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use strata_base::Hlc;

/// A request to the store of a place; its answer comes back with the same id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Names the request within its machine.
    pub id: CallId,
    /// Which bucket to ask.
    pub place: Place,
    /// What to ask.
    pub request: Request,
}

/// What a store answered to a [`Call`].
pub type Answered = Result<Response, ObjectError>;

/// A bucket of a store. A lineage may cross buckets.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Place {
    /// The store's endpoint, as its settings name it.
    pub store: String,
    /// The bucket.
    pub bucket: String,
}

/// A committed entry, as the log archive sees it: what it means is the business of those who wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its index in the shard's log.
    pub index: u64,
    /// The term it was proposed in.
    pub term: u64,
    /// The last HLC handed out when it was proposed; never falls along a log. Raft's own entries repeat their predecessor's.
    pub hlc: Hlc,
    /// Its bytes.
    pub payload: Bytes,
}

impl Entry {
    /// What it counts for in budgets and bytes at risk.
    pub fn size(&self) -> u64 {
        limits::ENTRY_OVERHEAD_BYTES + self.payload.len() as u64
    }
}

/// A position in a shard's log, up to and including which the log counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Cut {
    /// Which history of the shard: it grows when a survivor goes on without its quorum.
    pub fork_epoch: u64,
    /// The last index that counts; 0 is the empty shard.
    pub index: u64,
    /// The term of that entry.
    pub term: u64,
    /// The HLC of that entry.
    pub hlc: Hlc,
}
