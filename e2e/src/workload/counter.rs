//! Increments of one key: none acknowledged is lost, none is counted twice.

use super::{
    Progress,
    client::{Outcome, RedisClient},
};
use crate::failure::Failure;
use redis::Value;
use tokio::time::Interval;

/// The key that is incremented.
pub const KEY: &str = "counter";

/// Increments at most, by one client.
const INCREMENTS_MAX: u64 = 20_000;

/// What clients know of their increments.
#[derive(Debug, Default)]
pub struct Tally {
    /// The values that acknowledged increments returned.
    replies: Vec<i64>,
    /// Increments that may have happened.
    unknown: u64,
}

impl Tally {
    /// Adds what another client knows.
    pub fn append(&mut self, mut other: Tally) {
        self.replies.append(&mut other.replies);
        self.unknown += other.unknown;
    }

    /// Whether nothing was incremented.
    pub fn is_empty(&self) -> bool {
        self.replies.is_empty() && self.unknown == 0
    }

    /// Judges the value that the key has in the end.
    pub fn judge(&self, last: i64) -> Result<(), Failure> {
        let mut replies = self.replies.clone();
        replies.sort_unstable();
        if let Some(twice) = replies.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(Failure::broken(format!("two increments were both answered with {}", twice[0])));
        }
        let (least, most) = (replies.len() as i64, replies.len() as i64 + self.unknown as i64);
        if !(least..=most).contains(&last) {
            let sentence = format!("{least} increments were acknowledged and {} are unknown, but the counter is {last}", self.unknown);
            return Err(Failure::broken(sentence));
        }
        match replies.last() {
            Some(highest) if *highest > last => {
                Err(Failure::broken(format!("an increment was answered with {highest}, but the counter is {last}")))
            }
            _ => Ok(()),
        }
    }
}

pub(super) async fn run(mut client: RedisClient, mut beat: Interval, progress: &Progress) -> Tally {
    let mut tally = Tally::default();
    let mut sent = 0;
    while progress.goes_on() && sent < INCREMENTS_MAX {
        beat.tick().await;
        let outcome = client.call(redis::cmd("INCR").arg(KEY)).await;
        match &outcome {
            Outcome::Replied(Value::Int(value)) => tally.replies.push(*value),
            Outcome::Replied(_) | Outcome::Unknown(_) => tally.unknown += 1,
            Outcome::Failed(_) => {}
        }
        progress.count(&outcome).await;
        sent += 1;
    }
    tally
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_and_a_doubled_increment_are_seen() {
        let tally = Tally { replies: vec![1, 2, 4], unknown: 1 };
        assert!(tally.judge(4).is_ok());
        for (replies, last, named) in [(vec![1, 2, 4], 2, "the counter is 2"), (vec![1, 2, 2], 3, "both answered"), (vec![1, 9], 3, "9")] {
            let verdict = Tally { replies, unknown: 1 }.judge(last).expect_err("must be seen").to_string();
            assert!(verdict.contains(named), "{verdict}");
        }
    }
}
