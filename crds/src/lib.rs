//! The Kubernetes API types of Strata, and the YAML generated from them.
