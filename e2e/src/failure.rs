//! Why a scenario ended badly.

use std::fmt;

/// Why a scenario ended badly. The sentence is for whoever reads the test's output; nothing branches on it.
#[derive(thiserror::Error)]
pub enum Failure {
    /// The machine lacks something; the sentence says what to do.
    #[error("{0}")]
    Lacking(String),
    /// A deadline passed.
    #[error("waited {seconds} s until {what}; instead: {seen}")]
    Late {
        /// What was waited for, as the end of "waited until …".
        what: String,
        /// How long, in seconds.
        seconds: u64,
        /// What was seen last.
        seen: String,
    },
    /// The system under test broke a promise.
    #[error("{0}")]
    Broken(String),
    /// The harness could not do its own part.
    #[error("cannot {attempt}: {reason}")]
    Harness {
        /// What was tried, as the end of "cannot …".
        attempt: String,
        /// Why it failed.
        reason: String,
    },
}

impl Failure {
    /// The system under test broke a promise.
    pub fn broken(sentence: impl Into<String>) -> Failure {
        Failure::Broken(sentence.into())
    }

    /// Turns any error into a failure of the harness; `attempt` ends the sentence "cannot …".
    pub fn of<E: fmt::Display>(attempt: impl Into<String>) -> impl FnOnce(E) -> Failure {
        move |error| Failure::Harness { attempt: attempt.into(), reason: error.to_string() }
    }

    /// Holds the system under test to a promise: fails with the sentence where the condition does not hold.
    pub fn unless(condition: bool, sentence: impl FnOnce() -> String) -> Result<(), Failure> {
        if condition { Ok(()) } else { Err(Failure::Broken(sentence())) }
    }

    /// The same failure, with a sentence more.
    #[must_use]
    pub fn and(self, sentence: &str) -> Failure {
        Failure::Broken(format!("{self}\n{sentence}"))
    }
}

/// A test that returns a failure is reported by its `Debug`: let that be the sentence.
impl fmt::Debug for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{self}")
    }
}
