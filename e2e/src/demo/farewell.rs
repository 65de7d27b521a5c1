//! The cluster runs on: how to use it, and how to end it.

use super::stage::tell;

/// Says it.
pub fn say(lab: &str) {
    let kubectl = format!("e2e/lab/lab kubectl {lab}");
    tell("    The cluster goes on. To use it:");
    tell(&format!("      {kubectl} get kvc                                     the cluster, in a line"));
    tell(&format!("      {kubectl} port-forward service/orders 6379 &          then: redis-cli HGETALL package:bash"));
    tell(&format!("      {kubectl} logs orders-a-0                             what a node says"));
    tell(&format!("      {kubectl} logs deployment/strata                      what the operator says"));
    tell(&format!("      {kubectl} port-forward pod/orders-a-0 9121 &          then: curl localhost:9121/metrics"));
    tell("    To end it and leave nothing behind: make demo-down");
}
