//! libFuzzer over the target `log_entries` of `strata-decoders`.

#![no_main]

use strata_decoders::{meter::Meter, target};

#[global_allocator]
static METER: Meter = Meter;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    (target("log_entries").expect("it is in the list").play)(bytes);
});
