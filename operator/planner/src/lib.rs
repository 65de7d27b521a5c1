//! The planner: a view of the cluster and a policy in, a plan out. No I/O, no clock, no randomness: same view, same plan.
//!
//! ```text
//!   reports ─► View ─┐
//!                    ├─► plan ─► Plan { steps, waiting } ─► check ─► orders (the operator's)
//!   spec ──► Policy ─┘     │
//!                          ├ placement   first replicas of each shard; what was planned and is not there yet
//!                          ├ replace     a lost disk: learner → catch up → swap in one joint change
//!                          └ balance     leaders: expectation ± tolerance, the shortest chain of transfers, preferably none
//!
//!   stores + bucket ─► bootstrap   adopt, restore, initialise, wait or refuse
//!   pods + View ─────► rollout     which pod restarts next, and what is not met
//! ```
//!
//! Rules that it keeps:
//!
//! - A plan leaves no choice to who executes it, and every step carries the [`Epoch`](strata_base::Epoch) of its view and the reason for it.
//! - What cannot be done yet is a [`Waiting`] with its reason, and becomes status. Nothing is waited for silently.
//! - Silence is neither emptiness nor loss. No order goes to a node whose report is old.
//! - Pickers compare ordered structs, one line per field, the last one the tie-breaker. There are no weighted sums.
//! - [`check`] lists every rule that a plan must satisfy, and shares no code with the pickers. Tests and the operator call it.
//! - Steps taken, the next plan has fewer; a cluster within its tolerances gets no step. So nothing flaps.
//!
//! One worked example, a cluster of one node that begins:
//!
//! ```
//! use std::collections::BTreeMap;
//! use strata_base::{Epoch, IncarnationId, StoreId, TableId};
//! use strata_planner::{NodeState, NodeView, Policy, View, check, place, plan};
//!
//! let policy = Policy { replication_factor: 1, ..Policy::default() };
//! let store = StoreId(0xa1);
//! let planned = place(IncarnationId(1), TableId(0), 2, &BTreeMap::from([(store, "a".to_owned())]), &policy)?;
//! let mut node = NodeView {
//!     zone: "a".to_owned(),
//!     state: NodeState::Empty,
//!     report_age_millis: 10,
//!     heard_age_millis: u64::MAX,
//!     is_evicted: false,
//!     is_clock_off: false,
//!     replicas: Default::default(),
//! };
//! let view = |node: &NodeView| View {
//!     epoch: Epoch(3),
//!     nodes: [(store, node.clone())].into(),
//!     shards: vec![],
//!     planned: planned.clone(),
//!     awaits_restore: false,
//!     is_archive_within_bound: true,
//! };
//!
//! let first = plan(&view(&node), &policy);
//! assert_eq!(first.steps[0].to_string(), "join 00000000000000a1: its store is empty");
//!
//! node.state = NodeState::Member;
//! let second = plan(&view(&node), &policy);
//! assert_eq!(second.steps.len(), 2, "both shards are created on the only node");
//! assert_eq!(check(&view(&node), &policy, &second), []);
//! # Ok::<(), strata_planner::PlacementError>(())
//! ```
//!
//! Not done here, and why: moving replicas for balance, draining a node and splitting shards are later issues; they will be rooms beside
//! `replace`, and lines in [`plan`]. A learner that somebody added by hand is left alone: the planner finishes what a lost disk
//! began, and does not argue. Load does not count yet, only numbers of leaders and replicas.

mod balance;
pub mod bootstrap;
mod check;
mod placement;
mod plan;
mod policy;
mod replace;
pub mod rollout;
mod view;

pub use check::{Rule, Violation, check, check_placement};
pub use placement::{PlacementError, PlannedShard, place};
pub use plan::{Action, Plan, Reason, Step, Waiting, plan};
pub use policy::{Policy, REPLICATION_FACTOR_MAX};
pub use replace::LATER_PEERS_FROM;
pub use view::{MemberView, NodeState, NodeView, ShardView, View};
