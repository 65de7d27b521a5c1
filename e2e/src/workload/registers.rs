//! A seeded mix of commands on few keys, each command recorded for the linearizability checker.
//!
//! Written values are unique, so that a read names the write that it saw. Half of the keys hold text, half count: an INCR of text would be
//! refused, and say nothing.

use super::{
    Progress,
    client::{Outcome, RedisClient},
};
use crate::history::{Call, Fate, History, Operation};
use fastrand::Rng;
use redis::{Cmd, Value};
use tokio::time::Interval;

/// Commands at most, by one client.
const COMMANDS_MAX: u64 = 20_000;

/// Keys that hold text, on each page.
const TEXTS: u32 = 4;

/// Keys that count, on each page.
const COUNTERS: u32 = 3;

/// A time to live that outlives every scenario, in seconds: the reply tells whether the key exists.
const LONG_SECONDS: i64 = 100_000;

/// A time to live that ends while the scenario goes on, in seconds.
const SHORT_SECONDS: i64 = 1;

/// Who works on registers.
pub(super) struct Client {
    /// Names it in the history.
    pub number: u32,
    /// Its connection.
    pub client: RedisClient,
    /// What its choices follow from.
    pub random: Rng,
    /// Whether it gives increments twice, and records them once.
    pub is_doubling: bool,
}

pub(super) async fn run(who: Client, mut beat: Interval, progress: &Progress) -> History {
    let Client { number, mut client, mut random, is_doubling } = who;
    let mut history = History::default();
    for nth in 0..COMMANDS_MAX {
        if !progress.goes_on() {
            break;
        }
        beat.tick().await;
        let (key, call) = choose(&mut random, progress.page(), || format!("{number}-{nth}"));
        let start_nanos = progress.nanos();
        let mut outcome = client.call(&command(&key, &call)).await;
        if is_doubling && call.name == "incr" && matches!(outcome, Outcome::Replied(_)) {
            outcome = client.call(&command(&key, &call)).await;
        }
        let end_nanos = progress.nanos();
        let fate = fate(&outcome);
        history.record(Operation { client: number, key, call, start_nanos, end_nanos, fate });
        progress.count(&outcome).await;
    }
    history
}

/// The next key and command. `unique` makes a value that nobody else writes.
fn choose(random: &mut Rng, page: u64, unique: impl FnOnce() -> String) -> (String, Call) {
    let is_text = random.u32(..TEXTS + COUNTERS) < TEXTS;
    let dice = random.u32(..100);
    if is_text {
        let call = match dice {
            0..40 => Call::with("set", unique()),
            40..82 => Call::plain("get"),
            82..90 => Call::plain("del"),
            90..93 => Call::with("expire", LONG_SECONDS),
            93..97 => Call::with("expire", SHORT_SECONDS),
            _ => Call::with("expire", -1),
        };
        (format!("page-{page}-text-{}", random.u32(..TEXTS)), call)
    } else {
        let call = match dice {
            0..55 => Call::plain("incr"),
            55..93 => Call::plain("get"),
            _ => Call::plain("del"),
        };
        (format!("page-{page}-count-{}", random.u32(..COUNTERS)), call)
    }
}

fn command(key: &str, call: &Call) -> Cmd {
    let mut command = redis::cmd(call.name);
    command.arg(key).arg(&call.arguments);
    command
}

/// A reply of a shape that the command never gives is kept as text, for the checker to stumble over.
fn fate(outcome: &Outcome) -> Fate {
    match outcome {
        Outcome::Replied(Value::Okay) => Fate::Ok("OK".into()),
        Outcome::Replied(Value::Nil) => Fate::Ok(serde_json::Value::Null),
        Outcome::Replied(Value::Int(number)) => Fate::Ok((*number).into()),
        Outcome::Replied(Value::BulkString(bytes)) => Fate::Ok(String::from_utf8_lossy(bytes).into()),
        Outcome::Replied(other) => Fate::Ok(format!("unexpected {other:?}").into()),
        Outcome::Unknown(_) => Fate::Unknown,
        Outcome::Failed(_) => Fate::Failed,
    }
}
