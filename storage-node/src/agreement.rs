//! What a shard agrees on beside commands: documents, an entry of whose log names number and bytes, so that whoever leads uploads exactly those;
//! and the place in its log at which replicas are compared.
//!
//! ```text
//! agreement    version(1)=129 kind(1)=1,2 number(8) hlc(8) document
//! comparison   version(1)=129 kind(1)=3   number(8) hlc(8)
//! ```
//!
//! The first byte tells them from an entry of commands ([`strata_kv::entry`]), whose version is below 128. `hlc` repeats the last that was handed out
//! before: neither is a command. An agreement counts only if its number follows the last one; where two leaders proposed the same number,
//! the first in the log wins, on every replica. A comparison's number is only its name, and nothing of it is kept in tablets.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use strata_base::Hlc;
use strata_kv::entry::Entry;

const VERSION: u8 = 129;

/// The kind of a comparison, beside those of documents.
const COMPARISON: u8 = 3;

/// What kind of document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AgreementKind {
    /// `cluster/<n>.json`, agreed in the first shard.
    Cluster = 1,
    /// `ckpt/<shard>/<n>.json`.
    Checkpoint = 2,
}

impl AgreementKind {
    /// Both.
    pub const ALL: [AgreementKind; 2] = [AgreementKind::Cluster, AgreementKind::Checkpoint];

    /// Where a tablet keeps the last one that counts, in its system family.
    pub const fn key(self) -> &'static [u8] {
        match self {
            AgreementKind::Cluster => b"agreed/cluster",
            AgreementKind::Checkpoint => b"agreed/checkpoint",
        }
    }
}

/// A document as an entry of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agreement {
    /// What kind.
    pub kind: AgreementKind,
    /// From 0, dense for each kind and shard.
    pub number: u64,
    /// The last HLC handed out before it.
    pub hlc: Hlc,
    /// The bytes to upload.
    pub document: Bytes,
}

/// A number and its document, as a tablet keeps them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agreed {
    /// From 0, dense.
    pub number: u64,
    /// The bytes to upload.
    pub document: Bytes,
}

impl Agreed {
    /// The value of [`AgreementKind::key`].
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(8 + self.document.len());
        out.put_u64(self.number);
        out.put_slice(&self.document);
        out.freeze()
    }

    /// Reads what [`Agreed::encode`] wrote.
    pub fn decode(mut bytes: Bytes) -> Option<Agreed> {
        let number = bytes.try_get_u64().ok()?;
        Some(Agreed { number, document: bytes })
    }
}

/// All replicas shall say what they hold right behind this entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// Its name, drawn by who asked for it.
    pub number: u64,
    /// The last HLC handed out before it.
    pub hlc: Hlc,
}

/// An entry of a shard's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogEntry {
    /// Effects of commands.
    Commands(Entry),
    /// A document.
    Agreement(Agreement),
    /// A place to compare replicas at.
    Comparison(Comparison),
}

impl Agreement {
    /// The bytes that go into the log.
    pub fn encode(&self) -> Bytes {
        encode(self.kind as u8, self.number, self.hlc, &self.document)
    }
}

impl Comparison {
    /// The bytes that go into the log.
    pub fn encode(&self) -> Bytes {
        encode(COMPARISON, self.number, self.hlc, &[])
    }
}

fn encode(kind: u8, number: u64, hlc: Hlc, document: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(18 + document.len());
    out.put_u8(VERSION);
    out.put_u8(kind);
    out.put_u64(number);
    out.put_u64(hlc.as_u64());
    out.put_slice(document);
    out.freeze()
}

impl LogEntry {
    /// Reads an entry. What it holds shares the memory of `bytes`.
    pub fn decode(mut bytes: Bytes) -> Result<LogEntry, String> {
        if bytes.first() != Some(&VERSION) {
            return Entry::decode(bytes).map(LogEntry::Commands).map_err(|error| error.to_string());
        }
        let short = |_| "an agreement ends within its head".to_owned();
        bytes.advance(1);
        let kind = bytes.try_get_u8().map_err(short)?;
        let document_kind = AgreementKind::ALL.into_iter().find(|known| *known as u8 == kind);
        if document_kind.is_none() && kind != COMPARISON {
            return Err("this build does not know the kind of an agreement".to_owned());
        }
        let number = bytes.try_get_u64().map_err(short)?;
        let hlc = Hlc::from_u64(bytes.try_get_u64().map_err(short)?);
        let Some(kind) = document_kind else {
            let is_whole = bytes.is_empty();
            return if is_whole {
                Ok(LogEntry::Comparison(Comparison { number, hlc }))
            } else {
                Err("a comparison goes on behind its end".to_owned())
            };
        };
        Ok(LogEntry::Agreement(Agreement { kind, number, hlc, document: bytes }))
    }

    /// The last HLC handed out when it was proposed.
    pub fn hlc(&self) -> Hlc {
        match self {
            LogEntry::Commands(entry) => entry.hlc,
            LogEntry::Agreement(agreement) => agreement.hlc,
            LogEntry::Comparison(comparison) => comparison.hlc,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agreement_reads_as_it_was_written_and_is_told_from_commands() {
        let document = Bytes::from_static(b"{}");
        let agreement = Agreement { kind: AgreementKind::Checkpoint, number: 3, hlc: Hlc::from_millis(9), document: document.clone() };
        assert_eq!(LogEntry::decode(agreement.encode()), Ok(LogEntry::Agreement(agreement)));
        let commands = Entry { origin: 0, hlc: Hlc::from_millis(8), effects: Vec::new() };
        assert_eq!(LogEntry::decode(commands.encode()), Ok(LogEntry::Commands(commands)));
        let agreed = Agreed { number: 3, document };
        assert_eq!(Agreed::decode(agreed.encode()), Some(agreed));
    }

    #[test]
    fn a_comparison_reads_as_it_was_written_and_ends_there() {
        let comparison = Comparison { number: 7, hlc: Hlc::from_millis(9) };
        let whole = comparison.encode();
        assert_eq!(LogEntry::decode(whole.clone()), Ok(LogEntry::Comparison(comparison)));
        for length in 1..whole.len() {
            assert!(LogEntry::decode(whole.slice(..length)).is_err(), "{length} bytes");
        }
        let longer = [&whole[..], b"{}"].concat();
        assert!(LogEntry::decode(longer.into()).is_err());
    }

    #[test]
    fn a_kind_of_a_later_build_is_refused() {
        let mut later = Comparison { number: 7, hlc: Hlc::from_millis(9) }.encode().to_vec();
        later[1] = 4;
        assert_eq!(LogEntry::decode(later.into()), Err("this build does not know the kind of an agreement".to_owned()));
    }

    #[test]
    fn half_an_agreement_is_refused() {
        let whole = Agreement { kind: AgreementKind::Cluster, number: 0, hlc: Hlc::ZERO, document: Bytes::new() }.encode();
        for length in 1..whole.len() {
            assert!(LogEntry::decode(whole.slice(..length)).is_err(), "{length} bytes");
        }
    }
}
