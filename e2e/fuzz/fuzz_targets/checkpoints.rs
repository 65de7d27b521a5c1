//! libFuzzer over the target `checkpoints` of `strata-decoders`.

#![no_main]

use strata_decoders::{meter::Meter, target};

#[global_allocator]
static METER: Meter = Meter;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    (target("checkpoints").expect("it is in the list").play)(bytes);
});
