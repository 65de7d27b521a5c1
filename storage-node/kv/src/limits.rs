//! The limits of this room: name, unit, reason.

/// The longest bulk string of a request, in bytes: Redis's `proto-max-bulk-len`, lowered so that one entry stays small beside the log budget.
pub const BULK_BYTES_MAX: usize = 64 << 20;

/// The longest inline request, in bytes: Redis's `PROTO_INLINE_MAX_SIZE`.
pub const INLINE_BYTES_MAX: usize = 64 << 10;

/// The most arguments of one request: Redis's multibulk limit.
pub const ARGUMENTS_MAX: usize = 1 << 20;

/// The most arguments of a request before authentication: Redis's limit.
pub const UNAUTHENTICATED_ARGUMENTS_MAX: usize = 10;

/// The longest bulk string before authentication, in bytes: Redis's limit.
pub const UNAUTHENTICATED_BULK_BYTES_MAX: usize = 16 << 10;

/// The longest request in all its arguments, in bytes; a longer one is a protocol error and closes the connection.
pub const REQUEST_BYTES_MAX: usize = 128 << 20;

/// The longest key, in bytes. A key stands in front of each of its elements, so it is far below Redis's 512 MiB.
pub const KEY_BYTES_MAX: usize = 64 << 10;

/// The longest field of a hash, in bytes: it is part of its element's key.
pub const FIELD_BYTES_MAX: usize = 64 << 10;

/// The most bytes of fields and values that COPY and RENAME write anew: a whole collection goes into one log entry.
pub const COPY_BYTES_MAX: usize = 64 << 20;

/// The longest string value, in bytes; APPEND and SETRANGE stop there with Redis's error.
pub const STRING_BYTES_MAX: usize = 64 << 20;

/// The most bytes of what a client sent that an error shows: Redis's figure for unknown commands.
pub const SHOWN_BYTES_MAX: usize = 128;

/// The most records one SCAN, HSCAN or expiry step visits: bounds the time a command holds its shard's loop. SCAN exceeds it for one hash tag
/// with more keys than that, whose keys it can only visit together.
pub const SCAN_RECORDS_MAX: usize = 10_000;

/// A hash of up to this many fields is answered by one HSCAN, and drawn from exactly by HRANDFIELD: Redis's `hash-max-listpack-entries`.
pub const SMALL_HASH_FIELDS_MAX: u64 = 512;

/// The most cells of the table that LCS fills, in bytes: Redis's rule with our `proto-max-bulk-len`.
pub const LCS_BYTES_MAX: usize = BULK_BYTES_MAX;

/// The most bytes that one shard's part of a reply gathers (KEYS, HGETALL, HRANDFIELD) before it is refused.
pub const REPLY_BYTES_MAX: usize = 256 << 20;

/// The bytes after which a page of HSCAN ends, whatever its COUNT: one page of a hash of large values stays answerable.
pub const PAGE_BYTES_MAX: usize = 16 << 20;

const _: () = assert!(PAGE_BYTES_MAX + STRING_BYTES_MAX <= REPLY_BYTES_MAX, "a page is a reply");
const _: () = assert!(KEY_BYTES_MAX < BULK_BYTES_MAX, "a key is a bulk string");
const _: () = assert!(STRING_BYTES_MAX <= BULK_BYTES_MAX, "a value must be readable by the protocol that wrote it");
const _: () = assert!(BULK_BYTES_MAX < REQUEST_BYTES_MAX, "a request holds at least one bulk string of any size");
