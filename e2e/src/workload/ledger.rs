//! What a load has recorded, and the judgement on it.

use super::{
    client::{Door, Endpoints, RedisClient},
    counter::{self, Tally},
    log_of_acks::Acks,
};
use crate::{checker, failure::Failure, history::History};
use redis::Value;
use std::{path::Path, sync::Arc};

/// What a load has recorded.
#[derive(Debug, Default)]
pub struct Ledger {
    /// Commands on registers, for the linearizability checker.
    pub history: History,
    /// Increments.
    pub tally: Tally,
    /// Acknowledged keys.
    pub acks: Acks,
}

impl Ledger {
    /// Holds whoever was loaded, and is at rest now, to every promise: reads back what was acknowledged, and has the history judged, which
    /// is kept in the file `path`.
    pub async fn judge(&self, endpoints: &Endpoints, path: &Path) -> Result<(), Failure> {
        let endpoints = Arc::new(endpoints.clone());
        // A load without counters says nothing of what another one counted.
        if !self.tally.is_empty() {
            let mut client = RedisClient::new(Door::Plain, endpoints.clone(), 0);
            let counted = client.ask(redis::cmd("GET").arg(counter::KEY)).await.map_err(Failure::Broken)?;
            self.tally.judge(number(&counted)?)?;
        }
        self.acks.judge(&endpoints).await?;
        checker::linearizable(&self.history, path).await
    }
}

fn number(counted: &Value) -> Result<i64, Failure> {
    let number = match counted {
        Value::Nil => Some(0),
        Value::BulkString(digits) => std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok()),
        _ => None,
    };
    number.ok_or_else(|| Failure::broken(format!("the counter reads as {counted:?}")))
}
