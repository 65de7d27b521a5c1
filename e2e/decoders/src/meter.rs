//! How much memory decoding takes at once: an allocator that counts, thread by thread.
//!
//! A program that measures declares it: `#[global_allocator] static METER: Meter = Meter;`. In others everything seems to take nothing.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

/// What decoding may take at once for each byte that it was given, in bytes. The smallest effect of a log entry, item of a reply or element of a
/// JSON array is one or two bytes, becomes a value of up to 88, and stands in a vector that at the moment it grows holds three times what it
/// needs. A map of one entry takes a node for eleven.
pub const FACTOR: usize = 256;

/// The same for configuration, which is trusted and small: each part of a dotted key becomes a table with a node for eleven entries, twice.
pub const CONFIGURATION_FACTOR: usize = 4096;

/// What decoding may take beside that, in bytes: first buffers, and the sentence of an error.
pub const ALLOWANCE: usize = 64 << 10;

thread_local! {
    static LIVE: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

/// The system's allocator, counting.
#[derive(Debug)]
pub struct Meter;

/// A thread that ends has no counters any more, and nobody asks for them.
fn grow(bytes: usize) {
    let live = LIVE.try_with(|live| {
        live.set(live.get() + bytes as isize);
        live.get()
    });
    let _ = live.map(|live| PEAK.try_with(|peak| peak.set(peak.get().max(live))));
}

fn shrink(bytes: usize) {
    let _ = LIVE.try_with(|live| live.set(live.get() - bytes as isize));
}

#[expect(unsafe_code, reason = "an allocator is unsafe to implement; this one passes every call on as it came, and counts")]
// SAFETY: the system's allocator keeps the contract, and nothing is changed on the way to it or back.
unsafe impl GlobalAlloc for Meter {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        grow(layout.size());
        // SAFETY: as of the caller.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        shrink(layout.size());
        // SAFETY: as of the caller.
        unsafe { System.dealloc(place, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        grow(layout.size());
        // SAFETY: as of the caller.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // At worst both are there for a moment.
        grow(size);
        shrink(layout.size());
        // SAFETY: as of the caller.
        unsafe { System.realloc(place, layout, size) }
    }
}

/// Does work, and says how many bytes more than before were in use at once on this thread.
pub fn peak_of<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = LIVE.get();
    PEAK.set(before);
    let result = work();
    (result, usize::try_from(PEAK.get() - before).unwrap_or(0))
}

/// Does work over `bytes`, and says whether it kept to `factor` times their number.
///
/// # Panics
/// When it took more.
pub fn bounded_by<T>(factor: usize, bytes: &[u8], work: impl FnOnce() -> T) -> T {
    let (result, peak) = peak_of(work);
    let bound = ALLOWANCE + factor * bytes.len();
    assert!(peak <= bound, "decoding {} bytes took {peak} bytes of memory at once, and may take {bound}", bytes.len());
    result
}
