//! The limits of this room: name, unit, reason.

use std::time::Duration;

/// Clusters that are looked at side by side. The controller's own default has no bound.
pub const RECONCILES_MAX: u16 = 4;

/// How long a node may take to answer; a slower one counts as silent in this pass.
pub const NODE_DEADLINE: Duration = Duration::from_secs(3);

/// How long a whole pass over one cluster may take.
pub const PASS_DEADLINE: Duration = Duration::from_secs(60);

/// How long to wait after a pass that failed, at first; it doubles with every failure in a row.
pub const RETRY_FIRST: Duration = Duration::from_millis(500);

/// How long to wait after a pass that failed, at most.
pub const RETRY_LAST: Duration = Duration::from_secs(30);

/// How often the lease is renewed, or looked at.
pub const LEASE_BEAT: Duration = Duration::from_secs(2);

/// Beats without a renewal after which its holder gives up: before anybody else may take over.
pub const LEASE_BEATS_HELD: u32 = 4;

/// Beats without a change after which another operator takes over.
pub const LEASE_BEATS_EXPIRED: u32 = 8;

/// How long a request to the status port may take.
pub const STATUS_DEADLINE: Duration = Duration::from_secs(2);

/// The longest request to the status port that is read, in bytes.
pub const STATUS_REQUEST_BYTES_MAX: usize = 4_096;

/// How often a machine that reads a bucket is told of time.
pub const BUCKET_BEAT: Duration = Duration::from_millis(100);

/// How long connecting to an object store may take.
pub const BUCKET_CONNECT_DEADLINE: Duration = Duration::from_secs(3);

/// How long a request to an object store may take: a probe must have its class within a minute.
pub const BUCKET_DEADLINE: Duration = Duration::from_secs(10);

/// Buckets that are read side by side, for all clusters and restores; more wait their turn.
pub const INQUIRIES_MAX: usize = 8;

/// How old, in seconds, what was read from a bucket may be to decide on it.
pub const FINDING_SECONDS_MAX: i64 = 15;

/// After how many seconds an inquiry ends that nobody asks for any more.
pub const INQUIRY_IDLE_SECONDS_MAX: i64 = 60;

/// How often a bucket is probed that answers.
pub const PROBE_PERIOD: Duration = Duration::from_secs(30);

/// How often a bucket is probed that fails: a mended one is noticed within this time.
pub const PROBE_PERIOD_FAILING: Duration = Duration::from_secs(10);

/// How long to wait before a failed restore is ordered again, at first; it doubles.
pub const RESTORE_RETRY_FIRST: Duration = Duration::from_secs(30);

/// How long to wait before a failed restore is ordered again, at most.
pub const RESTORE_RETRY_LAST: Duration = Duration::from_secs(600);

const _: () = assert!(LEASE_BEATS_HELD < LEASE_BEATS_EXPIRED, "a holder must give up before another one takes over");
const _: () = assert!(PROBE_PERIOD.as_secs() + BUCKET_DEADLINE.as_secs() * 2 < 60, "a failing store has its class within a minute");
