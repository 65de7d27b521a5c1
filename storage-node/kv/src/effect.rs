//! Effects: what evaluation decided, as bytes.

use bytes::Bytes;
use strata_base::Hlc;

/// A column family of a tablet. All are flushed together, atomically.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// One record per Redis key; never blobs.
    Meta = 0,
    /// Elements of collections, and later large payloads.
    Data = 1,
    /// The expiry index: which key expires when.
    Expiry = 2,
}

impl Family {
    /// Every family, in the order of their numbers.
    pub const ALL: [Family; 3] = [Family::Meta, Family::Data, Family::Expiry];

    /// The family of a number in a log entry.
    pub const fn from_number(number: u8) -> Option<Family> {
        match number {
            0 => Some(Family::Meta),
            1 => Some(Family::Data),
            2 => Some(Family::Expiry),
            _ => None,
        }
    }
}

/// A physical mutation of a tablet. Applying one reads nothing and decides nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The effects after this one belong to the command that took this HLC.
    Command {
        /// The command's own HLC.
        hlc: Hlc,
    },
    /// Writes a record.
    Put {
        /// Where to.
        family: Family,
        /// Encoded by [`crate::record`].
        key: Bytes,
        /// Encoded by [`crate::record`].
        value: Bytes,
    },
    /// Removes a record; absent is fine.
    Delete {
        /// Where from.
        family: Family,
        /// Encoded by [`crate::record`].
        key: Bytes,
    },
    /// Removes every record of `family` with `from <= key < to`.
    DeleteRange {
        /// Where from.
        family: Family,
        /// First key removed.
        from: Bytes,
        /// First key kept.
        to: Bytes,
    },
    /// Removes the elements of a collection that nothing names any more: all of `Data` that begins with `prefix`.
    /// No reader can reach them, so the overlay need not know.
    DropElements {
        /// Slot, h, key and creation HLC of the collection.
        prefix: Bytes,
    },
    /// Changes the shard's counts.
    Count {
        /// More keys (or fewer).
        keys: i64,
        /// More keys with a time to live (or fewer).
        expires: i64,
    },
    /// Sets the shard's counts to zero: every record was removed.
    ResetCounts,
}

impl Effect {
    /// The bytes an effect adds to an entry, near enough for budgets.
    pub fn size(&self) -> usize {
        const OVERHEAD: usize = 8;
        OVERHEAD
            + match self {
                Effect::Put { key, value, .. } => key.len() + value.len(),
                Effect::Delete { key, .. } => key.len(),
                Effect::DeleteRange { from, to, .. } => from.len() + to.len(),
                Effect::DropElements { prefix } => prefix.len(),
                Effect::Command { .. } | Effect::Count { .. } | Effect::ResetCounts => 8,
            }
    }
}
