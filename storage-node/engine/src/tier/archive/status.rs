//! What the archive says of itself: never better than the truth.

use super::{Gap, Position, Pressure};
use crate::objects::ObjectError;
use strata_base::ShardId;

/// What ails the archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The last error.
    pub error: ObjectError,
    /// Since when requests fail, in milliseconds of the host's clock.
    pub since_ms: u64,
    /// How many failed since.
    pub attempts: u64,
}

/// How far a shard is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardStatus {
    /// The shard.
    pub shard: ShardId,
    /// Up to where it is archived.
    pub archived: Position,
    /// Every acknowledged write before this moment survives the loss of every disk; milliseconds since the Unix epoch.
    pub recovery_latest_ms: u64,
    /// How old the first write is that would be lost, in milliseconds; 0 where none would be.
    pub lag_ms: u64,
    /// Bytes of entries that would be lost, those evaluated and not yet committed included.
    pub bytes_at_risk: u64,
    /// What the archive will never have, oldest first.
    pub gaps: Vec<Gap>,
}

/// How far the archive is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchiveStatus {
    /// The shards that this node leads, in the order of their ids.
    pub shards: Vec<ShardStatus>,
    /// What ails the archive now.
    pub problem: Option<Problem>,
    /// Whether writes may be taken.
    pub pressure: Pressure,
    /// Log objects confirmed in this life.
    pub objects: u64,
}

impl ArchiveStatus {
    /// The earliest of the shards' times; none where this node leads no shard.
    pub fn recovery_latest_ms(&self) -> Option<u64> {
        self.shards.iter().map(|shard| shard.recovery_latest_ms).min()
    }

    /// The longest lag, in milliseconds.
    pub fn lag_ms(&self) -> u64 {
        self.shards.iter().map(|shard| shard.lag_ms).max().unwrap_or(0)
    }

    /// Bytes that would be lost, all shards together.
    pub fn bytes_at_risk(&self) -> u64 {
        self.shards.iter().map(|shard| shard.bytes_at_risk).sum()
    }
}
