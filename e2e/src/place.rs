//! Where this crate's own files lie: scripts, the lab, the checkers' sources.

use std::path::PathBuf;

/// The folder of this crate. Cargo tells it to what it runs, and that comes first: with a target folder that several checkouts share, the one that
/// this program was compiled in may be gone.
pub fn home() -> PathBuf {
    let told = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from).filter(|folder| folder.join("lab/lab").is_file());
    told.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")))
}

/// The root of the repository.
pub fn repository() -> PathBuf {
    home().parent().map(PathBuf::from).unwrap_or_default()
}
