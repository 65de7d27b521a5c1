//! What a shard still has to archive.
//!
//! ```text
//! archived ≤ bound ≤ end of buffer ≤ end of unread = committed
//! ```

use super::Position;
use crate::tier::{
    Entry,
    log_object::{Run, RunSummary},
};
use std::collections::VecDeque;
use strata_base::{Hlc, ShardId};

/// Entries that the archive will never have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The last entry before the gap.
    pub after: Position,
    /// The last index of the gap.
    pub last: u64,
}

#[derive(Debug)]
pub(super) struct Lane {
    pub(super) fork_epoch: u64,
    /// Up to where everything counts.
    pub(super) archived: Position,
    pub(super) gaps: Vec<Gap>,
    /// Up to and including which HLC everything was committed and given.
    closed: Hlc,
    /// Behind an unmended gap.
    broken: Option<Broken>,
    /// The last index that was put into an object, or was lost to a gap.
    bound: u64,
    /// The last index that was committed when this node began to lead.
    inherited: u64,
    buffer: VecDeque<Waiting>,
    buffered_bytes: u64,
    unread: Option<Unread>,
    reading: bool,
    pending_bytes: u64,
    /// The HLC of the last entry that was given.
    last_hlc: Hlc,
}

/// An entry, and an HLC below that of its first command. (Its own HLC is that of its last.)
#[derive(Debug)]
struct Waiting {
    entry: Entry,
    above: Hlc,
}

/// A run of an object, and an HLC below that of its first command.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) run: Run,
    pub(super) above: Hlc,
}

#[derive(Clone, Copy, Debug)]
struct Broken {
    /// The last index of the gap.
    last: u64,
    /// Up to where everything behind the gap is archived.
    beyond: Position,
    /// What the gap holds and what is archived behind it, in bytes.
    bytes: u64,
}

/// Committed entries that only the log holds.
#[derive(Clone, Copy, Debug)]
struct Unread {
    from: u64,
    to: u64,
    bytes: u64,
    /// Below the HLC of the first command.
    above: Hlc,
}

impl Lane {
    pub(super) fn new(fork_epoch: u64, archived: Position, committed: u64, bytes: u64) -> Lane {
        let unread = (committed > archived.index).then_some(Unread { from: archived.index + 1, to: committed, bytes, above: archived.hlc });
        Lane {
            fork_epoch,
            archived,
            gaps: Vec::new(),
            closed: archived.hlc,
            broken: None,
            bound: archived.index,
            inherited: committed,
            buffer: VecDeque::new(),
            buffered_bytes: 0,
            unread,
            reading: false,
            pending_bytes: 0,
            last_hlc: archived.hlc,
        }
    }

    /// The last index that is known here.
    fn end(&self) -> u64 {
        let buffered = self.buffer.back().map_or(self.bound, |waiting| waiting.entry.index);
        self.unread.map_or(buffered.max(self.broken.map_or(0, |broken| broken.last)), |unread| unread.to)
    }

    pub(super) fn commit(&mut self, entries: Vec<Entry>, mut room: u64) {
        for entry in entries {
            if entry.index <= self.end() {
                continue;
            }
            assert_eq!(entry.index, self.end() + 1, "committed entries follow each other without a gap");
            let size = entry.size();
            // A closed HLC was promised before this entry was given, so its commands are later.
            let above = self.last_hlc.max(self.closed);
            self.last_hlc = entry.hlc;
            match &mut self.unread {
                Some(unread) => {
                    unread.to = entry.index;
                    unread.bytes += size;
                }
                None if size <= room => {
                    room -= size;
                    self.push(entry, above);
                }
                None => self.unread = Some(Unread { from: entry.index, to: entry.index, bytes: size, above }),
            }
        }
    }

    fn push(&mut self, entry: Entry, above: Hlc) {
        self.buffered_bytes += entry.size();
        self.buffer.push_back(Waiting { entry, above });
    }

    /// What to read from the log now, if anything.
    pub(super) fn begin_read(&mut self) -> Option<(u64, u64)> {
        let unread = self.unread.filter(|_| !self.reading)?;
        self.reading = true;
        Some((unread.from, unread.to))
    }

    /// Takes what was read. Returns the last index of a gap that opened because the log begins behind it.
    pub(super) fn log_read(&mut self, from: u64, read: Result<Vec<Entry>, u64>) -> Option<u64> {
        // Answers to what an earlier lane of the shard asked are recognised by what they are about.
        let unread = self.unread.filter(|unread| self.reading && unread.from == from)?;
        self.reading = false;
        match read {
            Ok(entries) => {
                self.take_read(unread, entries);
                None
            }
            Err(first) if first > unread.from => {
                let last = (first - 1).min(unread.to);
                self.unread = (last < unread.to).then_some(Unread { from: last + 1, ..unread });
                self.open_gap(Position { index: unread.from - 1, hlc: unread.above }, last, 0);
                Some(last)
            }
            Err(_) => None,
        }
    }

    fn take_read(&mut self, mut unread: Unread, entries: Vec<Entry>) {
        for entry in entries {
            if entry.index != unread.from || unread.from > unread.to {
                continue;
            }
            unread.from += 1;
            unread.bytes = unread.bytes.saturating_sub(entry.size());
            let above = std::mem::replace(&mut unread.above, entry.hlc);
            self.last_hlc = self.last_hlc.max(entry.hlc);
            self.push(entry, above);
        }
        self.unread = (unread.from <= unread.to).then_some(unread);
    }

    fn open_gap(&mut self, after: Position, last: u64, bytes: u64) {
        self.gaps.push(Gap { after, last });
        let bytes = bytes + self.broken.map_or(0, |broken| broken.bytes);
        self.broken = Some(Broken { last, beyond: Position { index: last, hlc: after.hlc }, bytes });
        if self.buffer.is_empty() {
            self.bound = last;
        }
    }

    /// Forgets what is not bound to an object. Returns the last index of the gap, if there was anything.
    pub(super) fn drop_waiting(&mut self) -> Option<u64> {
        let last = self.end();
        let bytes = self.waiting_bytes();
        let (index, hlc) = match (self.buffer.front(), self.unread) {
            (Some(first), _) => (first.entry.index - 1, first.above),
            (None, Some(unread)) => (unread.from - 1, unread.above),
            (None, None) => return None,
        };
        self.unread = None;
        self.reading = false;
        self.buffer.clear();
        self.buffered_bytes = 0;
        self.open_gap(Position { index, hlc }, last, bytes);
        Some(last)
    }

    pub(super) fn close(&mut self, hlc: Hlc, pending_bytes: u64) {
        self.closed = self.closed.max(hlc);
        self.pending_bytes = pending_bytes;
    }

    /// Up to `room` bytes of the buffer, but at least one entry, as a run of an object.
    pub(super) fn take(&mut self, shard: ShardId, room: &mut u64) -> Option<Taken> {
        let above = self.buffer.front()?.above;
        let mut entries: Vec<Entry> = Vec::new();
        while *room > 0
            && let Some(next) = self.buffer.front()
            && entries.last().is_none_or(|last| last.index + 1 == next.entry.index)
            && let Some(Waiting { entry, .. }) = self.buffer.pop_front()
        {
            *room = room.saturating_sub(entry.size());
            self.buffered_bytes -= entry.size();
            self.bound = entry.index;
            entries.push(entry);
        }
        if entries.is_empty() { None } else { Some(Taken { run: Run { shard, fork_epoch: self.fork_epoch, entries }, above }) }
    }

    /// A run of this shard is in the bucket. Returns the new position where it moved.
    pub(super) fn confirm(&mut self, run: &RunSummary) -> Option<Position> {
        let position = Position { index: run.last, hlc: run.last_hlc };
        if let Some(broken) = &mut self.broken
            && run.first <= broken.beyond.index + 1
            && run.last > broken.beyond.index
        {
            broken.beyond = position;
            broken.bytes += run.length;
        }
        self.advance(run.first, position)
    }

    pub(super) fn hint(&mut self, archived: Position) {
        // What another node archived joins on to what counts here: both start from the shard's beginning.
        let _moved = self.advance(self.archived.index + 1, archived);
    }

    fn advance(&mut self, first: u64, position: Position) -> Option<Position> {
        if first > self.archived.index + 1 || position.index <= self.archived.index {
            return None;
        }
        self.archived = position;
        if let Some(broken) = self.broken.filter(|broken| broken.last <= position.index) {
            self.archived = if broken.beyond.index > position.index { broken.beyond } else { position };
            self.broken = None;
        }
        let archived = self.archived;
        while self.buffer.front().is_some_and(|waiting| waiting.entry.index <= archived.index) {
            if let Some(Waiting { entry, .. }) = self.buffer.pop_front() {
                self.buffered_bytes -= entry.size();
            }
        }
        self.bound = self.bound.max(archived.index);
        self.last_hlc = self.last_hlc.max(archived.hlc);
        if let Some(unread) = self.unread.filter(|unread| unread.from <= archived.index) {
            self.reading = false;
            let left = Unread { from: archived.index + 1, above: archived.hlc, ..unread };
            self.unread = (left.from <= left.to).then_some(left);
        }
        Some(archived)
    }

    /// The bucket has the shard's state at this position. Only a broken lane moves by it: others go on without a gap.
    pub(super) fn checkpointed(&mut self, at: Position) -> Option<Position> {
        self.broken.filter(|broken| broken.last <= at.index)?;
        self.advance(self.archived.index + 1, at)
    }

    /// An HLC up to and including which every write is in the bucket; `in_flight` is the one below the objects on their way.
    pub(super) fn safe(&self, in_flight: Option<Hlc>) -> Hlc {
        if self.broken.is_some() {
            return self.archived.hlc;
        }
        in_flight
            .or_else(|| self.buffer.front().map(|waiting| waiting.above))
            .or_else(|| self.unread.map(|unread| unread.above))
            .unwrap_or(self.closed.max(self.archived.hlc))
    }

    pub(super) fn buffered_bytes(&self) -> u64 {
        self.buffered_bytes
    }

    /// Whether the buffer holds what an earlier leader committed: it has waited since then.
    pub(super) fn holds_inherited(&self) -> bool {
        self.buffer.front().is_some_and(|waiting| waiting.entry.index <= self.inherited)
    }

    /// What waits for an object, in the buffer or in the log.
    pub(super) fn waiting_bytes(&self) -> u64 {
        self.buffered_bytes + self.unread.map_or(0, |unread| unread.bytes)
    }

    pub(super) fn bytes_at_risk(&self) -> u64 {
        self.waiting_bytes() + self.pending_bytes + self.broken.map_or(0, |broken| broken.bytes)
    }
}
