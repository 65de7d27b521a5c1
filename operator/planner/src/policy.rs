//! What is wanted: the declared shape of the cluster, and the bounds that the planner keeps.

/// What is wanted of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Voters per shard; odd, between 1 and [`REPLICATION_FACTOR_MAX`].
    pub replication_factor: u8,
    /// How many leaders a node may have above or below its expectation before any is moved; at least 1.
    pub leader_tolerance: u32,
    /// How many committed entries a member may lack and still lead or become a voter.
    pub lag_entries_max: u64,
    /// How old a node's report may be to act on it, in milliseconds.
    pub report_age_max_millis: u64,
    /// How long a node may be unheard by operator and peers before it counts as down, in milliseconds.
    pub silence_max_millis: u64,
    /// How many shards may have a learner catching up at a time.
    pub moves_max: usize,
    /// How many leaders one plan transfers. One chain of transfers that is longer goes alone.
    pub transfers_max: usize,
}

/// The highest replication factor.
pub const REPLICATION_FACTOR_MAX: u8 = 9;

impl Default for Policy {
    fn default() -> Policy {
        Policy {
            replication_factor: 3,
            leader_tolerance: 1,
            lag_entries_max: 1_000,
            report_age_max_millis: 5_000,
            silence_max_millis: 15_000,
            moves_max: 2,
            transfers_max: 8,
        }
    }
}

impl Policy {
    /// How many voters make a quorum of a shard with `voters` voters.
    pub const fn quorum(voters: usize) -> usize {
        voters / 2 + 1
    }

    /// How many voters of one shard may lie in one zone, given the number of stores in each zone: as few as can be.
    pub fn voters_per_zone_max(&self, stores_per_zone: &[usize]) -> usize {
        let factor = usize::from(self.replication_factor);
        let places = |most: usize| stores_per_zone.iter().map(|stores| (*stores).min(most)).sum::<usize>();
        (1..factor).find(|most| places(*most) >= factor).unwrap_or(factor)
    }
}
