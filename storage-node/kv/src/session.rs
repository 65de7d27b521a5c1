//! The commands that a connection's own node answers: what they see, and what they may change.
//!
//! The host asks [`Session::admit`] before it dispatches any call, evaluates those of [`Run::Connection`](crate::command::Run) with
//! [`Call::answer`], and asks [`Session::takes_reply`] once per request, in their order, whether its reply may go out.

use crate::{
    Counts, ErrorReply, Failure, Protocol, Reply,
    command::{Call, Run},
    error::shown,
    limits,
};
use bytes::Bytes;
use std::fmt::Write;
use strata_base::{SlotRange, StoreId};
use xxhash_rust::xxh3::xxh3_128;

/// The version of Redis whose behaviour is ours.
pub const REDIS_VERSION: &str = "7.2.0";

/// Evaluates a call on the node that the connection is with.
pub type ConnectionCommand = fn(&[Bytes], &mut Session, &dyn Node) -> Result<Reply, Failure>;

/// Which of a node's two client ports a connection came in by: RESP cannot tell what a client understands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Port {
    /// 6379, for clients that know of one server: the node forwards and splits, and cluster support is off.
    #[default]
    Plain,
    /// 6380, for clients that speak Redis Cluster: the node redirects.
    Cluster,
}

/// What CLIENT REPLY chose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Replies {
    /// Every request has one.
    #[default]
    On,
    /// None has.
    Off,
    /// This many requests more go without a reply, the one that asked included.
    Skip(u8),
}

/// What a connection remembers between requests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Session {
    /// The number that CLIENT ID answers; unique per node process.
    pub id: u64,
    /// The port the connection came in by.
    pub port: Port,
    /// The protocol of its replies.
    pub protocol: Protocol,
    /// Whether the password was given, or none is needed.
    pub is_authenticated: bool,
    /// The name given by CLIENT SETNAME.
    pub name: Bytes,
    /// Given by CLIENT SETINFO.
    pub library_name: Bytes,
    /// Given by CLIENT SETINFO.
    pub library_version: Bytes,
    /// Whether READONLY was given. Reads are linearizable either way: it is kept for CLIENT INFO's sake.
    pub is_read_only: bool,
    /// Whether CLIENT NO-EVICT was given; connections are never evicted for memory.
    pub is_spared_from_eviction: bool,
    /// Whether CLIENT NO-TOUCH was given; there is no idle time to touch.
    pub is_without_touch: bool,
    /// Whether the connection closes after this reply.
    pub is_closing: bool,
    /// The peer, `host:port`.
    pub address: String,
    /// Our end, `host:port`.
    pub local_address: String,
    /// When it was accepted, in milliseconds since the Unix epoch.
    pub connected_ms: u64,
    /// When its last request came, in milliseconds since the Unix epoch; set by the host.
    pub active_ms: u64,
    /// The full name of the command it called last; set by [`Session::admit`].
    pub last_command: &'static str,
    /// Whether requests have replies; see [`Session::takes_reply`].
    pub replies: Replies,
}

impl Session {
    /// A new connection on `port`, accepted now. The host fills in the addresses.
    pub fn new(id: u64, port: Port, node: &dyn Node) -> Session {
        let now_ms = node.now_ms();
        Session { id, port, is_authenticated: !node.requires_password(), connected_ms: now_ms, active_ms: now_ms, ..Session::default() }
    }

    /// Whether the connection may make this call at all; asked before every dispatch, in the order of requests.
    pub fn admit(&mut self, call: &Call) -> Result<(), ErrorReply> {
        if !self.is_authenticated && !call.spec.flags.contains(&"no_auth") {
            return Err(ErrorReply::NO_AUTH);
        }
        if self.port == Port::Plain && call.spec.group == "cluster" {
            return Err(ErrorReply::CLUSTER_DISABLED);
        }
        self.last_command = call.spec.name;
        Ok(())
    }

    /// Whether the reply of the request just dispatched may go out (CLIENT REPLY). Asked exactly once per request, errors included, in
    /// the order of requests.
    pub fn takes_reply(&mut self) -> bool {
        match self.replies {
            Replies::On => true,
            Replies::Off => false,
            Replies::Skip(more) => {
                self.replies = if more > 1 { Replies::Skip(more - 1) } else { Replies::On };
                false
            }
        }
    }

    /// Back to how the connection began, as RESET does.
    pub(crate) fn reset(&mut self, node: &dyn Node) {
        *self = Session {
            address: std::mem::take(&mut self.address),
            local_address: std::mem::take(&mut self.local_address),
            library_name: std::mem::take(&mut self.library_name),
            library_version: std::mem::take(&mut self.library_version),
            connected_ms: self.connected_ms,
            active_ms: self.active_ms,
            last_command: self.last_command,
            ..Session::new(self.id, self.port, node)
        };
    }

    /// One line of CLIENT LIST, without its end.
    pub fn describe(&self, now_ms: u64) -> String {
        let mut flags = String::new();
        for (is_set, flag) in
            [(self.is_closing, 'c'), (self.is_read_only, 'r'), (self.is_spared_from_eviction, 'e'), (self.is_without_touch, 'T')]
        {
            flags.extend(is_set.then_some(flag));
        }
        let seconds_since = |then_ms: u64| now_ms.saturating_sub(then_ms) / 1_000;
        let mut line = String::new();
        write!(
            line,
            "id={} addr={} laddr={} fd=0 name={} age={} idle={} flags={} db=0 sub=0 psub=0 ssub=0 multi=-1 qbuf=0 qbuf-free=0 argv-mem=0 \
             multi-mem=0 rbs=0 rbp=0 obl=0 oll=0 omem=0 tot-mem=0 events=r cmd={} user=default redir=-1 resp={} lib-name={} lib-ver={}",
            self.id,
            self.address,
            self.local_address,
            self.name.escape_ascii(),
            seconds_since(self.connected_ms),
            seconds_since(self.active_ms),
            if flags.is_empty() { "N" } else { &flags },
            if self.last_command.is_empty() { "NULL" } else { self.last_command },
            self.protocol.number(),
            self.library_name.escape_ascii(),
            self.library_version.escape_ascii(),
        )
        .expect("a string takes every write");
        line
    }
}

impl Call {
    /// Evaluates a call of [`Run::Connection`].
    pub fn answer(&self, session: &mut Session, node: &dyn Node) -> Reply {
        let Run::Connection(evaluate) = self.spec.run else {
            unreachable!("'{}' is evaluated by a shard, not by the connection", self.spec.name)
        };
        match evaluate(&self.arguments, session, node) {
            Ok(reply) => reply,
            Err(Failure::Reply(error)) => Reply::Error(error),
            Err(Failure::Read(error)) => Reply::Error(ErrorReply::new(format!("ERR {error}"))),
        }
    }
}

/// What a node tells its connections, as plain facts at this moment.
pub trait Node {
    /// Milliseconds since the Unix epoch.
    fn now_ms(&self) -> u64;

    /// What INFO shows.
    fn facts(&self) -> NodeFacts;

    /// Who leads which slots, as far as this node knows.
    fn cluster(&self) -> ClusterView;

    /// Whether clients must give a password.
    fn requires_password(&self) -> bool;

    /// Whether the password is right for the user; the only user is `default`. Compares in constant time.
    fn check_password(&self, user: &[u8], password: &[u8]) -> bool;

    /// How many voters beside the leader surely hold every write acknowledged so far: half of the voters, rounded down, since a write is
    /// on a quorum's disks before its reply. The answer of WAIT; 1 with three replicas, 0 with one.
    fn replicas_holding_writes(&self) -> u64;

    /// The other connections of this node, for CLIENT LIST and KILL.
    fn other_clients(&self, me: u64) -> Vec<Session> {
        let _ = me;
        Vec::new()
    }

    /// Closes another connection; whether there was one.
    fn close_client(&self, id: u64) -> bool {
        let _ = id;
        false
    }

    /// Sets the counters of INFO's stats back to zero.
    fn reset_statistics(&self) {}
}

/// What INFO shows of a node: plain data, all of it as of now.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NodeFacts {
    /// Our own version; Redis's is [`REDIS_VERSION`].
    pub strata_version: String,
    /// The operating system and machine, as `uname` says.
    pub os: String,
    /// The process id.
    pub process_id: u32,
    /// The store of this node.
    pub store: StoreId,
    /// The port of plain clients.
    pub plain_port: u16,
    /// The port of cluster clients.
    pub cluster_port: u16,
    /// Since the process began, in seconds.
    pub uptime_seconds: u64,
    /// The configuration file.
    pub config_file: String,
    /// Connections now.
    pub connected_clients: u64,
    /// Connections that are allowed at once.
    pub max_clients: u64,
    /// Memory that caches, buffers and queues hold by their own count, in bytes.
    pub used_memory_bytes: u64,
    /// Resident memory of the process, in bytes.
    pub used_memory_rss_bytes: u64,
    /// The largest resident memory so far, in bytes.
    pub used_memory_peak_bytes: u64,
    /// The memory of the machine or of the container, in bytes.
    pub total_system_memory_bytes: u64,
    /// Bytes of the tablets on disk.
    pub disk_used_bytes: u64,
    /// Bytes that are free on their file system.
    pub disk_free_bytes: u64,
    /// Connections accepted so far.
    pub total_connections_received: u64,
    /// Connections refused because there were too many.
    pub rejected_connections: u64,
    /// Commands evaluated so far.
    pub total_commands_processed: u64,
    /// Commands per second, of late.
    pub instantaneous_ops_per_second: u64,
    /// Bytes read from clients so far.
    pub total_net_input_bytes: u64,
    /// Bytes written to clients so far.
    pub total_net_output_bytes: u64,
    /// Error replies so far.
    pub total_error_replies: u64,
    /// Keys removed because their time had come, so far.
    pub expired_keys: u64,
    /// Reads that found their key, so far.
    pub keyspace_hits: u64,
    /// Reads that did not, so far.
    pub keyspace_misses: u64,
    /// Shards that this node leads.
    pub shards_led: u64,
    /// Shards of which it holds a replica.
    pub shards_held: u64,
    /// System time of the process, in microseconds.
    pub cpu_system_us: u64,
    /// User time of the process, in microseconds.
    pub cpu_user_us: u64,
    /// Keys of the table, as far as this node knows: all shards it has a replica of.
    pub counts: Counts,
}

/// Who leads which slots: plain data, as far as a node knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterView {
    /// The nodes, in any order that stays.
    pub nodes: Vec<ClusterNode>,
    /// The ranges of slots in their order. A range without a known leader is left out.
    pub ranges: Vec<LedRange>,
    /// Whether every slot has a leader that this node knows of.
    pub is_ok: bool,
    /// The highest epoch of a shard descriptor.
    pub epoch: u64,
}

/// A node as cluster clients see it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterNode {
    /// Forty hexadecimal digits; see [`node_id`].
    pub id: String,
    /// The address that clients reach it by: a host name or an IP address.
    pub host: String,
    /// Its port of cluster clients.
    pub port: u16,
    /// Whether it is the node that answers.
    pub is_me: bool,
    /// Whether it is heard.
    pub is_connected: bool,
}

/// A range of slots, and who has it; nodes by their place in [`ClusterView::nodes`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedRange {
    /// The slots of one shard.
    pub slots: SlotRange,
    /// The node that leads it.
    pub leader: usize,
    /// The nodes that follow.
    pub replicas: Vec<usize>,
}

/// The id that a node has for cluster clients: it follows from its store, so it survives a restart and not an emptied disk.
pub fn node_id(store: StoreId) -> String {
    let low = xxh3_128(&store.0.to_be_bytes());
    format!("{store}{:024x}", low >> 32)
}

/// The row of a container is evaluated only without a subcommand, which arity forbids.
pub(crate) fn without_subcommand(arguments: &[Bytes], _: &mut Session, _: &dyn Node) -> Result<Reply, Failure> {
    Err(ErrorReply::wrong_arity(&shown(&arguments[0], limits::SHOWN_BYTES_MAX).to_ascii_lowercase()).into())
}

/// The reply of a container's HELP: its first line, and two for each subcommand.
pub(crate) fn help(lines: &[&'static str]) -> Reply {
    let end = ["HELP", "    Prints this help."];
    Reply::Array(lines.iter().chain(&end).map(|line| Reply::Status(line)).collect())
}
