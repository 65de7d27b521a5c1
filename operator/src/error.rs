//! What can go wrong in a pass. Nothing of it is fatal: the pass is tried again.

/// Why a pass ended early.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Kubernetes refused or did not answer.
    #[error("Kubernetes: {0}")]
    Kubernetes(#[from] Box<kube::Error>),
    /// A node refused an order, which needs a new plan, or did not answer.
    #[error("node {pod}: {message}")]
    Node {
        /// The node's pod.
        pod: String,
        /// What it said, or why it could not be asked.
        message: String,
    },
    /// Certificates could not be issued.
    #[error("certificates: {0}")]
    Certificates(#[from] rcgen::Error),
    /// A pass took too long.
    #[error("the pass did not end within {seconds} s: a node or the API server hangs")]
    Deadline {
        /// The bound.
        seconds: u64,
    },
}

impl From<kube::Error> for Error {
    fn from(error: kube::Error) -> Error {
        Error::Kubernetes(Box::new(error))
    }
}
