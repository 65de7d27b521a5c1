//! Checks on the repository itself, for what the compiler and clippy cannot say.
//!
//! Every rule is a pure function from text or a dependency graph to [`Finding`]s, each of which reads `path:line: X is banned, use Y`. The unit
//! tests of a rule give it one text it accepts and one it refuses; `tests/repository.rs` runs all of them over this repository.
//!
//! | module | rules |
//! | --- | --- |
//! | [`dependency`] | which room may depend on which, and on which crates |
//! | [`absence`] | what only one module may name |
//! | [`size`] | lines of functions, files and inline tests, with a ratchet for old offenders |
//! | [`manner`] | how tests wait, and how lints are suppressed |
//! | [`book`] | pages of the book: listed, and decisions in their form |
//! | [`company`] | files that must exist beside others: golden scripts, crate pages, lint lists, the page of dependencies |
//! | [`link`] | relative links and anchors of the documentation |
//! | [`place`] | paths and hosts that only exist on somebody's machine |
//!
//! Beside the rules, [`reference`] writes the pages of the book that follow from sources.
//!
//! The helpers below them: [`repository`] lists and reads files, [`rust`] blanks comments and strings, so that a rule sees only code.
//!
//! ```
//! use strata_tidy::{manner, repository::File};
//!
//! let file = File::new("e2e/src/cluster.rs", "fn wait() {\n    std::thread::sleep(PAUSE);\n}\n");
//! let findings = manner::sleeps(&file);
//! assert_eq!(findings[0].to_string(), "e2e/src/cluster.rs:2: `sleep` in a test is banned, use a wait with a deadline from harness::wait");
//! ```
//!
//! Not done here, and why: nothing that rustfmt, clippy, cargo-deny or shellcheck already say, since a second opinion on the same matter drifts.

pub mod absence;
pub mod book;
pub mod company;
pub mod dependency;
mod finding;
pub mod link;
pub mod manner;
pub mod place;
pub mod reference;
pub mod repository;
pub mod rust;
pub mod size;

pub use finding::Finding;
