//! How a siege goes, whatever it is laid to: rounds of troubles under load, each ending in judgement, or in the loss of everything and a restore.

use super::{
    Mistake, PROGRESS, Wish,
    judges::Judges,
    rounds::{Act, Loss, Round},
    tally::{End, Figure},
};
use crate::{
    failure::Failure,
    harness::wait,
    say::say,
    workload::{Ledger, Load, Size, client::Endpoints, log_of_acks::Acks},
};
use std::{
    collections::BTreeSet,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

/// Pages that a load may turn in a round, at most.
const PAGES: u64 = 1_000;

/// A command must be acknowledged so often by each load after troubles have ended.
const SIGNS_OF_LIFE: u64 = 50;

/// One of so many acknowledged keys is read back at the end and after each loss, however old; of these so many are remembered.
const REMEMBERED: usize = 8;
const MEMORY_MAX: usize = 10_000;

/// How long a stage may take to say what is promised, while parts of it are in trouble.
const PROMISE_DEADLINE: Duration = Duration::from_secs(3);
const GLANCE_DEADLINE: Duration = Duration::from_millis(300);

/// What a siege may take beyond twice its length.
const GRACE: Duration = Duration::from_secs(240);

/// What a stage promised to bring back after a loss: every write of a key that was acknowledged before this moment, in milliseconds since the Unix epoch.
pub type Promises = Box<dyn Fn(&str) -> u64>;

/// What a siege is laid to: a cluster that can be troubled, lost and restored.
pub trait Stage {
    /// What it can be troubled by.
    type Fault;

    /// Loads beside each other, each with keys of its own: a key with many commands at once is hard to judge.
    const LOADS: u64;

    /// Each of them.
    const SIZE: Size;

    /// Where clients reach it.
    fn endpoints(&self) -> Endpoints;

    /// Begins a trouble. False where there are no means for it: that is said once for each kind, and counted.
    async fn begin(&mut self, fault: &Self::Fault) -> Result<bool, Failure>;

    /// Ends a trouble that has begun.
    async fn end(&mut self, fault: &Self::Fault) -> Result<(), Failure>;

    /// Whether promises may be heard while this trouble lasts.
    fn is_heard_amid(fault: &Self::Fault) -> bool;

    /// Remembers what is promised at this moment, if it can be heard in time.
    async fn hear_promises(&mut self, deadline: Duration);

    /// Waits, after the end of all troubles, until everything is as it was.
    async fn until_whole(&mut self) -> Result<(), Failure>;

    /// Holds a stage at rest to what needs no client: nothing ended by itself, and all replicas hold the same.
    async fn judge(&mut self) -> Result<(), Failure>;

    /// Whether this trouble must end before everything can be lost.
    fn ends_before_loss(fault: &Self::Fault) -> bool;

    /// Loses everything but the bucket, at once.
    async fn lose_everything(&mut self) -> Result<(), Failure>;

    /// Brings everything back, when all troubles and all loads have ended; gives what had been promised before the loss.
    async fn restore(&mut self) -> Result<Promises, Failure>;

    /// Waits, after the judgement on what was brought back, until it is as whole as it was.
    async fn until_settled(&mut self) -> Result<(), Failure>;

    /// Reads the bucket, in the end, every byte of it.
    async fn judge_bucket(&mut self) -> Result<(), Failure>;

    /// After a failure: what is kept, and what was said last.
    async fn autopsy(self) -> String;
}

/// A siege that goes on.
pub struct Siege<S> {
    wish: Wish,
    judges: Judges,
    /// Acknowledged keys of all rounds that must be there.
    memory: Acks,
    stage: S,
    rounds: Arc<Figure>,
    operations: Arc<Figure>,
}

impl<S: Stage> Siege<S> {
    /// A siege that keeps the histories of violations in a folder, and counts rounds and what was judged.
    pub fn new(wish: &Wish, stage: S, folder: &Path, rounds: Arc<Figure>, operations: Arc<Figure>) -> Siege<S> {
        let judges = Judges::new(folder, operations.clone());
        Siege { wish: *wish, judges, memory: Acks::default(), stage, rounds, operations }
    }

    /// Plays it to its end, which comes within a bound; `progress` says how far it is.
    pub async fn run(mut self, rounds: &[Round<S::Fault>], progress: impl Fn() -> String) -> End {
        let limit = Duration::from_secs(self.wish.seconds * 2) + GRACE;
        let late = || Failure::Late { what: "the siege ended".to_owned(), seconds: limit.as_secs(), seen: progress() };
        match tokio::time::timeout(limit, self.play(rounds)).await.unwrap_or_else(|_| Err(late())) {
            Ok(()) => End::Held,
            Err(failure) => {
                // What was planted is no evidence.
                if self.wish.planted.is_none() {
                    say(self.stage.autopsy().await);
                }
                End::Failed(failure)
            }
        }
    }

    async fn play(&mut self, rounds: &[Round<S::Fault>]) -> Result<(), Failure> {
        for (nth, round) in rounds.iter().enumerate() {
            let loads = self.loads(nth as u64);
            let active = self.trouble(round, &loads).await?;
            match round.loss {
                None => self.rest(loads, round, active).await?,
                Some(loss) => self.lose(loads, round, loss, active).await?,
            }
            self.rounds.add(1);
        }
        self.judges.finish().await?;
        self.memory.judge(&Arc::new(self.stage.endpoints())).await?;
        self.stage.judge_bucket().await
    }

    fn loads(&self, round: u64) -> Vec<Load> {
        let is_doubling = self.wish.planted == Some(Mistake::IncrementsTwice);
        let load = |nth: u64| {
            let number = round * S::LOADS + nth;
            let seed = self.wish.seed.wrapping_add(number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            Load::start(self.stage.endpoints(), seed, Size { page: number * PAGES, is_doubling, ..S::SIZE })
        };
        (0..S::LOADS).map(load).collect()
    }

    /// Inflicts what the schedule says, when it says so or as soon as it can. Returns what has not ended.
    async fn trouble(&mut self, round: &Round<S::Fault>, loads: &[Load]) -> Result<BTreeSet<usize>, Failure> {
        let (begun, mut active) = (Instant::now(), BTreeSet::new());
        for (at_millis, act) in round.acts() {
            if active.iter().all(|nth: &usize| S::is_heard_amid(&round.faults[*nth].fault)) {
                self.stage.hear_promises(GLANCE_DEADLINE).await;
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
                        self.stage.end(&round.faults[nth].fault).await?;
                    }
                }
            }
            loads.iter().for_each(Load::turn_page);
        }
        Ok(active)
    }

    /// Ends all troubles, and holds the cluster to everything that it has answered.
    async fn rest(&mut self, loads: Vec<Load>, round: &Round<S::Fault>, active: BTreeSet<usize>) -> Result<(), Failure> {
        self.heal(round, active, &loads).await?;
        let ledger = finish(loads).await?;
        self.stage.judge().await?;
        ledger.acks.judge(&Arc::new(self.stage.endpoints())).await?;
        self.keep(ledger).await
    }

    /// Loses everything and restores it, and holds the cluster to what it has answered and promised.
    async fn lose(&mut self, loads: Vec<Load>, round: &Round<S::Fault>, loss: Loss, mut active: BTreeSet<usize>) -> Result<(), Failure> {
        if loss == Loss::InPeace {
            self.heal(round, std::mem::take(&mut active), &loads).await?;
        }
        self.stage.hear_promises(PROMISE_DEADLINE).await;
        let (first, others): (BTreeSet<usize>, BTreeSet<usize>) =
            active.into_iter().partition(|nth| S::ends_before_loss(&round.faults[*nth].fault));
        self.end(round, first).await?;
        self.stage.lose_everything().await?;
        self.end(round, others).await?;
        let mut ledger = finish(loads).await?;
        let promised = self.stage.restore().await?;
        let endpoints = Arc::new(self.stage.endpoints());
        let late = ledger.acks.judge_after_loss(&endpoints, &promised).await?;
        say(format!(
            "siege: everything was lost and restored: {late} of {} keys are gone, acknowledged after the promised moment",
            ledger.acks.count()
        ));
        self.memory.judge_after_loss(&endpoints, &promised).await?;
        for acks in [&mut ledger.acks, &mut self.memory] {
            acks.retain(|ack| ack.acknowledged_millis < promised(&ack.key));
        }
        self.stage.until_settled().await?;
        self.keep(ledger).await
    }

    /// Ends all troubles, and waits until everything is as it was.
    async fn heal(&mut self, round: &Round<S::Fault>, active: BTreeSet<usize>, loads: &[Load]) -> Result<(), Failure> {
        self.end(round, active).await?;
        self.stage.until_whole().await?;
        for load in loads {
            load.until_acknowledged(SIGNS_OF_LIFE).await?;
        }
        Ok(())
    }

    async fn end(&mut self, round: &Round<S::Fault>, active: BTreeSet<usize>) -> Result<(), Failure> {
        for nth in active {
            self.stage.end(&round.faults[nth].fault).await?;
        }
        Ok(())
    }

    /// Hands a history to the judges, and remembers a part of what was acknowledged.
    async fn keep(&mut self, ledger: Ledger) -> Result<(), Failure> {
        self.operations.add(ledger.acks.count() as u64);
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
