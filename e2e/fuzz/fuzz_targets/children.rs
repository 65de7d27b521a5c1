//! libFuzzer over the target `children` of `strata-decoders`.

#![no_main]

use strata_decoders::{meter::Meter, target};

#[global_allocator]
static METER: Meter = Meter;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    (target("children").expect("it is in the list").play)(bytes);
});
