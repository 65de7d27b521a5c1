//! The limits of this room: name, unit, reason.

/// The most bytes of entries in one append message: small enough that a message never blocks heartbeats for long.
pub const MESSAGE_BYTES_MAX: u64 = 1 << 20;

/// Append messages in flight to one member.
pub const MESSAGES_IN_FLIGHT_MAX: usize = 256;

/// The most bytes of proposals that are not committed; above it proposals are refused.
pub const UNCOMMITTED_BYTES_MAX: u64 = 64 << 20;

/// The most bytes of committed entries in one ready, so that applying never takes the loop for long.
pub const COMMITTED_BYTES_PER_READY_MAX: u64 = 4 << 20;

/// The most bytes of entries kept in memory for members that are near; older ones are read from the log.
pub const CACHE_BYTES_MAX: usize = 16 << 20;

/// The most bytes of a message from a peer.
pub const PEER_MESSAGE_BYTES_MAX: usize = 192 << 20;

/// Ticks of a leader's silence after which a broken connection to it means that it is gone: one more than two heartbeats of the host are apart, since a
/// connection may break, or be refused one way, while the leader is well.
pub const OVERDUE_TICKS: usize = 3;

const _: () = assert!(MESSAGE_BYTES_MAX < UNCOMMITTED_BYTES_MAX, "a follower that lags by one message must not stop proposals");
