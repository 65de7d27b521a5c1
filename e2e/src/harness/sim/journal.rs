//! What happened, in sentences, for whoever reads one run: faults and whom they met, starts, leaders, losses. What each message did is not in it.

use super::{limits::JOURNAL_LINES_MAX, queue::SECOND};

/// What happened so far.
#[derive(Default)]
pub(super) struct Journal {
    lines: Vec<String>,
}

impl Journal {
    /// Adds a sentence. What is beyond the bound is left out, and the last line says so.
    pub(super) fn tell(&mut self, now: u64, sentence: &str) {
        if self.lines.len() < JOURNAL_LINES_MAX {
            self.lines.push(format!("{:>3}.{:06} s  {sentence}", now / SECOND, now % SECOND));
        } else if self.lines.len() == JOURNAL_LINES_MAX {
            self.lines.push("what came later is left out".to_owned());
        }
    }

    /// All of it, a line each.
    pub(super) fn into_text(self) -> String {
        self.lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_journal_has_a_bound_and_says_so() {
        let mut journal = Journal::default();
        (0..2 * JOURNAL_LINES_MAX as u64).for_each(|nth| journal.tell(nth * SECOND / 2, "it rains"));
        let text = journal.into_text();
        assert_eq!(text.lines().count(), JOURNAL_LINES_MAX + 1);
        assert_eq!((text.lines().nth(3), text.lines().last()), (Some("  1.500000 s  it rains"), Some("what came later is left out")));
    }
}
