//! What can go wrong with a store: one closed list, shared by conditions, events, metric labels and logs.

use serde::{Deserialize, Serialize};

/// What kind of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ErrorClass {
    /// The store refused the credentials, or they do not permit this.
    AccessDenied,
    /// The bucket does not exist.
    NoSuchBucket,
    /// The store was reached and trusted, and has no such key.
    NotFound,
    /// The name of the endpoint does not resolve.
    Dns,
    /// The endpoint's certificate is not trusted, or no secure connection came about.
    Tls,
    /// The store refused the time of the request: one of the two clocks is wrong.
    ClockSkew,
    /// The store asks to slow down.
    Throttled,
    /// No answer within the deadline. It may have happened.
    Timeout,
    /// No connection, or it broke. It may have happened.
    Unreachable,
    /// Something answered that is no S3 store.
    NotS3,
    /// Bytes are not what was stored: truncated, flipped, of another object, or of an unknown format.
    Damaged,
    /// The path belongs to another cluster or incarnation.
    ForeignOwner,
    /// The store failed by its own account, or answered what no other class describes.
    Internal,
}

impl ErrorClass {
    /// The whole list, for documentation and metrics.
    pub const ALL: [ErrorClass; 13] = [
        ErrorClass::AccessDenied,
        ErrorClass::NoSuchBucket,
        ErrorClass::NotFound,
        ErrorClass::Dns,
        ErrorClass::Tls,
        ErrorClass::ClockSkew,
        ErrorClass::Throttled,
        ErrorClass::Timeout,
        ErrorClass::Unreachable,
        ErrorClass::NotS3,
        ErrorClass::Damaged,
        ErrorClass::ForeignOwner,
        ErrorClass::Internal,
    ];

    /// Its name, as conditions and metrics show it.
    pub const fn name(self) -> &'static str {
        match self {
            ErrorClass::AccessDenied => "AccessDenied",
            ErrorClass::NoSuchBucket => "NoSuchBucket",
            ErrorClass::NotFound => "NotFound",
            ErrorClass::Dns => "Dns",
            ErrorClass::Tls => "Tls",
            ErrorClass::ClockSkew => "ClockSkew",
            ErrorClass::Throttled => "Throttled",
            ErrorClass::Timeout => "Timeout",
            ErrorClass::Unreachable => "Unreachable",
            ErrorClass::NotS3 => "NotS3",
            ErrorClass::Damaged => "Damaged",
            ErrorClass::ForeignOwner => "ForeignOwner",
            ErrorClass::Internal => "Internal",
        }
    }

    /// Whether it may pass without anybody's doing. The machines of the tier repeat the others too, so that a mended setting heals
    /// without a restart.
    pub const fn is_retryable(self) -> bool {
        matches!(self, ErrorClass::Dns | ErrorClass::Throttled | ErrorClass::Timeout | ErrorClass::Unreachable | ErrorClass::Internal)
    }
}

impl std::fmt::Display for ErrorClass {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(self.name())
    }
}

/// A failure of a store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{class}: {message}")]
pub struct ObjectError {
    /// What kind.
    pub class: ErrorClass,
    /// What happened, in one sentence that names the key or the endpoint.
    pub message: String,
    /// Whether it may pass without anybody's doing.
    pub retryable: bool,
}

impl ObjectError {
    /// A failure of this class.
    pub fn new(class: ErrorClass, message: impl Into<String>) -> ObjectError {
        ObjectError { class, message: message.into(), retryable: class.is_retryable() }
    }

    /// There is no such key.
    pub fn not_found(key: &str) -> ObjectError {
        ObjectError::new(ErrorClass::NotFound, format!("there is no object {key}"))
    }

    /// The bytes of an object are not what was stored.
    pub fn damaged(key: &str, what: impl std::fmt::Display) -> ObjectError {
        ObjectError::new(ErrorClass::Damaged, format!("{key} is damaged: {what}"))
    }

    /// Whether the store said, reached and trusted, that there is no such key.
    pub fn is_not_found(&self) -> bool {
        self.class == ErrorClass::NotFound
    }
}
