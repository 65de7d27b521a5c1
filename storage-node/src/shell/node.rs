//! What a node tells its connections.

use super::{clock::SystemClock, driver::HostHandle};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};
use strata_kv::{
    Reply,
    session::{ClusterNode, ClusterView, LedRange, Node, NodeFacts, node_id},
};

/// Counters of a node's clients.
#[derive(Debug, Default)]
pub struct ClientCounters {
    /// Connections now.
    pub connected: AtomicU64,
    /// Connections accepted so far.
    pub accepted: AtomicU64,
    /// Connections refused because there were too many.
    pub refused: AtomicU64,
    /// Commands answered so far.
    pub commands: AtomicU64,
    /// Error replies so far.
    pub errors: AtomicU64,
}

/// What a node tells its connections.
pub struct NodeView {
    /// The host.
    pub host: HostHandle,
    /// The clocks.
    pub clock: SystemClock,
    /// What clients did.
    pub counters: Arc<ClientCounters>,
    /// The password of the default user.
    pub password: Option<Vec<u8>>,
    /// The ports of plain and of cluster clients.
    pub ports: (u16, u16),
    /// Connections that are allowed at once.
    pub connections_max: u64,
    /// How long a client may take to receive replies that are under way, in milliseconds.
    pub client_write_millis: u64,
    /// The configuration file.
    pub config_file: String,
}

impl NodeView {
    /// Counts a reply.
    pub fn count(&self, reply: &Reply) {
        self.counters.commands.fetch_add(1, Relaxed);
        if matches!(reply, Reply::Error(_)) {
            self.counters.errors.fetch_add(1, Relaxed);
        }
    }
}

impl Node for NodeView {
    fn now_ms(&self) -> u64 {
        self.clock.now().wall_ms
    }

    fn facts(&self) -> NodeFacts {
        let routes = self.host.routes.borrow().clone();
        let all = routes.in_slot_order();
        let (resident, peak) = memory_bytes();
        NodeFacts {
            strata_version: env!("CARGO_PKG_VERSION").to_owned(),
            os: "Linux".to_owned(),
            process_id: std::process::id(),
            store: self.host.store,
            plain_port: self.ports.0,
            cluster_port: self.ports.1,
            uptime_seconds: self.clock.now().monotonic_ms / 1_000,
            config_file: self.config_file.clone(),
            connected_clients: self.counters.connected.load(Relaxed),
            max_clients: self.connections_max,
            used_memory_bytes: resident,
            used_memory_rss_bytes: resident,
            used_memory_peak_bytes: peak,
            total_connections_received: self.counters.accepted.load(Relaxed),
            rejected_connections: self.counters.refused.load(Relaxed),
            total_commands_processed: self.counters.commands.load(Relaxed),
            total_error_replies: self.counters.errors.load(Relaxed),
            shards_led: all.iter().filter(|route| route.leader == Some(self.host.store)).count() as u64,
            shards_held: all.iter().filter(|route| route.stores.contains(&self.host.store)).count() as u64,
            ..NodeFacts::default()
        }
    }

    fn cluster(&self) -> ClusterView {
        let routes = self.host.routes.borrow().clone();
        let stores: Vec<_> = routes.nodes().map(|node| node.store).collect();
        let place = |store| stores.iter().position(|of| *of == store);
        let nodes = routes.nodes().map(|node| ClusterNode {
            id: node_id(node.store),
            host: node.client_host.clone(),
            port: node.cluster_port,
            is_me: node.store == self.host.store,
            is_connected: true,
        });
        let all = routes.in_slot_order();
        let ranges: Vec<LedRange> = all
            .iter()
            .filter_map(|route| {
                let leader = place(route.leader?)?;
                let replicas = route.stores.iter().filter_map(|store| place(*store)).filter(|index| *index != leader).collect();
                Some(LedRange { slots: route.slots, leader, replicas })
            })
            .collect();
        let covered: u32 = ranges.iter().map(|range| u32::from(range.slots.last() - range.slots.first()) + 1).sum();
        ClusterView {
            nodes: nodes.collect(),
            is_ok: covered == u32::from(strata_base::SLOT_COUNT),
            epoch: all.iter().map(|route| route.epoch.0).max().unwrap_or(0),
            ranges,
        }
    }

    fn requires_password(&self) -> bool {
        self.password.is_some()
    }

    fn check_password(&self, user: &[u8], password: &[u8]) -> bool {
        let Some(expected) = &self.password else { return user == b"default" };
        // Every byte is compared, wherever the first difference is.
        let differs = expected.len() != password.len();
        let different = expected.iter().zip(password.iter().chain(std::iter::repeat(&0))).fold(0, |sum, (one, other)| sum | (one ^ other));
        user == b"default" && !differs && different == 0
    }

    fn replicas_holding_writes(&self) -> u64 {
        let routes = self.host.routes.borrow().clone();
        routes.in_slot_order().iter().map(|route| route.stores.len() as u64 / 2).min().unwrap_or(0)
    }
}

/// Resident memory now and at its peak, in bytes, as the kernel counts it.
fn memory_bytes() -> (u64, u64) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let value = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        Some(line.trim().trim_end_matches(" kB").parse::<u64>().ok()? * 1_024)
    };
    (value("VmRSS:").unwrap_or(0), value("VmHWM:").unwrap_or(0))
}
