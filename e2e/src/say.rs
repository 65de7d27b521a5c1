//! Output of scenarios: past the capture of the test runner, so that seeds and measured numbers are always seen.

use std::io::Write;

/// Writes one line to standard error.
pub fn say(line: impl AsRef<str>) {
    let text = format!("{}\n", line.as_ref());
    // Where standard error is closed there is nobody to tell.
    drop(std::io::stderr().write_all(text.as_bytes()));
}
