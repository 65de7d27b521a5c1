//! `INFO [section …]`: facts of the node, as lines of `name:value` under a heading for each section.
//!
//! The names are Redis's where we have such a thing; what is ours alone begins with `strata_`. Figures are of this node, those of the
//! keyspace of all shards it has a replica of.

use super::{Keys, Run, Spec};
use crate::{
    Failure, Reply,
    session::{Node, NodeFacts, Port, REDIS_VERSION, Session},
};
use bytes::Bytes;
use std::fmt::Write;

/// The row of INFO.
pub static SPEC: Spec = Spec {
    name: "info",
    arity: -1,
    flags: &["loading", "stale"],
    keys: Keys::NONE,
    run: Run::Connection(evaluate),
    group: "server",
    since: "1.0.0",
    summary: "Answers facts of the node.",
    subcommands: &[],
};

/// Writes the lines of a section.
type WriteSection = fn(&Subject<'_>, &mut String);

/// The sections in Redis's order, and what writes each.
const SECTIONS: &[(&str, WriteSection)] = &[
    ("Server", server),
    ("Clients", clients),
    ("Memory", memory),
    ("Persistence", persistence),
    ("Stats", stats),
    ("Replication", replication),
    ("CPU", cpu),
    ("Modules", |_, _| {}),
    ("Errorstats", |_, _| {}),
    ("Cluster", cluster),
    ("Keyspace", keyspace),
];

struct Subject<'a> {
    facts: &'a NodeFacts,
    port: Port,
    now_ms: u64,
    replicas: u64,
}

fn evaluate(arguments: &[Bytes], session: &mut Session, node: &dyn Node) -> Result<Reply, Failure> {
    let facts = node.facts();
    let subject = Subject { facts: &facts, port: session.port, now_ms: node.now_ms(), replicas: node.replicas_holding_writes() };
    let wanted = &arguments[1..];
    let is_wanted = |section: &str| {
        wanted.is_empty()
            || wanted.iter().any(|word| {
                word.eq_ignore_ascii_case(section.as_bytes())
                    || ["all", "default", "everything"].iter().any(|all| word.eq_ignore_ascii_case(all.as_bytes()))
            })
    };
    let mut text = String::new();
    for (section, write) in SECTIONS.iter().filter(|(section, _)| is_wanted(section)) {
        if !text.is_empty() {
            text.push_str("\r\n");
        }
        line(&mut text, format_args!("# {section}"));
        write(&subject, &mut text);
    }
    Ok(Reply::Verbatim("txt", Bytes::from(text)))
}

fn line(text: &mut String, content: std::fmt::Arguments<'_>) {
    write!(text, "{content}\r\n").expect("a string takes every write");
}

fn lines(text: &mut String, pairs: &[(&str, &dyn std::fmt::Display)]) {
    for (name, value) in pairs {
        line(text, format_args!("{name}:{value}"));
    }
}

/// Bytes as Redis shows them to people: `1.50M`.
fn human(bytes: u64) -> String {
    let (mut amount, mut unit) = (bytes as f64, "B");
    for larger in ["K", "M", "G", "T"] {
        if amount < 1024.0 {
            break;
        }
        (amount, unit) = (amount / 1024.0, larger);
    }
    if unit == "B" { format!("{bytes}B") } else { format!("{amount:.2}{unit}") }
}

fn server(subject: &Subject<'_>, text: &mut String) {
    let facts = subject.facts;
    let (mode, port) = match subject.port {
        Port::Plain => ("standalone", facts.plain_port),
        Port::Cluster => ("cluster", facts.cluster_port),
    };
    let run_id = crate::session::node_id(facts.store);
    lines(
        text,
        &[
            ("redis_version", &REDIS_VERSION),
            ("strata_version", &facts.strata_version),
            ("strata_store_id", &facts.store),
            ("redis_mode", &mode),
            ("os", &facts.os),
            ("arch_bits", &usize::BITS),
            ("process_id", &facts.process_id),
            ("run_id", &run_id),
            ("tcp_port", &port),
            ("server_time_usec", &(subject.now_ms * 1_000)),
            ("uptime_in_seconds", &facts.uptime_seconds),
            ("uptime_in_days", &(facts.uptime_seconds / 86_400)),
            ("config_file", &facts.config_file),
        ],
    );
}

fn clients(subject: &Subject<'_>, text: &mut String) {
    let facts = subject.facts;
    lines(
        text,
        &[
            ("connected_clients", &facts.connected_clients),
            ("maxclients", &facts.max_clients),
            ("blocked_clients", &0),
            ("tracking_clients", &0),
        ],
    );
}

fn memory(subject: &Subject<'_>, text: &mut String) {
    let facts = subject.facts;
    lines(
        text,
        &[
            ("used_memory", &facts.used_memory_bytes),
            ("used_memory_human", &human(facts.used_memory_bytes)),
            ("used_memory_rss", &facts.used_memory_rss_bytes),
            ("used_memory_rss_human", &human(facts.used_memory_rss_bytes)),
            ("used_memory_peak", &facts.used_memory_peak_bytes),
            ("used_memory_peak_human", &human(facts.used_memory_peak_bytes)),
            ("total_system_memory", &facts.total_system_memory_bytes),
            ("total_system_memory_human", &human(facts.total_system_memory_bytes)),
            ("maxmemory", &0),
            ("maxmemory_human", &"0B"),
            ("maxmemory_policy", &"noeviction"),
        ],
    );
}

fn persistence(subject: &Subject<'_>, text: &mut String) {
    let facts = subject.facts;
    lines(
        text,
        &[
            ("loading", &0),
            ("aof_enabled", &1),
            ("aof_last_write_status", &"ok"),
            ("strata_disk_used_bytes", &facts.disk_used_bytes),
            ("strata_disk_free_bytes", &facts.disk_free_bytes),
        ],
    );
}

fn stats(subject: &Subject<'_>, text: &mut String) {
    let facts = subject.facts;
    lines(
        text,
        &[
            ("total_connections_received", &facts.total_connections_received),
            ("total_commands_processed", &facts.total_commands_processed),
            ("instantaneous_ops_per_sec", &facts.instantaneous_ops_per_second),
            ("total_net_input_bytes", &facts.total_net_input_bytes),
            ("total_net_output_bytes", &facts.total_net_output_bytes),
            ("rejected_connections", &facts.rejected_connections),
            ("expired_keys", &facts.expired_keys),
            ("evicted_keys", &0),
            ("keyspace_hits", &facts.keyspace_hits),
            ("keyspace_misses", &facts.keyspace_misses),
            ("total_error_replies", &facts.total_error_replies),
        ],
    );
}

fn replication(subject: &Subject<'_>, text: &mut String) {
    let facts = subject.facts;
    lines(
        text,
        &[
            ("role", &"master"),
            ("connected_slaves", &0),
            ("strata_replicas_holding_writes", &subject.replicas),
            ("strata_shards_led", &facts.shards_led),
            ("strata_shards_held", &facts.shards_held),
        ],
    );
}

fn cpu(subject: &Subject<'_>, text: &mut String) {
    let seconds = |micros: u64| format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000);
    lines(text, &[("used_cpu_sys", &seconds(subject.facts.cpu_system_us)), ("used_cpu_user", &seconds(subject.facts.cpu_user_us))]);
}

fn cluster(subject: &Subject<'_>, text: &mut String) {
    lines(text, &[("cluster_enabled", &u8::from(subject.port == Port::Cluster))]);
}

fn keyspace(subject: &Subject<'_>, text: &mut String) {
    let counts = subject.facts.counts;
    if counts.keys > 0 {
        line(text, format_args!("db0:keys={},expires={},avg_ttl=0", counts.keys, counts.expires));
    }
}
