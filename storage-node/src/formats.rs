//! What this crate itself writes to disks and to other nodes: every line of `testdata/format/v1/` must mean the same for ever. Tests only.

#[cfg(feature = "disk")]
mod disk;
mod wire;

use crate::{
    agreement::{Agreed, LogEntry},
    descriptor::{Applied, Descriptor, ReplicaRecord},
};
use bytes::Bytes;
use std::fmt::Debug;
use strata_golden::{fixture, hex, unhex};

/// The line means what it says, and is what this build writes.
fn check(read: &dyn Debug, meaning: &str, written: &str, encoding: &str) {
    assert_eq!(format!("{read:?}"), meaning, "an old encoding must mean the same for ever");
    assert_eq!(written, encoding, "{meaning}");
}

#[test]
fn binary_encodings_of_version_1_mean_what_they_meant() {
    for (encoding, meaning) in fixture(include_str!("../testdata/format/v1/binary.txt")) {
        let bytes = Bytes::from(unhex(encoding));
        match meaning.split([' ', '(']).next() {
            Some("Agreement") => {
                let entry = LogEntry::decode(bytes).expect("an old entry decodes");
                let LogEntry::Agreement(agreement) = &entry else { panic!("{meaning} decodes as {entry:?}") };
                check(agreement, meaning, &hex(&agreement.encode()), encoding);
            }
            Some("Comparison") => {
                let entry = LogEntry::decode(bytes).expect("an old entry decodes");
                let LogEntry::Comparison(comparison) = &entry else { panic!("{meaning} decodes as {entry:?}") };
                check(comparison, meaning, &hex(&comparison.encode()), encoding);
            }
            Some("Agreed") => {
                let agreed = Agreed::decode(bytes).expect("an old document decodes");
                check(&agreed, meaning, &hex(&agreed.encode()), encoding);
            }
            Some("Applied") => {
                let applied = Applied::decode(&bytes).expect("an old state decodes");
                check(&applied, meaning, &hex(&applied.encode()), encoding);
            }
            _ => panic!("{meaning:?} names nothing that is kept"),
        }
    }
}

#[test]
fn json_of_version_1_means_what_it_meant() {
    for (encoding, meaning) in fixture(include_str!("../testdata/format/v1/json.txt")) {
        if meaning.starts_with("Descriptor") {
            let descriptor = Descriptor::decode(encoding.as_bytes()).expect("an old descriptor decodes");
            check(&descriptor, meaning, &String::from_utf8_lossy(&descriptor.encode()), encoding);
        } else {
            let record = ReplicaRecord::decode(encoding.as_bytes()).expect("an old record decodes");
            assert_eq!(format!("{record:?}"), meaning, "an old record must mean the same for ever");
            // Fields that came later are written from now on, so that only what reads back must be the same.
            assert_eq!(ReplicaRecord::decode(&record.encode()), Ok(record));
        }
    }
}
