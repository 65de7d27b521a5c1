//! The list.

use crate::Verdict;

mod api;
mod bucket;
mod clients;
mod disk;
mod log;
mod peer;

/// A decoder, or several that always work together.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name: that of its folders in `e2e/fuzz`.
    pub name: &'static str,
    /// Where the bytes come from.
    pub from: &'static str,
    /// The sources that it goes through, from the root of the repository.
    pub sources: &'static [&'static str],
    /// Decodes bytes, and panics where something does not hold.
    pub play: fn(&[u8]) -> Verdict,
    /// Bytes that decode, each with a name: what seeds are first made of.
    pub samples: fn() -> Vec<(&'static str, Vec<u8>)>,
}

/// All of them.
pub static TARGETS: &[Target] = &[
    clients::RESP_REQUESTS,
    clients::COMMANDS,
    clients::REPLIES,
    log::RECORDS,
    log::KEYS,
    log::LOG_ENTRIES,
    log::STORED_ENTRIES,
    log::HARD_STATES,
    log::MEMBER_CHANGES,
    log::RAFT_MESSAGES,
    disk::APPLIED_STATES,
    disk::AGREED_DOCUMENTS,
    disk::DESCRIPTORS,
    disk::REPLICA_RECORDS,
    disk::IDENTITIES,
    disk::CONFIGURATIONS,
    bucket::LOG_OBJECTS,
    bucket::OWNERS,
    bucket::BEATS,
    bucket::CHILDREN,
    bucket::CLUSTERS,
    bucket::CHECKPOINTS,
    bucket::OBJECT_NAMES,
    peer::ENVELOPES,
    peer::FORWARD_REQUESTS,
    peer::FORWARD_REPLIES,
    peer::SNAPSHOT_PIECES,
    api::ORDERS,
    api::REPORTS,
    api::ANSWERS,
];

/// The target of a name.
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}
