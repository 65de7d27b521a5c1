//! The vocabulary that every room of Strata shares: ids, the hybrid clock, epochs and ranges. No logic lives here.
//!
//! A reader who knows these six nouns can read any signature of the house:
//!
//! | noun | type | unique within |
//! | --- | --- | --- |
//! | store | [`StoreId`] | the world; drawn at random when a disk is first used |
//! | shard | [`ShardId`] | a cluster's incarnation; follows from (incarnation, table, ordinal) |
//! | peer | [`PeerId`] | its shard; never used again once removed |
//! | table | [`TableId`] | a cluster |
//! | incarnation | [`IncarnationId`] | the world; one life of a cluster under its bucket path |
//! | epoch | [`Epoch`] | its subject; a number that makes older orders refusable |
//!
//! ```
//! use strata_base::{Hlc, ShardId, SlotRange};
//!
//! let earlier = Hlc::from_millis(1_700_000_000_000);
//! assert!(earlier.next(0) > earlier, "a clock of a shard never repeats");
//! assert_eq!(SlotRange::split_evenly(16)[15].last(), 16_383);
//! assert_eq!(ShardId::derive(7, 0, 3), ShardId::derive(7, 0, 3));
//! ```
//!
//! Not done here, and why: no I/O, no time source, no randomness. Leaves may depend on this crate and on no other leaf.

mod hlc;
mod id;
pub mod planted;
mod range;

pub use hlc::Hlc;
pub use id::{Epoch, IncarnationId, ParseIdError, PeerId, ShardId, StoreId, TableId};
pub use range::{NotARange, SLOT_COUNT, SlotRange};
