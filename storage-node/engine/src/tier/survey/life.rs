//! What a survey knows of the log of one life.

use crate::tier::{limits::LOG_UPLOADS_MAX, log_object::Footer};
use std::collections::{BTreeMap, BTreeSet};
use strata_base::planted::{Mistake, planted};

/// The log objects of one life.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LifeSurvey {
    /// Footers by seq, with the size of the object in bytes.
    objects: BTreeMap<u64, (Footer, u64)>,
    damaged: BTreeSet<u64>,
    absent: BTreeSet<u64>,
    /// The next seq to ask for.
    next: u64,
    /// Beyond the last seq known to be there, or listed.
    beyond: u64,
    /// So many first seqs were confirmed, by what later objects say.
    confirmed: u64,
}

impl LifeSurvey {
    /// A list names this seq.
    pub(super) fn hint(&mut self, seq: u64) {
        self.beyond = self.beyond.max(seq.saturating_add(1));
    }

    /// Seqs to ask for now: as far as objects may lie that were on their way together.
    pub(super) fn take_next(&mut self) -> std::ops::Range<u64> {
        let from = self.next;
        let ahead = if planted(Mistake::ListingBelieved) { 0 } else { LOG_UPLOADS_MAX as u64 };
        self.next = self.next.max(self.beyond + ahead);
        from..self.next
    }

    pub(super) fn present(&mut self, footer: Footer, size: u64) {
        self.confirmed = self.confirmed.max(footer.confirmed);
        self.hint(footer.at.seq);
        self.objects.insert(footer.at.seq, (footer, size));
    }

    pub(super) fn damaged(&mut self, seq: u64) {
        self.hint(seq);
        self.damaged.insert(seq);
    }

    pub(super) fn absent(&mut self, seq: u64) {
        self.absent.insert(seq);
    }

    /// The seqs that count are those below: dense, or confirmed.
    pub fn end(&self) -> u64 {
        let absent = self.absent.range(self.confirmed..).next().copied();
        absent.unwrap_or(self.next)
    }

    /// The objects that count, by seq, with their sizes in bytes.
    pub fn objects(&self) -> impl Iterator<Item = (&Footer, u64)> {
        self.objects.range(..self.end()).map(|(_, (footer, size))| (footer, *size))
    }

    /// Objects behind a seq that was never confirmed: they were on their way when the life ended, and do not count.
    pub fn stranded(&self) -> impl Iterator<Item = &Footer> {
        self.objects.range(self.end()..).map(|(_, (footer, _))| footer)
    }

    /// Seqs that were confirmed and are absent.
    pub fn missing(&self) -> impl Iterator<Item = u64> {
        self.absent.range(..self.end()).copied()
    }

    /// Seqs that count and do not decode.
    pub fn unreadable(&self) -> impl Iterator<Item = u64> {
        self.damaged.range(..self.end()).copied()
    }

    /// The first readable object behind a seq, of those that count.
    pub fn behind(&self, seq: u64) -> Option<&Footer> {
        self.objects.range(seq..self.end().max(seq)).next().map(|(_, (footer, _))| footer)
    }
}
