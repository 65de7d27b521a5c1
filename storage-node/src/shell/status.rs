//! `/healthz`, `/readyz` and `/metrics`: plain, read-only, without a certificate.

use super::{driver::HostHandle, node::ClientCounters};
use axum::{
    Router,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::get,
};
use prometheus_client::{encoding::text::encode, metrics::gauge::Gauge, registry::Registry};
use std::sync::{Arc, atomic::Ordering::Relaxed};
use strata_node_api::{NodeState, Report, ShardRole};

/// What the pages are made of.
#[derive(Clone)]
pub struct Status {
    /// The host.
    pub host: HostHandle,
    /// What clients did.
    pub counters: Arc<ClientCounters>,
}

/// The routes of the status port.
pub fn router(status: Status) -> Router {
    Router::new().route("/healthz", get(health)).route("/readyz", get(ready)).route("/metrics", get(metrics)).with_state(status)
}

/// The process lives and its host turns.
async fn health(State(status): State<Status>) -> Response {
    match status.host.report().await {
        Some(_) => "ok\n".into_response(),
        None => (StatusCode::SERVICE_UNAVAILABLE, "the host does not answer\n").into_response(),
    }
}

/// The node belongs to a cluster, and every replica it has knows a leader.
async fn ready(State(status): State<Status>) -> Response {
    let Some(report) = status.host.report().await else {
        return (StatusCode::SERVICE_UNAVAILABLE, "the host does not answer\n").into_response();
    };
    match not_ready(&report) {
        None => "ok\n".into_response(),
        Some(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")).into_response(),
    }
}

fn not_ready(report: &Report) -> Option<String> {
    if report.state == NodeState::Empty {
        return Some("the store is empty and waits for orders".to_owned());
    }
    let leaderless = report.shards.iter().filter(|shard| shard.leader.is_none()).count();
    (leaderless > 0).then(|| format!("{leaderless} shards know no leader"))
}

async fn metrics(State(status): State<Status>) -> Response {
    let Some(report) = status.host.report().await else {
        return (StatusCode::SERVICE_UNAVAILABLE, "the host does not answer\n").into_response();
    };
    let mut registry = Registry::with_prefix("strata");
    let mut gauge = |name: &str, help: &str, value: u64| {
        let gauge = Gauge::<i64>::default();
        gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        registry.register(name, help, gauge);
    };
    let count = |wanted: fn(&ShardRole) -> bool| report.shards.iter().filter(|shard| wanted(&shard.role)).count() as u64;
    gauge("shards", "Replicas on this node", report.shards.len() as u64);
    gauge("shards_led", "Shards that this node leads", count(|role| matches!(role, ShardRole::Leader | ShardRole::LeaderElect)));
    gauge("keys", "Keys of all replicas, expired ones included", report.shards.iter().map(|shard| shard.keys).sum());
    gauge(
        "unapplied_entries",
        "Committed entries not yet applied",
        report.shards.iter().map(|shard| shard.committed - shard.applied.min(shard.committed)).sum(),
    );
    gauge("log_bytes", "What the log holds on disk", report.disk.log_bytes);
    gauge("log_fsyncs", "Writes of the log since the process started", report.disk.fsyncs);
    gauge("log_fsync_microseconds", "Mean time of a write of the log, of late", report.disk.fsync_micros);
    gauge("disk_free_bytes", "Free bytes of the node's file system", report.disk.free_bytes);
    gauge("problems", "What ails the node, in number", report.problems.len() as u64);
    gauge("client_connections", "Client connections now", status.counters.connected.load(Relaxed));
    gauge("commands", "Commands answered since the process started", status.counters.commands.load(Relaxed));
    gauge("command_errors", "Error replies since the process started", status.counters.errors.load(Relaxed));
    let mut text = String::new();
    match encode(&mut text, &registry) {
        Ok(()) => text.into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
