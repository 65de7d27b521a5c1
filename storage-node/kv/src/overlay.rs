//! The overlay: effects that are proposed and not yet applied, seen as if they were.

use crate::{Counts, Effect, Family, ReadError};
use bytes::Bytes;
use std::{
    collections::{BTreeMap, VecDeque},
    ops::{Bound, ControlFlow},
};

/// What a command reads from.
pub trait Read {
    /// The value of a key.
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Bytes>, ReadError>;

    /// Visits `from <= key < to` in order, until the visitor breaks.
    fn scan(&self, family: Family, from: &[u8], to: &[u8], visit: &mut Visitor<'_>) -> Result<(), ReadError>;
}

/// Sees one key and value of a scan, and says whether to go on.
pub type Visitor<'a> = dyn FnMut(&[u8], &[u8]) -> ControlFlow<()> + 'a;

/// A round of evaluation: everything that one log entry will carry. Rounds are applied in order.
pub type Round = u64;

#[derive(Debug)]
struct Change {
    round: Round,
    value: Option<Bytes>,
}

#[derive(Debug)]
struct HiddenRange {
    round: Round,
    family: Family,
    from: Bytes,
    to: Bytes,
}

/// Effects that are proposed and not yet applied.
///
/// Invariants: a change is of the newest round that touched its key; a hidden range hides the tablet below, never a change of the overlay
/// (those inside it were turned into deletions when it came).
#[derive(Debug, Default)]
pub struct Overlay {
    changes: [BTreeMap<Bytes, Change>; Family::ALL.len()],
    hidden: Vec<HiddenRange>,
    touched: VecDeque<(Round, Family, Bytes)>,
    counted: VecDeque<CountChange>,
    round: Round,
    bytes: usize,
}

/// What a round does to the shard's counts: where `resets`, they begin at zero before the rest is added.
#[derive(Debug)]
struct CountChange {
    round: Round,
    resets: bool,
    keys: i64,
    expires: i64,
}

impl Overlay {
    /// Begins the next round and returns its number; effects recorded from now on are of it.
    pub fn begin_round(&mut self) -> Round {
        self.round += 1;
        self.round
    }

    /// Whether nothing is proposed.
    pub fn is_empty(&self) -> bool {
        self.touched.is_empty() && self.hidden.is_empty() && self.counted.is_empty()
    }

    /// Keys and values held, in bytes: what the host's budget counts.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Makes an effect visible to the commands that follow.
    pub fn record(&mut self, effect: &Effect) {
        match effect {
            Effect::Put { family, key, value } => self.change(*family, key.clone(), Some(value.clone())),
            Effect::Delete { family, key } => self.change(*family, key.clone(), None),
            Effect::DeleteRange { family, from, to } => self.hide(*family, from, to),
            Effect::Count { keys, expires } => {
                let count = self.count_of_round();
                count.keys += keys;
                count.expires += expires;
            }
            Effect::ResetCounts => {
                let round = self.round;
                *self.count_of_round() = CountChange { round, resets: true, keys: 0, expires: 0 };
            }
            // Elements that nothing names are out of every reader's reach already.
            Effect::DropElements { .. } | Effect::Command { .. } => {}
        }
    }

    /// What is proposed for a key: `None` where nothing is, `Some(None)` where it is removed.
    pub fn proposed(&self, family: Family, key: &[u8]) -> Option<Option<&Bytes>> {
        self.changes[family as usize].get(key).map(|change| change.value.as_ref())
    }

    /// The shard's counts once everything proposed is applied, given those of the last applied entry.
    pub fn counts(&self, applied: Counts) -> Counts {
        self.counted.iter().fold(applied, |counts, change| {
            let before = if change.resets { Counts::default() } else { counts };
            let keys = before.keys.saturating_add_signed(change.keys);
            Counts { keys, expires: before.expires.saturating_add_signed(change.expires) }
        })
    }

    fn count_of_round(&mut self) -> &mut CountChange {
        if self.counted.back().is_none_or(|last| last.round != self.round) {
            self.counted.push_back(CountChange { round: self.round, resets: false, keys: 0, expires: 0 });
        }
        self.counted.back_mut().expect("a change was just pushed")
    }

    /// Forgets the rounds up to `round`: the tablet has them now.
    pub fn applied(&mut self, round: Round) {
        while let Some((of, family, key)) = self.touched.pop_front_if(|(of, ..)| *of <= round) {
            let changes = &mut self.changes[family as usize];
            if changes.get(&key).is_some_and(|change| change.round <= of)
                && let Some(change) = changes.remove(&key)
            {
                self.bytes -= size(&key, change.value.as_ref());
            }
        }
        self.hidden.retain(|range| range.round > round);
        while self.counted.pop_front_if(|change| change.round <= round).is_some() {}
    }

    /// Forgets everything: the leader stepped down, and what was proposed may never be.
    pub fn clear(&mut self) {
        let round = self.round;
        *self = Overlay { round, ..Overlay::default() };
    }

    fn change(&mut self, family: Family, key: Bytes, value: Option<Bytes>) {
        self.bytes += size(&key, value.as_ref());
        let change = Change { round: self.round, value };
        let old = self.changes[family as usize].insert(key.clone(), change);
        if let Some(old) = &old {
            self.bytes -= size(&key, old.value.as_ref());
        }
        // A key that a round writes often is remembered once.
        if old.is_none_or(|old| old.round != self.round) {
            self.touched.push_back((self.round, family, key));
        }
    }

    fn hide(&mut self, family: Family, from: &Bytes, to: &Bytes) {
        let inside: Vec<Bytes> = self.changes[family as usize].range(from.clone()..to.clone()).map(|(key, _)| key.clone()).collect();
        for key in inside {
            self.change(family, key, None);
        }
        // However often a shard is emptied, its range is hidden once, for as long as the last time asks.
        let is_same = |range: &&mut HiddenRange| range.family == family && range.from == from && range.to == to;
        match self.hidden.iter_mut().find(is_same) {
            Some(range) => range.round = self.round,
            None => self.hidden.push(HiddenRange { round: self.round, family, from: from.clone(), to: to.clone() }),
        }
    }

    fn hides(&self, family: Family, key: &[u8]) -> bool {
        self.hidden.iter().any(|range| range.family == family && *range.from <= *key && *key < *range.to)
    }
}

fn size(key: &Bytes, value: Option<&Bytes>) -> usize {
    const ENTRY_OVERHEAD: usize = 128;
    key.len() + value.map_or(0, Bytes::len) + ENTRY_OVERHEAD
}

/// An overlay over a tablet.
pub struct Layered<'a> {
    /// What is proposed.
    pub overlay: &'a Overlay,
    /// What is applied.
    pub tablet: &'a dyn Read,
}

impl Read for Layered<'_> {
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Bytes>, ReadError> {
        if let Some(change) = self.overlay.changes[family as usize].get(key) {
            return Ok(change.value.clone());
        }
        if self.overlay.hides(family, key) {
            return Ok(None);
        }
        self.tablet.get(family, key)
    }

    fn scan(&self, family: Family, from: &[u8], to: &[u8], visit: &mut Visitor<'_>) -> Result<(), ReadError> {
        if from >= to {
            return Ok(());
        }
        let range = (Bound::Included(Bytes::copy_from_slice(from)), Bound::Excluded(Bytes::copy_from_slice(to)));
        let mut changes = self.overlay.changes[family as usize].range(range).peekable();
        let mut stopped = false;
        self.tablet.scan(family, from, to, &mut |key, value| {
            while let Some((changed, change)) = changes.next_if(|(changed, _)| ***changed < *key) {
                if let Some(value) = &change.value
                    && visit(changed, value).is_break()
                {
                    stopped = true;
                    return ControlFlow::Break(());
                }
            }
            let flow = match changes.next_if(|(changed, _)| ***changed == *key) {
                Some((_, Change { value: Some(value), .. })) => visit(key, value),
                Some((_, Change { value: None, .. })) => ControlFlow::Continue(()),
                None if self.overlay.hides(family, key) => ControlFlow::Continue(()),
                None => visit(key, value),
            };
            stopped = flow.is_break();
            flow
        })?;
        if !stopped {
            for (key, change) in changes {
                if let Some(value) = &change.value
                    && visit(key, value).is_break()
                {
                    break;
                }
            }
        }
        Ok(())
    }
}
