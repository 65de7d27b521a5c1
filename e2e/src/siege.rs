//! A siege: real processes on real disks, under all faults for so long, judged by the same checkers as everything else.
//!
//! ```text
//!  seed, length ──► schedule ──► stage: kill and cut the power, stop, partition, fill, freeze, fail the store, lose everything
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

mod judges;
pub mod namespace;
pub mod schedule;
mod stage;
pub mod tally;

use crate::{
    checker,
    failure::Failure,
    harness::{archive::Recovery, object_store, wait},
    say::say,
    workload::{Ledger, Load, Size, log_of_acks::Acks},
};
use judges::Judges;
use schedule::{Act, Kind, Loss, Round, Schedule};
use stage::Stage;
use std::{
    collections::BTreeSet,
    convert::Infallible,
    sync::Arc,
    time::{Duration, Instant},
};
use strata_engine::tier::restore::Target;
use tally::{End, Tally};

/// How often a siege says how far it is.
const PROGRESS: Duration = Duration::from_secs(30);

/// Loads beside each other, each with keys of its own: a key with many commands at once is hard to judge.
const LOADS: u64 = 4;

/// Each of them.
const SIZE: Size = Size { registers: 8, counters: 0, writers: 2, beat: Duration::from_millis(4), page: 0, is_doubling: false };

/// Pages that a load may turn in a round, at most.
const PAGES: u64 = 1_000;

/// A command must be acknowledged so often by each load after troubles have ended.
const SIGNS_OF_LIFE: u64 = 50;

/// One of so many acknowledged keys is read back at the end and after each loss, however old; of these so many are remembered.
const REMEMBERED: usize = 8;
const MEMORY_MAX: usize = 10_000;

/// How long nodes may take to say what is promised, while others are in trouble.
const PROMISE_DEADLINE: Duration = Duration::from_secs(3);
const GLANCE_DEADLINE: Duration = Duration::from_millis(300);

/// What a siege may take beyond twice its length.
const GRACE: Duration = Duration::from_secs(240);

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
    let mut interrupted = namespace::interruption()?;
    wish.say_schedule();
    let tally = Arc::new(Tally::default());
    let end = tokio::select! {
        biased;
        () = interrupted.heard() => End::Interrupted,
        never = tell(&tally) => match never {},
        end = besiege(wish, lack, &tally) => end,
    };
    if let End::Failed(failure) = &end {
        say(format!("siege: {failure}"));
    }
    say(tally.line(&end, wish.seed, wish.seconds));
    Ok(end.is_well())
}

async fn tell(tally: &Tally) -> Infallible {
    let (begun, mut beat) = (Instant::now(), tokio::time::interval(PROGRESS));
    beat.tick().await;
    loop {
        beat.tick().await;
        say(format!("siege: {} s: {}", begun.elapsed().as_secs(), tally.progress()));
    }
}

async fn besiege(wish: &Wish, lack: Option<String>, tally: &Arc<Tally>) -> End {
    if lack.is_none()
        && let Err(failure) = namespace::furnish()
    {
        return End::Failed(failure);
    }
    let are_forgetful = wish.planted == Some(Mistake::FsyncOff);
    let stage = match Stage::found(wish.seed, are_forgetful, lack, tally.clone()).await {
        Ok(stage) => stage,
        Err(failure) => return End::Failed(failure),
    };
    let judges = Judges::new(stage.cluster.folder(), tally.clone());
    let mut siege = Siege { wish: *wish, judges, memory: Acks::default(), promised: Recovery::default(), stage, tally: tally.clone() };
    let limit = Duration::from_secs(wish.seconds * 2) + GRACE;
    let late = || Failure::Late { what: "the siege ended".to_owned(), seconds: limit.as_secs(), seen: tally.progress() };
    let schedule = wish.schedule();
    match tokio::time::timeout(limit, siege.play(&schedule)).await.unwrap_or_else(|_| Err(late())) {
        Ok(()) => End::Held,
        Err(failure) => {
            // What was planted is no evidence.
            if wish.planted.is_none() {
                say(siege.stage.autopsy());
            }
            End::Failed(failure)
        }
    }
}

/// A siege that goes on.
struct Siege {
    wish: Wish,
    judges: Judges,
    /// Acknowledged keys of all rounds that must be there.
    memory: Acks,
    /// The latest moments that any node promised in this incarnation.
    promised: Recovery,
    stage: Stage,
    tally: Arc<Tally>,
}

impl Siege {
    async fn play(&mut self, schedule: &Schedule) -> Result<(), Failure> {
        for (nth, round) in schedule.rounds.iter().enumerate() {
            let loads = self.loads(nth as u64);
            let active = self.trouble(round, &loads).await?;
            match round.loss {
                None => self.rest(loads, round, active).await?,
                Some(loss) => self.lose(loads, round, loss, active).await?,
            }
            self.tally.rounds.add(1);
        }
        self.judges.finish().await?;
        self.memory.judge(&Arc::new(self.stage.endpoints())).await?;
        let cluster = &self.stage.cluster;
        cluster.checkpoint_all().await?;
        cluster.until_archived().await?;
        let bucket = cluster.verify_bucket().await?;
        say(format!("siege: bucket: objects={} unreferenced={}", bucket.objects, bucket.unreferenced.len()));
        Failure::unless(bucket.is_sound(), || format!("the bucket should be sound, and is {bucket:#?}"))
    }

    fn loads(&self, round: u64) -> Vec<Load> {
        let is_doubling = self.wish.planted == Some(Mistake::IncrementsTwice);
        let load = |nth: u64| {
            let number = round * LOADS + nth;
            let seed = self.wish.seed.wrapping_add(number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            Load::start(self.stage.endpoints(), seed, Size { page: number * PAGES, is_doubling, ..SIZE })
        };
        (0..LOADS).map(load).collect()
    }

    /// Inflicts what the schedule says, when it says so or as soon as it can. Returns what has not ended.
    async fn trouble(&mut self, round: &Round, loads: &[Load]) -> Result<BTreeSet<usize>, Failure> {
        let (begun, mut active) = (Instant::now(), BTreeSet::new());
        for (at_millis, act) in round.acts() {
            if active.iter().all(|nth: &usize| round.faults[*nth].fault.kind() == Kind::Store) {
                self.hear_promises(GLANCE_DEADLINE).await;
            }
            until(begun + Duration::from_millis(at_millis)).await?;
            match act {
                Act::Begin(nth) => {
                    if self.stage.begin(&round.faults[nth].fault).await? {
                        active.insert(nth);
                    }
                }
                Act::End(nth) => {
                    if active.remove(&nth) {
                        self.stage.end(&round.faults[nth].fault)?;
                    }
                }
            }
            loads.iter().for_each(Load::turn_page);
        }
        Ok(active)
    }

    /// Ends all troubles, and holds the cluster to everything that it has answered.
    async fn rest(&mut self, loads: Vec<Load>, round: &Round, active: BTreeSet<usize>) -> Result<(), Failure> {
        self.heal(round, active, &loads).await?;
        let ledger = finish(loads).await?;
        self.stage.cluster.check_alive()?;
        self.stage.cluster.until_converged().await?;
        ledger.acks.judge(&Arc::new(self.stage.endpoints())).await?;
        self.keep(ledger).await
    }

    /// Loses everything and restores it, and holds the cluster to what it has answered and promised.
    async fn lose(&mut self, loads: Vec<Load>, round: &Round, loss: Loss, mut active: BTreeSet<usize>) -> Result<(), Failure> {
        if loss == Loss::InPeace {
            self.heal(round, std::mem::take(&mut active), &loads).await?;
        }
        self.hear_promises(PROMISE_DEADLINE).await;
        // Nobody could kill a process that waits for its disk.
        let (disks, others): (BTreeSet<usize>, BTreeSet<usize>) =
            active.into_iter().partition(|nth| matches!(round.faults[*nth].fault.kind(), Kind::Disk | Kind::SlowDisk));
        self.end(round, disks)?;
        self.stage.lose_everything().await?;
        self.end(round, others)?;
        let mut ledger = finish(loads).await?;
        self.stage.cluster.restore(Target::Latest).await?;
        let promised = std::mem::take(&mut self.promised);
        let endpoints = Arc::new(self.stage.endpoints());
        let late = ledger.acks.judge_after_loss(&endpoints, |key| promised.latest_of(key)).await?;
        say(format!(
            "siege: everything was lost and restored: {late} of {} keys are gone, acknowledged after the promised moment",
            ledger.acks.count()
        ));
        self.memory.judge_after_loss(&endpoints, |key| promised.latest_of(key)).await?;
        for acks in [&mut ledger.acks, &mut self.memory] {
            acks.retain(|ack| ack.acknowledged_millis < promised.latest_of(&ack.key));
        }
        self.stage.cluster.until_converged().await?;
        self.stage.cluster.spread_leaders().await?;
        self.keep(ledger).await
    }

    /// Ends all troubles, and waits until everything is as it was.
    async fn heal(&mut self, round: &Round, active: BTreeSet<usize>, loads: &[Load]) -> Result<(), Failure> {
        self.end(round, active)?;
        self.stage.until_themselves().await?;
        self.stage.cluster.until_whole().await?;
        for load in loads {
            load.until_acknowledged(SIGNS_OF_LIFE).await?;
        }
        Ok(())
    }

    fn end(&mut self, round: &Round, active: BTreeSet<usize>) -> Result<(), Failure> {
        active.into_iter().try_for_each(|nth| self.stage.end(&round.faults[nth].fault))
    }

    /// What nodes promise now, if they say so in time.
    async fn hear_promises(&mut self, deadline: Duration) {
        if let Ok(promised) = tokio::time::timeout(deadline, self.stage.cluster.recovery()).await {
            self.promised.or_later(promised);
        }
    }

    /// Hands a history to the judges, and remembers a part of what was acknowledged.
    async fn keep(&mut self, ledger: Ledger) -> Result<(), Failure> {
        self.tally.operations.add(ledger.acks.count() as u64);
        self.memory.append(ledger.acks.one_in(REMEMBERED));
        if self.memory.count() > MEMORY_MAX {
            self.memory = self.memory.one_in(2);
        }
        self.judges.take(ledger.history).await
    }
}

/// Ends all loads, and puts together what they recorded.
async fn finish(loads: Vec<Load>) -> Result<Ledger, Failure> {
    let mut all = Ledger::default();
    for ledger in futures_util::future::try_join_all(loads.into_iter().map(Load::finish)).await? {
        all.history.append(ledger.history);
        all.acks.append(ledger.acks);
    }
    Ok(all)
}

/// Waits for a moment of the schedule, which may have passed.
async fn until(moment: Instant) -> Result<(), Failure> {
    let left = moment.saturating_duration_since(Instant::now());
    wait::until(left + PROGRESS, "the moment of the schedule has come", async || {
        if Instant::now() >= moment { Ok(()) } else { Err("not yet".to_owned()) }
    })
    .await
}
