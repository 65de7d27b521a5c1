//! Waiting: on a condition, with a deadline. The one file of the judge that sleeps.

use crate::failure::Failure;
use std::time::{Duration, Instant};

/// How often a condition is looked at.
const GLANCE: Duration = Duration::from_millis(10);

/// Looks at `condition` again and again until it gives a value, or the deadline passes.
///
/// `what` ends the sentence "waited 5 s until …". A condition that does not hold yet says what it saw instead, which a late failure repeats.
pub async fn until<T>(deadline: Duration, what: &str, mut condition: impl AsyncFnMut() -> Result<T, String>) -> Result<T, Failure> {
    let start = Instant::now();
    let mut seen = "the first look did not come back".to_owned();
    loop {
        let left = deadline.saturating_sub(start.elapsed());
        match tokio::time::timeout(left.max(GLANCE), condition()).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(instead)) => seen = instead,
            Err(_) => seen = format!("a look did not come back; before that: {seen}"),
        }
        if start.elapsed() >= deadline {
            return Err(Failure::Late { what: what.to_owned(), seconds: deadline.as_secs(), seen });
        }
        pause(GLANCE).await;
    }
}

/// Gives way between two attempts, so that a client that is refused does not spin. Not for waiting: that has a condition.
#[expect(clippy::disallowed_methods, reason = "this is the replacement that the ban names")]
pub async fn pause(length: Duration) {
    tokio::time::sleep(length).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_holds_is_returned_and_what_never_holds_is_named() {
        let mut looks = 0;
        let third = until(Duration::from_secs(5), "the third look", async || {
            looks += 1;
            if looks == 3 { Ok(looks) } else { Err("too early".to_owned()) }
        });
        assert_eq!(third.await.expect("the third look comes"), 3);

        let never = until::<()>(Duration::from_millis(30), "the sun turns green", async || Err("it is yellow".to_owned()));
        let sentence = never.await.expect_err("it never does").to_string();
        assert_eq!(sentence, "waited 0 s until the sun turns green; instead: it is yellow");
    }
}
