//! One Raft group as a pure machine: events in, effects out. The only room that names raft-rs.
//!
//! ```text
//!   tick, message, propose, read barrier, member change          persisted(number), applied(index)
//!                            │                                            │
//!                            ▼                                            ▼
//!                      ┌───────────────────────── RaftGroup ─────────────────────────┐
//!                      └────────────────────────────┬────────────────────────────────┘
//!                                                 ready()
//!        append: entries and hard state for the log ─┤
//!        messages, and messages for after the append ─┤
//!        committed entries, read grants, snapshot, role ─┘
//! ```
//!
//! - Nothing here waits. An append goes out as an effect and comes back as [`RaftGroup::persisted`]; a follower's answers wait for it, a
//!   leader's appends do not (Ongaro's thesis, 10.2.1).
//! - No clock and no randomness: time comes as ticks, election timeouts are drawn from the seed in [`Settings`].
//! - What was appended can be read at once, persisted or not: the group keeps it in memory until it is applied and every member that is near
//!   has it. Older entries are read through [`LogRead`].
//! - A proposal is refused or has a place (index, term). What becomes of that place decides what its clients are told.
//! - The commit index may be lost at a crash; on start it is at least what the tablet has applied.
//!
//! One worked example, a group of one:
//!
//! ```
//! use strata_raft_group::{Configuration, NoLog, Payload, RaftGroup, Settings, Start};
//! use strata_base::PeerId;
//!
//! let members = Configuration::of_voters([PeerId(1)]);
//! let mut group = RaftGroup::new(Settings::default(), Start::empty(PeerId(1), members), NoLog).expect("a fresh group starts");
//! group.campaign();
//! let mut seen = Vec::new();
//! while group.has_ready() {
//!     let ready = group.ready();
//!     group.persisted(ready.number);
//!     for committed in ready.committed {
//!         group.applied(committed.index);
//!         seen.push(committed.payload);
//!     }
//!     if group.is_leader() && seen.is_empty() {
//!         group.propose("hello".into()).expect("a leader takes proposals");
//!     }
//! }
//! assert_eq!(seen, [Payload::Empty, Payload::Normal("hello".into())]);
//! ```
//!
//! Not done here, and why: leases, because they need a clock, which the host has; group commit by zones, because placement guarantees zones first.

mod adapter;
mod configuration;
mod group;
pub mod limits;
mod log;
pub mod peek;
mod wire;

pub use configuration::{Change, Configuration, Standing};
pub use group::{
    Append, Committed, Damage, HardState, LeadClaim, MemberProgress, Message, Payload, Place, RaftGroup, Ready, Refusal, Role, Settings,
    SnapshotInstall, Start,
};
pub use log::{EntryKind, LogEntry, LogRead, LogReadError, NoLog};
