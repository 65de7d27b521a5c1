//! What the operator is told at its start: by flags, or by variables as the chart sets them.

use clap::Parser;

/// The operator of Strata: looks after the KVClusters of one namespace.
#[derive(Clone, Debug, Parser)]
#[command(version)]
pub struct Settings {
    /// The namespace to look after.
    #[arg(long, env = "STRATA_NAMESPACE")]
    pub namespace: String,
    /// The name of this process among operators: its pod's name.
    #[arg(long, env = "STRATA_IDENTITY")]
    pub identity: String,
    /// The Lease that one operator holds.
    #[arg(long, env = "STRATA_LEASE", default_value = "strata")]
    pub lease: String,
    /// The repository of the image of storage nodes whose KVCluster names no image; the tag is spec.version.
    #[arg(long, env = "STRATA_NODE_IMAGE", default_value = "strata")]
    pub node_image: String,
    /// Log lines up to this level, or a filter.
    #[arg(long, env = "STRATA_LOG", default_value = "info")]
    pub log: String,
    /// The port of `/healthz`, `/readyz` and `/metrics`.
    #[arg(long, env = "STRATA_STATUS_PORT", default_value_t = 8080)]
    pub status_port: u16,
}
