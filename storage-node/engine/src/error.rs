//! Errors of what survives a process.

/// Disk or library failed, or what they gave back is damaged.
///
/// There is no retry here: a replica whose tablet fails stops and is replaced; a node whose log fails stops as a process, since a failed fsync
/// may have dropped what it was to make durable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// The library or the operating system failed.
    #[error("{doing}: {reason}")]
    Failed {
        /// What was being done, as "cannot …".
        doing: &'static str,
        /// What the library said.
        reason: String,
    },
    /// The disk would have to be read, and only memory was asked.
    #[error("what was asked for is not in memory")]
    NotInMemory,
    /// What was read does not make sense.
    #[error("{what} is damaged: {reason}")]
    Damaged {
        /// What was read.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl EngineError {
    /// For `map_err`: the library failed while doing something.
    pub fn failed<E: std::fmt::Display>(doing: &'static str) -> impl FnOnce(E) -> EngineError {
        move |error| EngineError::Failed { doing, reason: error.to_string() }
    }
}
