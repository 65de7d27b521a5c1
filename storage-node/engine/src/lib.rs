//! What survives a process: tablets, the log store, the store's identity, and the object tier.
//!
//! ```text
//!            ┌── tablet (RocksDB, one per replica) ── flush ──► files ── checkpoint ──┐
//!  host ─────┤                                                                        ├──► tier ──► objects (S3)
//!            └── log (raft-engine, one per node) ──── fsync ──► files                 │
//!                                        committed entries ───────────────────────────┘
//! ```
//!
//! Every port has a version in memory with the crash behaviour of the real one, so that a simulator runs without RocksDB and S3: those sit
//! behind the features `disk` and `s3`.
//!
//! - Only `tablet::rocks` names RocksDB, only `log::raft_engine` names raft-engine, only `objects::s3` names the S3 client.
//! - A write to a tablet is not durable until a flush; a write to the log is durable when it says so. After a failed write of the log the
//!   process must stop.
//! - No Redis semantics here, and no Raft: keys, values, entries and records are bytes.
//!
//! ```
//! use strata_base::ShardId;
//! use strata_engine::tablet::{MemoryTabletStore, TabletChange, TabletFamily, TabletStore};
//!
//! let store = MemoryTabletStore::default();
//! let tablet = store.create(ShardId(1), 1).expect("memory never fails");
//! tablet.write(vec![TabletChange::Put(TabletFamily::Meta, "key".into(), "value".into())]).expect("memory never fails");
//! store.crash(|_| 0);
//! assert_eq!(tablet.get(TabletFamily::Meta, b"key"), Ok(None), "what was not flushed is gone");
//! ```
//!
//! Not done here, and why: segments and bulk load are later issues; they will be modules of [`tier`].

mod error;
pub mod identity;
pub mod log;
pub mod objects;
pub mod tablet;
pub mod tier;
#[cfg(all(test, feature = "disk"))]
mod traces;

pub use error::EngineError;
