//! Who asks a store: plain data, whether this build has a client for it or not.

use std::path::PathBuf;

/// Who asks.
#[derive(Clone)]
pub enum Credentials {
    /// Given once.
    Given {
        /// The access key id.
        access_key_id: String,
        /// The secret access key.
        secret_access_key: String,
    },
    /// In files, as a mounted Secret has them; read before each request.
    Files {
        /// Holds the access key id.
        access_key_id: PathBuf,
        /// Holds the secret access key.
        secret_access_key: PathBuf,
    },
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Credentials::Given { access_key_id, .. } => write!(out, "given, {access_key_id}"),
            Credentials::Files { access_key_id, .. } => write!(out, "in files, {}", access_key_id.display()),
        }
    }
}
