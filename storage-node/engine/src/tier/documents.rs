//! The documents of a bucket: JSON that names its format and version, so that a stranger with `jq` can read it in ten years.
//!
//! ```text
//! {"format": "strata/owner", "version": 1, "body": { … },
//!   "crc32": "9a0be1f2"
//! }
//! ```
//!
//! - Its last line but one is the CRC-32 of all bytes before that line's comma: a digit that flipped on the way is as good a digit. A document without
//!   it, as first builds wrote them, is believed.
//! - A document of a version that this build does not know is refused by name, never half-read; unknown fields are refused too.
//! - Numbered documents are agreed as (number, bytes) by an entry of the shard before they are written, and exactly the agreed bytes are uploaded.
//! - Fixtures of every version lie in `testdata/format/` and must open for ever.

mod beat;
mod checkpoint;
mod child;
mod cluster;
mod owner;

pub use beat::Beat;
pub use checkpoint::{CheckpointDocument, FileDocument};
pub use child::ChildDocument;
pub use cluster::{ClusterDocument, Fork, LifeDocument, MemberDocument, Origin, ShardDocument, TableDocument};
pub use owner::{OwnedIncarnation, Owner, ParentReference};

use super::limits::DOCUMENT_BYTES_MAX;
use bytes::Bytes;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::{Digest as _, Sha256};
use std::fmt;

/// A document of the bucket.
pub trait Document: Serialize + DeserializeOwned {
    /// What kind, as the document names it.
    const FORMAT: &'static str;
    /// The version that this build writes.
    const VERSION: u32 = 1;

    /// The bytes that go into the bucket. The same document has the same bytes.
    fn encode(&self) -> Bytes {
        let envelope = Envelope { format: Self::FORMAT.to_owned(), version: Self::VERSION, body: self, crc32: None };
        let mut text = serde_json::to_vec_pretty(&envelope).expect("a document has text keys only, so it is JSON");
        text.truncate(text.len() - "\n}".len());
        text.extend(tail(&text).into_bytes());
        text.into()
    }

    /// Reads a document. Allocates no more than the text is long, times a small constant.
    fn decode(bytes: &[u8]) -> Result<Self, DocumentError> {
        let expected = Self::FORMAT;
        let malformed = |message: String| DocumentError::Malformed { expected, message };
        if bytes.len() > DOCUMENT_BYTES_MAX {
            return Err(malformed(format!("it has {} bytes, more than {DOCUMENT_BYTES_MAX}", bytes.len())));
        }
        let head: Head = serde_json::from_slice(bytes).map_err(|error| malformed(error.to_string()))?;
        if head.format != expected {
            return Err(DocumentError::Format { expected, found: head.format });
        }
        if head.version != Self::VERSION {
            return Err(DocumentError::Version { expected, found: head.version, known: Self::VERSION });
        }
        if head.crc32.is_some() {
            let (text, end) = bytes.split_at(bytes.len().saturating_sub(tail(&[]).len()));
            if end != tail(text).as_bytes() {
                return Err(malformed("its bytes do not match its checksum".to_owned()));
            }
        }
        let envelope: Envelope<Self> = serde_json::from_slice(bytes).map_err(|error| malformed(error.to_string()))?;
        Ok(envelope.body)
    }
}

#[derive(Deserialize)]
struct Head {
    format: String,
    version: u32,
    crc32: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope<Body> {
    format: String,
    version: u32,
    body: Body,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    crc32: Option<String>,
}

/// How a document ends, after its text: with the checksum of that.
fn tail(text: &[u8]) -> String {
    format!(",\n  \"crc32\": \"{:08x}\"\n}}\n", crc32fast::hash(text))
}

/// Bytes are no document of the expected kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// It is a document of another kind.
    #[error("expected {expected}, found {found:?}")]
    Format {
        /// What was looked for.
        expected: &'static str,
        /// What it says it is.
        found: String,
    },
    /// It was written by a newer build.
    #[error("{expected} has version {found}, and this build reads version {known}: use a newer build")]
    Version {
        /// What was looked for.
        expected: &'static str,
        /// Its version.
        found: u32,
        /// What this build reads.
        known: u32,
    },
    /// It is no such JSON.
    #[error("expected {expected}: {message}")]
    Malformed {
        /// What was looked for.
        expected: &'static str,
        /// What is wrong, with the place.
        message: String,
    },
}

/// SHA-256 of a document's bytes, by which a shard agrees on it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// The digest of bytes.
    pub fn of(bytes: &[u8]) -> Digest {
        Digest(Sha256::digest(bytes).into())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{self}")
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> String {
        digest.to_string()
    }
}

impl TryFrom<String> for Digest {
    type Error = String;

    fn try_from(text: String) -> Result<Digest, String> {
        let wrong = || format!("{text:?} is no digest: expected 64 hexadecimal digits in lower case");
        if text.len() != 64 || !text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(wrong());
        }
        let mut raw = [0; 32];
        for (place, byte) in raw.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[place * 2..place * 2 + 2], 16).map_err(|_| wrong())?;
        }
        Ok(Digest(raw))
    }
}

#[cfg(test)]
mod tests;
