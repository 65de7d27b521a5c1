//! The judge: workloads, faults and checkers, and the same scenario at several distances.
//!
//! ```text
//!  scenario (e2e/tests) ── reads as prose: found, load, break, heal, judge
//!      │
//!    scene ──► harness::process   real strata-node processes: kill -9, SIGSTOP, emptied disks
//!      │           └─ harness::hand   the operator's part by hand, through node-api
//!      ├─────► workload           real Redis clients, retries off ──► history, tally, acks
//!      └─────► checker            history-check: linearizability, by a program that shares no code with Strata
//! ```
//!
//! [`siege`] plays all faults at once on such processes, for half an hour, or on a real Kubernetes.
//!
//! The rules it keeps:
//! - It judges from outside: what clients were answered, and what nodes report. It links nothing of evaluation or of Raft, but for
//!   [`harness::sim`]: the same hosts on one thread over models of disk, network and clocks, thousands of stories in a minute.
//! - An outcome that nobody can know is kept as unknown: a lost connection, a reply that did not come, `-UNKNOWN`. Any other error reply is
//!   taken as the promise that nothing happened, and a write that shows up all the same is a violation.
//! - Nothing sleeps to wait: [`harness::wait`] looks at a condition until a deadline. Nothing asserts a time but deadlines.
//! - Everything is bounded: clients, commands, keys, waits, scenarios.
//! - Every choice follows from a seed that is printed first, and last where the scenario fails; `STRATA_SEED` plays it again, as far as
//!   processes can be played again.
//! - Nothing outlives a test, not even one that crashed: processes die with whoever started them, ports and folders go with the cluster.
//!   Only after a failure the folder stays, and is named.
//!
//! A scenario, whole:
//!
//! ```no_run
//! use strata_e2e::{failure::Failure, harness::process::Options, scene::play, workload::Size};
//!
//! fn a_leader_is_killed() -> Result<(), Failure> {
//!     play("a_leader_is_killed", Options::three_nodes(4), async |scene| {
//!         scene.cluster.bootstrap().await?;
//!         let load = scene.load(Size::default());
//!         load.until_acknowledged(200).await?;
//!         let leader = scene.cluster.view().await.busiest();
//!         scene.cluster.kill(leader);
//!         load.until_acknowledged(200).await?;
//!         scene.cluster.restart(leader).await?;
//!         scene.judge(load).await
//!     })
//! }
//! ```
//!
//! Not done, and why: there is no retry of a scenario that failed. What fails once in a hundred runs is a bug with a seed.

pub mod bench;
pub mod campaign;
pub mod checker;
pub mod demo;
pub mod failure;
pub mod harness;
pub mod history;
pub mod place;
pub mod say;
pub mod scene;
pub mod siege;
pub mod workload;
