//! Every decoder of the house: what is fed to it, and what must hold of what it reads.
//!
//! ```text
//!  TARGETS ─► smoke    tests/decoders.rs, in `make test`: kept bytes, then mutations of them that follow from a seed
//!     │  └──► libFuzzer  e2e/fuzz, `make fuzz`: bytes that coverage leads to, for as long as there is time
//!     └─────► FORMATS  which of them stand on disks, on wires and in buckets, and where the fixture of each lies
//! ```
//!
//! A target is a function of bytes. It decodes them, and where they decode it looks at the result ([`check`]):
//! - No bytes make it panic.
//! - Decoding takes no more memory at once than [`meter::FACTOR`] times what it was given, and a little ([`meter::ALLOWANCE`]): a length that
//!   stands in the bytes is not believed before they are there.
//! - What was read is written and read again, and is the same. Where a format has one encoding for each value, the same bytes come out.
//!
//! ```
//! use strata_decoders::{Verdict, target};
//!
//! let hard_states = target("hard_states").expect("it is in the list");
//! assert_eq!((hard_states.play)(&[0; 24]), Verdict::Taken);
//! assert_eq!((hard_states.play)(&[0; 25]), Verdict::Refused);
//! ```
//!
//! Bytes that are kept lie in `e2e/fuzz/seeds/<target>/`, and those that once found something in `e2e/fuzz/found/<target>/`. A file that reads
//! bytes from outside and is named by no target fails the suite, and so does a format without a fixture.
//!
//! Not done here, and why: what becomes of a message that decodes is the simulation's matter. raft-rs ends the process on messages that no
//! member would send, so they are decoded here and not stepped; peers show a certificate first. HTTP, TLS, gRPC framing, PEM and S3's XML are
//! read by their libraries.

pub mod check;
pub mod formats;
pub mod meter;
pub mod mutation;
pub mod resp_frame;
pub mod smoke;
mod targets;

pub use targets::{TARGETS, Target, target};

/// What became of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// They decode, and all that must hold of the result does.
    Taken,
    /// They do not.
    Refused,
}
