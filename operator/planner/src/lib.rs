//! The planner: a view of the cluster and a policy in, a plan out.
