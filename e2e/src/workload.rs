//! What clients do to a cluster while faults happen to it, and the account they keep of it.
//!
//! Three kinds of clients, each with a promise to hold the cluster to:
//!
//! | clients | do | promise |
//! | --- | --- | --- |
//! | [`registers`] | a seeded mix of commands on few keys, through both doors | the history is linearizable, key by key |
//! | [`counter`] | INCR of one key | no acknowledged increment is lost, none is counted twice |
//! | [`log_of_acks`] | SET of ever new keys | every acknowledged key is readable at the end |
//!
//! [`Load`] runs them together, paced and bounded, until the scenario ends it.

pub mod client;
pub mod counter;
mod ledger;
mod load;
pub mod log_of_acks;
pub mod registers;
pub mod slot;

pub use ledger::Ledger;
pub use load::{Load, Progress, Size};
