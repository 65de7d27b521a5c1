//! A promise that was broken, and which check noticed.

use serde::{Deserialize, Serialize};
use std::fmt;

/// What is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// What clients were told of counters, and of keys that one of them writes.
    Account,
    /// All replicas of a shard hold the same at the same entry, and count it right.
    Replicas,
    /// The cluster's time is near the true one.
    Clock,
    /// The HLCs of commands rise along the log.
    Order,
    /// What is not archived lies in a log.
    Cuts,
    /// The bucket has what its documents name, and can be restored.
    Bucket,
    /// What was promised of the archive survives.
    Promise,
    /// A restored tablet holds what its parent held.
    Restore,
    /// While a leader reads by its lease there is no later one.
    Lease,
    /// Every command is answered in time; what is mended serves, and comes to rest as it was ordered.
    Liveness,
    /// No host panics, stops a replica, or refuses what the operator may order.
    Host,
    /// A cluster begins once, is restored where it can be, and obeys one operator at a time.
    Operator,
    /// Histories are linearizable, says the checker outside.
    Linearizability,
}

impl Check {
    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Check::Account => "account",
            Check::Replicas => "replicas",
            Check::Clock => "clock",
            Check::Order => "order",
            Check::Cuts => "cuts",
            Check::Bucket => "bucket",
            Check::Promise => "promise",
            Check::Restore => "restore",
            Check::Lease => "lease",
            Check::Liveness => "liveness",
            Check::Host => "host",
            Check::Operator => "operator",
            Check::Linearizability => "linearizability",
        }
    }

    /// It noticed this.
    pub fn says(self, sentence: impl Into<String>) -> Violation {
        Violation { check: self, sentence: sentence.into(), at_micros: None }
    }
}

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which check noticed.
    pub check: Check,
    /// What it noticed.
    pub sentence: String,
    /// When it noticed, in microseconds since the run began; what is judged after the end has no moment.
    pub at_micros: Option<u64>,
}

impl fmt::Display for Violation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.check.name(), self.sentence)
    }
}
