//! Reads that are over soon, on threads that others wait for.

use bytes::Bytes;
use std::{cell::Cell, ops::ControlFlow};
use strata_kv::{Family, Read, ReadError, Visitor};

/// Reads so many records, and then says [`ReadError::Cold`]: evaluate again where nobody waits.
pub(super) struct Brief<'a> {
    reader: &'a dyn Read,
    left: Cell<usize>,
    is_cut: Cell<bool>,
}

impl<'a> Brief<'a> {
    /// A reader of at most so many records; a scan counts as one more.
    pub(super) fn new(reader: &'a dyn Read, records: usize) -> Brief<'a> {
        Brief { reader, left: Cell::new(records), is_cut: Cell::new(false) }
    }

    /// Whether it was the number of records that did not suffice.
    pub(super) fn is_cut(&self) -> bool {
        self.is_cut.get()
    }

    fn take_one(&self) -> Result<(), ReadError> {
        match self.left.get().checked_sub(1) {
            Some(left) => {
                self.left.set(left);
                Ok(())
            }
            None => {
                self.is_cut.set(true);
                Err(ReadError::Cold)
            }
        }
    }
}

impl Read for Brief<'_> {
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Bytes>, ReadError> {
        self.take_one()?;
        self.reader.get(family, key)
    }

    fn scan(&self, family: Family, from: &[u8], to: &[u8], visit: &mut Visitor<'_>) -> Result<(), ReadError> {
        self.take_one()?;
        let mut seen = Ok(());
        self.reader.scan(family, from, to, &mut |key, value| {
            seen = self.take_one();
            if seen.is_ok() { visit(key, value) } else { ControlFlow::Break(()) }
        })?;
        seen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As many records as anybody asks for.
    struct Endless;

    impl Read for Endless {
        fn get(&self, _: Family, key: &[u8]) -> Result<Option<Bytes>, ReadError> {
            Ok(Some(Bytes::copy_from_slice(key)))
        }

        fn scan(&self, _: Family, from: &[u8], _: &[u8], visit: &mut Visitor<'_>) -> Result<(), ReadError> {
            while visit(from, b"value").is_continue() {}
            Ok(())
        }
    }

    #[test]
    fn what_needs_more_records_is_cut() {
        let one = Brief::new(&Endless, 1);
        assert!(matches!(one.get(Family::Meta, b"key"), Ok(Some(_))));
        assert!(!one.is_cut());
        assert!(matches!(one.get(Family::Meta, b"key"), Err(ReadError::Cold)));
        assert!(one.is_cut());
    }

    #[test]
    fn a_scan_counts_its_records_and_itself() {
        let visited = |records: usize, wanted: usize| {
            let (mut count, brief) = (0, Brief::new(&Endless, records));
            let scanned = brief.scan(Family::Data, b"a", b"b", &mut |_, _| {
                count += 1;
                if count == wanted { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
            (count, scanned.is_ok(), brief.is_cut())
        };
        assert_eq!(visited(10, 9), (9, true, false));
        assert_eq!(visited(10, 10), (9, false, true));
        assert_eq!(visited(0, 1), (0, false, true));
    }
}
