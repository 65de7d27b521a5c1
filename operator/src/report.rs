//! Says what changed: log lines and events. The status itself is part of the decision.

use crate::{Context, act, decide::Decision, error::Error, observe::Seen};
use kube::runtime::events::EventType;
use strata_crds::Condition;

/// Tells of a change of the condition `Ready`, once.
pub async fn report(context: &Context, seen: &Seen, decision: &Decision) -> Result<(), Error> {
    let ready = |conditions: &[Condition]| conditions.iter().find(|condition| condition.type_ == "Ready").cloned();
    let before = seen.observation.cluster.status.as_ref().and_then(|status| ready(&status.conditions));
    let Some(now) = ready(&decision.status.conditions) else { return Ok(()) };
    let is_same = before.is_some_and(|before| (before.status, before.reason) == (now.status.clone(), now.reason.clone()));
    if is_same {
        return Ok(());
    }
    tracing::info!(
        cluster = crate::decide::subject(&seen.observation),
        ready = now.status,
        reason = now.reason,
        message = now.message,
        "changed"
    );
    let is_bad = !decision.status.problems.is_empty();
    let kind = if is_bad { EventType::Warning } else { EventType::Normal };
    act::tell(context, seen, kind, now.reason, now.message).await
}
