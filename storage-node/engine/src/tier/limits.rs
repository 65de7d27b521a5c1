//! Bounds of the object tier: name, unit, reason.

/// What an entry counts for beside its payload, in bytes: its heads in memory and in a log object.
pub const ENTRY_OVERHEAD_BYTES: u64 = 40;

/// A log object is closed when its entries reach this many bytes.
pub const LOG_OBJECT_BYTES: u64 = 4 << 20;

/// The longest entry, in bytes. A log object holds at most [`LOG_OBJECT_BYTES`] and one entry.
pub const ENTRY_BYTES_MAX: u64 = 64 << 20;

/// How many log objects of a node may be on their way at once. An object this many seqs after another proves that the other was confirmed.
pub const LOG_UPLOADS_MAX: usize = 4;

/// Committed entries waiting for their log object, in bytes; what comes on top is read from the log again when there is room.
pub const ARCHIVE_BUFFER_BYTES_MAX: u64 = 16 << 20;

/// The margin between the first write that could be lost and the reported time, in milliseconds: the declared clock error.
pub const CLOCK_ERROR_MS: u64 = 500;

/// How often the owner's beat is written and OWNER is read, in milliseconds.
pub const BEAT_PERIOD_MS: u64 = 30_000;

/// For how many periods a beat must stand before its path is taken over.
pub const BEAT_PERIODS_WATCHED: u64 = 3;

/// How old an earlier claimant's sighting of a beat may be to count, in milliseconds. The change of a leader takes seconds; whoever takes a path
/// back must watch for longer than this.
pub const SIGHTING_AGE_MS_MAX: u64 = 60_000;

/// The first pause before a failed request is repeated, in milliseconds; it doubles with every failure.
pub const RETRY_MS_MIN: u64 = 100;

/// The longest pause, in milliseconds: a mended store is noticed within this time.
pub const RETRY_MS_MAX: u64 = 5_000;

/// The size of a part of an upload or of a ranged read, in bytes. S3 wants at least 5 MiB for all parts but the last.
pub const PART_BYTES: u64 = 8 << 20;

/// How many parts a checkpoint has on their way at once.
pub const CHECKPOINT_PARTS_MAX: usize = 3;

/// How many requests a survey has on their way at once.
pub const SURVEY_CALLS_MAX: usize = 32;

/// How much of a log object's end is read to find its footer, in bytes; a longer footer costs a second read.
pub const FOOTER_GUESS_BYTES: u64 = 16 << 10;

/// How many bytes a restore has on their way or waiting to be written at once.
pub const FETCH_BYTES_MAX: u64 = 96 << 20;

/// How often an object that does not match its checksum is read again before it is called damaged: bytes flip on the way, too.
pub const DAMAGED_READS_MAX: u32 = 3;

/// The largest document, in bytes; a longer one is refused unread.
pub const DOCUMENT_BYTES_MAX: usize = 64 << 20;

/// The largest file of a tablet, in bytes: 10,000 parts, which is what S3 takes.
pub const FILE_BYTES_MAX: u64 = PART_BYTES * 10_000;

const _: () = assert!(PART_BYTES >= 5 << 20, "S3 refuses smaller parts");
const _: () = assert!(ARCHIVE_BUFFER_BYTES_MAX >= LOG_OBJECT_BYTES, "a full log object must fit into the buffer");
const _: () = assert!(RETRY_MS_MAX * 2 < BEAT_PERIOD_MS, "a beat is not missed for a pause");
const _: () = assert!(SIGHTING_AGE_MS_MAX < BEAT_PERIOD_MS * BEAT_PERIODS_WATCHED, "no watch fits in between");
const _: () = assert!(FETCH_BYTES_MAX >= PART_BYTES, "a part must fit into a restore's budget");
