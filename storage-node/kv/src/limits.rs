//! The limits of this room: name, unit, reason.

/// The longest bulk string of a request, in bytes: Redis's `proto-max-bulk-len`, lowered so that one entry stays small beside the log budget.
pub const BULK_BYTES_MAX: usize = 64 << 20;

/// The longest inline request, in bytes: Redis's `PROTO_INLINE_MAX_SIZE`.
pub const INLINE_BYTES_MAX: usize = 64 << 10;

/// The most arguments of one request: Redis's multibulk limit.
pub const ARGUMENTS_MAX: usize = 1 << 20;

/// The longest request in all its arguments, in bytes; a longer one is a protocol error and closes the connection.
pub const REQUEST_BYTES_MAX: usize = 128 << 20;

/// The longest key, in bytes. A key stands in front of each of its elements, so it is far below Redis's 512 MiB.
pub const KEY_BYTES_MAX: usize = 64 << 10;

/// The longest string value, in bytes; APPEND and SETRANGE stop there with Redis's error.
pub const STRING_BYTES_MAX: usize = 64 << 20;

/// The most records one SCAN, HSCAN or expiry step visits: bounds the time a command holds its shard's loop.
pub const SCAN_RECORDS_MAX: usize = 10_000;

/// The most bytes that a reply to a whole-shard command (KEYS) gathers on one shard before it is refused.
pub const REPLY_BYTES_MAX: usize = 256 << 20;

const _: () = assert!(KEY_BYTES_MAX < BULK_BYTES_MAX, "a key is a bulk string");
const _: () = assert!(STRING_BYTES_MAX <= BULK_BYTES_MAX, "a value must be readable by the protocol that wrote it");
const _: () = assert!(BULK_BYTES_MAX < REQUEST_BYTES_MAX, "a request holds at least one bulk string of any size");
