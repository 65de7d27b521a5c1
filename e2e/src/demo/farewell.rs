//! The cluster runs on: how to use it, and how to end it.

use super::stage::tell;

/// Says it.
pub fn say(lab: &str) {
    tell("    The cluster goes on. To use it, enter its network:");
    tell(&format!("      e2e/lab/lab in {lab} bash"));
    tell("    and there, as on any Kubernetes:");
    tell("      kubectl get kvc                                          the cluster, in a line");
    tell("      kubectl port-forward service/orders 6379 &               then: redis-cli HGETALL package:bash");
    tell("      redis-cli -c -p 6380 -h orders.default.svc.cluster.local");
    tell("      kubectl logs orders-a-0                                  what a node says");
    tell("      kubectl logs deployment/strata                           what the operator says");
    tell("      kubectl port-forward pod/orders-a-0 9121 &               then: curl localhost:9121/metrics");
    tell("    To end it and leave nothing behind: make demo-down");
}
