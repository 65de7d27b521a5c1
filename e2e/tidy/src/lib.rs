//! Checks on the repository itself that clippy cannot make.
