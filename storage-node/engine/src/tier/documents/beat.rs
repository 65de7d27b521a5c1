//! `BEAT`: the owner's sign of life. Only its change counts, never its value or its age.

use super::Document;
use crate::tier::layout::LifeId;
use serde::{Deserialize, Serialize};
use strata_base::IncarnationId;

/// The owner's sign of life.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Beat {
    /// The incarnation that lives.
    pub incarnation: IncarnationId,
    /// The life of the node that leads shard 0.
    pub life: LifeId,
    /// How often that node has written it, this time included.
    pub count: u64,
}

impl Document for Beat {
    const FORMAT: &'static str = "strata/beat";
}
