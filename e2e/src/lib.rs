//! The judge: workloads, faults and checkers, and the same scenario at several distances.
