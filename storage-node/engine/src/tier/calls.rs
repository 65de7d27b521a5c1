//! Requests under way, and when failed ones are repeated.

use super::limits::{RETRY_MS_MAX, RETRY_MS_MIN};
use std::collections::BTreeMap;

/// Names a request within its machine; never used twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub u64);

/// What a machine asked, and what for.
#[derive(Debug)]
pub(crate) struct Calls<Ask> {
    next: u64,
    open: BTreeMap<CallId, Ask>,
}

impl<Ask> Default for Calls<Ask> {
    fn default() -> Calls<Ask> {
        Calls { next: 0, open: BTreeMap::new() }
    }
}

impl<Ask> Calls<Ask> {
    /// Remembers what is asked.
    pub(crate) fn begin(&mut self, ask: Ask) -> CallId {
        self.next += 1;
        self.open.insert(CallId(self.next), ask);
        CallId(self.next)
    }

    /// What the answer is for; `None` for an answer that nobody waits for.
    pub(crate) fn end(&mut self, id: CallId) -> Option<Ask> {
        self.open.remove(&id)
    }

    /// Answers to what is not kept are waited for no longer.
    pub(crate) fn retain(&mut self, mut is_kept: impl FnMut(&Ask) -> bool) {
        self.open.retain(|_, ask| is_kept(ask));
    }

    pub(crate) fn len(&self) -> usize {
        self.open.len()
    }
}

/// Pauses between repetitions: doubling, bounded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Backoff {
    failures: u32,
    due_ms: u64,
}

impl Backoff {
    /// The request failed: not again before the pause is over.
    pub(crate) fn fail(&mut self, now_ms: u64) {
        let pause_ms = RETRY_MS_MIN.checked_shl(self.failures).unwrap_or(RETRY_MS_MAX).min(RETRY_MS_MAX);
        self.failures = (self.failures + 1).min(32);
        self.due_ms = now_ms + pause_ms;
    }

    /// The store answers again.
    pub(crate) fn succeed(&mut self) {
        *self = Backoff::default();
    }

    pub(crate) fn is_due(&self, now_ms: u64) -> bool {
        self.due_ms <= now_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_their_bound() {
        let mut backoff = Backoff::default();
        let mut pauses = Vec::new();
        for _ in 0..40 {
            backoff.fail(1_000);
            assert!(!backoff.is_due(1_000));
            pauses.push(backoff.due_ms - 1_000);
        }
        assert_eq!(pauses[..7], [100, 200, 400, 800, 1_600, 3_200, 5_000]);
        assert_eq!(pauses[39], RETRY_MS_MAX);
        backoff.succeed();
        assert!(backoff.is_due(0));
    }
}
