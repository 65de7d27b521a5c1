//! `CLUSTER …`: the cluster as its clients see it. Only on the cluster port; the plain one answers that cluster support is disabled.
//!
//! Every node is announced as the master of what it leads. A node that leads nothing is announced as a replica of the ranges it follows; one
//! that leads something never is, since clients keep one role per address.

use super::{Keys, Run, Spec};
use crate::{
    Failure, Reply, View,
    session::{self, ClusterNode, ClusterView, LedRange, Node, Session},
    slot,
};
use bytes::Bytes;
use std::{fmt::Write, ops::ControlFlow};
use strata_base::{SLOT_COUNT, SlotRange};

/// The row of CLUSTER.
pub static SPEC: Spec = Spec {
    name: "cluster",
    arity: -2,
    flags: &[],
    keys: Keys::NONE,
    run: Run::Connection(session::without_subcommand),
    group: "cluster",
    since: "3.0.0",
    summary: "A container for commands about the cluster.",
    subcommands: &[&COUNTKEYSINSLOT, &HELP, &INFO, &KEYSLOT, &MYID, &NODES, &SHARDS, &SLOTS],
};

/// The row of CLUSTER COUNTKEYSINSLOT.
pub static COUNTKEYSINSLOT: Spec = Spec {
    name: "cluster|countkeysinslot",
    arity: 3,
    flags: &["stale"],
    keys: Keys::NONE,
    run: Run::Slot(count_keys),
    group: "cluster",
    since: "3.0.0",
    summary: "Counts the keys of a slot.",
    subcommands: &[],
};

/// The row of CLUSTER HELP.
pub static HELP: Spec = Spec {
    name: "cluster|help",
    arity: 2,
    flags: &["loading", "stale"],
    keys: Keys::NONE,
    run: Run::Connection(|_, _, _| Ok(session::help(HELP_LINES))),
    group: "cluster",
    since: "5.0.0",
    summary: "Answers what CLUSTER can do.",
    subcommands: &[],
};

/// The row of CLUSTER INFO.
pub static INFO: Spec = Spec {
    name: "cluster|info",
    arity: 2,
    flags: &["stale"],
    keys: Keys::NONE,
    run: Run::Connection(|_, _, node| Ok(info(&node.cluster()))),
    group: "cluster",
    since: "3.0.0",
    summary: "Says whether every slot has a leader.",
    subcommands: &[],
};

/// The row of CLUSTER KEYSLOT.
pub static KEYSLOT: Spec = Spec {
    name: "cluster|keyslot",
    arity: 3,
    flags: &["stale"],
    keys: Keys::NONE,
    run: Run::Connection(key_slot),
    group: "cluster",
    since: "3.0.0",
    summary: "Answers the slot of a key.",
    subcommands: &[],
};

/// The row of CLUSTER MYID.
pub static MYID: Spec = Spec {
    name: "cluster|myid",
    arity: 2,
    flags: &["stale"],
    keys: Keys::NONE,
    run: Run::Connection(|_, _, node| Ok(my_id(&node.cluster()))),
    group: "cluster",
    since: "3.0.0",
    summary: "Answers the id of this node.",
    subcommands: &[],
};

/// The row of CLUSTER NODES.
pub static NODES: Spec = Spec {
    name: "cluster|nodes",
    arity: 2,
    flags: &["stale"],
    keys: Keys::NONE,
    run: Run::Connection(|_, _, node| Ok(nodes(&node.cluster()))),
    group: "cluster",
    since: "3.0.0",
    summary: "Lists the nodes, as lines.",
    subcommands: &[],
};

/// The row of CLUSTER SHARDS.
pub static SHARDS: Spec = Spec {
    name: "cluster|shards",
    arity: 2,
    flags: &["stale"],
    keys: Keys::NONE,
    run: Run::Connection(|_, _, node| Ok(shards(&node.cluster()))),
    group: "cluster",
    since: "7.0.0",
    summary: "Lists the nodes with their slots.",
    subcommands: &[],
};

/// The row of CLUSTER SLOTS.
pub static SLOTS: Spec = Spec {
    name: "cluster|slots",
    arity: 2,
    flags: &["stale"],
    keys: Keys::NONE,
    run: Run::Connection(|_, _, node| Ok(slots(&node.cluster()))),
    group: "cluster",
    since: "3.0.0",
    summary: "Lists the ranges of slots with their nodes.",
    subcommands: &[],
};

const HELP_LINES: &[&str] = &[
    "CLUSTER <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "COUNTKEYSINSLOT <slot>",
    "    Return the number of keys in <slot>.",
    "INFO",
    "    Return information about the cluster.",
    "KEYSLOT <key>",
    "    Return the hash slot for <key>.",
    "MYID",
    "    Return the node id.",
    "NODES",
    "    Return cluster configuration seen by node. Output format:",
    "    <id> <ip:port> <flags> <master> <pings> <pongs> <epoch> <link> <slot> ...",
    "SHARDS",
    "    Return information about slot range mappings and the nodes associated with them.",
    "SLOTS",
    "    Return information about slots range mappings. Each range is made of:",
    "    start, end, master and replicas IP addresses, ports and ids",
];

/// Counts by walking: a slot of a large table holds a few thousand keys.
fn count_keys(arguments: &[Bytes], view: &mut View<'_>) -> Result<Reply, Failure> {
    let slot = crate::number::parse_integer(&arguments[2]).and_then(|slot| u16::try_from(slot).ok()).unwrap_or(SLOT_COUNT);
    let mut count = 0;
    if let Some(range) = SlotRange::new(slot, slot) {
        view.scan_keys_in(&[], range, &mut |_, _| {
            count += 1;
            ControlFlow::Continue(())
        })?;
    }
    Ok(Reply::Integer(count))
}

fn key_slot(arguments: &[Bytes], _: &mut Session, _: &dyn Node) -> Result<Reply, Failure> {
    Ok(Reply::Integer(i64::from(slot::slot_of(&arguments[2]))))
}

fn my_id(view: &ClusterView) -> Reply {
    view.nodes.iter().find(|node| node.is_me).map_or(Reply::Null, |node| Reply::bulk(node.id.clone()))
}

impl ClusterView {
    fn ranges_led_by(&self, node: usize) -> impl Iterator<Item = &LedRange> {
        self.ranges.iter().filter(move |range| range.leader == node)
    }

    fn leads_nothing(&self, node: usize) -> bool {
        self.ranges_led_by(node).next().is_none()
    }

    /// The followers of a range that lead nothing themselves: those that clients are told of.
    fn announced_replicas<'a>(&'a self, range: &'a LedRange) -> impl Iterator<Item = &'a ClusterNode> {
        range.replicas.iter().filter(|replica| self.leads_nothing(**replica)).filter_map(|replica| self.nodes.get(*replica))
    }
}

fn info(view: &ClusterView) -> Reply {
    let assigned: u32 = view.ranges.iter().map(|range| u32::from(range.slots.last() - range.slots.first()) + 1).sum();
    let size = (0..view.nodes.len()).filter(|node| !view.leads_nothing(*node)).count();
    let state = if view.is_ok { "ok" } else { "fail" };
    let mut text = String::new();
    for (name, value) in [
        ("slots_assigned", u64::from(assigned)),
        ("slots_ok", u64::from(assigned)),
        ("slots_pfail", 0),
        ("slots_fail", 0),
        ("known_nodes", view.nodes.len() as u64),
        ("size", size as u64),
        ("current_epoch", view.epoch),
        ("my_epoch", view.epoch),
        ("stats_messages_sent", 0),
        ("stats_messages_received", 0),
    ] {
        write!(text, "cluster_{name}:{value}\r\n").expect("a string takes every write");
    }
    Reply::Verbatim("txt", Bytes::from(format!("cluster_state:{state}\r\n{text}total_cluster_links_buffer_limit_exceeded:0\r\n")))
}

fn nodes(view: &ClusterView) -> Reply {
    let mut text = String::new();
    for (index, node) in view.nodes.iter().enumerate() {
        let me = if node.is_me { "myself," } else { "" };
        let link = if node.is_connected || node.is_me { "connected" } else { "disconnected" };
        let ClusterNode { id, host, port, .. } = node;
        write!(text, "{id} {host}:{port}@{port} {me}master - 0 0 {} {link}", view.epoch).expect("a string takes every write");
        for range in view.ranges_led_by(index) {
            let (first, last) = (range.slots.first(), range.slots.last());
            let shown = if first == last { first.to_string() } else { format!("{first}-{last}") };
            write!(text, " {shown}").expect("a string takes every write");
        }
        text.push('\n');
    }
    Reply::Verbatim("txt", Bytes::from(text))
}

fn slots(view: &ClusterView) -> Reply {
    let describe = |node: &ClusterNode| {
        let (host, id) = (node.host.clone(), node.id.clone());
        Reply::Array(vec![Reply::bulk(host), Reply::Integer(i64::from(node.port)), Reply::bulk(id), Reply::Array(Vec::new())])
    };
    let ranges = view.ranges.iter().filter_map(|range| {
        let leader = view.nodes.get(range.leader)?;
        let mut parts =
            vec![Reply::Integer(i64::from(range.slots.first())), Reply::Integer(i64::from(range.slots.last())), describe(leader)];
        parts.extend(view.announced_replicas(range).map(describe));
        Some(Reply::Array(parts))
    });
    Reply::Array(ranges.collect())
}

fn shards(view: &ClusterView) -> Reply {
    let describe = |node: &ClusterNode, role: &'static str| {
        let health = if node.is_connected || node.is_me { "online" } else { "fail" };
        let pairs = [
            ("id", Reply::bulk(node.id.clone())),
            ("port", Reply::Integer(i64::from(node.port))),
            ("ip", Reply::bulk(node.host.clone())),
            ("endpoint", Reply::bulk(node.host.clone())),
            ("role", Reply::bulk(role)),
            ("replication-offset", Reply::Integer(0)),
            ("health", Reply::bulk(health)),
        ];
        Reply::Map(pairs.into_iter().map(|(key, value)| (Reply::bulk(key), value)).collect())
    };
    let mut shards = Vec::new();
    for (index, leader) in view.nodes.iter().enumerate() {
        let ranges: Vec<_> = view.ranges_led_by(index).collect();
        if ranges.is_empty() {
            continue;
        }
        let bounds = ranges.iter().flat_map(|range| [range.slots.first(), range.slots.last()]);
        let slots = Reply::Array(bounds.map(|slot| Reply::Integer(i64::from(slot))).collect());
        let mut nodes = vec![describe(leader, "master")];
        let mut seen = Vec::new();
        for replica in ranges.iter().flat_map(|range| view.announced_replicas(range)) {
            if !seen.contains(&&replica.id) {
                seen.push(&replica.id);
                nodes.push(describe(replica, "replica"));
            }
        }
        shards.push(Reply::Map(vec![(Reply::bulk("slots"), slots), (Reply::bulk("nodes"), Reply::Array(nodes))]));
    }
    Reply::Array(shards)
}
