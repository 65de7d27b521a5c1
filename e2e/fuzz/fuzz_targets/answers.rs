//! libFuzzer over the target `answers` of `strata-decoders`.

#![no_main]

use strata_decoders::{meter::Meter, target};

#[global_allocator]
static METER: Meter = Meter;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    (target("answers").expect("it is in the list").play)(bytes);
});
