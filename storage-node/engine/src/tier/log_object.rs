//! A log object: committed entries of many shards, as one immutable object. A public format, version 1, all numbers big-endian.
//!
//! ```text
//! object   "STRATALG" run* footer tail
//! run      entry*                                           entries of one shard and fork epoch, indexes without a gap
//! entry    term(8) hlc(8) length(4) payload                 its index follows from its place
//! footer   incarnation(8) life(8) seq(8) confirmed(8) made(8) count(4) summary*
//! summary  shard(8) fork epoch(8) first index(8) last index(8) first term(8) last term(8) first hlc(8) last hlc(8)
//!          offset(8) length(8) crc32(4)                     of the run's bytes
//! tail     footer length(4) footer crc32(4) version(1)=1 "STRATAL"(7)
//! ```
//!
//! A reader asks for the last bytes first, and finds there which runs the object has and where. The footer names the object's own place, so
//! that an object under another's name is noticed, how many seqs of its life were confirmed before it (those must exist), and when it was
//! made: no command in it or in an object before it has a later HLC.

use super::{Entry, layout::LifeId, limits};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use strata_base::{Hlc, IncarnationId, ShardId};

/// The version that this build writes.
pub const VERSION: u8 = 1;

/// The length of the tail in bytes.
pub const TAIL_BYTES: usize = 16;

const HEAD: &[u8; 8] = b"STRATALG";
const MAGIC: &[u8; 7] = b"STRATAL";
const FOOTER_HEAD_BYTES: usize = 44;
const SUMMARY_BYTES: usize = 84;
const ENTRY_HEAD_BYTES: usize = 20;

/// Entries of one shard and fork epoch, with indexes that follow each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// The shard.
    pub shard: ShardId,
    /// Which history of the shard.
    pub fork_epoch: u64,
    /// At least one.
    pub entries: Vec<Entry>,
}

/// What a footer says of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunSummary {
    /// The shard.
    pub shard: ShardId,
    /// Which history of the shard.
    pub fork_epoch: u64,
    /// The first index.
    pub first: u64,
    /// The last index, included.
    pub last: u64,
    /// The term of the first entry.
    pub first_term: u64,
    /// The term of the last entry.
    pub last_term: u64,
    /// The HLC of the first entry.
    pub first_hlc: Hlc,
    /// The HLC of the last entry.
    pub last_hlc: Hlc,
    /// Where the run begins in the object.
    pub offset: u64,
    /// How long it is in bytes.
    pub length: u64,
    /// CRC-32 (IEEE) of its bytes.
    pub crc32: u32,
}

/// Where a log object stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogPlace {
    /// The incarnation.
    pub incarnation: IncarnationId,
    /// The life of the node that wrote it.
    pub life: LifeId,
    /// Its number in that life, from 0.
    pub seq: u64,
}

/// What an object says of itself at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Footer {
    /// Where it stands.
    pub at: LogPlace,
    /// So many first seqs of its life had been read back when it was made.
    pub confirmed: u64,
    /// Not before any HLC in it, nor before the time of the object before it.
    pub made: Hlc,
    /// Its runs, in the order of their bytes.
    pub runs: Vec<RunSummary>,
}

/// The end of an object, read without the rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// It was all there.
    Footer(Footer),
    /// The footer is longer than what was read: read this many last bytes.
    Longer(u64),
}

/// Bytes are no log object, or not the one that was put.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogObjectError {
    /// It ends too early, or is something else.
    #[error("it is no log object: {0}")]
    Form(&'static str),
    /// A newer build wrote it.
    #[error("it has version {0}, and this build reads version {VERSION}: use a newer build")]
    Version(u8),
    /// A checksum does not match.
    #[error("the checksum of its {0} does not match")]
    Checksum(&'static str),
    /// It stands under another's name.
    #[error("it says it is number {seq} of life {life} of incarnation {incarnation}")]
    Misplaced {
        /// The incarnation it names.
        incarnation: IncarnationId,
        /// The life it names.
        life: LifeId,
        /// The seq it names.
        seq: u64,
    },
}

use LogObjectError::{Checksum, Form};

/// The bytes of an object. Every run has entries, with indexes that follow each other.
pub fn encode(at: LogPlace, confirmed: u64, made: Hlc, runs: &[Run]) -> Bytes {
    let size: u64 = runs.iter().flat_map(|run| &run.entries).map(Entry::size).sum();
    let mut out = BytesMut::with_capacity(size as usize + runs.len() * SUMMARY_BYTES + 64);
    out.put_slice(HEAD);
    let summaries: Vec<RunSummary> = runs.iter().map(|run| encode_run(run, &mut out)).collect();
    let footer_from = out.len();
    for number in [at.incarnation.0, at.life.0, at.seq, confirmed, made.as_u64()] {
        out.put_u64(number);
    }
    out.put_u32(u32::try_from(summaries.len()).expect("an object has at most as many runs as a node has shards"));
    for summary in &summaries {
        encode_summary(summary, &mut out);
    }
    let crc32 = crc32fast::hash(&out[footer_from..]);
    out.put_u32(u32::try_from(out.len() - footer_from).expect("a footer is far below 4 GiB"));
    out.put_u32(crc32);
    out.put_u8(VERSION);
    out.put_slice(MAGIC);
    out.freeze()
}

fn encode_run(run: &Run, out: &mut BytesMut) -> RunSummary {
    let first = run.entries.first().expect("a run has entries");
    let last = run.entries.last().expect("a run has entries");
    let offset = out.len();
    for (entry, index) in run.entries.iter().zip(first.index..) {
        assert_eq!(entry.index, index, "the indexes of a run follow each other");
        out.put_u64(entry.term);
        out.put_u64(entry.hlc.as_u64());
        out.put_u32(u32::try_from(entry.payload.len()).expect("an entry is far below 4 GiB by limits.rs"));
        out.put_slice(&entry.payload);
    }
    RunSummary {
        shard: run.shard,
        fork_epoch: run.fork_epoch,
        first: first.index,
        last: last.index,
        first_term: first.term,
        last_term: last.term,
        first_hlc: first.hlc,
        last_hlc: last.hlc,
        offset: offset as u64,
        length: (out.len() - offset) as u64,
        crc32: crc32fast::hash(&out[offset..]),
    }
}

fn encode_summary(run: &RunSummary, out: &mut BytesMut) {
    let hlcs = [run.first_hlc.as_u64(), run.last_hlc.as_u64()];
    let numbers =
        [run.shard.0, run.fork_epoch, run.first, run.last, run.first_term, run.last_term, hlcs[0], hlcs[1], run.offset, run.length];
    for number in numbers {
        out.put_u64(number);
    }
    out.put_u32(run.crc32);
}

/// Reads the footer of an object of `size` bytes from its last bytes. It must be the object of the place `at`.
pub fn decode_end(mut end: Bytes, size: u64, at: LogPlace) -> Result<End, LogObjectError> {
    if size < end.len() as u64 || end.len() < TAIL_BYTES {
        return Err(Form("it is shorter than its tail"));
    }
    let mut tail = end.split_off(end.len() - TAIL_BYTES);
    let (length, crc32, version) = (tail.get_u32() as usize, tail.get_u32(), tail.get_u8());
    if tail[..] != MAGIC[..] {
        return Err(Form("it does not end as one"));
    }
    if version != VERSION {
        return Err(LogObjectError::Version(version));
    }
    let whole = length as u64 + TAIL_BYTES as u64;
    if whole + HEAD.len() as u64 > size {
        return Err(Form("its footer is longer than itself"));
    }
    if length > end.len() {
        return Ok(End::Longer(whole));
    }
    let footer = end.split_off(end.len() - length);
    if crc32fast::hash(&footer) != crc32 {
        return Err(Checksum("footer"));
    }
    let footer = decode_footer(footer, size - whole)?;
    if footer.at != at {
        let LogPlace { incarnation, life, seq } = footer.at;
        return Err(LogObjectError::Misplaced { incarnation, life, seq });
    }
    Ok(End::Footer(footer))
}

fn decode_footer(mut from: Bytes, runs_end: u64) -> Result<Footer, LogObjectError> {
    if from.len() < FOOTER_HEAD_BYTES {
        return Err(Form("its footer is too short"));
    }
    let at = LogPlace { incarnation: IncarnationId(from.get_u64()), life: LifeId(from.get_u64()), seq: from.get_u64() };
    let (confirmed, made) = (from.get_u64(), Hlc::from_u64(from.get_u64()));
    let count = from.get_u32() as usize;
    if count.checked_mul(SUMMARY_BYTES) != Some(from.len()) {
        return Err(Form("its footer has another length than its runs need"));
    }
    let mut runs = Vec::with_capacity(count);
    let mut offset = HEAD.len() as u64;
    for _ in 0..count {
        let run = decode_summary(&mut from);
        // What comes after a run has an index, too.
        if run.last == u64::MAX {
            return Err(Form("a run's index is beyond every log"));
        }
        let entries = run.last.checked_sub(run.first).and_then(|more| more.checked_add(1));
        let shortest = entries.and_then(|count| count.checked_mul(ENTRY_HEAD_BYTES as u64)).ok_or(Form("a run has no entries"))?;
        if run.offset != offset || run.length < shortest {
            return Err(Form("a run is not where its footer says"));
        }
        offset = offset.checked_add(run.length).ok_or(Form("a run is too long"))?;
        runs.push(run);
    }
    if offset == runs_end { Ok(Footer { at, confirmed, made, runs }) } else { Err(Form("its runs do not end where its footer begins")) }
}

fn decode_summary(from: &mut Bytes) -> RunSummary {
    RunSummary {
        shard: ShardId(from.get_u64()),
        fork_epoch: from.get_u64(),
        first: from.get_u64(),
        last: from.get_u64(),
        first_term: from.get_u64(),
        last_term: from.get_u64(),
        first_hlc: Hlc::from_u64(from.get_u64()),
        last_hlc: Hlc::from_u64(from.get_u64()),
        offset: from.get_u64(),
        length: from.get_u64(),
        crc32: from.get_u32(),
    }
}

/// Reads the entries of a run from its bytes, with which they share memory.
pub fn decode_run(run: &RunSummary, mut bytes: Bytes) -> Result<Vec<Entry>, LogObjectError> {
    if bytes.len() as u64 != run.length {
        return Err(Form("a run has another length than its footer says"));
    }
    if crc32fast::hash(&bytes) != run.crc32 {
        return Err(Checksum("run"));
    }
    let mut entries =
        Vec::with_capacity((bytes.len() / ENTRY_HEAD_BYTES).min((run.last.saturating_sub(run.first) as usize).saturating_add(1)));
    for index in run.first..=run.last {
        if bytes.len() < ENTRY_HEAD_BYTES {
            return Err(Form("a run ends within an entry"));
        }
        let (term, hlc, length) = (bytes.get_u64(), Hlc::from_u64(bytes.get_u64()), bytes.get_u32() as usize);
        if length > bytes.len() {
            return Err(Form("a run ends within an entry"));
        }
        entries.push(Entry { index, term, hlc, payload: bytes.split_to(length) });
    }
    if bytes.is_empty() { Ok(entries) } else { Err(Form("a run goes on behind its last entry")) }
}

/// Reads a whole object: its footer and the entries of every run.
pub fn decode(bytes: &Bytes, at: LogPlace) -> Result<(Footer, Vec<Vec<Entry>>), LogObjectError> {
    if !bytes.starts_with(HEAD) {
        return Err(Form("it does not begin as one"));
    }
    let End::Footer(footer) = decode_end(bytes.clone(), bytes.len() as u64, at)? else {
        return Err(Form("its footer is longer than itself"));
    };
    let entries = footer.runs.iter().map(|run| decode_run(run, run.slice(bytes))).collect::<Result<_, _>>()?;
    Ok((footer, entries))
}

impl RunSummary {
    /// Its bytes within those of the whole object that its footer was read from.
    pub fn slice(&self, object: &Bytes) -> Bytes {
        let end = self.offset.saturating_add(self.length).min(object.len() as u64);
        object.slice(self.offset.min(end) as usize..end as usize)
    }
}

/// The length of the footer and tail of an object with so many runs, in bytes.
pub fn end_bytes(runs: usize) -> u64 {
    (FOOTER_HEAD_BYTES + runs * SUMMARY_BYTES + TAIL_BYTES) as u64
}

const _: () = assert!(ENTRY_HEAD_BYTES as u64 <= limits::ENTRY_OVERHEAD_BYTES, "budgets count at least what is stored");

#[cfg(test)]
mod tests;
