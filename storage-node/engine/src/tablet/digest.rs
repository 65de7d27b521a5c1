//! What a tablet holds, as one number: the same in all replicas that applied the same entry, however their files came to be.
//!
//! ```text
//! SHA-256 of   family(1) key-length(8) value-length(8) key value    for every record of meta, data and expiry, in order
//! ```
//!
//! SHA-256, because one number on another machine must stand for all of the records: a difference is not to be missed by chance, nor by intent.
//! Reading and decompressing them takes longer than the hash. Lengths come first, so that no record passes for a part of another.

use super::{TabletFamily, TabletRead};
use crate::EngineError;
use sha2::{Digest as _, Sha256};
use std::{fmt, ops::ControlFlow};

/// Behind every key: they begin with a slot or with a moment, and neither begins with this.
const BEHIND_ALL: [u8; 16] = [0xff; 16];

/// What a tablet holds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TabletDigest {
    /// Records of all families that count.
    pub records: u64,
    sha256: [u8; 32],
}

impl TabletDigest {
    /// Reads everything that counts, one record after the other. Waits for the disk.
    pub fn of(read: &dyn TabletRead) -> Result<TabletDigest, EngineError> {
        let (mut hasher, mut records) = (Sha256::new(), 0);
        for family in TabletFamily::CONTENT {
            read.scan(family, &[], &BEHIND_ALL, &mut |key, value| {
                records += 1;
                hasher.update([family as u8]);
                hasher.update((key.len() as u64).to_be_bytes());
                hasher.update((value.len() as u64).to_be_bytes());
                hasher.update(key);
                hasher.update(value);
                ControlFlow::Continue(())
            })?;
        }
        Ok(TabletDigest { records, sha256: hasher.finalize().into() })
    }
}

/// The hash, as 64 hexadecimal digits.
impl fmt::Display for TabletDigest {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.sha256.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
    }
}

impl fmt::Debug for TabletDigest {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} records, {self}", self.records)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tablet::{MemoryTablet, Tablet, TabletChange};

    fn digest(records: &[(TabletFamily, &'static [u8], &'static [u8])]) -> TabletDigest {
        let tablet = MemoryTablet::default();
        let put = |(family, key, value): &(TabletFamily, &'static [u8], &'static [u8])| {
            TabletChange::Put(*family, (*key).into(), (*value).into())
        };
        tablet.write(records.iter().map(put).collect()).expect("memory never fails");
        TabletDigest::of(&*tablet.snapshot()).expect("memory never fails")
    }

    #[test]
    fn records_count_whatever_the_order_in_which_they_came() {
        use TabletFamily::{Data, Expiry, Meta};
        let records: [(TabletFamily, &'static [u8], &'static [u8]); 4] =
            [(Meta, b"a", b"1"), (Meta, b"b", b"2"), (Data, b"a", b"3"), (Expiry, b"\x00", b"")];
        let mut turned = records;
        turned.reverse();
        assert_eq!(digest(&records), digest(&turned));
        assert_eq!(digest(&records).records, 4);
        assert_eq!(digest(&[]).to_string(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", "SHA-256 of nothing");
    }

    #[test]
    fn what_the_host_keeps_for_itself_does_not_count() {
        assert_eq!(digest(&[(TabletFamily::System, b"descriptor", b"mine")]), digest(&[]));
    }

    #[test]
    fn every_bit_and_every_border_counts() {
        use TabletFamily::{Data, Meta};
        type Record = (TabletFamily, &'static [u8], &'static [u8]);
        let all: [&[Record]; 7] = [
            &[],
            &[(Meta, b"key", b"value")],
            &[(Meta, b"key", b"valud")],
            &[(Meta, b"kez", b"value")],
            &[(Data, b"key", b"value")],
            &[(Meta, b"keyv", b"alue")],
            &[(Meta, b"key", b"value"), (Data, b"", b"")],
        ];
        for (nth, one) in all.iter().enumerate() {
            assert!(all[..nth].iter().all(|other| digest(other) != digest(one)), "{one:?} should differ from all before");
        }
    }
}
