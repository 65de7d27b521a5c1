//! What people see: a line when a step begins, a line when it ends.

use crate::failure::Failure;
use std::{
    io::Write,
    time::{Duration, Instant},
};

/// A step that went wrong: the story ends there.
#[derive(Debug)]
pub struct Stopped {
    step: &'static str,
    failure: Failure,
}

/// What a step brings, and a few words on how it went.
pub type Done<T> = Result<(T, String), Failure>;

/// Counts steps.
#[derive(Debug, Default)]
pub struct Stage {
    number: u32,
}

/// How long a step may take beyond its own deadlines: nothing may hang for ever.
const STEP_DEADLINE: Duration = Duration::from_secs(900);

impl Stage {
    /// Plays a step: says what it does, does it, and says how long it took.
    pub async fn step<T>(&mut self, step: &'static str, sentence: &str, work: impl Future<Output = Done<T>>) -> Result<T, Stopped> {
        self.number += 1;
        tell(&format!("{:>2}. {step}: {sentence}", self.number));
        let start = Instant::now();
        let late = || Failure::Late { what: sentence.to_owned(), seconds: STEP_DEADLINE.as_secs(), seen: "it goes on".to_owned() };
        let done = tokio::time::timeout(STEP_DEADLINE, work).await.unwrap_or_else(|_| Err(late()));
        let (value, words) = done.map_err(|failure| Stopped { step, failure })?;
        let colon = if words.is_empty() { "" } else { ": " };
        tell(&format!("    {:.1} s{colon}{words}", start.elapsed().as_secs_f64()));
        Ok(value)
    }
}

/// Writes one line to standard output.
pub fn tell(line: &str) {
    // Where standard output is closed there is nobody to tell.
    let mut out = std::io::stdout().lock();
    drop(writeln!(out, "{line}").and_then(|()| out.flush()));
}

/// Says what failed and what to do, and ends with the line for machines.
pub fn tell_failure(stopped: &Stopped, lab: &str) {
    let reason = stopped.failure.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
    tell(&format!("    {reason}"));
    match stopped.failure {
        Failure::Lacking(_) => tell("    Get what is missing (`make deps` gets packages), then call `make demo` again."),
        _ => {
            tell("    Everything is left as it is. To look at it:");
            tell(&format!("      e2e/lab/lab kubectl {lab} describe kvc      e2e/lab/lab kubectl {lab} logs deployment/strata"));
            tell("    `make demo` begins anew; `make demo-down` ends it and leaves nothing behind.");
        }
    }
    tell(&format!("demo: failed step={} reason={reason}", stopped.step));
}

impl Stopped {
    /// A step outside of any stage that went wrong.
    pub fn at(step: &'static str, failure: Failure) -> Stopped {
        Stopped { step, failure }
    }
}
