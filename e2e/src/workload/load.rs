//! All clients together: started, watched, ended, and their accounts collected.

use super::{
    Ledger,
    client::{Door, Endpoints, Outcome, RedisClient},
    counter::{self, Tally},
    log_of_acks::{self, Acks},
    registers,
};
use crate::{failure::Failure, harness::wait, history::History};
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};
use tokio::{
    task::JoinSet,
    time::{Interval, MissedTickBehavior},
};

/// How long a load may run whatever its scenario does.
const LIFE_MAX: Duration = Duration::from_secs(180);

/// How long a load may take to acknowledge the next few commands once the cluster can serve.
const PROGRESS_DEADLINE: Duration = Duration::from_secs(30);

/// How long clients may take to finish their last command.
const FINISH_DEADLINE: Duration = Duration::from_secs(20);

/// How many clients there are, and how fast they are.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Clients of registers; every second one goes through the cluster's door.
    pub registers: u32,
    /// Clients that increment the counter.
    pub counters: u32,
    /// Clients that write ever new keys.
    pub writers: u32,
    /// The shortest time between two commands of a client.
    pub beat: Duration,
    /// The page that clients begin on. A second load on a cluster takes another one, so that it meets no keys of the first.
    pub page: u64,
    /// Clients of registers give each increment twice and record it once: a mistake of the clients' own, which the judges must find.
    pub is_doubling: bool,
}

impl Default for Size {
    fn default() -> Size {
        Size { registers: 6, counters: 2, writers: 2, beat: Duration::from_millis(10), page: 0, is_doubling: false }
    }
}

/// What all clients of a load share.
#[derive(Debug)]
pub struct Progress {
    start: Instant,
    start_unix_nanos: u64,
    is_ended: AtomicBool,
    page: AtomicU64,
    acknowledged: AtomicU64,
    unknown: AtomicU64,
    failed: AtomicU64,
    last_doubt: Mutex<String>,
    last_refusal: Mutex<String>,
}

impl Progress {
    fn new(page: u64) -> Progress {
        let start_unix_nanos = SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_nanos() as u64);
        let zero = || AtomicU64::new(0);
        Progress {
            start: Instant::now(),
            start_unix_nanos,
            is_ended: AtomicBool::new(false),
            page: AtomicU64::new(page),
            acknowledged: zero(),
            unknown: zero(),
            failed: zero(),
            last_doubt: Mutex::default(),
            last_refusal: Mutex::default(),
        }
    }

    /// Nanoseconds since the Unix epoch, by the wall clock at the load's start and a monotonic one since: the one clock of its history.
    pub fn nanos(&self) -> u64 {
        self.start_unix_nanos + self.start.elapsed().as_nanos() as u64
    }

    /// Milliseconds since the Unix epoch, by the wall clock that nodes on this machine read too.
    pub fn millis(&self) -> u64 {
        SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_millis() as u64)
    }

    /// The page that clients of registers write on: each has keys of its own.
    pub fn page(&self) -> u64 {
        self.page.load(Ordering::Relaxed)
    }

    /// Whether clients shall go on.
    pub fn goes_on(&self) -> bool {
        !self.is_ended.load(Ordering::Relaxed) && self.start.elapsed() < LIFE_MAX
    }

    /// Counts an outcome, and gives way where nothing was done: a refused client must not spin.
    pub async fn count(&self, outcome: &Outcome) {
        let keep = |place: &Mutex<String>, reason: &String| reason.clone_into(&mut place.lock().expect("nobody panics while writing this"));
        let counter = match outcome {
            Outcome::Replied(_) => &self.acknowledged,
            Outcome::Failed(reason) => {
                keep(&self.last_refusal, reason);
                &self.failed
            }
            Outcome::Unknown(reason) => {
                keep(&self.last_doubt, reason);
                &self.unknown
            }
        };
        counter.fetch_add(1, Ordering::Relaxed);
        if !matches!(outcome, Outcome::Replied(_)) {
            wait::pause(Duration::from_millis(20)).await;
        }
    }
}

/// What one client brings home.
pub(super) enum Account {
    Registers(History),
    Counter(Tally),
    Writer(Acks),
}

/// Clients at work. Dropping it ends them.
pub struct Load {
    tasks: JoinSet<Account>,
    progress: Arc<Progress>,
    endpoints: Arc<Endpoints>,
}

impl Load {
    /// Starts all clients. Everything they choose follows from `seed`.
    pub fn start(endpoints: Endpoints, seed: u64, size: Size) -> Load {
        let (endpoints, progress, mut tasks) = (Arc::new(endpoints), Arc::new(Progress::new(size.page)), JoinSet::new());
        let doors = [Door::Plain, Door::Cluster];
        let client = |number: u32| RedisClient::new(doors[number as usize % 2], endpoints.clone(), number as usize / 2);
        for number in 0..size.registers {
            let (client, progress) = (client(number), progress.clone());
            let random = fastrand::Rng::with_seed(seed ^ (u64::from(number) << 48));
            let client = registers::Client { number, client, random, is_doubling: size.is_doubling };
            tasks.spawn(async move { Account::Registers(registers::run(client, beat(size), &progress).await) });
        }
        for number in 0..size.counters {
            let (client, progress) = (client(number), progress.clone());
            tasks.spawn(async move { Account::Counter(counter::run(client, beat(size), &progress).await) });
        }
        for number in 0..size.writers {
            let (client, progress) = (client(number), progress.clone());
            tasks.spawn(async move { Account::Writer(log_of_acks::run(number, client, beat(size), &progress).await) });
        }
        Load { tasks, progress, endpoints }
    }

    /// Waits until `count` more commands were acknowledged: the cluster serves, and this much has happened since.
    pub async fn until_acknowledged(&self, count: u64) -> Result<(), Failure> {
        let before = self.progress.acknowledged.load(Ordering::Relaxed);
        wait::until(PROGRESS_DEADLINE, &format!("{count} more commands are acknowledged"), async || {
            let done = self.progress.acknowledged.load(Ordering::Relaxed) - before;
            if done >= count { Ok(()) } else { Err(format!("{done} were; {}", self.counts())) }
        })
        .await
    }

    /// Lets clients of registers go on with fresh keys, so that doubts about the old ones do not pile up for the checker.
    pub fn turn_page(&self) {
        self.progress.page.fetch_add(1, Ordering::Relaxed);
    }

    /// What was done so far, in words.
    pub fn counts(&self) -> String {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let last = |place: &Mutex<String>| match &*place.lock().expect("nobody panics while writing this") {
            reason if reason.is_empty() => String::new(),
            reason => format!(" (the last: {reason})"),
        };
        let Progress { acknowledged, unknown, failed, last_doubt, last_refusal, .. } = &*self.progress;
        let (doubt, refusal) = (last(last_doubt), last(last_refusal));
        format!("{} commands acknowledged, {} unknown{doubt}, {} without effect{refusal}", of(acknowledged), of(unknown), of(failed))
    }

    /// Ends all clients after their present command, and collects what they recorded.
    pub async fn finish(mut self) -> Result<Ledger, Failure> {
        self.progress.is_ended.store(true, Ordering::Relaxed);
        let mut ledger = Ledger::default();
        let collect = async {
            while let Some(account) = self.tasks.join_next().await {
                match account.map_err(Failure::of("collect a client's account"))? {
                    Account::Registers(history) => ledger.history.append(history),
                    Account::Counter(tally) => ledger.tally.append(tally),
                    Account::Writer(acks) => ledger.acks.append(acks),
                }
            }
            Ok(())
        };
        match tokio::time::timeout(FINISH_DEADLINE, collect).await {
            Ok(collected) => collected.map(|()| ledger),
            Err(_) => Err(Failure::broken(format!("a client did not end within {} s", FINISH_DEADLINE.as_secs()))),
        }
    }

    /// The nodes that the clients use.
    pub fn endpoints(&self) -> Arc<Endpoints> {
        self.endpoints.clone()
    }
}

fn beat(size: Size) -> Interval {
    let mut beat = tokio::time::interval(size.beat);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    beat
}
