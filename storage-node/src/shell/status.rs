//! `/healthz`, `/readyz` and `/metrics`: plain, read-only, without a certificate.

use super::{driver::HostHandle, node::ClientCounters};
use axum::{
    Router,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::get,
};
use prometheus_client::{
    encoding::text::encode,
    metrics::{family::Family, gauge::Gauge},
    registry::Registry,
};
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
    let mut metrics = Metrics(Registry::with_prefix("strata"));
    let count = |wanted: fn(&ShardRole) -> bool| report.shards.iter().filter(|shard| wanted(&shard.role)).count() as u64;
    metrics.gauge("shards", "Replicas on this node", report.shards.len() as u64);
    metrics.gauge("shards_led", "Shards that this node leads", count(|role| matches!(role, ShardRole::Leader | ShardRole::LeaderElect)));
    metrics.gauge("keys", "Keys of all replicas, expired ones included", report.shards.iter().map(|shard| shard.keys).sum());
    metrics.gauge(
        "unapplied_entries",
        "Committed entries not yet applied",
        report.shards.iter().map(|shard| shard.committed - shard.applied.min(shard.committed)).sum(),
    );
    metrics.gauge("log_bytes", "What the log holds on disk", report.disk.log_bytes);
    metrics.gauge("log_fsyncs", "Writes of the log since the process started", report.disk.fsyncs);
    metrics.gauge("log_fsync_microseconds", "Mean time of a write of the log, of late", report.disk.fsync_micros);
    metrics.gauge("disk_free_bytes", "Free bytes of the node's file system", report.disk.free_bytes);
    metrics.gauge("problems", "What ails the node, in number", report.problems.len() as u64);
    metrics.gauge("client_connections", "Client connections now", status.counters.connected.load(Relaxed));
    metrics.gauge("commands", "Commands answered since the process started", status.counters.commands.load(Relaxed));
    metrics.gauge("command_errors", "Error replies since the process started", status.counters.errors.load(Relaxed));
    metrics.archive(&report);
    let mut text = String::new();
    match encode(&mut text, &metrics.0) {
        Ok(()) => text.into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

struct Metrics(Registry);

impl Metrics {
    fn gauge(&mut self, name: &str, help: &str, value: u64) {
        let gauge = Gauge::<i64>::default();
        gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        self.0.register(name, help, gauge);
    }

    /// What the bucket has of the shards that this node leads; nothing where no archive is open.
    fn archive(&mut self, report: &Report) {
        let Some(archive) = &report.archive else { return };
        let led = || report.shards.iter().filter_map(|shard| shard.archive.as_ref());
        // A new leader knows of no moment until a quorum has confirmed it: then there is no lag to tell, neither none nor one since 1970.
        if let Some(lag) = led().filter(|shard| shard.recovery_latest_millis > 0).map(|shard| shard.lag_millis).max() {
            self.gauge("archive_lag_milliseconds", "Age of the oldest write of led shards that only the nodes have", lag);
        }
        self.gauge("archive_risk_bytes", "Log of led shards that only the nodes have", led().map(|shard| shard.bytes_at_risk).sum());
        self.gauge("archive_gaps", "Stretches of led shards' logs that the bucket lacks", led().map(|shard| shard.gaps.len() as u64).sum());
        self.gauge("archive_objects", "Log objects written since the process started", archive.objects);
        self.gauge("archive_refuses_writes", "1 while writes are refused because the local log is full", u64::from(archive.refuses_writes));
        if let Some(problem) = &archive.problem {
            let failing = Family::<Vec<(String, String)>, Gauge>::default();
            failing.get_or_create(&vec![("class".to_owned(), problem.class.clone())]).set(1);
            self.0.register("archive_failing", "1 while the archive's store fails, by the class of the last error", failing);
        }
        if let Some(restore) = &report.restore {
            self.gauge("restore_done_bytes", "Bytes that this node fetched and applied", restore.done_bytes);
            self.gauge("restore_total_bytes", "Bytes that this node needs", restore.total_bytes);
        }
    }
}
