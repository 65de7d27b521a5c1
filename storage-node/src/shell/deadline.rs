//! Deadlines of tasks that wait. What the host decides by has the host's time; these only end waits.

use std::time::Duration;
use tokio::time::Instant;

/// How long whoever has a command may take beyond the command's own deadline, which it keeps unless it hangs.
pub const GRACE: Duration = Duration::from_secs(1);

/// The moment after a span from now.
#[expect(clippy::disallowed_methods, reason = "the one place where a wait of the shell reads the runtime's clock")]
pub fn after(span: Duration) -> Instant {
    Instant::now() + span
}

/// Whether a moment has come.
pub fn has_come(moment: Instant) -> bool {
    moment <= after(Duration::ZERO)
}
