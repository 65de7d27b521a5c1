//! Errors of evaluation, and the one place where Redis's error texts stand.

use std::borrow::Cow;

/// An error reply: the text a client sees, without the leading `-`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ErrorReply(Cow<'static, str>);

impl ErrorReply {
    /// The key holds another type.
    pub const WRONG_TYPE: ErrorReply = ErrorReply::fixed("WRONGTYPE Operation against a key holding the wrong kind of value");
    /// The arguments do not form a call.
    pub const SYNTAX: ErrorReply = ErrorReply::fixed("ERR syntax error");
    /// An argument or value is no 64-bit integer.
    pub const NOT_AN_INTEGER: ErrorReply = ErrorReply::fixed("ERR value is not an integer or out of range");
    /// An argument or value is no number.
    pub const NOT_A_FLOAT: ErrorReply = ErrorReply::fixed("ERR value is not a valid float");
    /// A counter would leave the 64-bit range.
    pub const OVERFLOW: ErrorReply = ErrorReply::fixed("ERR increment or decrement would overflow");
    /// A sum became infinite or no number.
    pub const NOT_FINITE: ErrorReply = ErrorReply::fixed("ERR increment would produce NaN or Infinity");
    /// A string would exceed [`crate::limits::STRING_BYTES_MAX`].
    pub const STRING_TOO_LONG: ErrorReply = ErrorReply::fixed("ERR string exceeds maximum allowed size (proto-max-bulk-len)");
    /// A key is longer than [`crate::limits::KEY_BYTES_MAX`].
    pub const KEY_TOO_LONG: ErrorReply = ErrorReply::fixed("ERR key exceeds maximum allowed size (65536 bytes): use a shorter key");
    /// A field is longer than [`crate::limits::FIELD_BYTES_MAX`].
    pub const FIELD_TOO_LONG: ErrorReply = ErrorReply::fixed("ERR field exceeds maximum allowed size (65536 bytes): use a shorter field");
    /// A collection exceeds [`crate::limits::COPY_BYTES_MAX`], so it cannot be copied or renamed within one entry.
    pub const TOO_LARGE_TO_COPY: ErrorReply = ErrorReply::fixed("ERR the hash is too large to be copied or renamed at once (64 MiB)");
    /// The reply would exceed [`crate::limits::REPLY_BYTES_MAX`].
    pub const REPLY_TOO_LARGE: ErrorReply = ErrorReply::fixed("ERR the reply exceeds the maximum allowed size: use the SCAN family");
    /// The named key does not exist.
    pub const NO_SUCH_KEY: ErrorReply = ErrorReply::fixed("ERR no such key");
    /// The keys of one call lie in several slots.
    pub const CROSS_SLOT: ErrorReply = ErrorReply::fixed("CROSSSLOT Keys in request don't hash to the same slot");
    /// The cursor was not given by a scan.
    pub const INVALID_CURSOR: ErrorReply = ErrorReply::fixed("ERR invalid cursor");

    /// The connection has not given the password.
    pub const NO_AUTH: ErrorReply = ErrorReply::fixed("NOAUTH Authentication required.");
    /// The password, or the user, is wrong.
    pub const WRONG_PASSWORD: ErrorReply = ErrorReply::fixed("WRONGPASS invalid username-password pair or user is disabled.");
    /// A cluster command came in by the plain port.
    pub const CLUSTER_DISABLED: ErrorReply = ErrorReply::fixed("ERR This instance has cluster support disabled");
    /// A slot is not below 16384.
    pub const INVALID_SLOT: ErrorReply = ErrorReply::fixed("ERR Invalid slot");
    /// A database other than 0 was named.
    pub const NO_SUCH_DATABASE: ErrorReply = ErrorReply::fixed("ERR DB index is out of range");

    /// An error whose text is known at compile time.
    pub const fn fixed(text: &'static str) -> ErrorReply {
        ErrorReply(Cow::Borrowed(text))
    }

    /// An error whose text names what was given.
    pub fn new(text: impl Into<String>) -> ErrorReply {
        ErrorReply(Cow::Owned(text.into()))
    }

    /// The wrong number of arguments for a command (lower-case name, `parent|child` for a subcommand).
    pub fn wrong_arity(command: &str) -> ErrorReply {
        ErrorReply::new(format!("ERR wrong number of arguments for '{command}' command"))
    }

    /// An expire time that is not positive or overflows.
    pub fn invalid_expire(command: &str) -> ErrorReply {
        ErrorReply::new(format!("ERR invalid expire time in '{command}' command"))
    }

    /// The text, without the leading `-`.
    pub fn text(&self) -> &str {
        &self.0
    }
}

/// What a client sent, as an error shows it: up to its first zero byte, as Redis prints it, and at most `bytes_max` bytes. What is no UTF-8 is
/// shown by a replacement character, since our errors are text.
pub(crate) fn shown(sent: &[u8], bytes_max: usize) -> Cow<'_, str> {
    let end = sent.iter().position(|byte| *byte == 0).unwrap_or(sent.len());
    String::from_utf8_lossy(&sent[..end.min(bytes_max)])
}

/// Why a store could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The disk or the library below failed; the replica must stop.
    #[error("cannot read the tablet: {0}")]
    Storage(String),
    /// A record is not in memory, and the reader was not to wait for the disk: evaluate again with one that may.
    #[error("the record is not in memory")]
    Cold,
    /// A record does not decode; the replica must stop and be replaced.
    #[error("the record of key {key:?} is damaged: {reason}")]
    Corrupt {
        /// The encoded key.
        key: Vec<u8>,
        /// What is wrong with its value.
        reason: &'static str,
    },
}

/// Why a command was not evaluated to an ordinary reply. It has no effects then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The client's mistake, in Redis's words.
    #[error(transparent)]
    Reply(#[from] ErrorReply),
    /// The store's failure; the host handles it, the client sees a retryable error.
    #[error(transparent)]
    Read(#[from] ReadError),
}
