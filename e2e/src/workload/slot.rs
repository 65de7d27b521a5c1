//! Which slot a key lies in, by the specification of Redis Cluster; not by the code under test.

use strata_base::{SLOT_COUNT, SlotRange};

/// The slot of a key without a hash tag.
pub fn slot_of(key: &str) -> u16 {
    crc16(key.as_bytes()) % SLOT_COUNT
}

/// A key that begins with `prefix` and lies in one of the slots.
pub fn key_within(slots: SlotRange, prefix: &str) -> String {
    let mut candidates = (0_u32..).map(|number| format!("{prefix}{number}"));
    candidates.find(|key| slots.contains(slot_of(key))).expect("every slot has keys without end")
}

/// CRC-16/XMODEM: polynomial 0x1021, start 0, as the specification names it.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_specification_hold() {
        assert_eq!(crc16(b"123456789"), 0x31c3);
        assert_eq!(slot_of("foo"), 12_182);
    }

    #[test]
    fn a_key_is_found_for_every_sixteenth() {
        for slots in SlotRange::split_evenly(16) {
            assert!(slots.contains(slot_of(&key_within(slots, "probe-"))));
        }
    }
}
