//! A siege: real processes on real disks, under all faults for so long, judged by the same checkers as everything else.
//!
//! ```text
//!  seed, length ──► schedule ──► stage: kill and cut the power, stop, partition, fill, freeze, set clocks, fail the store, lose everything
//!                                  │
//!                 clients ─────────┴──► histories, acknowledged keys, promises of the archive ──► judges
//! ```
//!
//! The schedule is printed first, and follows from the seed; a second siege of the same seed has the same. How processes interleave is theirs, so what a siege finds
//! need not come again: logs, histories and disks of a siege that fails are kept. It goes in rounds with keys of their own; each ends with all troubles over, in
//! judgement, or in the loss of everything and a restore.
//!
//! What it holds the cluster to:
//! - the history of each round is linearizable, key by key, and a history that a loss ends likewise;
//! - every acknowledged key is readable at the end of its round, a part of all keys for ever; after a loss, every key that was acknowledged before the latest moment
//!   that any node had promised for it;
//! - a node whose power was cut comes back as who it was; no process ends by itself;
//! - when troubles end, every shard serves, every member catches up, and all replicas hold the same;
//! - in the end the bucket is sound.
//!
//! [`kubernetes`] lays the same siege to a cluster on a real Kubernetes.

mod clocks;
mod judges;
pub mod kubernetes;
pub mod namespace;
mod play;
pub mod rounds;
pub mod schedule;
mod stage;
pub mod tally;

use crate::{checker, failure::Failure, harness::object_store, say::say};
use play::Siege;
use schedule::Schedule;
use stage::ProcessStage;
use std::{
    convert::Infallible,
    sync::Arc,
    time::{Duration, Instant},
};
use tally::{End, Tally};

/// How often a siege says how far it is.
const PROGRESS: Duration = Duration::from_secs(30);

/// A mistake that the judges must find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mistake {
    /// Clients give increments twice, and record them once.
    IncrementsTwice,
    /// Nodes' disks take no fsync.
    FsyncOff,
}

impl Mistake {
    /// All of them.
    pub const ALL: [Mistake; 2] = [Mistake::IncrementsTwice, Mistake::FsyncOff];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Mistake::IncrementsTwice => "increments-twice",
            Mistake::FsyncOff => "fsync-off",
        }
    }
}

/// What is wanted.
#[derive(Clone, Copy, Debug)]
pub struct Wish {
    /// What the schedule and the clients' choices follow from.
    pub seed: u64,
    /// How long, in seconds.
    pub seconds: u64,
    /// What is planted.
    pub planted: Option<Mistake>,
}

impl Wish {
    fn schedule(&self) -> Schedule {
        Schedule::draw(self.seed, self.seconds)
    }

    /// Prints what will happen when.
    pub fn say_schedule(&self) {
        say(format!("siege: seed {}, {} s", self.seed, self.seconds));
        self.schedule().lines().for_each(|line| say(format!("siege: {line}")));
    }
}

/// Builds what a siege needs and cannot get from within its network.
pub fn prepare() -> Result<(), Failure> {
    checker::prepare()?;
    // Whether there is a server is told later, in the last line.
    drop(object_store::prepare());
    Ok(())
}

/// Plays a siege, and says how it was; the last line is for machines. `lack` says why there is no network of its own. Whether every promise was kept.
pub async fn run(wish: &Wish, lack: Option<String>) -> Result<bool, Failure> {
    let tally = Arc::new(Tally::default());
    let end = attend(|| wish.say_schedule(), || tally.progress(), besiege(wish, lack, &tally)).await?;
    say(tally.line(&end, wish.seed, wish.seconds));
    Ok(end.is_well())
}

/// Prints a schedule, then says how far a siege is until it ends or somebody interrupts it, and why it failed.
async fn attend(say_schedule: impl FnOnce(), progress: impl Fn() -> String, siege: impl Future<Output = End>) -> Result<End, Failure> {
    let mut interrupted = namespace::interruption()?;
    say_schedule();
    let end = tokio::select! {
        biased;
        () = interrupted.heard() => End::Interrupted,
        never = tell(progress) => match never {},
        end = siege => end,
    };
    if let End::Failed(failure) = &end {
        say(format!("siege: {failure}"));
    }
    Ok(end)
}

async fn tell(progress: impl Fn() -> String) -> Infallible {
    let (begun, mut beat) = (Instant::now(), tokio::time::interval(PROGRESS));
    beat.tick().await;
    loop {
        beat.tick().await;
        say(format!("siege: {} s: {}", begun.elapsed().as_secs(), progress()));
    }
}

async fn besiege(wish: &Wish, lack: Option<String>, tally: &Arc<Tally>) -> End {
    if lack.is_none()
        && let Err(failure) = namespace::furnish()
    {
        return End::Failed(failure);
    }
    let are_forgetful = wish.planted == Some(Mistake::FsyncOff);
    let stage = match ProcessStage::found(wish.seed, are_forgetful, lack, tally.clone()).await {
        Ok(stage) => stage,
        Err(failure) => return End::Failed(failure),
    };
    let folder = stage.cluster.folder().to_owned();
    let siege = Siege::new(wish, stage, &folder, tally.rounds.clone(), tally.operations.clone());
    siege.run(&wish.schedule().rounds, || tally.progress()).await
}
