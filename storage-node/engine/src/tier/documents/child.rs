//! `child/<n>.json` of an incarnation: one that was restored from it, below the same path.
//!
//! OWNER may be put back by a late request of the dead, and then names none that came after them. Whoever knows a parent finds its children here all
//! the same: only a child writes below its parent, under a number that nobody else has taken.

use super::Document;
use serde::{Deserialize, Serialize};
use strata_base::IncarnationId;

/// An incarnation that was restored from another one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ChildDocument {
    /// The parent, below which it lies.
    pub incarnation: IncarnationId,
    /// Its number there.
    pub number: u64,
    /// The child.
    pub child: IncarnationId,
}

impl Document for ChildDocument {
    const FORMAT: &'static str = "strata/child";
}
