//! Documents that a shard agreed on: an entry of its log names number and bytes, and whoever leads uploads exactly those.
//!
//! ```text
//! agreement   version(1)=129 kind(1) number(8) hlc(8) document
//! ```
//!
//! The first byte tells it from an entry of commands ([`strata_kv::entry`]), whose version is below 128. `hlc` repeats the last that was handed out
//! before: an agreement is no command. An agreement counts only if its number follows the last one; where two leaders proposed the same number,
//! the first in the log wins, on every replica.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use strata_base::Hlc;
use strata_kv::entry::Entry;

const VERSION: u8 = 129;

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

/// An entry of a shard's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogEntry {
    /// Effects of commands.
    Commands(Entry),
    /// A document.
    Agreement(Agreement),
}

impl Agreement {
    /// The bytes that go into the log.
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(18 + self.document.len());
        out.put_u8(VERSION);
        out.put_u8(self.kind as u8);
        out.put_u64(self.number);
        out.put_u64(self.hlc.as_u64());
        out.put_slice(&self.document);
        out.freeze()
    }
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
        let kind = AgreementKind::ALL.into_iter().find(|known| *known as u8 == kind);
        let kind = kind.ok_or("this build does not know the kind of an agreement")?;
        let number = bytes.try_get_u64().map_err(short)?;
        let hlc = Hlc::from_u64(bytes.try_get_u64().map_err(short)?);
        Ok(LogEntry::Agreement(Agreement { kind, number, hlc, document: bytes }))
    }

    /// The last HLC handed out when it was proposed.
    pub fn hlc(&self) -> Hlc {
        match self {
            LogEntry::Commands(entry) => entry.hlc,
            LogEntry::Agreement(agreement) => agreement.hlc,
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
    fn half_an_agreement_is_refused() {
        let whole = Agreement { kind: AgreementKind::Cluster, number: 0, hlc: Hlc::ZERO, document: Bytes::new() }.encode();
        for length in 1..whole.len() {
            assert!(LogEntry::decode(whole.slice(..length)).is_err(), "{length} bytes");
        }
    }
}
