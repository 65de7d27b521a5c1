//! The limits of this room: name, unit, reason.

/// How long a command may wait for a leader, for its turn and for its fate, in milliseconds. Clients give up redirects within half a
/// second, so holding a command is kinder than refusing it; five seconds is beyond any healthy election.
pub const COMMAND_DEADLINE_MILLIS: u64 = 5_000;

/// Commands that wait for evaluation in one shard, in bytes of their arguments; above it they are refused without effect.
pub const QUEUE_BYTES_MAX: usize = 64 << 20;

/// Commands that wait for evaluation in one shard, in number.
pub const QUEUE_COMMANDS_MAX: usize = 65_536;

/// Effects that are proposed and not applied, in bytes; above it a shard evaluates no writes until some are applied.
pub const OVERLAY_BYTES_MAX: usize = 64 << 20;

/// The most bytes of effects in one entry. A round ends there, the next begins another entry; a single larger command still is one entry.
pub const ENTRY_BYTES_MAX: usize = 1 << 20;

/// While the log writes a round of fewer commands than this, another round may be begun beside it: so few hardly share the cost of their append,
/// and a client that waits for followers, too, should not wait for its turn besides.
pub const OVERLAPPING_ROUND_COMMANDS_MAX: usize = 16;

/// Entries kept in the log behind the applied index for members that lag a little, while the log is within its budget.
pub const LOG_ENTRIES_KEPT: u64 = 4_096;

/// How long reads wait for the read barriers of other shards, so that their own travel in the same messages, in milliseconds: far above a round
/// trip in health, far below what a client notices of a shard that has lost its quorum.
pub const BARRIER_ROUND_MILLIS_MAX: u64 = 10;

/// Records that a read may visit on a thread that others wait for: a millisecond or less. Whoever needs more goes to the threads below.
pub const RECORDS_AT_ONCE: usize = 1_000;

/// Threads that read from the disk what memory cannot answer: as many requests at once as it takes for a local SSD to give its rate.
pub const READERS: usize = 64;

/// Reads that wait for one of those threads; more are refused as busy.
pub const COLD_READS_MAX: usize = 8_192;

/// Ticks until a proof of leadership that nobody answered is asked for again, of everybody.
pub const PROOF_TICKS: u64 = 2;

/// How long a voter that confirmed a leader helps nobody else to lead, in milliseconds: less than the shortest election timeout by the default
/// tick, so that a leader that dies is replaced no later for it. Leaders count on it in others: while versions mix in a cluster it stays the same.
pub const PLEDGE_MILLIS: u64 = 400;

/// Ticks between two looks at the sizes of log and tablets.
pub const MAINTENANCE_TICKS: u64 = 20;

/// Ticks between two looks for keys whose time has come.
pub const EXPIRY_TICKS: u64 = 10;

/// Keys that one round removes because their time has come: about as much work as a full round of writes.
pub const EXPIRED_KEYS_PER_ROUND: usize = 1_000;

/// Ticks between two heartbeats of a leader: several fit into the shortest election timeout, which is 10 ticks.
pub const HEARTBEAT_TICKS: u64 = 2;

/// Ticks between two tellings of who leads what.
pub const GOSSIP_TICKS: u64 = 4;

/// Ticks without a word from a node until it counts as unheard.
pub const UNHEARD_TICKS: u64 = 60;

/// Ticks that a planned transfer of leadership may take before the leader serves on.
pub const TRANSFER_TICKS: u64 = 20;

/// A node whose clock is this far from its quorum's median may not lead, in milliseconds.
pub const CLOCK_SKEW_MILLIS_MAX: i64 = 500;

/// The longest eviction of leaders that an order may ask for, in milliseconds: a dead operator must not keep a node idle.
pub const EVICTION_MILLIS_MAX: u64 = 600_000;

/// Events that wait for a host loop; above it their senders wait. One event holds at most what one connection pipelines.
pub const EVENTS_MAX: usize = 16_384;

/// Messages that wait for one other node, in number; above it the oldest kind of trouble is simulated: they are lost.
pub const PEER_MESSAGES_MAX: usize = 8_192;

/// Commands that a host loop takes in one turn before it looks at its clock again.
pub const COMMANDS_PER_TURN: usize = 4_096;

/// Requests of one connection that are evaluated at the same time; further ones stay in its socket.
pub const PIPELINE_MAX: usize = 1_024;

/// What the replies to commands that one connection has begun together may take until they are sent, in bytes: as much as the largest one. The
/// commands beyond it are begun one by one as their client takes replies; a client that pipelined writes among them is closed.
pub const REPLY_BUFFER_BYTES_MAX: usize = 256 << 20;

/// How long a request of a file of a snapshot, or its sender, may take for one piece, in milliseconds.
pub const SNAPSHOT_PIECE_MILLIS_MAX: u64 = 30_000;

/// The size of a piece of a snapshot, in bytes.
pub const SNAPSHOT_PIECE_BYTES: usize = 1 << 20;

/// Ticks between two looks at the object tier: what it promises is at most this old.
pub const TIER_TICKS: u64 = 2;

/// Ticks between two repetitions of how far led shards are archived.
pub const ARCHIVED_TICKS: u64 = 100;

/// Ticks that the confirmation of a promise to the archive may take; then another one is asked for.
pub const CLOSE_TICKS: u64 = 20;

/// Log reads for the archive in one turn, so that commands are not kept waiting.
pub const ARCHIVE_READS_PER_TURN: usize = 4;

/// What an entry is taken to weigh while nobody has counted, in bytes.
pub const ENTRY_BYTES_GUESS: u64 = 512;

/// How long a cluster document that was not written waits for the next attempt, in milliseconds.
pub const PUBLISH_RETRY_MILLIS: u64 = 1_000;

/// Ticks between two looks at the age of checkpoints.
pub const CHECKPOINT_LOOK_TICKS: u64 = 40;

/// The longest beat that nodes tell each other of, in bytes; ours are shorter, and one that is longer is watched by each leader anew.
pub const BEAT_TOLD_BYTES_MAX: usize = 1 << 10;

/// How long a claim of the archive's path counts before another one is made because OWNER names somebody else, in milliseconds: twice the time
/// between two reads of OWNER.
pub const CLAIM_AGAIN_MILLIS: u64 = 60_000;

/// Checkpoints of one node at the same time: their uploads share its network.
pub const CHECKPOINTS_MAX: usize = 2;

/// How long a shard waits after a checkpoint that failed, in milliseconds.
pub const CHECKPOINT_RETRY_MILLIS: u64 = 5_000;

/// Tablets of one node that are digested at the same time: each is read whole by a thread of its own, and its disk keeps what is overwritten
/// meanwhile. A replica whose turn does not come says so, and is compared again by whoever asked.
pub const DIGESTS_MAX: usize = 2;

const _: () = assert!(ENTRY_BYTES_MAX < OVERLAY_BYTES_MAX, "an entry must fit the overlay's budget");
const _: () = assert!(GOSSIP_TICKS < UNHEARD_TICKS, "a node that gossips is heard");

/// The longest message between nodes, in bytes: an append with one entry of the largest command.
pub const PEER_MESSAGE_BYTES_MAX: usize = 256 << 20;

/// How long a call of another node's node-api may take, connecting included, in milliseconds; longer than a host may take to report.
pub const API_CALL_MILLIS_MAX: u64 = COMMAND_DEADLINE_MILLIS + 1_000;

/// Requests to object stores under way at the same time; further ones wait. The machines of the object tier have smaller bounds of their
/// own, in bytes; this one keeps them together from taking every socket and every thread that waits.
pub const OBJECT_REQUESTS_MAX: usize = 64;

/// How long connecting to an object store may take, in milliseconds.
pub const OBJECT_CONNECT_MILLIS_MAX: u64 = 3_000;

/// How long a request to an object store may take, its bytes included, in milliseconds: a part of 8 MiB at 300 kB/s.
pub const OBJECT_REQUEST_MILLIS_MAX: u64 = 30_000;
