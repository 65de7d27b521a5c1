//! `SCAN cursor [MATCH pattern] [COUNT count] [TYPE type]`: walks over all keys, a page per call.
//!
//! Keys lie in the order of slot, hash of the tag, key. A cursor is a number of 63 bits, as clients read it, so it cannot name a key: it names
//! slot and hash, and what lies in one such place comes in one reply. A tag with more keys than [`limits::SCAN_RECORDS_MAX`] comes in
//! windows of its keys' own hashes; each page then visits the whole tag. Cursors hold nothing but a place: they survive restarts and moves,
//! and a key that is there from the walk's begin to its end is seen.
//!
//! The walk goes from shard to shard: at the end of a shard's slots the cursor points at the slot after them, and it is 0 after the last.

use super::{Keys, Run, Spec};
use crate::{ErrorReply, Failure, Reply, View, glob, limits, number, record};
use bytes::Bytes;
use std::{collections::BTreeMap, ops::ControlFlow};
use strata_base::SLOT_COUNT;
use xxhash_rust::xxh3::xxh3_64;

/// The row of SCAN.
pub static SPEC: Spec = Spec {
    name: "scan",
    arity: -2,
    flags: &["readonly"],
    keys: Keys::NONE,
    run: Run::Cursor(evaluate),
    group: "generic",
    since: "2.8.0",
    summary: "Walks over all keys.",
    subcommands: &[],
};

/// A place in the walk: `slot(14) | h(32) | window(17)`, 63 bits. 0 begins a walk, and ends it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    /// The slot to go on in.
    pub slot: u16,
    /// The hash of the tag to go on at.
    pub h: u32,
    /// The upper bits of the hash of the key to go on at, within the tag.
    pub window: u32,
}

impl Cursor {
    const WINDOW_BITS: u32 = 17;
    const H_BITS: u32 = 32;

    /// Reads an argument.
    pub fn parse(text: &[u8]) -> Result<Cursor, ErrorReply> {
        let raw = parse_cursor(text)?;
        Ok(Cursor {
            slot: (raw >> (Self::WINDOW_BITS + Self::H_BITS)) as u16,
            h: (raw >> Self::WINDOW_BITS) as u32,
            window: raw as u32 & ((1 << Self::WINDOW_BITS) - 1),
        })
    }

    /// The number that clients get.
    pub fn as_u64(self) -> u64 {
        u64::from(self.slot) << (Self::WINDOW_BITS + Self::H_BITS) | u64::from(self.h) << Self::WINDOW_BITS | u64::from(self.window)
    }

    /// The beginning of a slot; the end of the walk after the last slot.
    pub fn at_slot(slot: u16) -> Cursor {
        Cursor { slot: if slot < SLOT_COUNT { slot } else { 0 }, ..Cursor::default() }
    }

    fn window_of(key: &[u8]) -> u32 {
        (xxh3_64(key) >> (u64::BITS - Self::WINDOW_BITS)) as u32
    }
}

/// A cursor of the SCAN family: decimal digits, below 2^63.
pub(super) fn parse_cursor(text: &[u8]) -> Result<u64, ErrorReply> {
    let number = std::str::from_utf8(text).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let number = number.and_then(|text| text.parse().ok()).filter(|number| *number <= i64::MAX as u64);
    number.ok_or(ErrorReply::INVALID_CURSOR)
}

/// Makes the cursor of a SCAN's reply point at a slot that the connection may walk. `next_of` is given the slot that the walk goes on in, and
/// says where to go on instead: that slot itself, a later one, or `None` where there is nothing left. (A cluster client asks every node for
/// its own shards; see data-plane.md.)
pub fn redirect(reply: Reply, next_of: impl FnOnce(u16) -> Option<u16>) -> Reply {
    let Reply::Array(mut parts) = reply else { return reply };
    if let Some(Reply::Bulk(text)) = parts.first()
        && let Ok(cursor) = Cursor::parse(text)
        && cursor != Cursor::default()
    {
        let next = match next_of(cursor.slot) {
            Some(slot) if slot == cursor.slot => cursor,
            Some(slot) => Cursor::at_slot(slot),
            None => Cursor::default(),
        };
        parts[0] = Reply::bulk(next.as_u64().to_string());
    }
    Reply::Array(parts)
}

/// The options that the SCAN family shares.
pub(super) struct Options<'a> {
    pub(super) pattern: Option<&'a Bytes>,
    pub(super) count: usize,
    type_name: Option<&'a Bytes>,
}

impl Options<'_> {
    pub(super) fn parse(words: &[Bytes], takes_type: bool) -> Result<Options<'_>, ErrorReply> {
        const COUNT_DEFAULT: usize = 10;
        let mut options = Options { pattern: None, count: COUNT_DEFAULT, type_name: None };
        for pair in words.chunks(2) {
            let [word, value] = pair else { return Err(ErrorReply::SYNTAX) };
            match word.to_ascii_uppercase().as_slice() {
                b"MATCH" => options.pattern = Some(value),
                b"TYPE" if takes_type => options.type_name = Some(value),
                b"COUNT" => {
                    let count = number::parse_integer(value).ok_or(ErrorReply::NOT_AN_INTEGER)?;
                    options.count = usize::try_from(count).ok().filter(|count| *count > 0).ok_or(ErrorReply::SYNTAX)?;
                }
                _ => return Err(ErrorReply::SYNTAX),
            }
        }
        options.count = options.count.min(limits::SCAN_RECORDS_MAX);
        Ok(options)
    }

    pub(super) fn matches(&self, text: &[u8]) -> bool {
        self.pattern.is_none_or(|pattern| glob::matches(pattern, text))
    }
}

/// The keys of one place, in windows of their hashes; keeps the first windows where there are too many.
struct Place {
    of: (u16, u32),
    from_window: u32,
    kept: BTreeMap<u32, Vec<Reply>>,
    count: usize,
    /// The first window that did not fit.
    dropped: Option<u32>,
}

impl Place {
    fn new(of: (u16, u32), from_window: u32) -> Place {
        Place { of, from_window, kept: BTreeMap::new(), count: 0, dropped: None }
    }

    fn add(&mut self, key: &[u8]) {
        let window = Cursor::window_of(key);
        if window < self.from_window || self.dropped.is_some_and(|dropped| window >= dropped) {
            return;
        }
        self.kept.entry(window).or_default().push(Reply::Bulk(Bytes::copy_from_slice(key)));
        self.count += 1;
        while self.count > limits::SCAN_RECORDS_MAX && self.kept.len() > 1 {
            let Some((window, keys)) = self.kept.pop_last() else { break };
            self.count -= keys.len();
            self.dropped = Some(window);
        }
    }

    /// Moves the keys to the page, and returns where to go on if not all of them did fit.
    fn finish(self, page: &mut Vec<Reply>) -> Option<Cursor> {
        let (slot, h) = self.of;
        page.extend(self.kept.into_values().flatten());
        self.dropped.map(|window| Cursor { slot, h, window })
    }
}

fn evaluate(arguments: &[Bytes], view: &mut View<'_>) -> Result<Reply, Failure> {
    let begin = Cursor::parse(&arguments[1])?;
    let options = Options::parse(&arguments[2..], true)?;
    let mut place = Place::new((begin.slot, begin.h), begin.window);
    let (mut page, mut next, mut visited) = (Vec::new(), None, 0);
    view.scan_keys(&record::place_bound(begin.slot, begin.h), &mut |encoded, head| {
        let of = record::place(encoded).unwrap_or_default();
        if of != place.of {
            next = std::mem::replace(&mut place, Place::new(of, 0)).finish(&mut page);
            if next.is_none() && visited >= options.count {
                next = Some(Cursor { slot: of.0, h: of.1, window: 0 });
            }
            if next.is_some() {
                return ControlFlow::Break(());
            }
        }
        visited += 1;
        let key = record::user_key(encoded).unwrap_or_default();
        let is_of_type = |wanted: &Bytes| head.is_some_and(|head| wanted.eq_ignore_ascii_case(head.type_name().as_bytes()));
        if head.is_some() && options.type_name.is_none_or(is_of_type) && options.matches(key) {
            place.add(key);
        }
        ControlFlow::Continue(())
    })?;
    let next = next.or_else(|| place.finish(&mut page)).unwrap_or_else(|| Cursor::at_slot(view.slots().last() + 1));
    Ok(Reply::Array(vec![Reply::bulk(next.as_u64().to_string()), Reply::Array(page)]))
}
