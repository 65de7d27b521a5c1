//! Scenarios over real processes: each file is about one kind of trouble, each test is one story.
//!
//! A story founds a cluster, lets clients work, breaks something, heals it, and ends in `judge`: no acknowledged write is lost, the history
//! is linearizable, and all replicas hold the same.

mod archive;
mod bad_input;
mod checkpoint;
mod clients;
mod crashes;
mod disks;
mod frozen;
mod full_disk;
mod judged;
mod replicas;
mod restore;
mod serving;
mod siege;
mod strangers;
