//! The operator: observe, decide, act, report.
