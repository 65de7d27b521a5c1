//! Golden scripts: `testdata/*.txt`, one behaviour each.
//!
//! ```text
//! # The first sentence says the intent.
//!
//! > SET greeting "hello world" EX 10        a request, written as an inline request
//! OK                                        its reply, as recorded
//! ! advance 11000                           time goes on, in milliseconds
//! ! apply                                   what is proposed becomes applied
//! ! effects                                 shows what the last request would replicate
//! ! counts                                  shows the shard's counts
//! ! keys                                    shows the records that are applied, expired or not
//! ! expire 100                              runs the expiry step with this budget, and shows what it came to
//! ! password secret                         the node asks for a password from here on; connects anew
//! ! connect cluster                         connects anew, to the cluster port (or `plain`)
//! ! resp3                                   replies from here on are shown as RESP3 encodes them (as resp2 for the other)
//! ```
//!
//! `UPDATE=1 cargo test -p strata-kv --test golden` records the replies anew; people read the difference.

use bytes::{Bytes, BytesMut};
use std::{fmt::Write, ops::ControlFlow};
use strata_base::{Hlc, SlotRange, StoreId};
use strata_kv::{
    Effect, ErrorReply, Facts, Family, Overlay, Protocol, Read, Reply, View, command,
    command::Run,
    expiry, record,
    resp::RequestReader,
    session::{ClusterNode, ClusterView, LedRange, NodeFacts, Port, Session, node_id},
    testing::{FixedNode, MapStore},
};

/// A shard, a node and a connection as a script sees them.
struct Shard {
    tablet: MapStore,
    overlay: Overlay,
    proposed: Vec<Effect>,
    last: Vec<Effect>,
    hlc: Hlc,
    node: FixedNode,
    session: Session,
    shown_as: Option<Protocol>,
}

/// Two nodes that lead, one that only follows.
fn node() -> FixedNode {
    let node = |store: u64, host: &str, is_me| ClusterNode {
        id: node_id(StoreId(store)),
        host: host.to_owned(),
        port: 6380,
        is_me,
        is_connected: true,
    };
    let range = |first, last, leader, replicas| LedRange { slots: SlotRange::new(first, last).expect("a range"), leader, replicas };
    let cluster = ClusterView {
        nodes: vec![node(1, "10.0.0.1", true), node(2, "10.0.0.2", false), node(3, "10.0.0.3", false)],
        ranges: vec![range(0, 5_460, 0, vec![1, 2]), range(5_461, 10_922, 1, vec![0, 2]), range(10_923, 16_383, 0, vec![1, 2])],
        is_ok: true,
        epoch: 4,
    };
    let facts = NodeFacts {
        strata_version: "0.1.0".to_owned(),
        plain_port: 6379,
        cluster_port: 6380,
        max_clients: 10_000,
        store: StoreId(1),
        ..NodeFacts::default()
    };
    FixedNode { now_ms: 1_700_000_000_000, facts, cluster, password: None, replicas: 1 }
}

impl Shard {
    fn new() -> Shard {
        let node = node();
        Shard {
            tablet: MapStore::default(),
            overlay: Overlay::default(),
            proposed: Vec::new(),
            last: Vec::new(),
            hlc: Hlc::ZERO,
            session: Session::new(7, Port::Plain, &node),
            node,
            shown_as: None,
        }
    }

    fn request(&mut self, line: &str) -> String {
        let mut input = BytesMut::from(format!("{line}\r\n").as_bytes());
        let arguments = RequestReader::default().next(&mut input).expect("a script's request is well formed").expect("and whole");
        self.session.active_ms = self.node.now_ms;
        let reply = self.reply_to(arguments).unwrap_or_else(Reply::Error);
        let closing = if self.session.is_closing { "(closed)\n" } else { "" };
        if self.session.takes_reply() { self.show(&reply) + closing } else { format!("(no reply)\n{closing}") }
    }

    fn reply_to(&mut self, arguments: Vec<Bytes>) -> Result<Reply, ErrorReply> {
        let call = command::parse(arguments)?;
        self.session.admit(&call)?;
        if let Run::Connection(_) = call.spec.run {
            return Ok(call.answer(&mut self.session, &self.node));
        }
        match self.session.port {
            Port::Plain => drop(call.split(|_| 0)?),
            Port::Cluster => drop(call.slot()?),
        }
        Ok(self.evaluate(|view| call.evaluate(view)))
    }

    /// Runs a command of a round of its own.
    fn evaluate<T>(&mut self, run: impl FnOnce(&mut View<'_>) -> T) -> T {
        self.hlc = self.hlc.next(self.node.now_ms);
        self.overlay.begin_round();
        let facts = Facts { counts: self.tablet.counts, random: self.hlc.as_u64(), ..Facts::default() };
        let mut view = View::with_facts(&self.tablet, &mut self.overlay, self.hlc, facts);
        let result = run(&mut view);
        self.last = view.finish().effects;
        self.proposed.extend(self.last.iter().cloned());
        result
    }

    fn directive(&mut self, words: &[&str]) -> String {
        match words {
            ["advance", millis] => self.node.now_ms += millis.parse::<u64>().expect("advance takes milliseconds"),
            ["apply"] => {
                self.proposed.drain(..).for_each(|effect| self.tablet.apply(&effect));
                self.overlay.clear();
            }
            ["effects"] => return self.last.iter().map(|effect| format!("{}\n", show_effect(effect))).collect(),
            ["counts"] => return format!("keys={} expires={}\n", self.tablet.counts.keys, self.tablet.counts.expires),
            ["keys"] => return self.keys(),
            ["expire", budget] => {
                let budget = budget.parse().expect("expire takes a number of keys");
                let step = self.evaluate(|view| expiry::remove_due(view, budget)).expect("a map is always readable");
                return format!("removed={} stale={} next_due_ms={:?}\n", step.removed, step.stale, step.next_due_ms);
            }
            ["password", password] => {
                self.node.password = Some(Bytes::copy_from_slice(password.as_bytes()));
                self.session = Session::new(7, self.session.port, &self.node);
            }
            ["connect", port] => {
                let port = if *port == "cluster" { Port::Cluster } else { Port::Plain };
                self.session = Session::new(7, port, &self.node);
            }
            ["resp2"] => self.shown_as = Some(Protocol::Resp2),
            ["resp3"] => self.shown_as = Some(Protocol::Resp3),
            _ => panic!("no directive {words:?}: see the head of golden.rs"),
        }
        String::new()
    }

    fn keys(&self) -> String {
        let mut lines = String::new();
        let visit = &mut |key: &[u8], _: &[u8]| {
            writeln!(lines, "{}", record::user_key(key).unwrap_or_default().escape_ascii()).expect("a string takes every write");
            ControlFlow::Continue(())
        };
        self.tablet.scan(Family::Meta, &[], &[0xff], visit).expect("a map is always readable");
        lines
    }

    fn show(&self, reply: &Reply) -> String {
        match self.shown_as {
            None => {
                let mut out = String::new();
                show_reply(reply, 0, &mut out);
                out
            }
            Some(protocol) => {
                let mut out = BytesMut::new();
                reply.encode(protocol, &mut out);
                format!("{}\n", out.escape_ascii())
            }
        }
    }
}

/// Shows a reply the way redis-cli does.
fn show_reply(reply: &Reply, depth: usize, out: &mut String) {
    let indent = "   ".repeat(depth);
    let mut line = |text: String| writeln!(out, "{indent}{text}").expect("a string takes every write");
    match reply {
        Reply::Status(text) => line((*text).to_owned()),
        Reply::Error(error) => line(format!("(error) {error}")),
        Reply::Integer(number) => line(format!("(integer) {number}")),
        Reply::Bulk(bytes) => line(format!("\"{}\"", bytes.escape_ascii())),
        Reply::Null => line("(nil)".to_owned()),
        Reply::NullArray => line("(nil array)".to_owned()),
        Reply::Double(number) => line(format!("(double) {number}")),
        Reply::Verbatim(format, text) => line(format!("({format}) \"{}\"", text.escape_ascii())),
        Reply::Array(items) => show_items("array", items, depth, out),
        Reply::Set(items) => show_items("set", items, depth, out),
        Reply::Map(pairs) | Reply::Pairs(pairs) => {
            let kind = if matches!(reply, Reply::Map(_)) { "map" } else { "pairs" };
            line(format!("({kind} of {})", pairs.len()));
            for (key, value) in pairs {
                show_reply(key, depth + 1, out);
                show_reply(value, depth + 2, out);
            }
        }
    }
}

fn show_items(kind: &str, items: &[Reply], depth: usize, out: &mut String) {
    writeln!(out, "{}({kind} of {})", "   ".repeat(depth), items.len()).expect("a string takes every write");
    for item in items {
        show_reply(item, depth + 1, out);
    }
}

fn show_effect(effect: &Effect) -> String {
    let text = |bytes: &Bytes| bytes.escape_ascii().to_string();
    match effect {
        Effect::Put { family, key, value } => format!("put {family:?} {} = {}", text(key), text(value)),
        Effect::Delete { family, key } => format!("delete {family:?} {}", text(key)),
        Effect::DeleteRange { family, from, to } => format!("delete-range {family:?} {} .. {}", text(from), text(to)),
        Effect::DropElements { prefix } => format!("drop-elements {}", text(prefix)),
        Effect::Count { keys, expires } => format!("count keys{keys:+} expires{expires:+}"),
        Effect::Command { .. } | Effect::ResetCounts => format!("{effect:?}"),
    }
}

/// Runs a script, and returns it with the replies of now.
fn run(script: &str) -> String {
    let mut shard = Shard::new();
    let mut out = String::new();
    for line in script.lines() {
        let answer = match line.split_at_checked(2) {
            Some(("> ", request)) => shard.request(request),
            Some(("! ", directive)) => shard.directive(&directive.split_whitespace().collect::<Vec<_>>()),
            _ if line.is_empty() || line.starts_with('#') => String::new(),
            // A reply of an earlier recording.
            _ => continue,
        };
        writeln!(out, "{line}").expect("a string takes every write");
        out.push_str(&answer);
    }
    out
}

#[test]
fn scripts_give_what_they_recorded() {
    strata_golden::check_scripts("testdata", run);
}
