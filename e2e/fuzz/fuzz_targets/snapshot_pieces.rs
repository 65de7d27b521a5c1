//! libFuzzer over the target `snapshot_pieces` of `strata-decoders`.

#![no_main]

use strata_decoders::{meter::Meter, target};

#[global_allocator]
static METER: Meter = Meter;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    (target("snapshot_pieces").expect("it is in the list").play)(bytes);
});
