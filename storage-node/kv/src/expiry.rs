//! The leader's expiry step: removes what is due, in the order of time, within a budget.
//!
//! A key whose time has come is invisible at once, to every command; this step takes it from the disk, from the counts and from the index.
//! The host runs it as a command of its own: with an HLC, a view, and effects that go into an entry like those of any command.
//!
//! ```
//! use strata_base::Hlc;
//! use strata_kv::{Overlay, View, command, expiry, testing::MapStore};
//!
//! let (tablet, mut overlay) = (MapStore::default(), Overlay::default());
//! let call = command::parse(["SET", "lease", "v", "PX", "5"].map(Into::into).to_vec()).expect("a well-formed call");
//! call.evaluate(&mut View::new(&tablet, &mut overlay, Hlc::from_millis(1_000)));
//!
//! let mut view = View::new(&tablet, &mut overlay, Hlc::from_millis(1_004));
//! let step = expiry::remove_due(&mut view, 100).expect("a map is always readable");
//! assert_eq!((step.removed, step.next_due_ms), (0, Some(1_006)), "the last millisecond of a life still counts");
//! ```

use crate::{Failure, View};
use bytes::Bytes;
use std::ops::ControlFlow;

/// What a step came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// Keys removed.
    pub removed: usize,
    /// Entries of the index that named no record that expires then; they are gone, too.
    pub stale: usize,
    /// When the next step has something to do, in milliseconds since the Unix epoch: not later than now where the budget was not enough,
    /// `None` where no key expires.
    pub next_due_ms: Option<u64>,
}

/// Removes keys that are expired at the view's time, at most `budget` entries of the index, stale ones included.
pub fn remove_due(view: &mut View<'_>, budget: usize) -> Result<Step, Failure> {
    let now_ms = view.now_ms();
    let (mut due, mut next_due_ms): (Vec<(u64, Bytes)>, _) = (Vec::new(), None);
    view.scan_expiry(&mut |expire_ms, meta_key| {
        if expire_ms >= now_ms || due.len() == budget {
            // The last millisecond still counts as life.
            next_due_ms = Some(expire_ms.saturating_add(1));
            return ControlFlow::Break(());
        }
        due.push((expire_ms, Bytes::copy_from_slice(meta_key)));
        ControlFlow::Continue(())
    })?;
    let mut step = Step { next_due_ms, ..Step::default() };
    for (expire_ms, meta_key) in due {
        if view.expire(expire_ms, meta_key)? {
            step.removed += 1;
        } else {
            step.stale += 1;
        }
    }
    Ok(step)
}
